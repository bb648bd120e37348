/* Programs as servers: what they are given, what of them is an answer, and that none outlives its
 * request, its worker or its worker's sudden death. */
#include "load/exec_file.h"
#include "load/worker.h"

#include "plan_of.h"
#include "worker_run.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#define PROMPT "it's {audio} $(exit 9) \"done\""
static const struct corpus prompts = PROMPTS({.prompt = PROMPT});
static struct corpus_clip clip = {
    .name = "a", .data = "RIFF\0\x01sound", .len = 11, .duration_s = 1, .transcript = "hello"};
static const struct corpus clips = {.clips = &clip, .clip_count = 1, .all_transcribed = true};

static struct load_plan plan_for(const char *protocol, struct spec_setting *settings,
                                 const char *command)
{
    bool audio = strcmp(protocol, "command-audio") == 0;
    struct load_plan plan = plan_of(protocol, audio ? &clips : &prompts, NULL);
    settings[0] = (struct spec_setting){.name = "command", .text = command};
    plan.probe = true;
    plan.streams[0].settings = settings;
    plan.streams[0].setting_count = 1;
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].request_limit = 1;
    plan.streams[0].timeout_ns = 30 * NS_PER_S;
    return plan;
}

static const struct {
    const char *name, *protocol, *command;
    bool to_stdin;
    enum load_error error;
    const char *text;
} rows[] = {
    {"a prompt as an argument", "command", "printf %s {prompt}", false, LOAD_OK, PROMPT},
    {"within one", "command", "printf %s 'x {prompt} {y}'", false, LOAD_OK, "x " PROMPT " {y}"},
    {"a prompt in a file", "command", "cat {text_file}", false, LOAD_OK, PROMPT},
    {"a prompt on standard input", "command", "cat", true, LOAD_OK, PROMPT},
    {"nothing on standard input", "command", "sh -c 'cat; echo $0 | wc -c' {prompt}", false,
     LOAD_OK, "30"},
    {"a clip in a file", "command-audio",
     "sh -c 'case $0 in *.wav) head -c 4 $0; wc -c <$0;; esac' {audio}", false, LOAD_OK, "RIFF11"},
    {"a clip on standard input", "command-audio", "wc -c", true, LOAD_OK, "11"},
    {"input that it does not read", "command", "true", true, LOAD_EMPTY, ""},
    {"no output", "command", "true {prompt}", false, LOAD_EMPTY, ""},
    {"an exit status", "command", "sh -c 'echo half; echo one >&2; echo two. >&2; exit 3' {prompt}",
     false, LOAD_SERVER_ERROR, "exit status 3: two."},
    {"a signal", "command", "sh -c 'kill -9 $$' {prompt}", false, LOAD_SERVER_ERROR,
     "killed by signal 9 (Killed)"},
    {"signals have their defaults", "command", "sh -c 'kill -TERM $$; echo alive' {prompt}", false,
     LOAD_SERVER_ERROR, "killed by signal 15 (Terminated)"},
    {"none is ignored or held back", "command",
     "grep -cE '^Sig(Ign|Blk):.0000000000000000' /proc/self/status", true, LOAD_OK, "2"},
    {"no descriptor of ours", "command", "ls /proc/self/fd", true, LOAD_OK,
     "0\n1\n2\n3"}, /* 3: the folder that it lists */
    {"its own session", "command", "sh -c 'test $(ps -o sid= $$) = $$ && echo yes' {prompt}", false,
     LOAD_OK, "yes"},
    {"what it left running", "command", "sh -c 'sleep 1000 & echo hi' {prompt}", false, LOAD_OK,
     "hi"},
    {"output without end", "command", "yes {prompt}", false, LOAD_LIMIT, NULL},
    {"a long last word", "command",
     "sh -c 'yes | head -c 100000 >&2; printf end >&2; exit 1' {prompt}", false, LOAD_SERVER_ERROR,
     "exit status 1: end"},
    {"a refusal", "command", "sleep 1000{prompt}", false, LOAD_SERVER_ERROR, NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_setting settings[2];
        struct load_plan plan = plan_for(rows[i].protocol, settings, rows[i].command);
        settings[1] = (struct spec_setting){.name = "stdin", .text = "true"};
        plan.streams[0].setting_count += rows[i].to_stdin;
        struct run run = worker_run(&plan);
        CHECK_ROW_TEXT(i, rows[i].name, run.report.failure, "");
        CHECK_ROW(i, rows[i].name, run.count == 1);
        CHECK_ROW_TEXT(i, rows[i].name, load_error_name(run.kept[0].record.error),
                       load_error_name(rows[i].error));
        if (rows[i].text)
            CHECK_ROW_TEXT(i, rows[i].name, run.kept[0].text, rows[i].text);
        free(run.kept);
    }
}

