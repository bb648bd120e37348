/* Telling somebody: in which order, how often, and what becomes of what can't be told. */
#include "check.h"

#include "act_stage.h"

#include "base/file.h"

static void notify(struct stage *stage, const char *rule, enum guard_state to, unsigned severity)
{
    struct guard_decision decision = {.rule = rule,
                                      .service = -1,
                                      .to = to,
                                      .actions = 1U << ACTION_NOTIFY,
                                      .severity = severity};
    guard_actor_do(stage->actor, &decision);
}

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
    stage_set_command(stage, words);
    stage_open(stage, false);
    stage_decide(stage, 0, 1U << ACTION_NOTIFY);
    stage_settle(stage);
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
        stage_set_command(stage, commands[i].words);
        stage_open(stage, false);
        stage_decide(stage, 0, 1U << ACTION_NOTIFY);
        stage_settle(stage);
        CHECK_TOLD(stage, commands[i].told);
        bool well = i == ARRAY_LEN(commands) - 1; /* else it is tried four times */
        CHECK_ROW(i, commands[i].name, stage->count == (well ? 1 : 4));
        CHECK_ROW(i, commands[i].name, well == !stage_told(stage, "tried again in 0 s (3 of 3)"));
        CHECK_ROW(i, commands[i].name, well == !stage_told(stage, "given up after 4"));
        stage_free(stage);
    }
}

static void check_file(const struct stage *stage, const char *name, const char *want)
{
    AUTO(free) char *path = file_join(stage->folder, name);
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    struct err err = ERR_INIT;
    assert_true(buf_read_file(&text, path, &err));
    assert_string_equal(buf_text(&text), want);
}

/* Commands that are slow hold up neither the loop nor each other; what is more waits, and is told.
 */
static void test_many(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sh", "-c", "echo >>told; exec sleep 0.3", NULL};
    static const char *const rules[] = {"a", "b", "c", "d", "e", "f"};
    struct stage *stage = stage_new();
    stage_set_command(stage, words);
    stage_open(stage, false);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        notify(stage, rules[i], STATE_ALARM, 2);
    assert_int_equal(guard_actor_busy(stage->actor), 6);
    assert_int_equal(stage->count, 0);
    stage_settle(stage);
    assert_int_equal(stage->count, 6);
    for (size_t i = 0; i < stage->count; i++)
        assert_string_equal(stage->told[i], "notify: told by /bin/sh");
    check_file(stage, "told", "\n\n\n\n\n\n");
    stage_free(stage);
}

/* Three places are taken until the last is told, the fourth until all are there. */
static void test_gravest_first(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sh", "-c",
                                        "case \"$0\" in\n"
                                        "block*) until grep -sq minor told; do sleep 0.02; done;;\n"
                                        "gate) until [ -e go ]; do sleep 0.02; done;;\n"
                                        "*) echo \"$0\" >>told;;\n"
                                        "esac",
                                        "{rule}", NULL};
    struct stage *stage = stage_new();
    AUTO(free) char *go = file_join(stage->folder, "go");
    struct err err = ERR_INIT;
    stage_set_command(stage, words);
    stage_open(stage, false);
    notify(stage, "gate", STATE_ALARM, 0);
    notify(stage, "block 1", STATE_ALARM, 0);
    notify(stage, "block 2", STATE_ALARM, 0);
    notify(stage, "block 3", STATE_ALARM, 0);
    notify(stage, "minor", STATE_ALARM, 1);
    notify(stage, "grave", STATE_ALARM, 2);
    notify(stage, "grave too", STATE_ALARM, 2);
    assert_true(file_write_atomic(go, "", 0, &err));
    stage_settle(stage);
    check_file(stage, "told", "grave\ngrave too\nminor\n");
    stage_free(stage);
}

static void test_full(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sleep", "0.05", NULL};
    struct stage *stage = stage_new();
    char rules[34][16];
    stage_set_command(stage, words);
    stage_open(stage, false);
    for (size_t i = 0; i < 32; i++) {
        snprintf(rules[i], sizeof rules[i], "rule %zu", i);
        notify(stage, rules[i], STATE_ALARM, i < 10 ? 1 : 2);
    }
    assert_int_equal(stage->count, 0);
    notify(stage, "grave", STATE_ALARM, 2);
    assert_int_equal(stage->count, 1);
    CHECK_TOLD(stage, "not told of rule 4: dropped, 32 notices wait");
    notify(stage, "over", STATE_FINE, 0);
    assert_int_equal(stage->count, 2);
    CHECK_TOLD(stage, "not told of over: dropped, 32 graver notices wait");
    stage_settle(stage);
    assert_int_equal(stage->count, 2 + 32);
    stage_free(stage);
}

/* It fails once; what comes after it of the same rule waits for it. */
static void test_again(void **state)
{
    (void)state;
    static const char *const words[] = {
        "/bin/sh", "-c", "[ -e failed ] || { : >failed; exit 7; }; echo \"$0\" >>told", "{state}",
        NULL};
    struct stage *stage = stage_new();
    stage_set_command(stage, words);
    stage_open(stage, false);
    notify(stage, "slow", STATE_ALARM, 2);
    notify(stage, "slow", STATE_FINE, 0);
    stage_settle(stage);
    CHECK_TOLD(stage, "exit status 7; tried again in 0 s (1 of 3)");
    assert_int_equal(stage->count, 3);
    check_file(stage, "told", "alarm\nfine\n");
    stage_free(stage);
}

/* What waits when guard ends is said. */
static void test_end(void **state)
{
    (void)state;
    static const char *const words[] = {"/bin/sleep", "0.3", NULL};
    static const char *const rules[] = {"a", "b", "c", "d", "e"};
    struct stage *stage = stage_new();
    stage_set_command(stage, words);
    stage_open(stage, false);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        notify(stage, rules[i], STATE_ALARM, 2);
    stage->actor = guard_actor_close(stage->actor);
    assert_int_equal(stage->count, 1);
    CHECK_TOLD(stage, "not told of e: guard ends");
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_commands),
        cmocka_unit_test(test_many),  cmocka_unit_test(test_gravest_first),
        cmocka_unit_test(test_full),  cmocka_unit_test(test_again),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
