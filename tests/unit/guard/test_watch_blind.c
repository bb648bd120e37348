/* Whether a process writes its errors to a file, of processes that are there. */
#include "guard/watch_blind.h"

#include "base/auto.h"
#include "base/file.h"

#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_with(int fd)
{
    pid_t child = fork();
    if (child == 0) {
        dup2(fd, 2);
        for (;;)
            pause();
    }
    return child;
}

static bool wait_for(pid_t child, const char *wanted, bool found)
{
    char path[512];
    for (int i = 0; i < 500; i++) {
        path[0] = '\0';
        bool seen = guard_blind_file("/proc", child, path, sizeof path);
        if (seen == found && (!found || strcmp(path, wanted) == 0))
            return true;
        usleep(10000);
    }
    return false;
}

static void test_a_file_is_told_from_all_else(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "llm.log");
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), ends[2];
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    assert_true(file >= 0 && null >= 0 && pipe(ends) == 0);
    const struct {
        const char *name;
        int fd;
        bool found;
    } rows[] = {
        {"a file", file, true}, {"a pipe", ends[1], false}, {"the null device", null, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        pid_t child = start_with(rows[i].fd);
        CHECK_ROW(i, rows[i].name, wait_for(child, path, rows[i].found));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        char ignored[16];
        CHECK_ROW(i, "gone", !guard_blind_file("/proc", child, ignored, sizeof ignored));
    }
    close(file);
    close(null);
    close(ends[0]);
    close(ends[1]);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_is_told_from_all_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