static const struct {
    const char *name, *protocol, *command, *says;
} refused[] = {
    {"no command", "command", "", "a program"},
    {"blanks", "command", "  ", "a program"},
    {"a quote without end", "command", "echo 'x {prompt}", "quote"},
    {"no such program", "command", "/no/such/program {prompt}", "/no/such/program"},
    {"no program of that name", "command", "spica-no-such-program {prompt}", "no-such-program"},
    {"no input at all", "command", "echo hello", "given nothing"},
    {"a clip as an argument", "command-audio", "echo {prompt} {audio}", "{prompt}"},
    {"a prompt's file for a clip", "command-audio", "cat {text_file}", "{text_file}"},
    {"a clip for a prompt", "command", "cat {audio}", "{audio}"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct spec_setting settings[1];
        struct load_plan plan = plan_for(refused[i].protocol, settings, refused[i].command);
        struct load_worker *worker = NULL;
        struct err err = ERR_INIT;
        CHECK_ROW(i, refused[i].name, !load_worker_start(&plan, &worker, &err));
        CHECK_ROW(i, refused[i].name, strstr(err.text, refused[i].says) != NULL);
    }
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 2000; i++) {
        if (kill(pid, 0) != 0 && errno == ESRCH)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 5 * NS_PER_MS}, NULL);
    }
    return false;
}

/* The pids that a command has written to a file, one a line; waits for `count` of them. */
static void read_pids(const char *path, pid_t *ret_pids, size_t count)
{
    for (int tries = 0; tries < 4000; tries++) {
        char text[256] = "";
        FILE *file = fopen(path, "r");
        size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0, n = 0;
        if (file)
            fclose(file);
        text[len] = '\0';
        for (char *at = text; n < count && strchr(at, '\n'); at = strchr(at, '\n') + 1)
            ret_pids[n++] = (pid_t)strtol(at, NULL, 10);
        if (n == count)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5 * NS_PER_MS}, NULL);
    }
    fail_msg("no pids in %s", path);
}

static void test_timeout_kills_all(void **state)
{
    (void)state;
    char path[] = "/tmp/spica-test-XXXXXX", command[256];
    close(mkstemp(path));
    snprintf(command, sizeof command,
             "sh -c 'sleep 1000 & echo $! >>%s; echo $$ >>%s; wait' {prompt}", path, path);
    struct spec_setting settings[1];
    struct load_plan plan = plan_for("command", settings, command);
    plan.streams[0].timeout_ns = 3 * NS_PER_S;
    struct run run = worker_run(&plan);
    assert_int_equal(run.by_error[LOAD_TIMEOUT], 1);
    pid_t pids[2];
    read_pids(path, pids, 2);
    assert_true(is_gone(pids[0]) && is_gone(pids[1]));
    free(run.kept);
    unlink(path);
}

