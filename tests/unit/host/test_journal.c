/* A journal says after any crash what was written, and nothing that is no journal gets through. */
#include "check.h"

#include "host/journal.h"

#include <sys/wait.h>

static struct host_journal make_journal(void)
{
    struct host_journal journal = {
        .scope = HOST_USER, .study = "voice", .folder = "/srv/a b/voice.spica", .count = 2};
    assert_true(host_process_read(getpid(), &journal.owner));
    journal.since_wall_us = 1764100000000000;
    journal.units[0] = (struct host_journal_unit){"vllm@0.service", true, 90000000000};
    journal.units[1] = (struct host_journal_unit){"a\\x2db.socket", false, 30000000000};
    return journal;
}

static void test_round_trip(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *study = NULL;
    assert_true(asprintf(&study, "%s/voice.spica/", folder) > 0);
    AUTO(free) char *path = host_journal_path(study);
    assert_non_null(strstr(path, "/voice.spica.paused.json"));
    struct host_journal read = {0}, wrote = make_journal();
    struct err err = ERR_INIT;
    bool found = true;
    assert_true(host_journal_read(path, &found, &read, &err));
    assert_false(found);
    assert_true(host_journal_write(path, &wrote, &err));
    assert_true(host_journal_read(path, &found, &read, &err));
    assert_true(found && !read.done && read.count == 2 && read.scope == HOST_USER);
    assert_string_equal(read.folder, wrote.folder);
    assert_string_equal(read.study, "voice");
    assert_int_equal(read.since_wall_us, wrote.since_wall_us);
    assert_true(host_process_same(&read.owner, &wrote.owner));
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(read.units[i].name, wrote.units[i].name);
        assert_int_equal(read.units[i].was_up, wrote.units[i].was_up);
        assert_int_equal(read.units[i].start_within_ns, wrote.units[i].start_within_ns);
    }
    check_remove_folder(folder);
}

#define OWNER "\"owner\":{\"pid\":7,\"start_ticks\":9,\"boot_id\":\"b\"}"
#define HEAD "{\"version\":1,\"done\":false,\"scope\":\"system\",\"study\":\"s\",\"folder\":\"/f\","
#define UNIT(name, up) "{\"name\":\"" name "\",\"was_up\":" up ",\"start_within_ns\":5}"

static const struct {
    const char *name, *text;
    bool good;
} texts[] = {
    {"good", HEAD OWNER ",\"units\":[" UNIT("a.service", "true") "]}", true},
    {"no units", HEAD OWNER ",\"units\":[]}", true},
    {"empty", "", false},
    {"cut", HEAD OWNER ",\"units\":[" UNIT("a.service", "true"), false},
    {"no object", "[]", false},
    {"another version",
     "{\"version\":2,\"done\":false,\"scope\":\"system\",\"study\":\"s\",\"folder\":\"/f\"," OWNER
     ",\"units\":[]}",
     false},
    {"another scope",
     "{\"version\":1,\"done\":false,\"scope\":\"moon\",\"study\":\"s\",\"folder\":\"/f\"," OWNER
     ",\"units\":[]}",
     false},
    {"no owner", HEAD "\"units\":[]}", false},
    {"pid of a group",
     HEAD "\"owner\":{\"pid\":-1,\"start_ticks\":9,\"boot_id\":\"b\"},\"units\":[]}", false},
    {"unit without name", HEAD OWNER ",\"units\":[" UNIT("", "true") "]}", false},
    {"unit that is a path", HEAD OWNER ",\"units\":[" UNIT("../a", "true") "]}", false},
    {"unit with a newline", HEAD OWNER ",\"units\":[" UNIT("a\\n.service", "true") "]}", false},
    {"was it up?", HEAD OWNER ",\"units\":[" UNIT("a.service", "\"yes\"") "]}", false},
    {"units no list", HEAD OWNER ",\"units\":{}}", false},
};

static void test_texts(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = host_journal_path(folder);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct host_journal journal;
        struct err err = ERR_INIT;
        bool found = false;
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i].text, file);
        fclose(file);
        bool ok = host_journal_read(path, &found, &journal, &err);
        CHECK_ROW(i, texts[i].name, ok == texts[i].good);
        CHECK_ROW(i, texts[i].name, ok || err.code == ERR_INPUT);
    }
    unlink(path);
    check_remove_folder(folder);
}

/* A pid alone does not name a process. */
static void test_process(void **state)
{
    (void)state;
    struct host_process self, other;
    assert_true(host_process_read(getpid(), &self));
    assert_true(host_process_alive(&self));
    other = self;
    other.start_ticks++;
    assert_false(host_process_alive(&other));
    other = self;
    other.boot_id[0] = 'x';
    assert_false(host_process_alive(&other));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(host_process_read(child, &other)); /* a zombie has ended */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(host_process_read(child, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
