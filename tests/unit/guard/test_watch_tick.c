/* Whole ticks of a machine without a driver, a journal or a probe: what can't be seen is unknown,
 * is said once, and nothing waits for it. */
#include "check.h"

#include "guard/watch_inside.h"
#include "made_study.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct made_watch {
    struct made_study *made;
    char *folder;
    sd_event *event;
    struct spec_candidate candidate;
    struct guard_watch *watch;
    int64_t now_ns, wall_us;
    struct guard_tick tick;
};

struct how { /* guard is begun */
    bool front, once, dry_run;
    const char *container; /* of llm; NULL: it is a pid */
};

static void made_watch_open_as(struct made_watch *w, const struct how *how)
{
    struct err err = ERR_INIT;
    *w = (struct made_watch){
        .folder = check_make_folder(), .now_ns = clock_now_ns(), .wall_us = 1700000000000000};
    setenv("SPICA_NVML_LIBRARY", "/nowhere/libnvidia-ml.so.1", 1);
    setenv("SPICA_KERNEL_LOG", "/nowhere/kmsg", 1);
    setenv("SPICA_JOURNAL", "/nowhere", 1);
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1);
    setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
    w->made = made_study_new(w->folder);
    w->made->guard.front_count = how->front;
    w->made->guard.proxy = (struct spec_proxy){.given = how->front, .folder = "/dev/null/none"};
    w->made->watches[1].pid = getpid();
    if (how->container)
        w->made->watches[1] =
            (struct spec_watch){.kind = WATCH_CONTAINER, .container = how->container};
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        w->candidate.index[i] = -1;
    assert_true(sd_event_new(&w->event) >= 0);
    const struct guard_watch_setup setup = {.study = &w->made->study,
                                            .folder = w->folder,
                                            .candidate = &w->candidate,
                                            .event = w->event,
                                            .once = how->once,
                                            .dry_run = how->dry_run};
    if (!guard_watch_new(&setup, &w->watch, &err))
        fail_msg("%s", err.text);
}

static void made_watch_open(struct made_watch *w)
{
    made_watch_open_as(w, &(const struct how){0});
}

static void made_watch_close(struct made_watch *w)
{
    guard_watch_free(w->watch);
    sd_event_unref(w->event);
    made_study_free(w->made);
    check_remove_folder(w->folder);
}

static void step(struct made_watch *w, double wall_s)
{
    w->now_ns += NS_PER_S;
    w->wall_us += (int64_t)(wall_s * 1e6);
    (void)sd_event_run(w->event, 0);
    guard_watch_tick(w->watch, w->now_ns, w->wall_us, &w->tick);
}

static const struct guard_value *value(const struct made_watch *w, const char *name)
{
    long at = guard_metric_find(w->made->guard.metrics, w->made->guard.metric_count, name);
    assert_true(at >= 0);
    return &w->tick.values[at];
}

static size_t count_events(const struct made_watch *w, enum guard_event_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < w->tick.event_count; i++)
        count += w->tick.events[i].kind == kind;
    return count;
}

static void test_nothing_can_be_seen(void **state)
{
    (void)state;
    struct made_watch w;
    made_watch_open(&w);
    assert_non_null(strstr(guard_watch_missing(w.watch), "journal"));
    assert_non_null(strstr(guard_watch_missing(w.watch), "kernel"));
    for (int i = 0; i < 3; i++) {
        step(&w, 1);
        assert_int_equal(count_events(&w, EVENT_DRIVER_LOST), i == 0);
        assert_int_equal(count_events(&w, EVENT_RESTARTED) + count_events(&w, EVENT_ON_CPU), 0);
        assert_true(isnan(value(&w, "stt.up")->number)); /* systemd does not answer */
        assert_true(isnan(value(&w, "stt.memory")->number));
        assert_null(value(&w, "stt.placement")->text);
        assert_true(value(&w, "llm.up")->number == 1);
        assert_string_equal(value(&w, "gpu0.fault")->text, "lost");
        assert_true(isnan(value(&w, "gpu0.memory.free")->number));
        assert_true(isnan(value(&w, "llm.latency.p95")->number));
        assert_int_equal(value(&w, "llm.latency.p95")->count, 0);
        assert_true(isnan(value(&w, "proxy.up")->number));
        assert_true(w.tick.no_kernel_log && (w.tick.no_log & 3) == 3); /* and the tick says so */
        assert_int_equal(w.tick.no_kills & 1, 0); /* systemd tells of a unit's */
    }
    made_watch_close(&w);
}

static void test_the_clock_steps(void **state)
{
    (void)state;
    struct made_watch w;
    static const struct {
        double wall_s;
        size_t events;
    } rows[] = {{1, 0}, {1, 0}, {3601, 1}, {1, 0}, {-3600, 1}, {1.4, 0}, {1, 0}, {3.5, 1}};
    made_watch_open(&w);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        step(&w, rows[i].wall_s);
        CHECK_ROW(i, "clock", count_events(&w, EVENT_CLOCK_STEP) == rows[i].events);
    }
    made_watch_close(&w);
}

/* Expected: who applies HAProxy's configuration at its start asks systemd for the time that this
 * may take, before it begins; who applies nothing does not. */
