/* Whatever kills us, or the keeper, or both orders of it: nothing of a service stays. */
#include "fixture.h"

#include <sys/mman.h>

/* What an intermediate parent tells the test before it is killed. */
struct shared {
    _Atomic int ready;
    pid_t keeper, bystander;
};

static struct shared *shared_new(void)
{
    void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    return map;
}

/* A parent which starts the service and waits to be killed; a bystander of it inherits every
 * descriptor, so that the end of the keeper's socket alone would not be seen. */
static pid_t fork_parent(struct fixture *fix, const char *says, bool bystander,
                         struct shared *shared)
{
    pid_t parent = fork();
    if (parent != 0)
        return parent;
    alarm(100);
    struct service_process *process = NULL;
    if (!service_process_start(&fix->launch, fix->study, &process, NULL))
        _exit(1);
    if (says && !fixture_says(process, says))
        _exit(2);
    pid_t by = bystander ? fork() : -1;
    if (by == 0) {
        alarm(100);
        pause();
    }
    shared->bystander = by;
    shared->keeper = service_process_status(process)->keeper;
    shared->ready = 1;
    while (1)
        pause();
}

static void test_our_own_death(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *number, *says;
        bool bystander;
    } rows[] = {
        {"sleep", "0", NULL, false},     {"deaf", "0", "deaf", false},
        {"setsid", "0", "apart", false}, {"daemon", "0", "daemon", false},
        {"bomb", "2", NULL, false},      {"setsid", "0", "apart", true},
    };
    struct err err = ERR_INIT;
    assert_true(service_init(&err)); /* so that the keeper comes to us when its parent is dead */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture fix;
        fixture_init(&fix, rows[i].mode, rows[i].number);
        struct shared *shared = shared_new();
        pid_t parent = fork_parent(&fix, rows[i].says, rows[i].bystander, shared);
        for (int n = 0; n < 1000 && !shared->ready; n++)
            fixture_sleep_ms(20);
        CHECK_ROW(i, rows[i].mode, shared->ready && fixture_alive(&fix) > 0);
        kill(parent, SIGKILL);
        waitpid(parent, NULL, 0);
        CHECK_ROW(i, rows[i].mode, fixture_all_gone(&fix));
        for (int n = 0; n < 250 && kill(shared->keeper, 0) == 0;
             n++) { /* and the keeper goes too */
            waitpid(shared->keeper, NULL, WNOHANG);
            fixture_sleep_ms(20);
        }
        CHECK_ROW(i, rows[i].mode, kill(shared->keeper, 0) != 0);
        if (shared->bystander > 0) {
            kill(shared->bystander, SIGKILL);
            waitpid(shared->bystander, NULL, 0);
        }
        while (waitpid(-1, NULL, 0) > 0) { /* the keeper's guard is the last to go */
        }
        munmap(shared, 4096);
        fixture_done(&fix);
    }
}

/* The keeper is killed: the server dies by its parent's death, its orphans come to the keeper's
 * guard, or to us where that was killed before. */
