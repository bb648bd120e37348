/* The fake service as a child of a test: started on a free port, ended for certain. */
#pragma once

#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct fake {
    pid_t pid;
    int port, log; /* log: its stderr */
};

/* `options` ends with NULL. */
static inline struct fake fake_start(const char *const *options)
{
    const char *argv[32] = {FAKE_SERVICE, "--port", "0"};
    for (size_t i = 0; options && options[i] && i < 28; i++)
        argv[3 + i] = options[i];
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(pipe_fds[1], 2);
        execv(FAKE_SERVICE, (char *const *)argv);
        _exit(127);
    }
    close(pipe_fds[1]);
    struct fake fake = {.pid = pid, .log = pipe_fds[0]};
    char text[4096] = "";
    size_t len = 0;
    const char *at = NULL;
    while (len < sizeof text - 1 && !at) {
        ssize_t n = read(fake.log, text + len, sizeof text - 1 - len);
        if (n <= 0)
            fail_msg("the fake service did not start: %s", text);
        len += (size_t)n;
        text[len] = '\0';
        /* "listening on http://127.0.0.1:PORT", or "port PORT open, loading" */
        at = strstr(text, "127.0.0.1:");
        at = at ? at + strlen("127.0.0.1:") : strstr(text, "port ");
        at = at && strchr(at, '\n') ? at : NULL;
    }
    fake.port = (int)strtol(at + strcspn(at, "0123456789"), NULL, 10);
    return fake;
}

static inline void fake_stop(struct fake *fake)
{
    if (fake->pid > 0) {
        kill(fake->pid, SIGKILL);
        waitpid(fake->pid, NULL, 0);
    }
    close(fake->log);
    fake->pid = 0;
}

/* "http://127.0.0.1:PORT/path" in a buffer of the caller. */
static inline const char *fake_url(const struct fake *fake, const char *path, char *url,
                                   size_t size)
{
    snprintf(url, size, "http://127.0.0.1:%d%s", fake->port, path);
    return url;
}
