/* PR_SET_PDEATHSIG kills a program when its worker dies, but not what the program has started; and
 * a worker that is killed can't clean up. So somebody else must, who notices by the end of a pipe.
 *
 * A fork without exec, made before the worker holds much. It ignores the signals that the worker
 * ignores, holds no descriptor but the pipe (the worker's channel least of all: its parent must see
 * it close), allocates nothing, and kills only groups which were begun and not ended. A group's
 * number is not given again while one of its processes is there, zombies included, and the worker
 * reaps only after it has killed. What left its group (setsid) is found by a mark in its
 * environment, at the worker's end; a program that wipes its own environment and leaves its group
 * is not found. */
#include "load/minder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GROUPS_MAX = 16384,
    PIPE_FD = 3,
    ENVIRON_MAX = 256 << 10, /* of a process that is looked at; a mark beyond is not found */
    FOLDER_MAX = 256,
    SWEEPS = 100,
    UNCLEAR_SWEEPS = 25,
};

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

enum mark { MARK_ABSENT, MARK_UNCLEAR, MARK_THERE };

/* Is the mark among the environment that the process was started with? Unclear where there is none:
 * in the middle of an exec the new one is not there yet. */
static enum mark find_mark(int proc, const char *pid, const char *mark, size_t mark_len)
{
    static char text[ENVIRON_MAX];
    char path[64], program[1];
    size_t len = 0;
    snprintf(path, sizeof path, "%.16s/environ", pid);
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n = 1; fd >= 0 && n > 0 && len<sizeof text; len += n> 0 ? (size_t)n : 0)
        n = read(fd, text + len, sizeof text - len);
    if (fd >= 0)
        close(fd);
    const char *at = memmem(text, len, mark, mark_len);
    if (at && (at == text || at[-1] == '\0'))
        return MARK_THERE;
    snprintf(path, sizeof path, "%.16s/exe", pid); /* none: a zombie or the kernel's own */
    bool is_program = len == 0 && fd >= 0 && readlinkat(proc, path, program, sizeof program) > 0;
    return is_program ? MARK_UNCLEAR : MARK_ABSENT;
}

/* Whoever left its group. By a pidfd, so that nobody else who got its number dies. The strongest of
 * what was seen. */
static enum mark kill_marked(const char *mark, size_t mark_len)
{
    DIR *dir = opendir("/proc");
    enum mark found = MARK_ABSENT;
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        int fd = pid > 1 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0U) : -1;
        if (fd < 0)
            continue;
        enum mark here = find_mark(dirfd(dir), entry->d_name, mark, mark_len);
        if (here == MARK_THERE && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0U) != 0)
            here = MARK_ABSENT;
        found = here > found ? here : found;
        close(fd);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* A pass that finds one may have missed what it forked meanwhile. Programs without any environment
 * stay unclear for ever: they are waited for a moment only. */
static void sweep(const char *folder)
{
    char mark[FOLDER_MAX + sizeof LOAD_MINDER_MARK + 2];
    int len = snprintf(mark, sizeof mark, "%s=%s", LOAD_MINDER_MARK, folder) + 1; /* and its NUL */
    if (len > (int)sizeof mark)
        return;
    for (int passes = 0, unclear = 0; passes < SWEEPS && unclear < UNCLEAR_SWEEPS; passes++) {
        enum mark found = kill_marked(mark, (size_t)len);
        if (found == MARK_ABSENT)
            return;
        unclear += found == MARK_UNCLEAR;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
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
    sweep(folder);
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
