/* The actor on a loop of its own, with real children. Restarting and rolling back real units is in
 * tests/scenario/test_guard_act.py. */
#include "check.h"

#include "act_stage.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "device/lock.h"
#include "guard/act_kept.h"
#include "guard/act_restudy.h"
#include "promote/journal.h"

#include <sys/stat.h>

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
    {"back without a driver", -1, ACTION_ROLLBACK, true, false, "lost", "would not come back"},
    {"back beside another version", 0, ACTION_ROLLBACK, true, false, "mismatch",
     "would not come back"},
    {"back after an error", -1, ACTION_ROLLBACK, true, false, "xid", "no promotion to undo"},
    {"nothing was promoted", -1, ACTION_ROLLBACK, true, false, NULL, "no promotion to undo"},
    {"dry", -1, ACTION_ROLLBACK, true, true, NULL, "would roll the last promotion back"},
    {"a tier", 0, ACTION_TIER_DOWN, true, false, NULL, "tier-down: service 0"},
    {"a tier that can't be", 0, ACTION_TIER_UP, true, false, NULL, "tier-up not done: service 0"},
    {"dry", 0, ACTION_TIER_DOWN, true, true, NULL, "would switch to a smaller tier"},
    {"dry", -1, ACTION_RESTUDY, true, true, NULL, "would queue a new study"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct stage *stage = stage_new();
        stage->made->guard.limits[refusals[i].action].allowed = refusals[i].allowed;
        made_value(stage->made, "gpu0.fault")->text = refusals[i].fault;
        stage_open(stage, refusals[i].dry_run);
        stage_see(stage);
        stage_decide(stage, refusals[i].service, 1U << refusals[i].action);
        stage_settle(stage);
        CHECK_ROW(i, refusals[i].name, stage->count == 1);
        CHECK_TOLD(stage, refusals[i].told);
        stage_free(stage);
    }
}

/* A restart that is refused by the machine does not count: nothing was done to anybody. */
static void test_refused_restart(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    struct guard_kept kept;
    struct err err = ERR_INIT;
    char said[240];
    stage->made->guard.limits[ACTION_RESTART] =
        (struct spec_guard_limit){.allowed = true, .per_hour = 2, .back_off_ns = 60 * NS_PER_S};
    for (int i = 0; i < 3; i++) {
        stage_open(stage, false); /* guard is restarted each time */
        stage_decide(stage, 0, 1U << ACTION_RESTART);
        stage_settle(stage);
        stage_decide(stage, 0, 1U << ACTION_RESTART); /* and not */
        stage_settle(stage);
    }
    assert_int_equal(stage->count, 6);
    assert_int_equal(stage->refused, 6);
    for (size_t i = 0; i < stage->count; i++)
        assert_non_null(strstr(stage->told[i], "no-such-unit.service not restarted"));
    assert_true(guard_kept_open(stage->results, &kept, said, sizeof said, &err));
    assert_int_equal(kept.count, 0);
    guard_kept_done(&kept);
    stage_free(stage);
}

/* Before: what an earlier guard did used up the judge's own hour, so that a restart which was
 * allowed again came late. What can never be done does use it up. */
static void test_refused_by_the_hour(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int service, per_hour;
        int64_t back_off_ns;
        const char *told;
        int refused;
    } rows[] = {
        {"the hour's limit", 0, 1, 0, "1 in the last hour, at most 1", 1},
        {"its back-off", 0, 2, 600 * NS_PER_S, "backs off for", 1},
        {"never", 1, 1, 0, "nobody knows how to start it again", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage *stage = stage_new();
        struct guard_kept kept;
        struct err err = ERR_INIT;
        char said[240];
        stage->made->guard.limits[ACTION_RESTART] = (struct spec_guard_limit){
            .allowed = true, .per_hour = rows[i].per_hour, .back_off_ns = rows[i].back_off_ns};
        assert_true(guard_kept_open(stage->results, &kept, said, sizeof said, &err));
        guard_kept_add(&kept, ACTION_RESTART, "stt", clock_now_ns(), clock_now_wall_us())->ended =
            true;
        assert_true(guard_kept_write(&kept, &err));
        guard_kept_done(&kept);
        stage_open(stage, false);
        stage_see(stage);
        stage_decide(stage, rows[i].service, 1U << ACTION_RESTART);
        stage_settle(stage);
        CHECK_TOLD(stage, rows[i].told);
        CHECK_ROW(i, rows[i].name, stage->refused == 0); /* not from within a decision */
        stage_see(stage);
        stage_see(stage);
        CHECK_ROW(i, rows[i].name, stage->refused == rows[i].refused);
        stage_free(stage);
    }
}

