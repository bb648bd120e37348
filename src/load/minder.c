/* PR_SET_PDEATHSIG kills a program when its worker dies, but not what the program has started; and
 * a worker that is killed can't clean up. So somebody else must, who notices by the end of a pipe.
 *
 * A fork without exec, made before the worker holds much. It ignores the signals that the worker
 * ignores, holds no descriptor but the pipe (the worker's channel least of all: its parent must see
 * it close), allocates nothing, and kills only groups which were begun and not ended. A group's
 * number is not given again while one of its processes is there, zombies included, and the worker
 * reaps only after it has killed. */
#include "load/minder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { GROUPS_MAX = 16384, PIPE_FD = 3 };

static pid_t groups[GROUPS_MAX]; /* of the minder's own process; 0: free */

static void note(const struct load_minded *told)
{
    pid_t from = told->alive ? 0 : told->group, to = told->alive ? told->group : 0;
    for (size_t i = 0; i < GROUPS_MAX; i++)
        if (groups[i] == from) {
            groups[i] = to;
            return;
        }
}

static void kill_all(void)
{
    for (size_t i = 0; i < GROUPS_MAX; i++)
        if (groups[i] > 1)
            kill(-groups[i], SIGKILL);
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(folder);
}

static _Noreturn void mind(int pipe_fd, const char *folder)
{
    prctl(PR_SET_NAME, "spica-minder");
    if (pipe_fd != PIPE_FD && dup2(pipe_fd, PIPE_FD) < 0)
        _exit(1);
    closefrom(PIPE_FD + 1);
    for (;;) {
        struct load_minded told[64];
        ssize_t n = read(PIPE_FD, told, sizeof told);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        for (size_t i = 0; i < (size_t)n / sizeof *told; i++)
            note(&told[i]);
    }
    kill_all();
    remove_folder(folder);
    _exit(0);
}

bool load_minder_start(const char *folder, struct load_minder *ret_minder, struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_sys(err, "making the minder's pipe");
    pid_t pid = fork();
    if (pid == 0)
        mind(fds[0], folder);
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        return err_sys(err, "starting the minder");
    }
    *ret_minder = (struct load_minder){.fd = fds[1], .pid = pid};
    return true;
}

void load_minder_tell(const struct load_minder *minder, pid_t group, int alive)
{
    struct load_minded told = {.group = group, .alive = alive};
    /* Fits: a pipe takes so little whole or waits. A minder that is gone is no reason to fail. */
    (void)!write(minder->fd, &told, sizeof told);
}

void load_minder_stop(struct load_minder *minder)
{
    if (minder->pid <= 0)
        return;
    close(minder->fd);
    while (waitpid(minder->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *minder = (struct load_minder){.fd = -1};
}
