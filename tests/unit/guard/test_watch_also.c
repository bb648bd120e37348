/* Ends for want of memory, counted; and which servers a service has beside the watched one. */
#include "check.h"

#include "guard/watch_also.h"
#include "made_study.h"

#include "base/auto.h"
#include "base/clock.h"
#include "device/kind.h"
#include "host/journal.h"
#include "listen.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Before: each line began the ten seconds anew, and an hour of ends counted once. */
static void test_ends_that_go_on_are_counted(void **state)
{
    (void)state;
    static const struct {
        double at_s;
        enum guard_end_kind kind;
        bool counts;
    } rows[] = {
        {100, END_DEVICE, true},  {104, END_DEVICE, false}, {104, END_KERNEL, true},
        {109, END_DEVICE, false}, {110, END_DEVICE, true},  {115, END_DEVICE, false},
        {115, END_KERNEL, true},  {120, END_DEVICE, true},
    };
    struct guard_ends ends = {.group_kills = -1};
    uint64_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool counts = guard_ends_add(&ends, rows[i].kind, (int64_t)(rows[i].at_s * NS_PER_S));
        count += rows[i].counts;
        CHECK_ROW(i, "end", counts == rows[i].counts && ends.count == count);
    }
}

static void test_an_hour_of_them(void **state)
{
    (void)state;
    struct guard_ends ends = {.group_kills = -1};
    for (int s = 0; s < 3600; s += 3)
        (void)guard_ends_add(&ends, END_DEVICE, (1000 + s) * NS_PER_S);
    assert_int_equal(ends.count, 300);
}

static void test_servers(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct made_study *made = made_study_new(folder);
    struct guard_also also[GUARD_ALSO_MAX];
    static struct spec_arm arms[] = {{.name = "now", .port = 8001}, {.name = "next", .port = 8002}};
    /* One by its unit, one that always runs; the watched one is base. */
    made->watches[0].port = 1;
    made->tiers[1].unit = "tiny.service";
    assert_int_equal(guard_also_open(&made->study, "/proc", NULL, also), 1);
    assert_string_equal(also[0].name, "stt's tier tiny");
    assert_true(also[0].watch.kind == WATCH_UNIT && also[0].ends.group_kills == -1);
    guard_also_close(also, 1);
    /* It is watched by its unit's name. */
    made->watches[0] =
        (struct spec_watch){.kind = WATCH_UNIT, .unit = "tiny.service", .user = true};
    assert_int_equal(guard_also_open(&made->study, "/proc", NULL, also), 2);
    guard_also_close(also, 2);
    made->tiers[1].user = true;
    assert_int_equal(guard_also_open(&made->study, "/proc", NULL, also), 1);
    assert_string_equal(also[0].name, "stt's tier base");
    assert_true(also[0].watch.kind == WATCH_PORT && also[0].watch.port == 1);
    guard_also_close(also, 1);
    /* Arms; nobody is watched. */
    made->watches[0] = (struct spec_watch){.kind = WATCH_NOTHING};
    made->front.tier_count = 0;
    made->front.split = (struct spec_split){.arms = arms, .count = 2};
    assert_int_equal(guard_also_open(&made->study, "/proc", NULL, also), 2);
    assert_string_equal(also[1].name, "stt's arm next");
    assert_int_equal(also[1].watch.port, 8002);
    guard_also_close(also, 2);
    made_study_free(made);
    check_remove_folder(folder);
}

/* ---- the place of tiers that nobody chooses ---- */

static enum device_listed listed;
static int asked;

static void card_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    (void)device;
    asked++; /* and it works between two looks */
    *ret_usage = (struct device_usage){.root = root,
                                       .listed = listed,
                                       .cpu_ns = asked * 2 * NS_PER_S,
                                       .memory_bytes = reading_known(READING_FROM_NVML, 3e9)};
}

static int looks(struct guard_also *also, struct device *card, int count)
{
    static int64_t now_ns = 1000 * NS_PER_S;
    int turns = 0;
    for (int i = 0; i < count; i++, now_ns += 2 * NS_PER_S) {
        (void)guard_also_look(also, now_ns);
        turns += guard_also_place(also, card, "gpu0", now_ns);
    }
    return turns;
}