/* Before: it counted as the hour's one. */
static void test_rollback_meets_a_promotion(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    AUTO(free) char *path = promote_journal_path(stage->results);
    AUTO(buf_done) struct buf key = BUF_INIT(8192);
    struct device_lock *lock = NULL;
    struct guard_kept kept;
    struct err err = ERR_INIT;
    char hex[DIGEST_HEX_SIZE], id[64], said[240];
    setenv("SPICA_LOCK_DIR", stage->folder, 1);
    buf_addf(&key, "study %s", path);
    digest_bytes(buf_text(&key), key.len, hex);
    snprintf(id, sizeof id, "promotion-%.32s", hex);
    assert_true(device_lock_take("x", id, "voice.spica", &lock, &err));
    stage->made->guard.limits[ACTION_ROLLBACK].per_hour = 1;
    stage_open(stage, false);
    for (int i = 1; i <= 2; i++) {
        stage_decide(stage, -1, 1U << ACTION_ROLLBACK);
        stage_settle(stage);
        assert_int_equal(stage->count, i);
        assert_int_equal(stage->refused, i);
        assert_non_null(strstr(stage->told[i - 1], "is being changed by the promotion of"));
    }
    device_lock_release(lock);
    assert_true(guard_kept_open(stage->results, &kept, said, sizeof said, &err));
    assert_int_equal(kept.count, 0);
    guard_kept_done(&kept);
    stage_decide(stage, -1, 1U << ACTION_ROLLBACK);
    stage_settle(stage);
    CHECK_TOLD(stage, "no promotion to undo");
    assert_int_equal(stage->refused, 2);
    unsetenv("SPICA_LOCK_DIR");
    stage_free(stage);
}

/* ---- damaged files ---- */

static void write_beside(struct stage *stage, const char *suffix, const char *text)
{
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    struct err err = ERR_INIT;
    buf_addf(&path, "%s%s", stage->results, suffix);
    assert_true(file_write_atomic(buf_text(&path), text, strlen(text), &err));
}

static bool is_beside(const struct stage *stage, const char *suffix)
{
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%s%s", stage->results, suffix);
    return access(buf_text(&path), F_OK) == 0;
}

static void test_damaged_acts(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    write_beside(stage, ".guard-acts.json", "{\"version\":1,\"acts\":[");
    for (int i = 0; i < 2; i++) { /* a guard that is restarted has not forgotten it */
        stage_open(stage, false);
        stage_see(stage);
        assert_true(is_beside(stage, ".guard-acts.json.bad"));
        CHECK_TOLD(stage, "voice.spica.guard-acts.json was damaged and is put aside as "
                          "voice.spica.guard-acts.json.bad; nothing that it limits is done for an "
                          "hour");
        assert_int_equal(stage->count, i == 0 ? 1 : 4);
        stage_decide(stage, 0, 1U << ACTION_RESTART | 1U << ACTION_ROLLBACK | 1U << ACTION_RESTUDY);
        stage_settle(stage);
        assert_int_equal(stage->count, i == 0 ? 4 : 7);
        CHECK_TOLD(stage, "restart of stt not done: how often in the last hour is not known");
        CHECK_TOLD(stage, "rollback not done: how often in the last hour is not known");
        CHECK_TOLD(stage, "restudy not done: how often in the last hour is not known");
    }
    stage_free(stage);
}

