/* Real processes: how they end, what is left of them, what they were given. */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *number;
        int exit_code, signal;
        const char *log;
    } rows[] = {
        {"exit", "0", 0, 0, "leaving with 0\n"},
        {"exit", "3", 3, 0, "leaving with 3\n"},
        {"abort", "0", -1, SIGABRT, "about to abort\n"},
        {"unknown", "0", 64, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture fix;
        fixture_init(&fix, rows[i].mode, rows[i].number);
        AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
        CHECK_ROW(i, rows[i].mode, fixture_reach(process, PROCESS_EMPTY));
        const struct process_status *status = service_process_status(process);
        CHECK_ROW(i, rows[i].mode, status->state == PROCESS_EMPTY && !status->keeper_lost);
        CHECK_ROW(i, rows[i].mode, status->exit_code == rows[i].exit_code);
        CHECK_ROW(i, rows[i].mode, status->signal == rows[i].signal);
        CHECK_ROW(i, rows[i].mode, !status->signal_was_ours && status->oom_kills == -1);
        CHECK_ROW(i, rows[i].mode, status->exited_ns >= status->started_ns);
        size_t len = 0;
        AUTO(free) char *log = service_process_log(process, &len);
        CHECK_ROW_TEXT(i, rows[i].mode, log, rows[i].log);
        CHECK_ROW(i, rows[i].mode, status->log_bytes == (int64_t)len);
        fixture_done(&fix);
    }
}

static void test_exec_failures(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "exit", "0");
    char text[4096], script[4096], odd[4096];
    snprintf(text, sizeof text, "%s/text", fix.folder);
    snprintf(script, sizeof script, "%s/script", fix.folder);
    snprintf(odd, sizeof odd, "%s/odd", fix.folder);
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(text, "hello\n", 6, &err));
    assert_true(file_write_atomic(script, "#!/nowhere/sh\n", 14, &err));
    assert_true(file_write_atomic(odd, "hello\n", 6, &err));
    chmod(text, 0644);
    chmod(script, 0755);
    chmod(odd, 0755);
    const struct {
        const char *program, *folder;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"/nowhere/server", fix.folder, ERR_MISSING, "can't execute /nowhere/server: No such file"},
        {text, fix.folder, ERR_MISSING, "Permission denied"},
        {fix.folder, fix.folder, ERR_MISSING, "Permission denied"},
        {script, fix.folder, ERR_MISSING, "the interpreter in its first line is missing"},
        {odd, fix.folder, ERR_MISSING, "not a program for this machine"},
        {CHILD_PROGRAM, "/nowhere", ERR_MISSING, "can't enter its folder /nowhere"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fix.launch.program = rows[i].program;
        fix.launch.folder = rows[i].folder;
        struct service_process *process = NULL;
        err = ERR_INIT;
        CHECK_ROW(i, rows[i].says,
                  !service_process_start(&fix.launch, fix.study, &process, &err) && !process);
        CHECK_ROW(i, err.text, err.code == rows[i].code);
        CHECK_ROW(i, err.text, strstr(err.text, rows[i].says));
        CHECK_ROW(i, err.text, strstr(err.text, "service child"));
    }
    assert_true(fixture_all_gone(&fix));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie keeper either */
    fixture_done(&fix);
}