/* Whom the tiers of a front are asked for here: only where no policy does, and of the GPU. */
static void test_who_is_asked_for_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double limit_s;
        enum spec_on on;
        const char *unit;
        bool weighed, placed;
        enum guard_aside_tier aside;
    } rows[] = {
        {"no keep:", NAN, ON_GPU, "t.service", true, true, ASIDE_NO},
        {"keep:", 0.3, ON_GPU, "t.service", false, false, ASIDE_STOPPED},
        {"keep:, no unit", 0.3, ON_GPU, NULL, false, false, ASIDE_NO},
        {"on the CPU", NAN, ON_CPU, "t.service", true, false, ASIDE_NO},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder();
        struct made_study *made = made_study_new(folder);
        struct guard_also also[GUARD_ALSO_MAX];
        made->watches[0] = (struct spec_watch){.kind = WATCH_NOTHING};
        made->front.limit_s = rows[i].limit_s;
        made->services[0].on = rows[i].on;
        made->tiers[0].unit = rows[i].unit;
        made->tiers[0].resident = false;
        CHECK_ROW(i, rows[i].name, guard_also_open(&made->study, "/proc", NULL, also) == 2);
        CHECK_ROW(i, rows[i].name, also[0].placed == rows[i].placed);
        CHECK_ROW(i, rows[i].name, also[1].placed == rows[i].placed);
        CHECK_ROW(i, rows[i].name, also[0].weighed == rows[i].weighed);
        CHECK_ROW(i, rows[i].name, also[0].aside.tier == rows[i].aside);
        guard_also_close(also, 2);
        made_study_free(made);
        check_remove_folder(folder);
    }
}

/* Expected: a tier without `keep:` that is not on the card is wrong within ten seconds, until it is
 * there again or down. Before: nobody asked. */
static void test_a_tier_on_the_cpu(void **state)
{
    (void)state;
    static const struct device_ops ops = {.kind = "gpu", .usage = card_usage};
    struct device card = {.ops = &ops};
    char *folder = check_make_folder();
    struct made_study *made = made_study_new(folder);
    struct guard_also also[GUARD_ALSO_MAX];
    int port = 0;
    pid_t child = check_start_server(&port);
    made->watches[0] = (struct spec_watch){.kind = WATCH_NOTHING};
    made->front.limit_s = NAN;
    made->tiers[0].unit = NULL;
    made->tiers[0].port = port;
    made->tiers[1].unit = "no-such-tier.service";
    assert_int_equal(guard_also_open(&made->study, "/proc", NULL, also), 2);
    listed = DEVICE_LISTED_YES;
    assert_int_equal(looks(also, &card, 10), 0);
    listed = DEVICE_LISTED_UNKNOWN;
    assert_int_equal(looks(also, &card, 10), 0);
    listed = DEVICE_LISTED_NO;
    assert_int_equal(looks(also, NULL, 10), 0); /* no driver: nothing is known */
    struct guard_server shown = guard_also_server(also);
    assert_true(shown.up == 1 && shown.memory_bytes == 3e9 && shown.restarts == 0);
    assert_string_equal(shown.placement, "unproven");
    assert_int_equal(looks(also, &card, 6), 1);
    assert_true(also->wrong && also->process.place.seen.evidence[0]);
    assert_string_equal(guard_also_server(also).placement, "cpu");
    assert_int_equal(looks(also, &card, 30), 0);
    listed = DEVICE_LISTED_YES;
    assert_int_equal(looks(also, &card, 5), 1);
    assert_false(also->wrong);
    listed = DEVICE_LISTED_NO;
    assert_int_equal(looks(also, &card, 6), 1);
    check_end_server(child);
    assert_int_equal(looks(also, &card, 5), 1);
    assert_false(also->wrong);
    shown = guard_also_server(also);
    assert_true(shown.up == 0 && isnan(shown.memory_bytes) && shown.why[0]);
    /* The other one has a unit, and nobody asks systemd here. */
    assert_true(isnan(guard_also_server(&also[1]).up));
    guard_also_close(also, 2);
    made_study_free(made);
    check_remove_folder(folder);
}

