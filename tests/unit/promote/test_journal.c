/* The journal as it is written and read back, and what is not believed. */
#include "check.h"

#include "promote/journal.h"

#include "base/file.h"

#include <math.h>
#include <sys/stat.h>

static char *folder, *path;

static int set_up(void **state)
{
    (void)state;
    folder = check_make_folder();
    path = file_join(folder, "x.spica.promotion.json");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(path);
    check_remove_folder(folder);
    return 0;
}

static const char *const argv[] = {"./apply.sh", "a b", "\xff", "", NULL};
static const char odd[] = "a\0b\xff\n";

static struct promote_step steps[] = {
    {.kind = PROMOTE_COMMAND, .service = 1, .run = argv, .undo = argv, .within_ns = 5},
    {.kind = PROMOTE_FILE,
     .service = 0,
     .path = "/etc/\xc3\xa4/\xff.env",
     .makes_folder = true,
     .before =
         {.there = true, .data = odd, .len = sizeof odd - 1, .mode = 0640, .uid = 3, .gid = 4},
     .after = {.there = true, .data = "A=\"\xc3\xa4\"\n", .len = 7, .mode = 0600}},
    {.kind = PROMOTE_FILE, .service = 0, .path = "/etc/gone", .after = {.there = true, .data = ""}},
    {.kind = PROMOTE_RELOAD, .service = -1, .scope = HOST_USER},
    {.kind = PROMOTE_RESTART,
     .service = 2,
     .scope = HOST_USER,
     .unit = "a@b\\x2d.service",
     .was_up = true,
     .dependents = "b.service, c@d.socket",
     .port = 8000,
     .ready_path = "/health",
     .tls = {true, "/etc/llm/ca.pem", "llm.internal"},
     .downtime_s = NAN,
     .why = "x"},
};
static const char *const secrets[] = {"HF_TOKEN", NULL};
static const char *const surroundings[] = {"DOCKER_HOST=tcp://one:1", NULL};

static struct promote_journal make_journal(struct promote_plan *plan)
{
    *plan = (struct promote_plan){.steps = steps,
                                  .step_count = ARRAY_LEN(steps),
                                  .winner_text = "stt.threads=2",
                                  .run_folder = "/srv/x",
                                  .secret_names = secrets,
                                  .surroundings = surroundings};
    return (struct promote_journal){.state = PROMOTE_APPLYING,
                                    .plan_id = "0123456789abcdef",
                                    .step = 2,
                                    .step_begun = true,
                                    .begun = 4,
                                    .since_wall_us = 77,
                                    .user = "root, by prompt",
                                    .plan = plan};
}

static void write_journal(void)
{
    struct promote_plan plan;
    struct promote_journal journal = make_journal(&plan);
    struct err err = ERR_INIT;
    assert_true(promote_journal_write(path, &journal, &err));
}

static void check_steps(const struct promote_plan *plan)
{
    assert_int_equal(plan->step_count, ARRAY_LEN(steps));
    const struct promote_step *s = plan->steps;
    assert_string_equal(s[0].run[2], "\xff");
    assert_string_equal(s[0].undo[3], "");
    assert_null(s[0].run[4]);
    assert_string_equal(s[1].path, steps[1].path);
    assert_true(s[1].makes_folder && s[1].before.there);
    assert_int_equal(s[1].before.len, sizeof odd - 1);
    assert_memory_equal(s[1].before.data, odd, sizeof odd - 1);
    assert_int_equal(s[1].before.mode, 0640);
    assert_int_equal(s[1].before.gid, 4);
    assert_string_equal(s[1].after.data, steps[1].after.data);
    assert_false(s[2].before.there);
    assert_true(s[2].after.there && s[2].after.len == 0);
    assert_int_equal(s[3].scope, HOST_USER);
    assert_string_equal(s[4].unit, steps[4].unit);
    assert_string_equal(s[4].ready_path, "/health");
    assert_true(s[4].tls.given && !s[3].tls.given);
    assert_string_equal(s[4].tls.ca, "/etc/llm/ca.pem");
    assert_string_equal(s[4].tls.name, "llm.internal");
    assert_string_equal(s[4].dependents, "b.service, c@d.socket");
    assert_true(s[4].was_up && s[4].port == 8000 && isnan(s[4].downtime_s));
}