static void test_damaged_request(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    write_beside(stage, ".restudy.json", "no request");
    stage_open(stage, false);
    stage_see(stage);
    assert_int_equal(stage->count, 1);
    CHECK_TOLD(stage, "voice.spica.restudy.json.bad; no study is queued for an hour");
    assert_true(is_beside(stage, ".restudy.json.bad") && !is_beside(stage, ".restudy.json"));
    stage_decide(stage, 0, 1U << ACTION_RESTART | 1U << ACTION_RESTUDY);
    stage_settle(stage);
    CHECK_TOLD(stage, "restudy not done: how often in the last hour is not known");
    CHECK_TOLD(stage, "no-such-unit.service not restarted");
    stage_free(stage);
}

/* While guard runs, and in the middle of a change. */
static void test_damaged_later(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    stage_open(stage, false);
    write_beside(stage, ".restudy.json", "no request");
    stage_decide(stage, 0, 1U << ACTION_RESTART);
    stage_see(stage);
    CHECK_TOLD(stage, "voice.spica.restudy.json.bad; no study is queued for an hour");
    stage_settle(stage);
    assert_int_equal(stage->refused, 1);
    CHECK_TOLD(stage, "no-such-unit.service not restarted");
    stage_free(stage);
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    struct guard_decision over = {.rule = "slow \"speech\"", .service = -1, .to = STATE_FINE};
    stage_open(stage, false);
    stage_decide(stage, 0, 1U << ACTION_RESTART | 1U << ACTION_ROLLBACK);
    assert_int_equal(guard_actor_busy(stage->actor), 2);
    stage_decide(stage, 0, 1U << ACTION_RESTART);
    CHECK_TOLD(stage, "restart not begun twice: one is under way");
    guard_actor_do(stage->actor, &over);
    CHECK_TOLD(stage, "rollback not done: it is over");
    stage_settle(stage);
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
    char said[240];
    assert_true(guard_kept_open(stage->results, &kept, said, sizeof said, &err));
    guard_kept_add(&kept, ACTION_RESTART, "stt", clock_now_ns(), clock_now_wall_us());
    guard_kept_add(&kept, ACTION_ROLLBACK, "", clock_now_ns(), clock_now_wall_us());
    assert_true(guard_kept_write(&kept, &err));
    guard_kept_done(&kept);
    stage->made->guard.limits[ACTION_RESTART] =
        (struct spec_guard_limit){.allowed = true, .per_hour = 1};
    stage_open(stage, false);
    assert_int_equal(stage->count, 0); /* nobody is told before the first tick */
    stage_see(stage);
    stage_settle(stage);
    CHECK_TOLD(stage, "restart of stt was begun at");
    CHECK_TOLD(stage, "an earlier guard began has come to its end");
    stage_decide(stage, 0, 1U << ACTION_RESTART);
    stage_settle(stage);
    CHECK_TOLD(stage, "1 in the last hour, at most 1");
    size_t count = stage->count;
    stage_open(stage, false); /* said once */
    stage_see(stage);
    stage_settle(stage);
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

static const struct {
    const char *name;
    struct spec_restudy_hours hours;
    int second;
    int64_t left_s; /* -1: for ever */
} lefts[] = {
    {"none", {.given = false}, 5, -1},
    {"the whole day", {true, 60, 60}, 0, -1},
    {"at its beginning", {true, 120, 300}, 7200, 10800},
    {"a second before its end", {true, 120, 300}, 17999, 1},
    {"at its end", {true, 120, 300}, 18000, 0},
    {"before", {true, 120, 300}, 7199, 0},
    {"before midnight", {true, 1380, 60}, 86399, 3601},
    {"after midnight", {true, 1380, 60}, 0, 3600},
    {"until midnight", {true, 1380, 0}, 86390, 10},
};

static void test_what_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lefts); i++)
        CHECK_ROW(i, lefts[i].name,
                  guard_restudy_left_ns(&lefts[i].hours, lefts[i].second) ==
                      (lefts[i].left_s < 0 ? INT64_MAX : lefts[i].left_s * NS_PER_S));
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
    {"failed", "#!/bin/sh\nexit 1\n", "failed by itself (attempt 1); its log: ", false},
    {"refused", "#!/bin/sh\nexit 2\n", "not accepted any more (attempt 1); its log: ", false},
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
                                              .acted = stage_acted,
                                              .context = stage};
        struct guard_restudy request;
        struct err err = ERR_INIT;
        bool found = false;
        stage->made->guard.limits[ACTION_RESTUDY].per_hour = 0;
        assert_true(guard_actor_open(&setup, &stage->actor, &err));
        stage_decide(stage, -1, 1U << ACTION_RESTUDY);
        stage_settle(stage);
        CHECK_TOLD(stage, "a new study is queued");
        CHECK_TOLD(stage, studies[i].told);
        if (strstr(studies[i].told, "log"))
            CHECK_TOLD(stage, "voice.spica.restudy.log");
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

