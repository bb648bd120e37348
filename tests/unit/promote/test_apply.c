/* Applying and undoing, on a stage: every failure, a kill and a wish to stop at every operation. */
#include "stage.h"

#include "promote/audit.h"

#include "base/cancel.h"
#include "base/json.h"
#include "device/lock.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

static struct stage stage;

static int set_up(void **state)
{
    (void)state;
    stage_open(&stage);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cancel_reset();
    stage_close(&stage);
    return 0;
}

static bool apply(const char *text, struct promote_result *ret_result, struct err *err)
{
    struct promote_hands hands = stage_hands(&stage);
    struct promote_plan *plan = stage_plan(&stage, text);
    stage.trace[0] = '\0';
    *err = ERR_INIT;
    bool good = promote_apply_by(&hands, plan, stage.results, "me", NULL, ret_result, err);
    arena_free(plan->arena);
    return good;
}

static bool undo(struct promote_result *ret_result, struct err *err)
{
    struct promote_hands hands = stage_hands(&stage);
    stage.trace[0] = '\0';
    *err = ERR_INIT;
    return promote_undo_by(&hands, stage.results, "me", "asked for", (struct promote_accept){0},
                           NULL, ret_result, err);
}

static bool is(const char *name, const char *text)
{
    AUTO(free) char *now = stage_read(&stage, name);
    return text ? now && strcmp(now, text) == 0 : !now;
}

static bool is_new(void)
{
    return is("a.env", "new") && is("b.service.d/10-spica.conf", "new") && is("running.a", "new") &&
           is("running.b", "new") && is("command", "new");
}

static bool is_old(void)
{
    AUTO(free) char *drop_in = file_join(stage.folder, "b.service.d");
    return is("a.env", "old") && !file_exists(drop_in) && is("running.a", "old") &&
           is("running.b", "") && is("command", "old") && stage_litter(&stage) == 0;
}

static bool is_pending(void)
{
    bool pending = false;
    enum promote_state state;
    struct err err = ERR_INIT;
    if (!promote_pending(stage.results, &pending, &state, &err))
        fail_msg("%s", err.text);
    return pending;
}

static void test_there_and_back(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_PROMOTED);
    assert_true(result.downtime_s >= 0 && isnan(result.rollback_after_s));
    assert_string_equal(stage.trace, "run before, put a, put b, reload, restart a, run set, "
                                     "restart b, verify, run after");
    assert_true(is_new() && !is_pending());
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_string_equal(stage.trace,
                        "put b, put a, reload, restart b, run set, restart a, verify old");
    assert_true(is_old() && !is_pending());
    assert_false(undo(&result, &err));
    assert_int_equal(err.code, ERR_MISSING);
    AUTO_JSON json_t *records = NULL;
    err = ERR_INIT;
    assert_true(promote_audit_read(stage.results, &records, &err));
    assert_int_equal(json_array_size(records), 2);
    assert_string_equal(json_get_text(json_array_get(records, 0), "outcome"), "promoted");
    assert_string_equal(json_get_text(json_array_get(records, 1), "why"), "asked for");
}

static const struct {
    const char *name;
    struct stage wrong;
    const char *why, *trace;
} failures[] = {
    {"verifying fails",
     {.verify_fails = true},
     "a answered 500",
     "run before, put a, put b, reload, restart a, run set, restart b, verify, "
     "put b, put a, reload, restart b, run set, restart a, verify old"},
    {"systemd has read something else",
     {.check_fails = true},
     "something else",
     "run before, put a, put b, reload, put b, put a, reload, verify old"},
    {"the first does not start",
     {.restart_fails = 1},
     "restarting a.service",
     "run before, put a, put b, reload, restart a, put b, put a, reload, restart a, verify old"},
    {"the second does not start",
     {.restart_fails = 2},
     "restarting b.service",
     "run before, put a, put b, reload, restart a, run set, restart b, "
     "put b, put a, reload, restart b, run set, restart a, verify old"},
};

static void test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        struct promote_result result;
        struct err err;
        stage.verify_fails = failures[i].wrong.verify_fails;
        stage.check_fails = failures[i].wrong.check_fails;
        stage.restart_fails = failures[i].wrong.restart_fails;
        CHECK_ROW(i, failures[i].name, apply("new", &result, &err));
        CHECK_ROW(i, failures[i].name, result.outcome == PROMOTE_ROLLED_BACK);
        CHECK_ROW(i, result.why, strstr(result.why, failures[i].why) != NULL);
        CHECK_ROW(i, failures[i].name, result.rollback_after_s >= 0);
        CHECK_ROW_TEXT(i, failures[i].name, stage.trace, failures[i].trace);
        CHECK_ROW(i, failures[i].name, is_old() && !is_pending());
    }
}