static void test_round_trip(void **state)
{
    AUTO(promote_journal_free) struct promote_journal *read = NULL;
    struct err err = ERR_INIT;
    struct stat st;
    (void)state;
    assert_true(promote_journal_read(path, &read, &err));
    assert_null(read);
    write_journal();
    write_journal();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(promote_journal_read(path, &read, &err));
    assert_int_equal(read->state, PROMOTE_APPLYING);
    assert_true(read->step == 2 && read->step_begun && read->begun == 4 &&
                read->since_wall_us == 77);
    assert_string_equal(read->user, "root, by prompt");
    assert_null(read->why);
    assert_string_equal(read->plan->winner_text, "stt.threads=2");
    assert_string_equal(read->plan->run_folder, "/srv/x");
    assert_string_equal(read->plan->secret_names[0], "HF_TOKEN");
    assert_string_equal(read->plan->surroundings[0], "DOCKER_HOST=tcp://one:1");
    assert_string_equal(read->plan->id, "0123456789abcdef");
    check_steps(read->plan);
}

/* The text of a good journal with one part replaced. */
static const struct {
    const char *name, *from, *to;
} hostile[] = {
    {"not JSON", "{", "["},
    {"another version", "\"version\": 1", "\"version\": 2"},
    {"no such state", "\"applying\"", "\"flying\""},
    {"a step that is not there", "\"step\": 2", "\"step\": 5"},
    {"a step far away", "\"step\": 2", "\"step\": 9223372036854775807"},
    {"a negative step", "\"step\": 2", "\"step\": -1"},
    {"more begun than there is", "\"begun\": 4", "\"begun\": 6"},
    {"less begun than nothing", "\"begun\": 4", "\"begun\": -1"},
    {"begun is no truth", "\"step_begun\": true", "\"step_begun\": 1"},
    {"short id", "0123456789abcdef", "0123"},
    {"odd id", "0123456789abcdef", "0123456789abcdeg"},
    {"no such kind", "\"reload\"", "\"reboot\""},
    {"no such scope", "\"user\",\n   \"within", "\"them\",\n   \"within"},
    {"a relative path", "\"/etc/gone\"", "\"etc/gone\""},
    {"no path", "\"/etc/gone\"", "null"},
    {"a path that is a number", "\"/etc/gone\"", "7"},
    {"broken hex", "\"6100", "\"61zz"},
    {"odd hex", "\"6100", "\"610"},
    {"a mode too large", "\"mode\": 416", "\"mode\": 65536"},
    {"an owner that is none", "\"uid\": 3", "\"uid\": 4294967295"},
    {"a negative owner", "\"uid\": 3", "\"uid\": -1"},
    {"a unit that is an option", "a@b\\\\x2d.service", "--now"},
    {"a unit with a slash", "a@b\\\\x2d.service", "../x.service"},
    {"a unit with a blank", "a@b\\\\x2d.service", "a b.service"},
    {"along with an option", "b.service, ", "--now, "},
    {"along with a slash", "b.service, ", "../b.service, "},
    {"along with nothing", "b.service, ", ", "},
    {"a port too large", "\"port\": 8000", "\"port\": 80000"},
    {"a path of ready that is none", "\"/health\"", "\"health\""},
    {"no time", "\"within_ns\": 5", "\"within_ns\": -5"},
    {"all the time", "\"within_ns\": 5", "\"within_ns\": 9223372036854775807"},
    {"no such service", "\"service\": 1", "\"service\": 32"},
    {"no program", "\"./apply.sh\"", "\"\""},
    {"a word that is a list", "\"./apply.sh\"", "[]"},
    {"a command without words", "\"run\": [\n    \"./apply.sh\"",
     "\"run\": null, \"x\": [\n    \"\""},
    {"another variable for commands", "DOCKER_HOST=", "HOME="},
    {"a folder elsewhere", "\"/srv/x\"", "\"srv/x\""},
    {"twice", "\"state\": ", "\"state\": \"done\", \"state\": "},
    {"a NUL", "root, by prompt", "root\\u0000"},
};

