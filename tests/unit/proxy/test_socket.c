/* Whoever is at the other end of HAProxy's socket: nobody, somebody who says nothing, too much, or
 * a little at a time for ever. We are never held longer than we said. */
#include "check.h"
#include "made.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static const int64_t WITHIN_NS = 300 * NS_PER_MS;
static const int64_t NEVER_LONGER_NS = 20 * NS_PER_S;

enum habit { SILENT, FLOODS, DRIPS, HANGS_UP, NO_HAPROXY, NOT_ACCEPTING, ANSWERS };

static void behave(int listener, enum habit habit)
{
    static const char info[] = "Pid: 12\nUptime_sec: 3\n\n";
    static char much[65536];
    if (habit == NOT_ACCEPTING)
        pause();
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char line[256];
        if (habit != SILENT && habit != HANGS_UP && read(fd, line, sizeof line) <= 0)
            habit = HANGS_UP;
        while (habit == FLOODS && send(fd, much, sizeof much, MSG_NOSIGNAL) > 0)
            ;
        while (habit == DRIPS && send(fd, "x", 1, MSG_NOSIGNAL) > 0)
            usleep(20000);
        if (habit == NO_HAPROXY)
            (void)!write(fd, "220 smtp\n", 9);
        if (habit == ANSWERS)
            (void)!write(fd, info, sizeof info - 1);
        if (habit != SILENT)
            close(fd);
    }
}

static pid_t serve(const char *path, enum habit habit)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, habit == NOT_ACCEPTING ? 0 : 8), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        behave(listener, habit);
        _exit(0);
    }
    close(listener);
    return pid;
}

static void habits(void **state)
{
    static const struct {
        const char *name;
        enum habit habit;
        enum err_code code;
    } rows[] = {
        {"silent", SILENT, ERR_MISSING},
        {"floods", FLOODS, ERR_LIMIT},
        {"drips", DRIPS, ERR_MISSING},
        {"hangs up", HANGS_UP, ERR_INTERNAL},
        {"no HAProxy", NO_HAPROXY, ERR_INTERNAL},
        {"answers", ANSWERS, ERR_NONE},
        {"does not accept", NOT_ACCEPTING, ERR_MISSING},
    };
    char *folder = check_make_folder();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[256];
        struct err err = ERR_INIT;
        struct proxy_info info = {0};
        snprintf(path, sizeof path, "%s/%zu", folder, i);
        pid_t pid = serve(path, rows[i].habit);
        int64_t begun_ns = clock_now_ns();
        for (int times = 0; times < (rows[i].habit == NOT_ACCEPTING ? 3 : 1); times++) {
            err = ERR_INIT;
            bool done = proxy_info_ask(path, WITHIN_NS, &info, &err);
            CHECK_ROW(i, rows[i].name, done == (rows[i].code == ERR_NONE));
        }
        /* Closing on what was not read is an error of the socket or its end, as it comes. */
        CHECK_ROW(i, err.text, err.code == rows[i].code);
        CHECK_ROW(i, rows[i].name, clock_now_ns() - begun_ns < NEVER_LONGER_NS);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    check_remove_folder(folder);
}

static void nobody(void **state)
{
    char *folder = check_make_folder();
    struct err err = ERR_INIT;
    struct proxy_info info = {0};
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/none", folder);
    assert_false(proxy_info_ask(path, WITHIN_NS, &info, &err));
    assert_int_equal(err.code, ERR_MISSING);
    err = ERR_INIT;
    kill(serve(path, SILENT), SIGKILL); /* a socket that a dead HAProxy has left */
    wait(NULL);
    assert_false(proxy_info_ask(path, WITHIN_NS, &info, &err));
    assert_int_equal(err.code, ERR_MISSING);
    check_remove_folder(folder);
}

/* A look at nobody is no error: `up` is false. */
static void look(void **state)
{
    char *folder = check_make_folder();
    struct made made;
    struct err err = ERR_INIT;
    struct proxy_view view;
    (void)state;
    made_init(&made, folder);
    made.proxy.socket = "/nonexistent/haproxy.sock";
    made.proxy.tiers_map = made.proxy.cuts_map = "/nonexistent/map";
    assert_true(proxy_look(&made.proxy, &view, &err));
    assert_false(view.up);
    assert_int_equal(view.fronts[0].server_count, 2);
    assert_string_equal(view.fronts[0].servers[1].name, "tiny");
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(habits),
        cmocka_unit_test(nobody),
        cmocka_unit_test(look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
