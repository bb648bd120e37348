/* Each tick of CPU time is counted once, with the process that a person would name. */
#include "device/machine.h"
#include "device/neighbour.h"

#include "fake_proc.h"

#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK INT64_C(10000000)

/* Two listings of a fake /proc: write `before`, take, replace by `after`, take. */
struct pair {
    char *root;
    struct device_activity *before, *after;
};

static struct pair pair_take(const struct fake_process *before, const struct fake_process *after)
{
    struct pair pair = {.root = check_make_folder()};
    for (const struct fake_process *p = before; p->pid; p++)
        fake_stat(pair.root, p);
    pair.before = device_activity_take(pair.root);
    for (const struct fake_process *p = before; p->pid; p++)
        fake_remove(pair.root, p->pid);
    for (const struct fake_process *p = after; p->pid; p++)
        fake_stat(pair.root, p);
    pair.after = device_activity_take(pair.root);
    return pair;
}

static void pair_end(struct pair *pair)
{
    device_activity_free(pair->before);
    device_activity_free(pair->after);
    check_remove_folder(pair->root);
}

static const struct fake_process before[] = {
    {.pid = 1, .comm = "init", .start = 1, .user = 100, .child_user = 50},
    {.pid = 10, .ppid = 1, .comm = "spica", .start = 10, .user = 5},
    {.pid = 11, .ppid = 10, .comm = "llama-server", .start = 11, .user = 100},
    {.pid = 12, .ppid = 11, .comm = "worker", .start = 12, .user = 10},
    {.pid = 20, .ppid = 1, .comm = "make", .start = 20, .user = 1, .child_user = 30},
    {.pid = 21, .ppid = 20, .comm = "cc1", .start = 21, .user = 70, .child_user = 3},
    {.pid = 30, .ppid = 1, .comm = "ollama", .start = 30, .user = 500, .system = 100},
    {.pid = 31, .ppid = 30, .comm = "runner", .start = 31, .user = 900},
    {.pid = 40, .ppid = 1, .comm = "sleeper", .start = 40, .user = 1000},
    {.pid = 50, .ppid = 1, .comm = "old", .start = 50, .user = 4000},
    {0},
};
static const struct fake_process after[] = {
    {.pid = 1, .comm = "init", .start = 1, .user = 100, .child_user = 50},
    {.pid = 10, .ppid = 1, .comm = "spica", .start = 10, .user = 9},
    {.pid = 11, .ppid = 10, .comm = "llama-server", .start = 11, .user = 300},
    {.pid = 12, .ppid = 1, .comm = "worker", .start = 12, .user = 60}, /* left our tree */
    /* make reaped 21 (73 before, 80 at its end) and a compiler that nobody saw (15) */
    {.pid = 20, .ppid = 1, .comm = "make", .start = 20, .user = 2, .child_user = 125},
    {.pid = 30, .ppid = 1, .comm = "ollama", .start = 30, .user = 510, .system = 105},
    {.pid = 31, .ppid = 30, .comm = "runner", .start = 31, .user = 920},
    {.pid = 40, .ppid = 1, .comm = "sleeper", .start = 40, .user = 1000},
    {.pid = 50, .ppid = 1, .comm = "new", .start = 999, .user = 40, .system = 2}, /* pid again */
    {0},
};

static void test_top(void **state)
{
    (void)state;
    static const struct {
        pid_t pid;
        const char *comm;
        int64_t ticks;
    } rows[] = {
        {50, "new", 42},
        {20, "make", 23},
        {31, "runner", 20},
        {30, "ollama", 15},
    };
    struct pair pair = pair_take(before, after);
    const pid_t own[] = {10};
    struct device_holder holders[8];
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, own, 1, NULL, 0, holders, 8), 4);
    double unit = holders[0].cpu_ratio / 42;
    assert_true(unit > 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CHECK_ROW(i, rows[i].comm, holders[i].pid == rows[i].pid);
        CHECK_ROW_TEXT(i, rows[i].comm, holders[i].comm, rows[i].comm);
        double off = holders[i].cpu_ratio / unit - (double)rows[i].ticks;
        CHECK_ROW(i, rows[i].comm, fabs(off) < 1e-6);
        CHECK_ROW(i, rows[i].comm, holders[i].memory_bytes.state == READING_UNKNOWN);
    }
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, own, 1, NULL, 0, holders, 2), 2);
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, own, 1, NULL, 0, holders, 0), 0);
    const pid_t all[] = {10, 1};
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, all, 2, NULL, 0, holders, 8), 0);
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, NULL, 0, NULL, 0, holders, 8), 7);
    pair_end(&pair);
}

