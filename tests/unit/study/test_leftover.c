/* What nobody owns any more is found; what lives under a keeper, or is dead, is not. */
#include "check.h"

#include "study/leftover.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process with the marker in its environment, which only exec can put there. */
static pid_t start_marked(const char *marker)
{
    pid_t pid = fork();
    if (pid == 0) {
        char name[] = "sleep", time[] = "1000";
        char *argv[] = {name, time, NULL};
        char *env[] = {(char *)marker, NULL};
        execve("/bin/sleep", argv, env);
        _exit(127);
    }
    return pid;
}

static bool finds(const char *what)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    assert_true(study_find_leftovers("/proc", &text, NULL));
    return strstr(buf_text(&text), what) != NULL;
}

static void test_left(void **state)
{
    (void)state;
    pid_t pid = start_marked("SPICA_SERVICE=night-run/stt");
    char name[64];
    snprintf(name, sizeof name, "pid %d (sleep) of night-run/stt", (int)pid);
    bool found = false;
    for (int i = 0; i < 2000 && !found; i++) { /* until it has become sleep */
        found = finds(name);
        usleep(5000);
    }
    assert_true(found);
    kill(pid, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    assert_false(finds(name)); /* a zombie uses nothing */
    waitpid(pid, NULL, 0);
}

static void test_kept(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t keeper = fork();
    if (keeper == 0) {
        prctl(PR_SET_NAME, "spica-keeper");
        pid_t child = start_marked("SPICA_SERVICE=kept-run/llm");
        if (write(fds[1], &child, sizeof child) != sizeof child)
            _exit(1);
        waitpid(child, NULL, 0);
        _exit(0);
    }
    pid_t child = 0;
    assert_int_equal(read(fds[0], &child, sizeof child), sizeof child);
    usleep(50000);
    assert_false(finds("kept-run/llm"));
    kill(child, SIGKILL);
    waitpid(keeper, NULL, 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