static void test_systemd_waits_for_haproxy(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct how how;
        bool asks;
    } rows[] = {
        {"the daemon", {.front = true}, true},
        {"a dry run", {.front = true, .dry_run = true}, false},
        {"one look", {.front = true, .once = true}, false},
        {"no front", {0}, false},
    };
    static const char begins[] = "EXTEND_TIMEOUT_USEC=";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder();
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        struct made_watch w;
        char text[200];
        snprintf(at.sun_path, sizeof at.sun_path, "%s/n", folder);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
        setenv("NOTIFY_SOCKET", at.sun_path, 1);
        made_watch_open_as(&w, &rows[i].how);
        unsetenv("NOTIFY_SOCKET");
        ssize_t len = recv(fd, text, sizeof text - 1, 0);
        text[len > 0 ? len : 0] = '\0';
        CHECK_ROW(i, rows[i].name, (strncmp(text, begins, strlen(begins)) == 0) == rows[i].asks);
        /* Our own waits: the check of the file, a start, two of the socket. */
        CHECK_ROW(i, text,
                  !rows[i].asks || strtoll(text + strlen(begins), NULL, 10) >= 160 * 1000000LL);
        CHECK_ROW(i, rows[i].name, recv(fd, text, sizeof text, 0) < 0); /* once */
        made_watch_close(&w);
        close(fd);
        check_remove_folder(folder);
    }
}

/* Expected: it is said once, and of nobody else, that a container's engine is of an unknown
 * version. Before: it was known to the one who read the comparison's words. */
static void test_a_containers_version_is_not_seen(void **state)
{
    (void)state;
    static const char words[] = "llm: it runs in a container";
    for (int container = 0; container < 2; container++) {
        struct made_watch w;
        made_watch_open_as(&w, &(const struct how){.container = container ? "web" : NULL});
        for (int s = 0; s < 3; s++)
            step(&w, 1);
        const char *at = strstr(guard_watch_missing(w.watch), words);
        assert_int_equal(at != NULL, container);
        assert_true(!at || strstr(at, "guard.changed.versions"));
        assert_true(!at || !strstr(at + 1, words));
        assert_null(strstr(guard_watch_missing(w.watch), "stt: it runs in a container"));
        made_watch_close(&w);
    }
}

/* What the old setting's probes said, and where it computed, is nothing of the new one; the process
 * is the same one. Before: a service that was promoted to another card was "not on its device". */
static void test_another_setting_is_followed(void **state)
{
    (void)state;
    struct made_watch w;
    const struct guard_request failed = {.counted = true, .failed = true, .latency_s = NAN};
    struct guard_requests_view view;
    made_watch_open(&w);
    step(&w, 1);
    struct guard_subject *subject = (struct guard_subject *)guard_watch_subject(w.watch, 1);
    const pid_t pid = subject->life.main.pid;
    subject->place = (struct guard_place){.word = PLACEMENT_CPU, .told = true, .owed = true};
    subject->probe_past = (struct guard_probe_past){.process = pid, .told = true, .failed = 5};
    subject->has_proof = true;
    subject->hung_ns = w.now_ns;
    snprintf(subject->probe_words, sizeof subject->probe_words, "model not found");
    guard_requests_add(subject->probe_window, w.now_ns, &failed);
    const size_t missing = strlen(guard_watch_missing(w.watch));
    guard_watch_follow(w.watch, w.now_ns);
    assert_int_equal(subject->place.word, PLACEMENT_UNPROVEN);
    assert_false(subject->place.told || subject->has_proof || subject->probe_past.failed > 0);
    /* What was told is still to be ended: before, that alarm stood for ever. */
    assert_true(subject->place.owed && subject->probe_past.told);
    assert_int_equal(subject->probe_past.process, pid);
    assert_true(subject->hung_ns == 0 && subject->probe_words[0] == '\0');
    guard_requests_read(subject->probe_window, w.now_ns, &view);
    assert_true(view.requests == 0 && isnan(view.error_ratio));
    step(&w, 1);
    assert_int_equal(count_events(&w, EVENT_RESTARTED) + count_events(&w, EVENT_UP), 0);
    assert_int_equal(count_events(&w, EVENT_ON_CPU) + count_events(&w, EVENT_PLACED), 0);
    assert_true(value(&w, "llm.up")->number == 1);
    assert_int_equal(subject->life.main.pid, pid);
    assert_int_equal(strlen(guard_watch_missing(w.watch)), missing); /* said once */
    made_watch_close(&w);
}

/* Before: the old setting's probes were ended first, and none were sent from then on. */
static void test_probes_that_can_t_be_made_yet(void **state)
{
    (void)state;
    struct made_watch w;
    made_watch_open(&w);
    struct guard_prober *then = w.watch->prober;
    assert_non_null(then);
    w.made->services[1].load = (struct spec_load){.given = true, .corpus = "/nowhere"};
    for (int i = 0; i < 3; i++) {
        guard_watch_follow(w.watch, w.now_ns);
        step(&w, 1);
        assert_ptr_equal(w.watch->prober, then);
    }
    const char *said = strstr(guard_watch_missing(w.watch), "/nowhere");
    assert_non_null(said);
    assert_null(strstr(strchr(said, '\n'), "/nowhere")); /* once */
    w.made->services[1].load.given = false;
    for (int s = 0; s < 50; s++)
        step(&w, 1);
    assert_int_not_equal(w.watch->prober_due_ns, 0);
    for (int s = 0; s < 15; s++)
        step(&w, 1);
    assert_int_equal(w.watch->prober_due_ns, 0);
    assert_true(w.watch->prober && w.watch->no_probes[0] == '\0');
    made_watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_can_be_seen),
        cmocka_unit_test(test_the_clock_steps),
        cmocka_unit_test(test_systemd_waits_for_haproxy),
        cmocka_unit_test(test_a_containers_version_is_not_seen),
        cmocka_unit_test(test_another_setting_is_followed),
        cmocka_unit_test(test_probes_that_can_t_be_made_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