static void test_neighbours(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct spec_neighbour neighbours[2];
        size_t count;
        int64_t ticks;
        pid_t own[2]; /* roots of ours; 0: none */
    } rows[] = {
        {"none", {{0}}, 0, 0},
        {"empty", {{0}}, 1, 0},
        {"pid, with its tree", {{.pid = 30}}, 1, 35},
        {"a pid that is not there", {{.pid = 404}}, 1, 0},
        {"program", {{.command = "ollama"}}, 1, 35},
        {"part of a program's name", {{.command = "olla"}}, 1, 0},
        {"program below another", {{.command = "ollama"}, {.command = "runner"}}, 2, 35},
        {"cut name", {{.command = "ollama"}, {.pid = 31}}, 2, 35},
        {"dead children", {{.command = "make"}}, 1, 23},
        {"unit", {{.unit = "ollama.service"}}, 1, 35},
        {"unit without its type", {{.unit = "ollama"}}, 1, 35},
        {"unit's folder below", {{.unit = "system.slice"}}, 1, 35},
        {"end of a unit's name", {{.unit = "lama.service"}}, 1, 0},
        {"start of a unit's name", {{.unit = "ollama.servic"}}, 1, 0},
        {"unit and pid of it", {{.unit = "ollama.service"}, {.pid = 31}}, 2, 35},
        {"unit and another", {{.unit = "ollama.service"}, {.command = "make"}}, 2, 58, {0}},
        {"ours by the same name", {{.command = "ollama"}}, 1, 0, {30}},
        {"ours below it", {{.command = "ollama"}}, 1, 15, {31}},
        {"ours, one left the tree",
         {{.command = "llama-server"}, {.command = "worker"}},
         2,
         0,
         {10}},
        {"ours in the unit", {{.unit = "ollama.service"}}, 1, 0, {30}},
        {"ours beside it", {{.command = "ollama"}, {.command = "make"}}, 2, 35, {404, 20}},
    };
    struct pair pair = pair_take(before, after);
    fake_text(pair.root, "30/cgroup", "1:name=systemd:/system.slice/ollama.service\n0::/\n");
    fake_text(pair.root, "31/cgroup", "0::/system.slice/ollama.service/runner\n");
    fake_text(pair.root, "20/cgroup", "0::/user.slice/xollama.service\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ns = device_activity_neighbours_ns(pair.before, pair.after, rows[i].neighbours,
                                                   rows[i].count, rows[i].own, 2);
        CHECK_ROW(i, rows[i].name, ns == rows[i].ticks * TICK);
    }
    pair_end(&pair);
}

/* A program's name is compared as the kernel keeps it: 15 bytes. */
static void test_long_command(void **state)
{
    (void)state;
    static const struct fake_process none[] = {{.pid = 1, .start = 1}, {0}};
    static const struct fake_process some[] = {
        {.pid = 1, .start = 1},
        {.pid = 7, .ppid = 1, .comm = "faster-whisper-", .start = 2, .user = 6},
        {0},
    };
    const struct spec_neighbour neighbour = {.command = "faster-whisper-server"};
    struct pair pair = pair_take(none, some);
    assert_int_equal(device_activity_neighbours_ns(pair.before, pair.after, &neighbour, 1, NULL, 0),
                     6 * TICK);
    pair_end(&pair);
}

