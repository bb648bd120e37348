/* A program that is asked for its version: what it answers, in which environment, and that nothing
 * of it is left. */
#include "check.h"

#include "base/clock.h"
#include "base/file.h"
#include "device/proc.h"
#include "service/engine.h"
#include "service/version.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/spica-version-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Asks a script for its version as if it were the engine's program; the caller owns the text. */
static char *ask_engine(const char *engine, const char *script, const char **env)
{
    AUTO(free) char *program = file_join(folder, "program");
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(program, script, strlen(script), &err));
    assert_int_equal(chmod(program, 0700), 0);
    const struct service_launch launch = {
        .name = "llm",
        .engine = engine_find(engine)->spec,
        .program = program,
        .env = env,
    };
    char *version = service_version_read(&launch);
    unlink(program);
    return version;
}

static char *ask(const char *script, const char **env)
{
    return ask_engine("llama-server", script, env);
}

static bool is_gone(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = 5 * NS_PER_MS};
    struct proc_stat stat;
    for (int i = 0; i < 1000; i++) {
        if (!proc_read_stat("/proc", pid, &stat) || stat.state == 'Z')
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void test_answers(void **state)
{
    (void)state;
    const char *env[] = {"SPICA_TEST_SAID=12 (abc)", NULL};
    static const struct {
        const char *name, *script, *starts_with;
    } rows[] = {
        {"what it prints", "#!/bin/sh\necho 'version: 7 (x)'\n", "7 (x)"},
        {"on stderr", "#!/bin/sh\necho 'version: 7 (x)' >&2\n", "7 (x)"},
        {"the launch's environment", "#!/bin/sh\necho \"version: $SPICA_TEST_SAID\"\n", "12 (abc)"},
        {"nothing like a version", "#!/bin/sh\necho hello\n", "sha256 "},
        {"a flood", "#!/bin/sh\nwhile :; do echo no no no no no no no; done\n", "sha256 "},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(free) char *version = ask(rows[r].script, env);
        CHECK_ROW(r, rows[r].name, version);
        CHECK_ROW(r, rows[r].name,
                  strncmp(version, rows[r].starts_with, strlen(rows[r].starts_with)) == 0);
    }
}

/* A Python program is not run for it: its Python is asked which package it has. */
static void test_packages(void **state)
{
    (void)state;
    AUTO(free) char *python = file_join(folder, "python3-fake");
    static const char fake[] =
        "#!/bin/sh\n"
        "test \"$1\" = -c && test \"$3\" = vllm && echo package: vllm 0.24.0\n";
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(python, fake, strlen(fake), &err));
    assert_int_equal(chmod(python, 0700), 0);
    AUTO(buf_done) struct buf script = BUF_INIT(1024);
    buf_addf(&script, "#!%s\nimport vllm\n", python);
    AUTO(free) char *version = ask_engine("vllm", buf_text(&script), NULL);
    assert_string_equal(version, "vllm 0.24.0");
    AUTO(free) char *other = ask_engine("vllm", "#!/bin/sh\necho 0.24.0\n", NULL);
    assert_int_equal(strncmp(other, "sha256 ", 7), 0);
    unlink(python);
}

/* Expected: what the program started is killed with it. Before: it lived on. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    AUTO(free) char *pid_path = file_join(folder, "pid");
    AUTO(buf_done) struct buf script = BUF_INIT(1024), text = BUF_INIT(64);
    buf_addf(&script, "#!/bin/sh\nsleep 300 >/dev/null 2>&1 &\necho $! >%s\necho 'version: 7'\n",
             pid_path);
    AUTO(free) char *version = ask(buf_text(&script), NULL);
    assert_string_equal(version, "7");
    struct err err = ERR_INIT;
    assert_true(buf_read_file(&text, pid_path, &err));
    pid_t pid = (pid_t)strtol(buf_text(&text), NULL, 10);
    assert_true(pid > 1);
    assert_true(is_gone(pid));
    unlink(pid_path);
}

/* What an interpreter runs is the program; without a script it is the interpreter. */
static void test_subject(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *script = file_join(folder, "serve.py");
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(script, "1", 1, &err));
    const struct {
        const char *program, *argv[4], *subject;
    } rows[] = {
        {"/usr/bin/python3", {"python3", "-u", "serve.py"}, script},
        {"/usr/bin/python3.12", {"python3.12", script}, script},
        {"/usr/bin/python3", {"python3", "-m", "vllm"}, "/usr/bin/python3"},
        {"/usr/bin/python3", {"python3"}, "/usr/bin/python3"},
        {"/opt/pythonic-server", {"pythonic-server", "serve.py"}, "/opt/pythonic-server"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *argv[5] = {rows[i].argv[0], rows[i].argv[1], rows[i].argv[2], rows[i].argv[3]};
        const struct service_launch launch = {
            .program = rows[i].program, .argv = argv, .folder = folder};
        CHECK_ROW_TEXT(i, rows[i].argv[0], service_version_subject(arena, &launch),
                       rows[i].subject);
    }
    unlink(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subject),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_packages),
        cmocka_unit_test(test_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