/* What can't be put back stays to be done, and the same command does it later. */
static void test_incomplete(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.reload_fails = true;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLBACK_INCOMPLETE);
    assert_non_null(strstr(result.why, "left to do: reloading"));
    assert_true(is_pending());
    assert_false(apply("newer", &result, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    stage.reload_fails = false;
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_true(is_old() && !is_pending());
}

/* All is as before, and is not seen to work: the same command restarts it and looks again, until it
 * is. */
static void test_old_does_not_work(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.verify_fails = stage.verify_fails_after_undo = true;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLBACK_INCOMPLETE);
    assert_true(is_old() && is_pending());
    for (int i = 0; i < 2; i++) {
        stage.verify_fails_after_undo = i == 0;
        assert_true(undo(&result, &err));
        assert_string_equal(stage.trace,
                            "put b, put a, reload, restart b, run set, restart a, verify old");
        assert_int_equal(result.outcome,
                         i == 0 ? PROMOTE_ROLLBACK_INCOMPLETE : PROMOTE_ROLLED_BACK);
        assert_true(is_old() && is_pending() == (i == 0));
    }
    stage.verify_fails = false;
    assert_true(apply("new", &result, &err));
    assert_true(is_new());
}

static void test_full_disk(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    assert_true(apply("new", &result, &err));
    stage.puts_fail = true;
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLBACK_INCOMPLETE);
    assert_true(is_new() && is_pending()); /* no service is restarted with half of its files */
    stage.puts_fail = false;
    assert_true(undo(&result, &err));
    assert_true(is_old());
}

static void test_changed_since(void **state)
{
    struct promote_hands hands = stage_hands(&stage);
    struct promote_plan *plan = stage_plan(&stage, "new");
    struct promote_witness witness = {.path = stage.paths[STAGE_A]};
    struct promote_result result;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(digest_file(witness.path, witness.digest, &err));
    stage_write(&stage, "a.env", "by hand");
    for (int i = 0; i < 2; i++) {
        assert_false(promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err));
        assert_int_equal(err.code, ERR_DECLINED);
        assert_non_null(strstr(err.text, "a.env has changed"));
        assert_string_equal(stage.trace, "");
        /* The second time only the witness differs. */
        plan->witnesses = &witness;
        plan->witness_count = 1;
        plan->steps[1].before.data = "by hand";
        plan->steps[1].before.len = strlen("by hand");
        err = ERR_INIT;
    }
    assert_true(is("a.env", "by hand") && is("running.a", "old"));
    arena_free(plan->arena);
}

