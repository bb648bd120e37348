/* HAProxy as a program: where it is, what it says of a configuration, and which process is ours.
 *
 * A pid file names a number, and the number may be somebody else's by now: a process is ours only
 * when its command line names our configuration, and it is spoken to through a pidfd taken before
 * that was looked at. */
#include "proxy/inside.h"

#include "base/file.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

extern char **environ;

static const int64_t CHECK_WITHIN_NS = 20 * NS_PER_S;

/* Debian has it where only root's PATH looks. */
char *proxy_program(void)
{
    static const char *const places[] = {"haproxy", "/usr/sbin/haproxy", "/usr/local/sbin/haproxy"};
    char *found = NULL;
    for (size_t i = 0; i < ARRAY_LEN(places) && !found; i++)
        found = file_find_program(places[i], "/");
    return found;
}

static pid_t spawn(const char *const *argv, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    pid_t pid = -1;
    int failed = posix_spawn(&pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = failed;
    return failed ? -1 : pid;
}

/* Its end is the process's, not the pipe's: what it has started may hold that for ever. */
static bool collect(int out, int pidfd, int64_t end_ns, struct buf *output)
{
    for (bool open = true, over = false;;) {
        char chunk[4096];
        struct pollfd fds[] = {{.fd = open ? out : -1, .events = POLLIN},
                               {.fd = pidfd, .events = POLLIN}};
        int64_t left_ns = end_ns - clock_now_ns();
        if (left_ns <= 0 && !over)
            return false;
        int n = poll(fds, 2, over ? 0 : (int)(left_ns / NS_PER_MS) + 1);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0 && open && fds[0].revents) {
            ssize_t got = read(out, chunk, sizeof chunk);
            open = got > 0;
            if (got > 0 && output->len < output->max)
                (void)!buf_append(output, chunk,
                                  (size_t)got < output->max - output->len
                                      ? (size_t)got
                                      : output->max - output->len);
            continue;
        }
        if (over)
            return true;
        over = n > 0 && fds[1].revents;
    }
}

bool proxy_run(const char *const *argv, int64_t within_ns, struct buf *output, int *ret_status,
               struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, "a pipe for %s", argv[0]);
    pid_t pid = spawn(argv, ends[1]);
    AUTO(fd) int out = ends[0];
    close(ends[1]);
    if (pid < 0)
        return err_sys(err, "starting %s", argv[0]);
    AUTO(fd) int pidfd = pidfd_open(pid, 0);
    bool ended = pidfd >= 0 && collect(out, pidfd, clock_now_ns() + within_ns, output);
    int status = 0;
    if (!ended)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!ended)
        return err_set(err, ERR_INTERNAL, "%s did not end within %" PRId64 " s", argv[0],
                       within_ns / NS_PER_S);
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

/* "[ALERT]    (4711) : config : parsing [F:12] : ..." -> "parsing [F:12] : ..."; notices and
 * warnings are passed over. */
static void add_complaint(struct buf *complaint, const char *text)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = strcspn(line, "\n");
        if (strncmp(line, "[ALERT]", 7) != 0)
            continue;
        const char *says = memmem(line, len, ") : ", 4);
        says = says ? says + 4 : line;
        text_add_escaped(complaint, TEXT_TERMINAL, says, len - (size_t)(says - line), 300);
        return;
    }
    text_add_escaped(complaint, TEXT_TERMINAL, text, strcspn(text, "\n"), 300);
}

bool proxy_complain(const char *output, const char *doing, struct err *err)
{
    AUTO(buf_done) struct buf complaint = BUF_INIT(2048);
    add_complaint(&complaint, output);
    return err_set(err, ERR_INPUT, "%s: %s", doing, buf_text(&complaint));
}

bool proxy_files_check(const char *program, const char *const *files, struct err *err)
{
    const char *argv[2 * 64 + 4] = {program, "-c"};
    AUTO(buf_done) struct buf output = BUF_INIT(65536);
    size_t count = 2;
    int status = 0;
    for (size_t i = 0; files[i]; i++) {
        if (count + 3 > ARRAY_LEN(argv))
            return err_set(err, ERR_LIMIT, "HAProxy reads over 64 files");
        argv[count++] = "-f";
        argv[count++] = files[i];
    }
    argv[count] = NULL;
    if (!proxy_run(argv, CHECK_WITHIN_NS, &output, &status, err))
        return false;
    return status == 0 ||
           proxy_complain(buf_text(&output), "HAProxy does not take this configuration", err);
}

static bool names_our_config(const struct proxy *proxy, pid_t pid)
{
    char path[64];
    AUTO(buf_done) struct buf line = BUF_INIT(1 << 20);
    AUTO(buf_done) struct buf wanted = BUF_INIT(8192);
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    if (!buf_read_file(&line, path, NULL))
        return false;
    buf_addc(&wanted, '\0');
    buf_add(&wanted, proxy->config);
    buf_addc(&wanted, '\0');
    return memmem(buf_text(&line), line.len, wanted.data, wanted.len) != NULL;
}

int proxy_master_open(const struct proxy *proxy)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    int64_t pid = 0;
    if (!buf_read_file(&text, proxy->pid_file, NULL))
        return -1;
    while (text.len > 0 && isspace((unsigned char)text.data[text.len - 1]))
        text.data[--text.len] = '\0';
    if (!text_to_i64(buf_text(&text), &pid) || pid <= 1 || pid > INT32_MAX)
        return -1;
    AUTO(fd) int fd = pidfd_open((pid_t)pid, 0);
    if (fd < 0 || !names_our_config(proxy, (pid_t)pid))
        return -1;
    return fd_take(&fd);
}