static void test_keeper_killed(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *says;
        bool guard_too;
    } rows[] = {
        {"sleep", NULL, false},      {"deaf", "deaf", false}, {"setsid", "apart", false},
        {"daemon", "daemon", false}, {"sleep", NULL, true},   {"setsid", "apart", true},
        {"daemon", "daemon", true},
    };
    struct err err = ERR_INIT;
    assert_true(service_init(&err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture fix;
        fixture_init(&fix, rows[i].mode, "0");
        AUTO(service_process_free) struct service_process *process = fixture_start(&fix);
        CHECK_ROW(i, rows[i].mode, !rows[i].says || fixture_says(process, rows[i].says));
        const struct process_status *status = service_process_status(process);
        struct proc_stat keeper;
        CHECK_ROW(i, rows[i].mode, proc_read_stat("/proc", status->keeper, &keeper));
        if (rows[i].guard_too)
            kill(keeper.ppid, SIGKILL);
        kill(status->keeper, SIGKILL);
        CHECK_ROW(i, rows[i].mode, fixture_reach(process, PROCESS_EMPTY));
        for (int n = 0; n < 100 && status->state != PROCESS_EMPTY; n++)
            fixture_reach(process, PROCESS_EMPTY);
        CHECK_ROW(i, rows[i].mode, status->state == PROCESS_EMPTY && status->keeper_lost);
        CHECK_ROW(i, rows[i].mode, fixture_all_gone(&fix));
        fixture_done(&fix);
    }
    assert_int_equal(service_reap_strays(NS_PER_S), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A child that another part of the program forked, even in a session of its own, is left alone. */
static void test_strays_spare_others(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_true(service_init(&err));
    pid_t plain = fork();
    if (plain == 0) {
        alarm(60);
        setsid();
        pause();
        _exit(0);
    }
    fixture_sleep_ms(50);
    assert_int_equal(service_reap_strays(100 * NS_PER_MS), 0);
    assert_int_equal(kill(plain, 0), 0);
    kill(plain, SIGKILL);
    assert_int_equal(waitpid(plain, NULL, 0), plain);
}

/* A marked orphan whose session nobody knows (its keeper and its whole process record are gone). */
static void test_stray_by_mark(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_true(service_init(&err));
    struct fixture fix;
    fixture_init(&fix, "sleep", "0");
    pid_t middle = fork();
    if (middle == 0) {
        setsid();
        if (fork() == 0) {
            char mark[128];
            snprintf(mark, sizeof mark, "SPICA_SERVICE=%s/child", fix.study);
            char *env[] = {mark, NULL}, name[] = "child", mode[] = "sleep";
            char *argv[] = {name, mode, NULL};
            execve(CHILD_PROGRAM, argv, env);
        }
        _exit(0);
    }
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    for (int i = 0; i < 100 && fixture_alive(&fix) == 0; i++)
        fixture_sleep_ms(10);
    assert_int_equal(service_reap_strays(5 * NS_PER_S), 1);
    assert_int_equal(fixture_alive(&fix), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    fixture_done(&fix);
}

/* A real limit, where one can be set: the kernel's kill is counted and told apart from ours. */
static void test_memory_limit(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "eat", "400");
    fix.spec.memory_limit_bytes = 64 << 20;
    AUTO(service_process_free) struct service_process *process = NULL;
    struct err err = ERR_INIT;
    if (!service_process_start(&fix.launch, fix.study, &process, &err)) {
        assert_int_equal(err.code, ERR_INPUT);
        assert_non_null(strstr(err.text, "memory_limit: no memory cgroup can be made"));
        print_message("skipped: %s\n", err.text);
        fixture_done(&fix);
        skip();
    }
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    const struct process_status *status = service_process_status(process);
    assert_int_equal(status->signal, SIGKILL);
    assert_false(status->signal_was_ours);
    assert_int_equal(status->oom_kills, 1);
    fixture_done(&fix);
}

static void test_memory_limit_kept(void **state)
{
    (void)state;
    struct fixture fix;
    fixture_init(&fix, "eat", "20");
    fix.spec.memory_limit_bytes = 64 << 20;
    AUTO(service_process_free) struct service_process *process = NULL;
    struct err err = ERR_INIT;
    if (!service_process_start(&fix.launch, fix.study, &process, &err)) {
        print_message("skipped: %s\n", err.text);
        fixture_done(&fix);
        skip();
    }
    assert_true(fixture_says(process, "ate 20"));
    assert_true(service_process_stop_wait(process, NS_PER_S, &err));
    assert_int_equal(service_process_status(process)->oom_kills, 0);
    assert_int_equal(service_process_status(process)->signal, SIGTERM);
    fixture_done(&fix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_our_own_death),       cmocka_unit_test(test_keeper_killed),
        cmocka_unit_test(test_strays_spare_others), cmocka_unit_test(test_stray_by_mark),
        cmocka_unit_test(test_memory_limit),        cmocka_unit_test(test_memory_limit_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