static void test_edited_since(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    assert_true(apply("new", &result, &err));
    stage_write(&stage, "a.env", "by hand");
    assert_false(undo(&result, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_string_equal(stage.trace, "");
    assert_non_null(strstr(err.text, stage.paths[STAGE_A]));
    unlink(stage.paths[STAGE_A]); /* moved away, as the message says */
    assert_true(undo(&result, &err));
    assert_true(is_old());
    /* In the middle the old state is more urgent, and nothing is lost. */
    stage.reload_fails = true;
    assert_true(apply("new", &result, &err));
    stage_write(&stage, "a.env", "by hand");
    stage.reload_fails = false;
    assert_true(undo(&result, &err));
    assert_true(is_old() && is("a.env.spica-kept", "by hand"));
    AUTO(free) char *kept = file_join(stage.folder, "a.env.spica-kept");
    assert_non_null(strstr(result.why, kept));
}

/* A unit's own file: only where the promotion has ended, and not when a person says so. */
static void test_unit_edited_since(void **state)
{
    const struct promote_accept accept = {.units = true};
    struct promote_hands hands = stage_hands(&stage);
    struct promote_result result;
    struct err err;
    (void)state;
    assert_true(apply("new", &result, &err));
    stage.unit_is_edited = true;
    assert_false(undo(&result, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_string_equal(stage.trace, "");
    assert_non_null(strstr(err.text, "a.service: edited; b.service: edited"));
    assert_true(is_new());
    err = ERR_INIT;
    assert_true(
        promote_undo_by(&hands, stage.results, "me", "asked for", accept, NULL, &result, &err));
    assert_true(is_old());
    assert_string_equal(result.why,
                        "asked for; taken as it is: a.service: edited; b.service: edited");
    stage.verify_fails = true;
    assert_true(apply("new", &result, &err) && result.outcome == PROMOTE_ROLLED_BACK && is_old());
}

/* What was edited before it was our turn is not ours to put back. */
static void test_edited_meanwhile(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.hook_edits = true;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_non_null(strstr(result.why, "a.env was changed by somebody else"));
    assert_true(is("a.env", "by hand") && is("running.a", "old") && !is_pending());
    assert_false(strstr(stage.trace, "put a") != NULL);
}

/* A journal that can't be read back is no way back: nothing is touched. */
static void test_journal_not_readable(void **state)
{
    struct promote_hands hands = stage_hands(&stage);
    struct promote_plan *plan = stage_plan(&stage, "new");
    struct promote_result result;
    struct err err = ERR_INIT;
    (void)state;
    assert_true(apply("newer", &result, &err) && undo(&result, &err));
    stage.trace[0] = '\0';
    plan->run_folder = "relative";
    assert_false(promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err));
    assert_non_null(strstr(err.text, "nothing was touched"));
    assert_string_equal(stage.trace, "");
    assert_true(is_old() && !is_pending());
    arena_free(plan->arena);
}

/* The journal is closed all the same, and it is said. */
static void test_undo_unrecorded(void **state)
{
    AUTO(free) char *records = file_join(stage.folder, "x.spica.promotions");
    AUTO(free) char *aside = file_join(stage.folder, "aside");
    struct promote_result result;
    struct err err;
    (void)state;
    assert_true(apply("new", &result, &err));
    assert_true(result.verified && !result.unrecorded);
    assert_int_equal(rename(records, aside), 0);
    stage_write(&stage, "x.spica.promotions", "");
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_true(result.verified && result.unrecorded);
    assert_non_null(strstr(result.why, "not recorded: "));
    assert_true(is_old() && !is_pending());
    assert_false(undo(&result, &err));
    assert_int_equal(err.code, ERR_MISSING);
}

/* A wish to stop before any operation gives the old state, at once or by the undo. */
static void test_stopped(void **state)
{
    struct promote_result result;
    struct err err;
    int i = 1;
    (void)state;
    for (; i < 1000; i++) {
        cancel_reset();
        stage.cancel_at = i;
        assert_true(apply("new", &result, &err));
        if (stage.cancel_at > 0) /* over before that, the undo included */
            break;
        CHECK_ROW(i, result.why, result.outcome == PROMOTE_ROLLED_BACK || is_new());
        if (result.outcome == PROMOTE_PROMOTED)
            break;
        CHECK_ROW(i, result.why, is_old() && !is_pending());
    }
    assert_true(i > 20 && is_new());
}

/* In a process of its own, killed at the operation; its exit status. */
static int in_child(bool applying, int die_at)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct promote_result result;
        struct err err;
        stage.die_at = die_at;
        _exit((applying ? apply("new", &result, &err) : undo(&result, &err)) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Expected: it is seen from the first step to the last, and of one that was killed nothing is
 * under way, though its journal is pending. */
static void test_under_way(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    assert_false(promote_is_under_way(stage.results));
    assert_true(apply("new", &result, &err));
    assert_false(promote_is_under_way(stage.results));
    assert_true(undo(&result, &err));
    assert_true(stage.operations > 10 && stage.unseen == 0);
    assert_int_equal(in_child(true, 8), STAGE_KILLED);
    assert_true(is_pending() && !promote_is_under_way(stage.results));
}

static void test_killed(void **state)
{
    struct promote_result result;
    struct err err;
    int i = 1;
    (void)state;
    for (; in_child(true, i) == STAGE_KILLED; i++) {
        bool pending = is_pending();
        CHECK_ROW(i, "not yet begun, or at its end", pending || is_old() || is_new());
        if (pending) {
            CHECK_ROW(i, "declined", !apply("newer", &result, &err) && err.code == ERR_DECLINED);
            CHECK_ROW(i, "undone", undo(&result, &err));
            CHECK_ROW(i, result.why, result.outcome == PROMOTE_ROLLED_BACK && is_old());
        } else if (is_new()) {
            CHECK_ROW(i, "undone", undo(&result, &err) && is_old());
        }
    }
    assert_true(i > 50 && is_new());
}

/* Killed at every operation of the undo, and undone again. */
static void test_undo_killed(void **state)
{
    struct promote_result result;
    struct err err;
    int i = 1;
    (void)state;
    for (; i < 1000; i++) {
        assert_true(apply("new", &result, &err));
        if (in_child(false, i) != STAGE_KILLED)
            break;
        bool stopped = is_pending(); /* somebody stops one while nobody looks after it */
        if (stopped)
            stage_stop(&stage, STAGE_A);
        if (undo(&result, &err))
            CHECK_ROW(i, stage.trace,
                      result.outcome == PROMOTE_ROLLED_BACK && strstr(stage.trace, "verify old"));
        else
            CHECK_ROW(i, err.text, err.code == ERR_MISSING);
        CHECK_ROW(i, "old again", is_old() && !is_pending());
    }
    assert_true(i > 30 && is_old());
}

/* systemd has started a unit again by itself, with what we had written, before we were killed. */
static void test_restarted_meanwhile(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.check_fails = true;
    stage.reload_fails = true; /* the undo gets no further than its own reload */
    assert_true(apply("new", &result, &err));
    stage_write(&stage, "a.env", "new");
    stage_crash(&stage, STAGE_A);
    assert_true(is("running.a", "new"));
    stage.check_fails = stage.reload_fails = false;
    assert_true(undo(&result, &err));
    assert_true(is_old());
}

/* Nothing failed, and nothing was seen. */
static void test_blind(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.verify_blind = true;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_PROMOTED);
    assert_false(result.verified);
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_false(result.verified);
}

/* One that was down is left so, and the undo looks whether it still is. */
static void test_started_since(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage_stop(&stage, STAGE_A);
    assert_true(apply("new", &result, &err));
    assert_true(!strstr(stage.trace, "restart a") && is("running.a", NULL));
    assert_true(undo(&result, &err));
    assert_true(!strstr(stage.trace, "restart a") && is("running.a", NULL));
    assert_true(apply("new", &result, &err));
    stage_crash(&stage, STAGE_A);
    assert_true(undo(&result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_true(is_old());
    /* Started while it is applied: with which setting, nobody knows. */
    stage_stop(&stage, STAGE_A);
    stage.hook_starts = true;
    assert_true(apply("new", &result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    assert_non_null(strstr(result.why, "a.service was down when the plan was made"));
    assert_true(is_old());
}

/* Found before anything is touched: the undo might not be allowed either. */
static void test_not_allowed(void **state)
{
    struct promote_result result;
    struct err err;
    (void)state;
    stage.may_not = true;
    assert_false(apply("new", &result, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_non_null(strstr(err.text, "you may not; nothing was touched"));
    assert_string_equal(stage.trace, "");
    assert_true(is_old() && !is_pending());
}

static void test_busy(void **state)
{
    struct promote_result result;
    struct err err;
    int ends[2], status = 0;
    char byte = 0;
    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct device_lock *lock = NULL;
        char hex[DIGEST_HEX_SIZE], id[64], key[4200];
        snprintf(key, sizeof key, "file %s", stage.paths[STAGE_B]);
        digest_bytes(key, strlen(key), hex);
        snprintf(id, sizeof id, "promotion-%.32s", hex);
        bool good = device_lock_take("x", id, "other.spica", &lock, &err);
        if (write(ends[1], good ? "y" : "n", 1) != 1)
            _exit(1);
        pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_false(apply("new", &result, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, "the promotion of \"other.spica\""));
    assert_true(is_old());
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
    assert_true(apply("new", &result, &err));
}

/* Known before anything is touched, not when all is done. */
static void test_no_place_for_records(void **state)
{
    AUTO(free) char *records = file_join(stage.folder, "x.spica.promotions");
    struct promote_result result;
    struct err err;
    (void)state;
    assert_int_equal(symlink("locks", records), 0);
    assert_false(apply("new", &result, &err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_string_equal(stage.trace, "");
    assert_true(is_old() && !is_pending());
}

int main(void)
{
    /* Memory, where that can be: each write is synced. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_incomplete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_does_not_work, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_edited_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unit_edited_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_under_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_undo_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restarted_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_edited_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_not_readable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_undo_unrecorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_started_since, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_busy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_place_for_records, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