static void test_worker_killed(void **state)
{
    (void)state;
    char path[] = "/tmp/spica-test-XXXXXX", command[256], file[128] = "";
    close(mkstemp(path));
    snprintf(command, sizeof command,
             "sh -c 'sleep 1000 & echo $! >>%s; echo $$ >>%s; echo 0 $0 >>%s; wait' {text_file}",
             path, path, path);
    struct spec_setting settings[1];
    struct load_plan plan = plan_for("command", settings, command);
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    pid_t pids[3];
    read_pids(path, pids, 3);
    FILE *in = fopen(path, "r");
    while (fgets(file, sizeof file, in))
        continue;
    fclose(in);
    file[strcspn(file, "\n")] = '\0';
    assert_int_equal(access(file + 2, F_OK), 0);
    load_worker_free(worker);
    assert_true(is_gone(pids[0]) && is_gone(pids[1]));
    bool there = true;
    *strrchr(file, '/') = '\0';
    for (int i = 0; there && i < 2000; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5 * NS_PER_MS}, NULL);
        there = access(file + 2, F_OK) == 0;
    }
    assert_false(there);
    free(run.kept);
    unlink(path);
}

static void test_times(void **state)
{
    (void)state;
    struct spec_setting settings[2];
    struct load_plan plan = plan_for(
        "command", settings, "sh -c 'printf a; sleep 0.2; printf b; exec >&-; sleep 0.2' {prompt}");
    settings[1] = (struct spec_setting){.name = "stream", .text = "true"};
    plan.streams[0].setting_count = 2;
    struct run run = worker_run(&plan);
    const struct load_record *r = &run.kept[0].record;
    assert_int_equal(r->error, LOAD_OK);
    assert_string_equal(run.kept[0].text, "ab");
    assert_true(r->first_token_ns - r->sent_ns < r->done_ns - r->sent_ns - 200 * NS_PER_MS);
    assert_true(r->last_token_ns - r->first_token_ns >= 100 * NS_PER_MS);
    assert_true(r->done_ns - r->last_token_ns >= 100 * NS_PER_MS);
    assert_int_equal(r->tokens, -1);
    free(run.kept);
}

/* Many at once, each with the program's own priority and the file of its item. */
static void test_many(void **state)
{
    (void)state;
    char priority[16];
    struct spec_setting settings[1];
    struct load_plan plan = plan_for("command", settings, "sh -c nice {prompt}");
    plan.streams[0].concurrency = 16;
    plan.streams[0].request_limit = 200;
    struct run run = worker_run(&plan);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.by_error[LOAD_OK], 200);
    snprintf(priority, sizeof priority, "%d", getpriority(PRIO_PROCESS, 0));
    for (size_t i = 0; i < run.count; i++)
        assert_string_equal(run.kept[i].text, priority);
    free(run.kept);
}

static struct load_program program_of(const char *const *argv)
{
    static const char *const env[] = {"COLOUR=blue", NULL};
    static const char *const unset[] = {"HOME", NULL};
    static const char *const keys[] = {"TEST_KEY", NULL};
    return (struct load_program){.path = "/bin/sh",
                                 .argv = argv,
                                 .env = env,
                                 .unset = unset,
                                 .keys = keys,
                                 .folder = "/",
                                 .study = "s",
                                 .name = "n"};
}

static void test_program(void **state)
{
    (void)state;
    static const char *const argv[] = {
        "sh",
        "-c",
        "echo said >&2; echo \"$PWD $COLOUR ${HOME-none} ${TEST_KEY-none} $SPICA_SERVICE $1\"",
        "x",
        "{text_file}",
        NULL};
    char folder[] = "/tmp/spica-test-XXXXXX", log[64], said[64] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(log, sizeof log, "%s/log", folder);
    struct load_program program = program_of(argv);
    struct spec_setting settings[1];
    struct load_plan plan = plan_for("command", settings, "false");
    program.log_path = log;
    setenv("TEST_KEY", "sk-secret", 1);
    plan.streams[0].program = &program;
    plan.streams[0].setting_count = 0;
    for (int i = 0; i < 2; i++) { /* the second run appends */
        struct run run = worker_run(&plan);
        assert_string_equal(run.report.failure, "");
        assert_int_equal(run.by_error[LOAD_OK], 1);
        assert_true(strncmp(run.kept[0].text, "/ blue none none s/n /", 22) == 0);
        free(run.kept);
    }
    FILE *file = fopen(log, "r");
    assert_non_null(file);
    assert_int_equal(fread(said, 1, sizeof said, file), 10);
    fclose(file);
    assert_string_equal(said, "said\nsaid\n");
    unsetenv("TEST_KEY");
    unlink(log);
    rmdir(folder);
}

