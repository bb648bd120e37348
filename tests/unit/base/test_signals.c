/* A child's signals are the defaults, libc's own two among them. */
#include "base/signals.h"

#include "base/auto.h"

#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The fields of /proc/self/status that are not all zero, as bits of the returned value. */
static int masks_left(void)
{
    static const char *const fields[] = {"SigBlk:", "SigIgn:"};
    char line[256];
    int left = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
            if (strncmp(line, fields[i], strlen(fields[i])) == 0 &&
                strspn(line + strlen(fields[i]), "\t0\n") != strlen(line + strlen(fields[i])))
                left |= 1 << i;
    if (file)
        fclose(file);
    return left;
}

static void test_reset(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        static const unsigned long ignored[8] = {1}; /* SIG_IGN, as the kernel takes it */
        static const int all[] = {SIGHUP, SIGPIPE, SIGTERM, 32, 33, 34, 64};
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
            syscall(SYS_rt_sigaction, all[i], ignored, NULL, (size_t)8);
        sigset_t held;
        sigfillset(&held);
        sigprocmask(SIG_SETMASK, &held, NULL);
        int before = masks_left();
        signals_reset();
        _exit(before == 3 ? masks_left() : 4);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