static void write_text(const char *text)
{
    struct err err = ERR_INIT;
    unlink(path);
    assert_true(file_write_atomic(path, text, strlen(text), &err));
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_hostile(void **state)
{
    AUTO(buf_done) struct buf good = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    (void)state;
    write_journal();
    assert_true(buf_read_file(&good, path, &err));
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        AUTO(buf_done) struct buf bad = BUF_INIT(1 << 20);
        struct promote_journal *read = NULL;
        const char *at = strstr(buf_text(&good), hostile[i].from);
        err = ERR_INIT;
        CHECK_ROW(i, hostile[i].name, at != NULL);
        buf_addf(&bad, "%.*s%s%s", (int)(at - buf_text(&good)), buf_text(&good), hostile[i].to,
                 at + strlen(hostile[i].from));
        write_text(buf_text(&bad));
        CHECK_ROW(i, hostile[i].name, !promote_journal_read(path, &read, &err));
        CHECK_ROW(i, hostile[i].name, err.code == ERR_INPUT && !read);
    }
    /* Cut anywhere. */
    for (size_t len = 0; len + 1 < good.len; len += 7) {
        AUTO(free) char *cut = strndup(buf_text(&good), len);
        struct promote_journal *read = NULL;
        err = ERR_INIT;
        write_text(cut);
        assert_false(promote_journal_read(path, &read, &err));
    }
    write_text(buf_text(&good));
    AUTO(promote_journal_free) struct promote_journal *read = NULL;
    err = ERR_INIT;
    assert_true(promote_journal_read(path, &read, &err));
}

static bool is_believed(void)
{
    AUTO(promote_journal_free) struct promote_journal *read = NULL;
    struct err err = ERR_INIT;
    bool good = promote_journal_read(path, &read, &err);
    assert_true(good || err.code == ERR_INPUT);
    return good;
}

static void test_not_believed(void **state)
{
    AUTO(free) char *other = file_join(folder, "other");
    (void)state;
    write_journal();
    assert_true(is_believed());
    assert_int_equal(chmod(path, 0620), 0);
    assert_false(is_believed());
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(link(path, other), 0);
    assert_false(is_believed());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("other", path), 0);
    assert_false(is_believed());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(is_believed());
    assert_int_equal(unlink(path), 0);
    write_journal();
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_false(is_believed());
    }
}

static void test_pending(void **state)
{
    static const struct {
        const char *name;
        struct promote_journal journal;
        bool pending;
    } rows[] = {
        {"applying", {.state = PROMOTE_APPLYING}, true},
        {"verifying", {.state = PROMOTE_VERIFYING, .step = 3}, true},
        {"done", {.state = PROMOTE_DONE, .step = 3}, false},
        {"undoing, all back, not yet verified", {.state = PROMOTE_UNDOING}, true},
        {"undone", {.state = PROMOTE_UNDONE}, false},
        {"something left", {.state = PROMOTE_UNDO_FAILED, .step = 1}, true},
        {"all back, not seen to work", {.state = PROMOTE_UNDO_FAILED}, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, rows[i].name, promote_journal_is_pending(&rows[i].journal) == rows[i].pending);
}

/* As many words as there can be secrets. */
static void test_many_words(void **state)
{
    enum { MANY = 32 * 1024 };
    static const char *names[MANY + 1];
    struct promote_plan plan;
    struct promote_journal journal = make_journal(&plan);
    AUTO(promote_journal_free) struct promote_journal *read = NULL;
    struct err err = ERR_INIT;
    (void)state;
    for (size_t i = 0; i < MANY; i++)
        names[i] = "HF_TOKEN";
    plan.secret_names = names;
    assert_true(promote_journal_check(&journal, &err));
    assert_true(promote_journal_write(path, &journal, &err));
    assert_true(promote_journal_read(path, &read, &err));
    assert_non_null(read->plan->secret_names[MANY - 1]);
    plan.run_folder = "relative";
    assert_false(promote_journal_check(&journal, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_words, set_up, tear_down),
        cmocka_unit_test(test_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
