/* The actor on a loop of its own, with real children. Restarting and rolling back real units is in
 * tests/scenario/test_guard_act.py. */
#include "check.h"

#include "made_study.h"

#include "base/clock.h"
#include "base/file.h"
#include "guard/act_kept.h"
#include "guard/act_restudy.h"

#include <sys/stat.h>
#include <systemd/sd-event.h>

enum { TOLD_MAX = 64 };
static const int64_t NEVER_ENDS_NS = 60 * NS_PER_S;

struct stage {
    char *folder, *results;
    struct made_study *made;
    struct spec_setting words[8];
    sd_event *event;
    struct guard_actor *actor;
    char told[TOLD_MAX][240];
    size_t count;
};

static void on_acted(void *context, const struct guard_event *event)
{
    struct stage *stage = context;
    assert_int_equal(event->kind, EVENT_ACTED);
    assert_true(stage->count < TOLD_MAX);
    snprintf(stage->told[stage->count++], sizeof stage->told[0], "%s", event->text);
}

static bool on_tier(void *context, size_t service, enum spec_action action, char *text, size_t size)
{
    (void)context;
    snprintf(text, size, "service %zu", service);
    return action == ACTION_TIER_DOWN;
}

static struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->folder = check_make_folder();
    stage->results = file_join(stage->folder, "voice.spica");
    stage->made = made_study_new(stage->folder);
    for (int i = 0; i < ACTION_COUNT_; i++)
        stage->made->guard.limits[i] = (struct spec_guard_limit){.allowed = true, .per_hour = 100};
    assert_true(sd_event_new(&stage->event) >= 0);
    return stage;
}

static void stage_free(struct stage *stage)
{
    guard_actor_close(stage->actor);
    sd_event_unref(stage->event);
    made_study_free(stage->made);
    free(stage->results);
    check_remove_folder(stage->folder);
    free(stage);
}

static void open_actor(struct stage *stage, bool dry_run)
{
    const struct guard_act_setup setup = {.study = &stage->made->study,
                                          .folder = stage->results,
                                          .event = stage->event,
                                          .program = "/bin/true",
                                          .dry_run = dry_run,
                                          .acted = on_acted,
                                          .context = stage,
                                          .tier = on_tier};
    struct err err = ERR_INIT;
    stage->actor = guard_actor_close(stage->actor);
    if (!guard_actor_open(&setup, &stage->actor, &err))
        fail_msg("%s", err.text);
}

static void see(struct stage *stage)
{
    struct guard_tick tick = made_tick(stage->made);
    guard_actor_see(stage->actor, &tick);
}

static void decide(struct stage *stage, int service, uint32_t actions)
{
    struct guard_decision decision = {.rule = "slow \"speech\"",
                                      .service = service,
                                      .from = STATE_PENDING,
                                      .to = STATE_ALARM,
                                      .actions = actions};
    snprintf(decision.text, sizeof decision.text, "p95 912 ms > 300 ms for 30 s");
    guard_actor_do(stage->actor, &decision);
}

/* Until nothing is under way. */
static void settle(struct stage *stage)
{
    int64_t end_ns = clock_now_ns() + NEVER_ENDS_NS;
    while (guard_actor_busy(stage->actor) > 0) {
        assert_true(clock_now_ns() < end_ns);
        assert_true(sd_event_run(stage->event, 100000) >= 0);
    }
}

static bool told(const struct stage *stage, const char *part)
{
    for (size_t i = 0; i < stage->count; i++)
        if (strstr(stage->told[i], part))
            return true;
    return false;
}

#define CHECK_TOLD(stage, part)                                                                    \
    do {                                                                                           \
        if (!told((stage), (part)))                                                                \
            fail_msg("not told: \"%s\"; last: \"%s\"", (part),                                     \
                     (stage)->count ? (stage)->told[(stage)->count - 1] : "(nothing)");            \
    } while (0)

