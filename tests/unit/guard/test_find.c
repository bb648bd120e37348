/* What two looks at a service make of it, and looks over a canned /proc. */
#include "guard/find.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

#include "check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- two looks ---- */

struct look {
    enum guard_presence presence;
    int pid, start;
    int64_t restarts;
    bool killed;
    const char *expected; /* "up", "down", "restarted", "oom", joined by blanks */
    bool aside;
};

static void words_of(const struct guard_turn *turn, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s%s", turn->came_up ? "up " : "", turn->went_down ? "down " : "",
             turn->restarted ? "restarted " : "", turn->killed_for_memory ? "oom " : "");
    size_t len = strlen(text);
    if (len > 0)
        text[len - 1] = '\0';
}

static void run_looks(const struct look *looks, size_t count, uint64_t restarts)
{
    struct guard_history history = {0};
    for (size_t i = 0; i < count; i++) {
        struct guard_life life = {.presence = looks[i].presence,
                                  .main = {.pid = looks[i].pid, .start_ticks = looks[i].start},
                                  .restarts = looks[i].restarts,
                                  .killed_for_memory = looks[i].killed,
                                  .aside = looks[i].aside};
        struct guard_turn turn = guard_history_step(&history, &life);
        char words[64];
        words_of(&turn, words, sizeof words);
        if (strcmp(words, looks[i].expected) != 0)
            fail_msg("look %zu: \"%s\", expected \"%s\"", i, words, looks[i].expected);
    }
    assert_int_equal(history.restarts, restarts);
}

static void test_crash_and_automatic_restart(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UP, 10, 1, 0, false, ""},           {PRESENCE_DOWN, 0, 0, 0, false, "down"},
        {PRESENCE_DOWN, 0, 0, 1, false, "restarted"}, /* systemd counts before it is up */
        {PRESENCE_COMING, 11, 5, 1, false, ""},       {PRESENCE_UP, 11, 5, 1, false, "up"},
    };
    run_looks(looks, ARRAY_LEN(looks), 1);
}

/* Before: a page, and then a restart, for what guard or a study had stopped and started. */
static void test_put_aside(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UP, 10, 1, 0, false, ""},
        {PRESENCE_UNKNOWN, 0, 0, 0, false, "", true},
        {PRESENCE_UNKNOWN, 11, 9, 0, false, "", true},
        {PRESENCE_UP, 11, 9, 0, false, "up"},
        {PRESENCE_UNKNOWN, 0, 0, 0, false, "", true},
        {PRESENCE_DOWN, 0, 0, 0, false, "down"}, /* it does not come back */
    };
    run_looks(looks, ARRAY_LEN(looks), 0);
}

static void test_restart_between_two_looks(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UP, 10, 1, 3, false, ""},
        {PRESENCE_UP, 11, 5, 4, false, "restarted"},
        {PRESENCE_UP, 11, 5, 4, false, ""},
        {PRESENCE_UP, 11, 9, 4, false, "restarted"}, /* the pid came again; by hand: not counted */
        {PRESENCE_UP, 11, 9, 9, false, "restarted"},
    };
    run_looks(looks, ARRAY_LEN(looks), 7);
}

static void test_restart_by_hand_resets_systemds_count(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UP, 10, 1, 3, false, ""},
        {PRESENCE_COMING, 11, 5, 0, false, "restarted"},
        {PRESENCE_UP, 11, 5, 0, false, "up"},
    };
    run_looks(looks, ARRAY_LEN(looks), 1);
}

static void test_absent_then_there(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UNKNOWN, 0, 0, -1, false, ""}, {PRESENCE_DOWN, 0, 0, -1, false, "down"},
        {PRESENCE_DOWN, 0, 0, -1, false, ""},    {PRESENCE_UNKNOWN, 0, 0, -1, false, ""},
        {PRESENCE_UP, 10, 1, -1, false, "up"},
    };
    run_looks(looks, ARRAY_LEN(looks), 0);
}

static void test_kernel_kill_by_systemds_word(void **state)
{
    (void)state;
    const struct look looks[] = {
        {PRESENCE_UP, 10, 1, 0, false, ""},         {PRESENCE_DOWN, 0, 0, 0, true, "down oom"},
        {PRESENCE_DOWN, 0, 0, 0, true, ""},         {PRESENCE_UP, 12, 7, 0, false, "up restarted"},
        {PRESENCE_DOWN, 0, 0, 0, true, "down oom"},
    };
    run_looks(looks, ARRAY_LEN(looks), 1);
}