/* Expected: what is not known of a server is unknown, and not no. */
static void test_what_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum guard_presence presence;
        double up; /* -1: unknown */
    } rows[] = {
        {"up", PRESENCE_UP, 1},
        {"down", PRESENCE_DOWN, 0},
        {"on its way", PRESENCE_COMING, 0},
        {"systemd does not answer", PRESENCE_UNKNOWN, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_also also = {.server = "tiny", .on = ON_CPU, .ends.count = 2};
        also.shown.presence = rows[i].presence;
        also.process = tier_process_new();
        const struct guard_server server = guard_also_server(&also);
        CHECK_ROW(i, rows[i].name, rows[i].up < 0 ? isnan(server.up) : server.up == rows[i].up);
        CHECK_ROW(i, rows[i].name, isnan(server.restarts) && server.out_of_memory == 2);
        CHECK_ROW(i, rows[i].name, isnan(server.memory_bytes));
    }
}

/* ---- stopped on purpose ---- */

/* A study that we are has stopped the tier's unit, or has started it again. */
static void put_pause(const char *folder, bool done)
{
    AUTO(free) struct host_journal *journal = calloc(1, sizeof *journal);
    AUTO(free) char *path = host_journal_path(folder);
    struct err err = ERR_INIT;
    assert_non_null(journal);
    journal->done = done;
    journal->scope = HOST_SYSTEM;
    journal->count = 1;
    snprintf(journal->study, sizeof journal->study, "night");
    snprintf(journal->folder, sizeof journal->folder, "%s", folder);
    snprintf(journal->units[0].name, sizeof journal->units[0].name, "tiny.service");
    journal->units[0].was_up = true;
    journal->units[0].start_within_ns = 30 * NS_PER_S;
    assert_true(host_process_read(getpid(), &journal->owner));
    if (!host_journal_write(path, journal, &err))
        fail_msg("%s", err.text);
}

/* Ends and starts a server of a unit whose life is seen by its port here: systemd is not there to
 * say it. Expected: one that was stopped on purpose is not down but unknown, its start is no
 * restart; one that ended by itself is down and was restarted. Who looks for what ended it (`life`,
 * `history`) sees both. */
static void test_stopped_on_purpose(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum guard_aside_tier tier;
        bool study;
        const char *why; /* NULL: it is down */
    } rows[] = {
        {"by itself", ASIDE_NO, false, NULL},
        {"off since guard began, this end is no stop", ASIDE_STOPPED, false, NULL},
        {"by guard's tiers", ASIDE_YES, false, "put aside, the tier tiny is not needed now"},
        {"by a study", ASIDE_NO, true, "put aside by the study night"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder(), results[300];
        int port = 0;
        pid_t child = check_start_server(&port);
        const struct spec_watch by_port = {.kind = WATCH_PORT, .port = port};
        struct guard_also also = {
            .server = "tiny",
            .on = ON_CPU,
            .watch = {.kind = WATCH_UNIT, .unit = "tiny.service"},
            .finder = guard_finder_new(&by_port, "/proc", NULL),
            .ends.group_kills = -1,
            .aside = {.tier = rows[i].tier, .tier_name = "tiny"},
            .folder = results,
            .process = tier_process_new(),
        };
        snprintf(results, sizeof results, "%s/s.spica", folder);
        (void)looks(&also, NULL, 2);
        struct guard_server shown = guard_also_server(&also);
        CHECK_ROW(i, rows[i].name, shown.up == 1 && shown.restarts == 0);
        if (rows[i].study)
            put_pause(results, false);
        check_end_server(child);
        (void)looks(&also, NULL, 2);
        shown = guard_also_server(&also);
        CHECK_ROW(i, rows[i].name, rows[i].why ? isnan(shown.up) : shown.up == 0);
        CHECK_ROW(i, rows[i].name, !rows[i].why || strstr(shown.why, rows[i].why));
        CHECK_ROW(i, rows[i].name, also.life.presence == PRESENCE_DOWN);
        if (rows[i].study)
            put_pause(results, true);
        child = check_start_server(&port);
        (void)looks(&also, NULL, 2);
        shown = guard_also_server(&also);
        CHECK_ROW(i, rows[i].name, shown.up == 1);
        CHECK_ROW(i, rows[i].name, shown.restarts == (rows[i].why ? 0 : 1));
        CHECK_ROW(i, rows[i].name, also.history.restarts == 1);
        check_end_server(child);
        guard_also_close(&also, 1);
        check_remove_folder(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_that_go_on_are_counted),
        cmocka_unit_test(test_an_hour_of_them),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_who_is_asked_for_its_place),
        cmocka_unit_test(test_a_tier_on_the_cpu),
        cmocka_unit_test(test_what_is_shown),
        cmocka_unit_test(test_stopped_on_purpose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