static void set_command(struct stage *stage, const char *const *words)
{
    size_t n = 0;
    for (; words[n]; n++)
        stage->words[n] = (struct spec_setting){.text = words[n]};
    stage->made->guard.notify = stage->words;
    stage->made->guard.notify_count = n;
}

/* ---- notify ---- */

static void test_words(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sh", "-c",     "printf '%s\\n' \"$@\" >told",
                                        "sh",      "{rule}", "{{x} a {state} b",
                                        "{text}",  NULL};
    struct stage *stage = stage_new();
    AUTO(free) char *path = file_join(stage->folder, "told");
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err err = ERR_INIT;
    set_command(stage, words);
    open_actor(stage, false);
    decide(stage, 0, 1U << ACTION_NOTIFY);
    settle(stage);
    assert_true(buf_read_file(&text, path, &err));
    assert_string_equal(buf_text(&text),
                        "slow \"speech\"\n{x} a alarm b\np95 912 ms > 300 ms for 30 s\n");
    CHECK_TOLD(stage, "notify: told by /bin/sh");
    stage_free(stage);
}

static const struct {
    const char *name;
    const char *const words[4];
    const char *told;
} commands[] = {
    {"fails",
     {"/bin/sh", "-c", "echo no such room >&2; exit 3", NULL},
     "not told: /bin/sh: exit status 3: no such room"},
    {"is not there", {"/no/such/program", NULL}, "no such program"},
    {"dies", {"/bin/sh", "-c", "kill -9 $$", NULL}, "ended by signal 9"},
    {"leaves something behind", {"/bin/sh", "-c", "sleep 0.2 & exit 0", NULL}, "told by"},
};

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        struct stage *stage = stage_new();
        set_command(stage, commands[i].words);
        open_actor(stage, false);
        decide(stage, 0, 1U << ACTION_NOTIFY);
        settle(stage);
        CHECK_TOLD(stage, commands[i].told);
        stage_free(stage);
    }
}

/* Commands that hang hold up neither the loop nor each other, and their number is bounded. */
static void test_many(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sleep", "0.5", NULL};
    struct stage *stage = stage_new();
    set_command(stage, words);
    open_actor(stage, false);
    for (int i = 0; i < 6; i++)
        decide(stage, 0, 1U << ACTION_NOTIFY);
    assert_int_equal(guard_actor_busy(stage->actor), 4);
    assert_int_equal(stage->count, 2);
    CHECK_TOLD(stage, "4 commands are still running");
    settle(stage);
    assert_int_equal(stage->count, 6);
    stage_free(stage);
}

/* ---- what is refused ---- */

static const struct {
    const char *name;
    int service;
    enum spec_action action;
    bool allowed, dry_run;
    const char *fault; /* of gpu0 */
    const char *told;
} refusals[] = {
    {"a pid", 1, ACTION_RESTART, true, false, NULL, "watched by its pid"},
    {"nobody", -1, ACTION_RESTART, true, false, NULL, "no single service"},
    {"not named", 0, ACTION_RESTART, false, false, NULL, "not named under act:"},
    {"the driver is lost", 0, ACTION_RESTART, true, false, "lost", "would not come back"},
    {"another version", 0, ACTION_RESTART, true, false, "mismatch", "would not come back"},
    {"an error of the driver is no loss", 0, ACTION_RESTART, true, false, "xid",
     "no-such-unit.service not restarted"},
    {"no such unit", 0, ACTION_RESTART, true, false, "none", "no-such-unit.service not restarted"},
    {"dry", 0, ACTION_RESTART, true, true, "none", "would restart it: no-such-unit.service"},
    {"dry and refused", 1, ACTION_RESTART, true, true, "none", "would not be done: it is watched"},
    {"nothing was promoted", -1, ACTION_ROLLBACK, true, false, NULL, "no promotion to undo"},
    {"dry", -1, ACTION_ROLLBACK, true, true, NULL, "would roll the last promotion back"},
    {"a tier", 0, ACTION_TIER_DOWN, true, false, NULL, "tier-down: service 0"},
    {"a tier that can't be", 0, ACTION_TIER_UP, true, false, NULL, "tier-up not done: service 0"},
    {"dry", 0, ACTION_TIER_DOWN, true, true, NULL, "would switch to a faster tier"},
    {"dry", -1, ACTION_RESTUDY, true, true, NULL, "would queue a new study"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct stage *stage = stage_new();
        stage->made->guard.limits[refusals[i].action].allowed = refusals[i].allowed;
        made_value(stage->made, "gpu0.fault")->text = refusals[i].fault;
        open_actor(stage, refusals[i].dry_run);
        see(stage);
        decide(stage, refusals[i].service, 1U << refusals[i].action);
        settle(stage);
        CHECK_ROW(i, refusals[i].name, stage->count == 1);
        CHECK_TOLD(stage, refusals[i].told);
        stage_free(stage);
    }
}