/* What a program leaves behind in a session of its own dies with the load. */
static void test_leaves_nothing(void **state)
{
    (void)state;
    char folder[] = "/tmp/spica-test-XXXXXX", path[64], command[256];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pids", folder);
    snprintf(command, sizeof command,
             "setsid sh -c 'echo $$ > %s; exec sleep 1000' & while ! test -s %s; do :; done; echo",
             path, path);
    const char *const argv[] = {"sh", "-c", command, "{text_file}", NULL};
    struct load_program program = program_of(argv);
    struct spec_setting settings[1];
    struct load_plan plan = plan_for("command", settings, "false");
    plan.streams[0].program = &program;
    struct run run = worker_run(&plan);
    pid_t pid = 0;
    read_pids(path, &pid, 1);
    assert_true(pid > 0);
    assert_true(is_gone(pid));
    free(run.kept);
    unlink(path);
    rmdir(folder);
}

/* Who sends what: a service's program has a process of its own, with the chain that it is in. */
static void test_processes(void **state)
{
    (void)state;
    struct load_program one = {.name = "one"}, two = {.name = "two"};
    struct load_plan plan = {.stream_count = 5, .workers = 2};
    for (size_t i = 0; i < 5; i++) {
        plan.streams[i].arrivals = ARRIVALS_POISSON;
        plan.streams[i].concurrency = 10;
    }
    plan.streams[1].program = &one;
    plan.streams[3].arrivals = ARRIVALS_AFTER; /* of the program's answers */
    plan.streams[3].after = 1;
    plan.streams[4].program = &two;
    assert_int_equal(load_plan_processes(&plan), 4);
    assert_int_equal(load_plan_process_of(&plan, 0), -1);
    assert_int_equal(load_plan_process_of(&plan, 1), 2);
    assert_int_equal(load_plan_process_of(&plan, 3), -1);
    assert_int_equal(load_plan_process_of(&plan, 4), 3);
    static const int limits[][5] = {
        {5, 0, 5, 0, 0}, {5, 0, 5, 0, 0}, {0, 10, 0, 10, 0}, {0, 0, 0, 0, 10}};
    for (plan.worker = 0; plan.worker < 4; plan.worker++)
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(load_share_of(&plan, i).limit, limits[plan.worker][i]);
    plan.workers = LOAD_WORKERS_MAX; /* together they are bounded */
    assert_int_equal(load_plan_processes(&plan), LOAD_WORKERS_MAX);
    plan.streams[0] = plan.streams[2] = plan.streams[4];
    plan.stream_count = 1;
    assert_int_equal(load_plan_processes(&plan), 1);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *command, *words; /* each ended by | */
    } splits[] = {
        {"a b", "a|b|"},           {" a\t b\n", "a|b|"},      {"'a b'c", "a bc|"},
        {"\"a 'b\" ''", "a 'b||"}, {"a\\ b \\\"", "a b|\"|"}, {"'\\' \"\\\"\"", "\\|\"|"},
        {"a$b *", "a$b|*|"},       {"a;b && c", "a;b|&&|c|"},
    };
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        struct buf words = BUF_INIT(1024);
        struct err err = ERR_INIT;
        CHECK_ROW(i, splits[i].command, load_exec_words(splits[i].command, &words, &err));
        for (size_t k = 0; k < words.len; k++)
            if (!words.data[k])
                words.data[k] = '|';
        CHECK_ROW_TEXT(i, splits[i].command, words.data, splits[i].words);
        buf_done(&words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),          cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_timeout_kills_all),
        cmocka_unit_test(test_worker_killed),  cmocka_unit_test(test_times),
        cmocka_unit_test(test_many),           cmocka_unit_test(test_program),
        cmocka_unit_test(test_leaves_nothing), cmocka_unit_test(test_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