static void wait_for(const char *path)
{
    const int64_t until_ns = clock_now_ns() + 60 * NS_PER_S;
    while (!file_exists(path) && clock_now_ns() < until_ns)
        usleep(10 * 1000);
    assert_true(file_exists(path));
}

/* Before: the study ran on, into the day. */
static void test_minder_killed(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    AUTO(free)
    char *program = write_program(
        stage, "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n"
               "trap 'echo >ended; exit 5' TERM\necho >began\nwhile :; do sleep 0.02; done\n");
    AUTO(free) char *began = file_join(stage->folder, "began");
    AUTO(free) char *ended = file_join(stage->folder, "ended");
    struct guard_restudy_work work = {
        .folder = stage->results, .study_path = "voice.yaml", .program = program};
    unsetenv("INVOCATION_ID");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct guard_said said = {0};
        guard_work_restudy(&work, &said);
        _exit(0);
    }
    wait_for(began);
    assert_false(file_exists(ended));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    wait_for(ended);
    stage_free(stage);
}

/* Units that the file names are stopped by the study itself, which starts them again. */
static const struct {
    const char *pause;
    bool user;
    const char *words;
} pauses[] = {
    {NULL, false, "--fresh\n"},
    {"whisper.service,vllm.service", false,
     "--fresh --pause whisper.service,vllm.service --approve\n"},
    {"whisper.service", true, "--fresh --pause whisper.service --approve --user\n"},
};

static void test_paused_units(void **state)
{
    (void)state;
    unsetenv("INVOCATION_ID");
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        struct stage *stage = stage_new();
        AUTO(free) char *program = write_program(stage, studies[0].program);
        AUTO(free) char *path = file_join(stage->folder, "asked");
        AUTO(buf_done) struct buf asked = BUF_INIT(8192);
        struct guard_said said = {0};
        struct err err = ERR_INIT;
        struct guard_restudy_work work = {.folder = stage->results,
                                          .study_path = "voice.yaml",
                                          .program = program,
                                          .pause = pauses[i].pause,
                                          .pause_user = pauses[i].user};
        guard_work_restudy(&work, &said);
        CHECK_ROW(i, said.text, said.done);
        assert_true(buf_read_file(&asked, path, &err));
        CHECK_ROW(i, buf_text(&asked), strstr(buf_text(&asked), pauses[i].words));
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
    stage_open(stage, false);
    stage_decide(stage, -1, 1U << ACTION_RESTUDY);
    stage_settle(stage);
    stage_see(stage);
    assert_int_equal(guard_actor_busy(stage->actor), 0);
    stage_decide(stage, -1, 1U << ACTION_RESTUDY);
    CHECK_TOLD(stage, "not begun twice: one is queued");
    assert_int_equal(stage->count, 2);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_restart),
        cmocka_unit_test(test_refused_by_the_hour),
        cmocka_unit_test(test_rollback_meets_a_promotion),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_damaged_acts),
        cmocka_unit_test(test_damaged_request),
        cmocka_unit_test(test_damaged_later),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_what_is_left),
        cmocka_unit_test(test_study),
        cmocka_unit_test(test_minder_killed),
        cmocka_unit_test(test_paused_units),
        cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