/* Each attempt counts, whatever became of it; one that waits is forgotten when its reason is over.
 */
static void test_limits(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    stage->made->guard.limits[ACTION_RESTART] =
        (struct spec_guard_limit){.allowed = true, .per_hour = 2};
    for (int i = 0; i < 3; i++) {
        open_actor(stage, false); /* guard is restarted each time, and remembers */
        decide(stage, 0, 1U << ACTION_RESTART);
        settle(stage);
    }
    assert_int_equal(stage->count, 3);
    assert_non_null(strstr(stage->told[2], "2 in the last hour, at most 2"));
    stage_free(stage);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    struct guard_decision over = {.rule = "slow \"speech\"", .service = -1, .to = STATE_FINE};
    open_actor(stage, false);
    decide(stage, 0, 1U << ACTION_RESTART | 1U << ACTION_ROLLBACK);
    assert_int_equal(guard_actor_busy(stage->actor), 2);
    decide(stage, 0, 1U << ACTION_RESTART);
    CHECK_TOLD(stage, "restart not begun twice: one is under way");
    guard_actor_do(stage->actor, &over);
    CHECK_TOLD(stage, "rollback not done: it is over");
    settle(stage);
    assert_int_equal(stage->count, 3);
    stage_free(stage);
}

/* ---- after guard's own death ---- */

static void test_left(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    struct guard_kept kept;
    struct err err = ERR_INIT;
    assert_true(guard_kept_open(stage->results, &kept, &err));
    guard_kept_add(&kept, ACTION_RESTART, "stt", clock_now_ns(), clock_now_wall_us());
    guard_kept_add(&kept, ACTION_ROLLBACK, "", clock_now_ns(), clock_now_wall_us());
    assert_true(guard_kept_write(&kept, &err));
    guard_kept_done(&kept);
    stage->made->guard.limits[ACTION_RESTART] =
        (struct spec_guard_limit){.allowed = true, .per_hour = 1};
    open_actor(stage, false);
    assert_int_equal(stage->count, 0); /* nobody is told before the first tick */
    see(stage);
    settle(stage);
    CHECK_TOLD(stage, "restart of stt was begun at");
    CHECK_TOLD(stage, "an earlier guard began has come to its end");
    decide(stage, 0, 1U << ACTION_RESTART);
    settle(stage);
    CHECK_TOLD(stage, "1 in the last hour, at most 1");
    size_t count = stage->count;
    open_actor(stage, false); /* said once */
    see(stage);
    settle(stage);
    assert_int_equal(stage->count, count);
    stage_free(stage);
}

/* ---- a new study ---- */

static const struct {
    const char *name;
    struct spec_restudy_hours hours;
    int minute;
    bool open;
} windows[] = {
    {"none", {false, 0, 0}, 5, true},
    {"within", {true, 120, 300}, 120, true},
    {"before", {true, 120, 300}, 119, false},
    {"at its end", {true, 120, 300}, 300, false},
    {"over midnight, late", {true, 1380, 60}, 1381, true},
    {"over midnight, early", {true, 1380, 60}, 59, true},
    {"over midnight, at noon", {true, 1380, 60}, 720, false},
    {"the whole day", {true, 60, 60}, 0, true},
};

