/* The tree is the same through the kernel's children files and through a scan, and setsid, double
 * forks and zombies do not leave it. */
#include "device/proc.h"

#include "fake_proc.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int compare_pids(const void *a, const void *b)
{
    const struct proc_stat *left = a, *right = b;
    return left->pid - right->pid;
}

/* The tree's pids in order, as "7 8 9 "; owned. */
static char *tree_text(const char *root, pid_t pid)
{
    struct err err = ERR_INIT;
    struct proc_stat *list = NULL;
    size_t count = 0, len = 0;
    char *text = NULL;
    assert_true(proc_tree(root, pid, &list, &count, &err));
    if (count)
        qsort(list, count, sizeof *list, compare_pids);
    FILE *file = open_memstream(&text, &len);
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%d ", (int)list[i].pid);
    fclose(file);
    free(list);
    return text;
}

static const struct fake_process family[] = {
    {.pid = 1, .ppid = 0},   {.pid = 7, .ppid = 1},
    {.pid = 8, .ppid = 7},   {.pid = 9, .ppid = 8, .state = 'Z'},
    {.pid = 5, .ppid = 8}, /* a lower pid than its parent's: pids wrap around */
    {.pid = 11, .ppid = 9},  {.pid = 20, .ppid = 1},
    {.pid = 21, .ppid = 20},
};

static const struct {
    pid_t pid;
    const char *tree;
} trees[] = {
    {1, "1 5 7 8 9 11 20 21 "},
    {7, "5 7 8 9 11 "},
    {8, "5 8 9 11 "},
    {20, "20 21 "},
    {21, "21 "},
    {99, ""},
    {0, ""},
    {-1, ""},
};

static void check_trees(const char *root)
{
    for (size_t i = 0; i < ARRAY_LEN(trees); i++) {
        AUTO(free) char *text = tree_text(root, trees[i].pid);
        CHECK_ROW_TEXT(i, "tree", text, trees[i].tree);
    }
}

/* A daemon's child that is 20's by agreement, with what is below it; a later owner of its number is
 * nobody's. */
static void check_adopted(const char *root)
{
    struct proc_stat child = {.pid = 8};
    assert_true(proc_adopt(20, &child));
    AUTO(free) char *with = tree_text(root, 20);
    assert_string_equal(with, "5 8 9 11 20 21 ");
    child.start_ticks = 1;
    assert_true(proc_adopt(20, &child)); /* in place of the other */
    AUTO(free) char *later = tree_text(root, 20);
    assert_string_equal(later, "20 21 ");
    child.start_ticks = 0;
    assert_true(proc_adopt(20, &child));
    proc_disown(20);
    check_trees(root);
}

static void test_by_scan(void **state)
{
    (void)state;
    char *root = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(family); i++) {
        char task[64];
        fake_stat(root, &family[i]);
        snprintf(task, sizeof task, "%d/task/%d/stat", family[i].pid, family[i].pid);
        fake_text(root, task, "no children file here\n");
    }
    check_trees(root);
    check_adopted(root);
    check_remove_folder(root);
}

static void test_by_children(void **state)
{
    (void)state;
    char *root = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(family); i++)
        fake_stat(root, &family[i]);
    fake_children(root, 1, 1, "7 20 ");
    fake_children(root, 7, 7, "");
    fake_children(root, 7, 70, "8 ");    /* forked by another thread */
    fake_children(root, 8, 8, "9 5 9 "); /* named twice */
    fake_children(root, 5, 5, "");
    fake_children(root, 9, 9, "11");
    fake_children(root, 11, 11, "");
    fake_children(root, 20, 20, "21 404 "); /* 404 vanished meanwhile */
    fake_children(root, 21, 21, "");
    check_trees(root);
    check_adopted(root);
    check_remove_folder(root);
}

static void test_hostile_children(void **state)
{
    (void)state;
    char *root = check_make_folder();
    for (int pid = 7; pid <= 9; pid++)
        fake_stat(root, &(struct fake_process){.pid = pid, .ppid = pid == 7 ? 9 : pid - 1});
    fake_children(root, 7, 7, "8 ");
    fake_children(root, 8, 8, "9 -3 0 x99999999999999999999 12");
    fake_children(root, 9, 9, "7 "); /* a ring */
    AUTO(free) char *text = tree_text(root, 7);
    assert_string_equal(text, "7 8 9 ");
    /* The same ring by scan. */
    fake_remove(root, 8);
    fake_stat(root, &(struct fake_process){.pid = 8, .ppid = 7});
    fake_text(root, "8/task/8/stat", "");
    AUTO(free) char *scanned = tree_text(root, 7);
    assert_string_equal(scanned, "7 8 9 ");
    AUTO(free) char *other = tree_text(root, 404);
    assert_string_equal(other, "");
    check_remove_folder(root);
}

/* Thousands of children in one file, more than one read of it takes. */
static void test_wide(void **state)
{
    (void)state;
    char *root = check_make_folder(), *children = NULL;
    size_t len = 0, count = 0;
    FILE *file = open_memstream(&children, &len);
    fake_stat(root, &(struct fake_process){.pid = 1});
    for (int pid = 10000; pid < 12000; pid++) {
        fprintf(file, "%d ", pid);
        fake_stat(root, &(struct fake_process){.pid = pid, .ppid = 1});
        fake_children(root, pid, pid, "");
    }
    fclose(file);
    fake_children(root, 1, 1, children);
    free(children);
    struct err err = ERR_INIT;
    AUTO(free) struct proc_stat *list = NULL;
    assert_true(proc_tree(root, 1, &list, &count, &err));
    assert_int_equal(count, 2001);
    assert_false(proc_tree("/nonexistent", 1, &list, &count, &err));
    check_remove_folder(root);
}

/* Child, setsid grandchild, and its own child whose parent ends: it comes to us, the subreaper.
 * Each writes its pid when it is where it should be. */
static pid_t start_family(int *ret_pids_fd)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                pid_t me = getpid();
                prctl(PR_SET_PDEATHSIG, 0);
                while (getppid() == 0 || write(fds[1], &me, sizeof me) != sizeof me)
                    usleep(1000);
                alarm(30);
                pause();
            }
            _exit(0);
        }
        pause();
        _exit(0);
    }
    close(fds[1]);
    *ret_pids_fd = fds[0];
    return child;
}

static void test_setsid_grandchild(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    AUTO(fd) int fd = -1;
    pid_t child = start_family(&fd), orphan = 0;
    assert_int_equal(read(fd, &orphan, sizeof orphan), sizeof orphan);
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    assert_true(proc_tree("/proc", getpid(), &list, &count, &err));
    bool seen_child = false, seen_orphan = false, seen_self = false;
    for (size_t i = 0; i < count; i++) {
        seen_child = seen_child || list[i].pid == child;
        seen_self = seen_self || list[i].pid == getpid();
        if (list[i].pid == orphan) {
            seen_orphan = true;
            assert_int_not_equal(list[i].session, getsid(0));
        }
    }
    assert_true(seen_child && seen_orphan && seen_self);
    kill(orphan, SIGKILL);
    kill(child, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    AUTO(free) struct proc_stat *after = NULL;
    assert_true(proc_tree("/proc", getpid(), &after, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_scan),           cmocka_unit_test(test_by_children),
        cmocka_unit_test(test_hostile_children),  cmocka_unit_test(test_wide),
        cmocka_unit_test(test_setsid_grandchild),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