/* ---- a canned /proc ---- */

static char root[64];

static void add_process(int pid, int parent, const char *comm, int start, const char *cgroup)
{
    char path[128];
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    struct err err = ERR_INIT;
    snprintf(path, sizeof path, "%s/%d", root, pid);
    (void)mkdir(path, 0755);
    buf_addf(&text, "%d (%s) S %d %d %d 0 -1 0 0 0 0 0 10 5 0 0 20 0 1 0 %d 1000 100 0\n", pid,
             comm, parent, pid, pid, start);
    snprintf(path, sizeof path, "%s/%d/stat", root, pid);
    assert_true(file_write_atomic(path, buf_text(&text), text.len, &err));
    snprintf(path, sizeof path, "%s/%d/cgroup", root, pid);
    assert_true(file_write_atomic(path, cgroup, strlen(cgroup), &err));
}

static void remove_process(int pid)
{
    static const char *const names[] = {"stat", "cgroup"};
    char path[128];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, "%s/%d/%s", root, pid, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/%d", root, pid);
    rmdir(path);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/spica-find-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    for (int pid = 1; pid < 100; pid++)
        remove_process(pid);
    return rmdir(root);
}

static void test_pid_lives_and_ends(void **state)
{
    (void)state;
    const struct spec_watch watch = {.kind = WATCH_PID, .pid = 42};
    struct guard_finder *finder = guard_finder_new(&watch, root, NULL);
    struct guard_life life;
    add_process(42, 1, "whisper-server", 700, "0::/user.slice/x.scope\n");
    guard_finder_look(finder, NS_PER_S, &life);
    assert_int_equal(life.presence, PRESENCE_UP);
    assert_int_equal(life.main.start_ticks, 700);
    assert_string_equal(guard_finder_group(finder), "/user.slice/x.scope");
    /* The number is given to another: it is not the service. */
    remove_process(42);
    add_process(42, 1, "cron", 900, "0::/\n");
    guard_finder_look(finder, 4 * NS_PER_S, &life);
    assert_int_equal(life.presence, PRESENCE_DOWN);
    assert_int_equal(life.main.pid, 0);
    guard_finder_free(finder);
}

static void test_container_by_id(void **state)
{
    (void)state;
    static const char group[] =
        "5:memory:/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n0::/\n";
    const struct spec_watch watch = {.kind = WATCH_CONTAINER, .container = "0123456789ab"};
    struct guard_finder *finder = guard_finder_new(&watch, root, NULL);
    struct guard_life life;
    add_process(50, 49, "containerd-shim", 1, "0::/system.slice/containerd.service\n");
    add_process(52, 51, "worker", 30, group);
    add_process(51, 50, "server", 20, group);
    guard_finder_look(finder, NS_PER_S, &life);
    assert_int_equal(life.presence, PRESENCE_UP);
    assert_int_equal(life.main.pid, 51);
    guard_finder_free(finder);
}

static void test_container_name_is_a_whole_word(void **state)
{
    (void)state;
    const struct spec_watch watch = {.kind = WATCH_CONTAINER, .container = "web"};
    struct guard_finder *finder = guard_finder_new(&watch, root, NULL);
    struct guard_life life;
    add_process(60, 1, "other", 1, "0::/lxc.payload.webshop\n");
    guard_finder_look(finder, NS_PER_S, &life);
    assert_int_equal(life.presence, PRESENCE_DOWN);
    /* Before: nothing said that one of docker's is never found so. */
    assert_string_equal(life.why, "container web: no such process runs (docker's is found by its "
                                  "id alone)");
    add_process(61, 1, "nginx", 1, "0::/lxc.payload.web\n");
    guard_finder_look(finder, 4 * NS_PER_S, &life);
    assert_int_equal(life.main.pid, 61);
    guard_finder_free(finder);
}