/* What is asked of each: stopped with a short grace, nothing is left, whatever it does. */
static void test_stops(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *number, *says;
        int64_t grace_ns;
        int signal;
    } rows[] = {
        {"sleep", "0", NULL, 10 * NS_PER_S, SIGTERM},
        {"sleep", "0", NULL, 0, SIGKILL},
        {"deaf", "0", "deaf", 200 * NS_PER_MS, SIGKILL},
        {"setsid", "0", "apart", 200 * NS_PER_MS, SIGTERM},
        {"bomb", "2", "bomb", 200 * NS_PER_MS, SIGKILL},
        {"phoenix", "20", "phoenix", 300 * NS_PER_MS, SIGKILL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture fix;
        fixture_init(&fix, rows[i].mode, rows[i].number);
        AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
        CHECK_ROW(i, rows[i].mode, !rows[i].says || fixture_says(process, rows[i].says));
        struct err err = ERR_INIT;
        bool stopped = service_process_stop_wait(process, rows[i].grace_ns, &err);
        CHECK_ROW(i, err.text, stopped);
        const struct process_status *status = service_process_status(process);
        CHECK_ROW(i, rows[i].mode, status->state == PROCESS_EMPTY);
        CHECK_ROW(i, rows[i].mode, status->signal == rows[i].signal && status->signal_was_ours);
        CHECK_ROW(i, rows[i].mode, fixture_alive(&fix) == 0);
        fixture_done(&fix);
    }
}

/* The main process has left, its daemon has not: said as such, and the stop reaches it. */
static void test_daemon(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "daemon", "5");
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    assert_true(fixture_reach(process, PROCESS_EXITED));
    const struct process_status *status = service_process_status(process);
    assert_int_equal(status->state, PROCESS_EXITED);
    assert_int_equal(status->exit_code, 5);
    assert_true(fixture_says(process, "daemon"));
    assert_int_equal(fixture_alive(&fix), 1);
    struct err err = ERR_INIT;
    assert_true(service_process_stop_wait(process, 2 * NS_PER_S, &err));
    assert_int_equal(status->exit_code, 5);
    assert_false(status->signal_was_ours);
    assert_int_equal(fixture_alive(&fix), 0);
    fixture_done(&fix);
}

static void test_stop_is_shortened(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "deaf", "0");
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    assert_true(fixture_says(process, "deaf"));
    service_process_stop(process, 3600 * NS_PER_S);
    struct err err = ERR_INIT;
    assert_true(service_process_stop_wait(process, 0, &err));
    fixture_done(&fix);
}

static void test_free_kills(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "setsid", "0");
    struct service_process *process = fixture_start(&fix);
    assert_true(fixture_says(process, "apart"));
    assert_null(service_process_free(process));
    assert_int_equal(fixture_alive(&fix), 0);
    assert_null(service_process_free(NULL));
    fixture_done(&fix);
}

static void test_flood_is_bounded(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "flood", "40"); /* MiB */
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    assert_true(fixture_says(process, "the end"));
    const struct process_status *status = service_process_status(process);
    assert_int_equal(status->log_bytes, (40 << 20) + 8);
    assert_int_equal(status->log_dropped_bytes, (40 << 20) + 8 - (512 << 10));
    size_t len = 0;
    AUTO(free) char *log = service_process_log(process, &len);
    assert_int_equal(strncmp(log, "line 0 ", 7), 0);
    assert_non_null(strstr(log, "bytes of the log are missing here]\n"));
    assert_string_equal(log + len - 8, "the end\n");
    assert_in_range(len, 512 << 10, (512 << 10) + 128);
    assert_in_range(proc_peak_rss("/proc", status->keeper).value, 1, 64 << 20);
    fixture_done(&fix);
}

/* Nobody reads /dev/full: the log is lost, the server is not. */
static void test_disk_full(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "exit", "0");
    fix.launch.log_path = "/dev/full";
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    const struct process_status *status = service_process_status(process);
    assert_int_equal(status->exit_code, 0);
    assert_int_equal(status->log_bytes, 15);
    assert_int_equal(status->log_dropped_bytes, 15);
    fixture_done(&fix);
}

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted_lines(const char *text)
{
    char *copy = strdup(text), *lines[4096], *save = NULL;
    size_t count = 0;
    for (char *line = strtok_r(copy, "\n", &save); line && count < ARRAY_LEN(lines);
         line = strtok_r(NULL, "\n", &save))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, compare_lines);
    struct buf joined = BUF_INIT(1 << 20);
    for (size_t i = 0; i < count; i++)
        buf_addf(&joined, "%s\n", lines[i]);
    free(copy);
    return buf_take(&joined);
}

