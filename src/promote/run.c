/* Running a command of the study file.
 *
 * Output goes to a file in memory and not through a pipe: a command that starts production's server
 * and ends leaves it with our end of the pipe, and the server's first line after that would kill it
 * (SIGPIPE). When the command has ended the file is sealed: whoever still writes is refused, and
 * lives. A command that never stops writing is refused as well, from 64 MiB on.
 *
 * The program dies with us (PR_SET_PDEATHSIG): what was begun is undone from the journal, and must
 * not go on beside that. What it has started itself is killed only when it was late or is stopped;
 * when it ends well, that is production. */
#include "promote/run.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/signals.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP_MS = 100, OUTPUT_MAX = 64 << 20, LAST_MAX = 4096 };

struct command {
    const char *program; /* absolute */
    const char *const *argv;
    const char *folder;
    int out, all; /* files in memory; `out` -1: standard output goes to `all` as well */
};

/* Between fork and exec: system calls only. */
static void become(const struct command *command, pid_t parent, int null, int report)
{
    int out = command->out >= 0 ? command->out : command->all;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || setsid() < 0)
        _exit(127);
    signals_reset();
    if (chdir(command->folder) == 0 && dup2(null, 0) >= 0 && dup2(out, 1) >= 0 &&
        dup2(command->all, 2) >= 0)
        execv(command->program, (char *const *)command->argv);
    int sys = errno;
    ssize_t written = write(report, &sys, sizeof sys);
    _exit(written == sizeof sys ? 126 : 127);
}

static bool start(const struct command *command, pid_t *ret_pid, struct err *err)
{
    int ends[2], sys = 0;
    AUTO(fd) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, "starting %s", command->argv[0]);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(command, parent, null, ends[1]);
    int fork_sys = errno;
    close(ends[1]);
    bool failed = pid > 0 && read(ends[0], &sys, sizeof sys) == sizeof sys;
    close(ends[0]);
    if (pid < 0) {
        errno = fork_sys;
        return err_sys(err, "starting %s", command->argv[0]);
    }
    if (!failed) {
        *ret_pid = pid;
        return true;
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return err_set(err, ERR_MISSING, "%s: can't be run in %s: %s", command->argv[0],
                   command->folder, strerror(sys));
}

static bool is_full(int fd)
{
    struct stat stat;
    return fd >= 0 && fstat(fd, &stat) == 0 && stat.st_size > OUTPUT_MAX;
}

static void seal(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_WRITE);
}

/* Until it has ended, by itself or by us. */
static void follow(const struct command *command, pid_t pid, int64_t within_ns,
                   enum promote_heed heed, struct promote_ran *ran)
{
    int64_t end_ns = clock_now_ns() + within_ns;
    int status = 0;
    AUTO(fd) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            break;
        ran->late = clock_now_ns() >= end_ns;
        ran->stopped = heed == PROMOTE_HEED_CANCEL && cancel_level() != CANCEL_NONE;
        if (ran->late || ran->stopped) {
            kill(-pid, SIGKILL);
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
            break;
        }
        if (is_full(command->all) || is_full(command->out)) {
            seal(command->all);
            seal(command->out);
        }
        struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
        poll(&poll_fd, 1, pidfd >= 0 ? STEP_MS : 10);
    }
    ran->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ran->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* The last line that says something. */
static void read_last(int fd, char *ret_last, size_t size)
{
    char text[LAST_MAX];
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return;
    off_t from = stat.st_size > LAST_MAX ? stat.st_size - LAST_MAX : 0;
    ssize_t n = pread(fd, text, sizeof text, from);
    size_t len = n > 0 ? (size_t)n : 0;
    while (len > 0 && (unsigned char)text[len - 1] <= ' ')
        len--;
    size_t begin = len;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    snprintf(ret_last, size, "%.*s", (int)(len - begin), text + begin);
}

static void read_whole(int fd, struct buf *output)
{
    char chunk[4096];
    off_t at = 0;
    for (ssize_t n = pread(fd, chunk, sizeof chunk, at); n > 0;
         n = pread(fd, chunk, sizeof chunk, at)) {
        if (!buf_append(output, chunk, (size_t)n))
            return;
        at += n;
    }
}

bool promote_run_read(const char *const *argv, const char *folder, int64_t within_ns,
                      enum promote_heed heed, struct buf *ret_output, struct promote_ran *ret_ran,
                      struct err *err)
{
    AUTO(free) char *program = file_find_program(argv[0], folder);
    AUTO(fd) int all = memfd_create("spica-output", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    AUTO(fd) int out = -1;
    struct command command = {program, argv, folder, -1, all};
    struct promote_ran ran = {0};
    pid_t pid = 0;
    if (!program)
        return err_set(err, ERR_MISSING, "%s: no such program (looked for in %s)", argv[0],
                       strchr(argv[0], '/') ? folder : "PATH");
    if (ret_output)
        command.out = out = memfd_create("spica-answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (all < 0 || (ret_output && out < 0))
        return err_sys(err, "making room for the output of %s", argv[0]);
    int64_t begin_ns = clock_now_ns();
    if (!start(&command, &pid, err))
        return false;
    follow(&command, pid, within_ns, heed, &ran);
    ran.seconds = (double)(clock_now_ns() - begin_ns) / NS_PER_S;
    seal(all);
    seal(out);
    read_last(all, ran.last, sizeof ran.last);
    if (ret_output)
        read_whole(out, ret_output);
    *ret_ran = ran;
    return true;
}

bool promote_ran_well(const struct promote_ran *ran)
{
    return ran->status == 0 && !ran->late && !ran->stopped;
}

void promote_ran_add_words(struct buf *buf, const struct promote_ran *ran)
{
    if (ran->late)
        buf_addf(buf, "not done within %.0f s, killed", ran->seconds);
    else if (ran->stopped)
        buf_add(buf, "stopped");
    else if (ran->signal)
        buf_addf(buf, "ended by signal %d", ran->signal);
    else
        buf_addf(buf, "exit status %d", ran->status);
    if (!ran->last[0] || promote_ran_well(ran))
        return;
    buf_add(buf, ": ");
    text_add_escaped(buf, TEXT_TERMINAL, ran->last, strlen(ran->last), sizeof ran->last);
}