static void test_windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(windows); i++)
        CHECK_ROW(i, windows[i].name,
                  guard_restudy_open(&windows[i].hours, windows[i].minute) == windows[i].open);
}

static char *write_program(struct stage *stage, const char *text)
{
    char *path = file_join(stage->folder, "spica");
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(path, text, strlen(text), &err));
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

/* What `spica run` is asked for, and what becomes of each of its ends. */
static const struct {
    const char *name, *program, *told;
    bool queued; /* it goes on later */
} studies[] = {
    {"done", "#!/bin/sh\necho \"$@\" >\"$(dirname \"$0\")/asked\"\nexit 0\n", "awaits approval",
     false},
    {"none feasible", "#!/bin/sh\nexit 3\n", "no candidate", false},
    {"busy", "#!/bin/sh\nexit 4\n", "held by others; goes on later", true},
    {"stopped", "#!/bin/sh\nexit 5\n", "resumes; goes on later", true},
    {"killed", "#!/bin/sh\nkill -9 $$\n", "was killed; goes on", true},
};

static void test_study(void **state)
{
    (void)state;
    unsetenv("INVOCATION_ID");
    for (size_t i = 0; i < ARRAY_LEN(studies); i++) {
        struct stage *stage = stage_new();
        AUTO(free) char *program = write_program(stage, studies[i].program);
        const struct guard_act_setup setup = {.study = &stage->made->study,
                                              .folder = stage->results,
                                              .event = stage->event,
                                              .program = program,
                                              .acted = on_acted,
                                              .context = stage};
        struct guard_restudy request;
        struct err err = ERR_INIT;
        bool found = false;
        stage->made->guard.limits[ACTION_RESTUDY].per_hour = 0;
        assert_true(guard_actor_open(&setup, &stage->actor, &err));
        decide(stage, -1, 1U << ACTION_RESTUDY);
        settle(stage);
        CHECK_TOLD(stage, "a new study is queued");
        CHECK_TOLD(stage, studies[i].told);
        assert_true(guard_restudy_read(stage->results, &found, &request, &err) && found);
        CHECK_ROW(i, studies[i].name,
                  (request.state == RESTUDY_QUEUED) == studies[i].queued && request.attempts == 1);
        assert_string_equal(request.why, "p95 912 ms > 300 ms for 30 s");
        if (i == 0) {
            AUTO(free) char *path = file_join(stage->folder, "asked");
            AUTO(buf_done) struct buf asked = BUF_INIT(8192);
            assert_true(buf_read_file(&asked, path, &err));
            assert_non_null(strstr(buf_text(&asked), "run "));
            assert_non_null(strstr(buf_text(&asked), "voice.yaml --quiet --out "));
            assert_non_null(strstr(buf_text(&asked), " --fresh"));
        }
        stage_free(stage);
    }
}

/* Outside its hours it is queued, once, and nothing is started. */
static void test_queue(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    int minute = guard_restudy_minute(clock_now_wall_us());
    stage->made->guard.restudy =
        (struct spec_restudy_hours){true, (minute + 120) % 1440, (minute + 180) % 1440};
    open_actor(stage, false);
    decide(stage, -1, 1U << ACTION_RESTUDY);
    settle(stage);
    see(stage);
    assert_int_equal(guard_actor_busy(stage->actor), 0);
    decide(stage, -1, 1U << ACTION_RESTUDY);
    CHECK_TOLD(stage, "not begun twice: one is queued");
    assert_int_equal(stage->count, 2);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),  cmocka_unit_test(test_commands),
        cmocka_unit_test(test_many),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_left),   cmocka_unit_test(test_windows),
        cmocka_unit_test(test_study),  cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