static void test_environment_exactly(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "environment", "0");
    clearenv();
    setenv("PATH", "/usr/bin:/bin", 1);
    setenv("KEPT", "yes", 1);
    setenv("CHANGED", "old", 1);
    setenv("REMOVED", "here", 1);
    setenv("REMOVED_NOT", "here", 1);
    setenv("KEY", "sk-secret", 1);
    static const char *keys[] = {"KEY", "ABSENT_KEY", NULL};
    fix.launch.env_keys = keys;
    setenv("SPICA_SERVICE", "outer/other", 1);
    fix.env[0] = "CHANGED=new value=with signs";
    fix.env[1] = "ADDED=";
    fix.unset[0] = "REMOVED";
    fix.unset[1] = "ABSENT";
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    unsetenv("SPICA_SERVICE");
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    size_t len = 0;
    AUTO(free) char *log = service_process_log(process, &len);
    AUTO(free) char *lines = sorted_lines(log);
    char expected[512];
    snprintf(expected, sizeof expected,
             "ADDED=\nCHANGED=new value=with signs\nKEPT=yes\nPATH=/usr/bin:/bin\n"
             "REMOVED_NOT=here\nSPICA_SERVICE=%s/child\n",
             fix.study);
    assert_string_equal(lines, expected);
    fixture_done(&fix);
}

static void test_state_of_the_server(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "state", "0");
    int leaks[3];
    assert_int_equal(pipe(leaks), 0); /* inheritable, like a careless library's */
    leaks[2] = dup(1);
    signal(SIGPIPE, SIG_IGN);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    sigset_t after;
    sigprocmask(SIG_UNBLOCK, &child, &after);
    assert_true(sigismember(&after, SIGCHLD)); /* ours is as before */
    assert_false(sigismember(&after, SIGINT));
    for (size_t i = 0; i < ARRAY_LEN(leaks); i++)
        close(leaks[i]);
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    size_t len = 0;
    AUTO(free) char *log = service_process_log(process, &len);
    char expected[4096];
    snprintf(expected, sizeof expected,
             "fd 0\nfd 1\nfd 2\nfolder %s\nsession 1 group 1\nparent death %d\n"
             "blocked 0 pipe ignored 0\n",
             fix.folder, SIGKILL);
    assert_string_equal(log, expected);
    fixture_done(&fix);
}

static void test_config_and_scratch(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "exit", "0");
    fix.launch.config_name = "config.yaml";
    fix.launch.config_text = "models: []\n";
    AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    char path[4096];
    snprintf(path, sizeof path, "%s/config.yaml", fix.scratch);
    struct buf text = BUF_INIT(100);
    struct err err = ERR_INIT;
    assert_true(buf_read_file(&text, path, &err));
    assert_string_equal(buf_text(&text), "models: []\n");
    buf_done(&text);
    struct stat at;
    assert_int_equal(stat(fix.scratch, &at), 0);
    assert_int_equal(at.st_mode & 0777, 0700);
    fixture_done(&fix);
}

/* No descriptor of ours is lost by a start, a stop and a free. */
static int count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void test_no_descriptor_lost(void **state)
{
    (void)state;
    int before = count_fds();
    for (int i = 0; i < 3; i++) {
        struct fixture fix;
        fixture_init(&fix, "sleep", "0");
        if (i == 2)
            fix.launch.program = "/nowhere";
        struct service_process *process = NULL;
        struct err err = ERR_INIT;
        bool started = service_process_start(&fix.launch, fix.study, &process, &err);
        assert_int_equal(started, i != 2);
        service_process_free(process);
        fixture_done(&fix);
    }
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_exec_failures),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_daemon),
        cmocka_unit_test(test_stop_is_shortened),
        cmocka_unit_test(test_free_kills),
        cmocka_unit_test(test_flood_is_bounded),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_environment_exactly),
        cmocka_unit_test(test_state_of_the_server),
        cmocka_unit_test(test_config_and_scratch),
        cmocka_unit_test(test_no_descriptor_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