static void test_a_unit_without_systemd_is_unknown(void **state)
{
    (void)state;
    const struct spec_watch watch = {.kind = WATCH_UNIT, .unit = "a.service"};
    struct guard_finder *finder = guard_finder_new(&watch, root, NULL);
    struct guard_life life;
    guard_finder_look(finder, NS_PER_S, &life);
    assert_int_equal(life.presence, PRESENCE_UNKNOWN);
    guard_finder_free(finder);
}

/* ---- a port ---- */

static void test_listening(void **state)
{
    (void)state;
    AUTO(fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    int port = ntohs(at.sin_port);
    if (guard_port_listening(port) == LISTENING_UNKNOWN)
        skip(); /* no sock_diag here */
    assert_int_equal(guard_port_listening(port), LISTENING_NO);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(guard_port_listening(port), LISTENING_YES);
}

/* ---- whose port it is: over the real /proc ---- */

static int listen_somewhere(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(listen(fd, 1), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

/* A process that does nothing. `keep`: a descriptor that it has as well. */
static pid_t stand(int keep, const char *name)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    usleep(30000); /* younger than whoever has begun before, by the kernel's ticks */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        for (int fd = 3; fd < 100; fd++)
            if (fd != keep && fd != ready[1])
                close(fd);
        (void)!write(ready[1], "x", 1);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static enum guard_presence look_at(pid_t pid, int port, char *ret_why, size_t size)
{
    const struct spec_watch watch = {.kind = WATCH_PID, .pid = pid, .port = port};
    struct guard_finder *finder = guard_finder_new(&watch, "/proc", NULL);
    struct guard_life life;
    guard_finder_look(finder, NS_PER_S, &life);
    snprintf(ret_why, size, "%s", life.why);
    guard_finder_free(finder);
    return life.presence;
}

/* Before: it was up, and another answered its probes. */
static void test_a_port_that_another_has(void **state)
{
    (void)state;
    int port = 0;
    char why[200], expected[100];
    int fd = listen_somewhere(&port);
    if (guard_port_listening(port) != LISTENING_YES || proc_listener("/proc", port) != getpid())
        skip(); /* not to be seen here */
    pid_t without = stand(-1, "server");
    assert_int_equal(look_at(without, port, why, sizeof why), PRESENCE_DOWN);
    snprintf(expected, sizeof expected, "port %d is served by process %d (", port, (int)getpid());
    if (!strstr(why, expected))
        fail_msg("%s", why);
    /* It shares the socket with us, who are listed first. */
    pid_t with = stand(fd, "server");
    assert_int_equal(look_at(with, port, why, sizeof why), PRESENCE_UP);
    /* A child of its own has the port. */
    assert_int_equal(look_at(getpid(), port, why, sizeof why), PRESENCE_UP);
    close(fd);
    assert_int_equal(look_at(getpid(), port, why, sizeof why), PRESENCE_UP);
    /* One that is younger may be a child whose parent has ended. */
    assert_int_equal(look_at(without, port, why, sizeof why), PRESENCE_UP);
    end(with);
    end(without);
}

/* What listens for a container is no stranger. */
static void test_a_port_that_is_handed_on(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum guard_presence presence;
    } rows[] = {{"docker-proxy", PRESENCE_UP},
                {"rootlessport", PRESENCE_UP},
                {"old-server", PRESENCE_DOWN}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int port = 0;
        char why[200];
        int fd = listen_somewhere(&port);
        pid_t holder = stand(fd, rows[i].name);
        pid_t server = stand(-1, "server");
        close(fd);
        if (proc_listener("/proc", port) == holder && guard_port_listening(port) == LISTENING_YES)
            CHECK_ROW(i, rows[i].name, look_at(server, port, why, sizeof why) == rows[i].presence);
        end(server);
        end(holder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_and_automatic_restart),
        cmocka_unit_test(test_put_aside),
        cmocka_unit_test(test_restart_between_two_looks),
        cmocka_unit_test(test_restart_by_hand_resets_systemds_count),
        cmocka_unit_test(test_absent_then_there),
        cmocka_unit_test(test_kernel_kill_by_systemds_word),
        cmocka_unit_test_setup_teardown(test_pid_lives_and_ends, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_container_by_id, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_container_name_is_a_whole_word, make_root,
                                        remove_root),
        cmocka_unit_test(test_a_unit_without_systemd_is_unknown),
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_a_port_that_another_has),
        cmocka_unit_test(test_a_port_that_is_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