static void test_absurd(void **state)
{
    (void)state;
    const long long huge = INT64_MAX / 2 / TICK;
    const struct fake_process first[] = {
        {.pid = 1, .start = 1, .user = 9, .child_user = huge},
        {.pid = 2, .ppid = 3, .start = 1, .user = huge, .child_user = huge}, /* a ring */
        {.pid = 3, .ppid = 2, .start = 1, .user = huge, .child_user = huge},
        {.pid = 4, .ppid = 1, .start = 1, .user = huge, .child_user = huge},
        {.pid = 5, .ppid = 4, .start = 1, .user = huge, .child_user = huge},
        {0},
    };
    const struct fake_process second[] = {
        {.pid = 1, .start = 1, .user = 3}, /* time went back */
        {.pid = 6, .ppid = 1, .start = 2, .user = huge, .system = huge, .child_user = huge},
        {0},
    };
    struct pair pair = pair_take(first, second);
    struct device_holder holders[4];
    assert_int_equal(
        device_activity_strangers(pair.before, pair.after, NULL, 0, NULL, 0, holders, 4), 1);
    assert_int_equal(holders[0].pid, 6);
    const struct spec_neighbour neighbour = {.pid = 1};
    assert_true(device_activity_neighbours_ns(pair.before, pair.after, &neighbour, 1, NULL, 0) > 0);
    pair_end(&pair);
    device_activity_free(NULL);
    AUTO(device_activity_free) struct device_activity *empty = device_activity_take("/nonexistent");
    assert_int_equal(device_activity_strangers(empty, empty, NULL, 0, NULL, 0, holders, 4), 0);
    assert_int_equal(device_activity_neighbours_ns(empty, empty, &neighbour, 1, NULL, 0), 0);
}

/* A real child that works until it has used some CPU time is found, and is not when it is ours. */
static void test_real(void **state)
{
    (void)state;
    int fds[2];
    char done = 0;
    assert_int_equal(pipe(fds), 0);
    AUTO(device_activity_free) struct device_activity *first = device_activity_take("/proc");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (clock() < CLOCKS_PER_SEC / 10)
            ;
        if (write(fds[1], &done, 1) == 1)
            pause();
        _exit(0);
    }
    assert_int_equal(read(fds[0], &done, 1), 1);
    AUTO(device_activity_free) struct device_activity *second = device_activity_take("/proc");
    const struct spec_neighbour neighbour = {.pid = child};
    int64_t ns = device_activity_neighbours_ns(first, second, &neighbour, 1, NULL, 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(ns >= 7 * TICK); /* of 10, ticks being what they are */
    static struct device_holder holders[4096];
    const pid_t own = child;
    size_t all =
        device_activity_strangers(first, second, NULL, 0, NULL, 0, holders, ARRAY_LEN(holders));
    bool found = false;
    for (size_t i = 0; i < all; i++)
        found = found || holders[i].pid == child;
    assert_true(found);
    size_t others =
        device_activity_strangers(first, second, &own, 1, NULL, 0, holders, ARRAY_LEN(holders));
    assert_int_equal(others, all - 1);
}

/* A declared neighbour: its oldest process is the main one; gone, a zombie, or another under the
 * same pid is not the one it was. */
static void test_neighbour_main(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "neighbour-x");
        for (;;)
            pause();
    }
    const struct spec_neighbour by_pid = {.pid = child}, by_name = {.command = "neighbour-x"};
    const struct spec_neighbour absent = {.command = "no-such-program"},
                                no_unit = {.unit = "no-such-unit.service"};
    struct proc_stat seen = {0}, named = {0};
    assert_true(device_neighbour_main("/proc", &by_pid, &seen));
    for (int i = 0; i < 2000 && !device_neighbour_main("/proc", &by_name, &named); i++)
        usleep(5000); /* until the child has given itself its name */
    assert_int_equal(seen.pid, child);
    assert_int_equal(named.pid, child);
    assert_false(device_neighbour_main("/proc", &absent, &named));
    assert_false(device_neighbour_main("/proc", &no_unit, &named));
    assert_true(device_neighbour_lives("/proc", &seen));
    struct proc_stat recycled = seen;
    recycled.start_ticks--;
    assert_false(device_neighbour_lives("/proc", &recycled));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT); /* dead, not reaped */
    assert_false(device_neighbour_lives("/proc", &seen));
    assert_false(device_neighbour_main("/proc", &by_pid, &named));
    waitpid(child, NULL, 0);
    assert_false(device_neighbour_lives("/proc", &seen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top),    cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_absurd), cmocka_unit_test(test_long_command),
        cmocka_unit_test(test_real),   cmocka_unit_test(test_neighbour_main),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
