/* A server that answers every connection with the same bytes, then, if asked, with one piece again
 * and again, as fast as it is taken or at a pace. For answers which no decent server gives. */
#pragma once

#include "listen.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct raw_server {
    pid_t pid;
    int port;
};

struct raw_answer {
    const char *head;
    size_t head_len;   /* 0: up to its NUL */
    const char *again; /* NULL: nothing more */
    int pause_ms;      /* before each `again`; 0: none, and in large pieces */
    bool reset;        /* the connection is torn down, not closed */
};

static inline void raw_flood_(int fd, const struct raw_answer *answer)
{
    /* In large pieces, so that even an endless answer comes to its limit soon. */
    char piece[32768];
    size_t len = 0, one = strlen(answer->again);
    while (len + one < sizeof piece && (len == 0 || answer->pause_ms == 0)) {
        memcpy(piece + len, answer->again, one);
        len += one;
    }
    do
        usleep((useconds_t)answer->pause_ms * 1000);
    while (send(fd, piece, len, 0) > 0);
}

static inline void raw_answer_(int fd, const struct raw_answer *answer)
{
    static char request[1 << 20];
    size_t len = answer->head_len ? answer->head_len : strlen(answer->head);
    bool open = recv(fd, request, sizeof request, 0) > 0;
    for (size_t at = 0; open && at < len;) {
        ssize_t n = send(fd, answer->head + at, len - at, 0);
        open = n > 0;
        at += open ? (size_t)n : 0;
    }
    if (open && answer->again)
        raw_flood_(fd, answer);
    if (answer->reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
    else
        shutdown(fd, SHUT_WR);
    while (!answer->reset && recv(fd, request, sizeof request, 0) > 0)
        continue;
    close(fd);
}

/* A process for each connection: a slow one keeps no other waiting. */
static inline void raw_serve_(int listener, const struct raw_answer *answer)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            raw_answer_(fd, answer);
            _exit(0);
        }
        close(fd);
    }
}

static inline struct raw_server raw_start_answer(const struct raw_answer *answer)
{
    int port = 0, fd = check_listen(&port, 64);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        raw_serve_(fd, answer);
    }
    close(fd);
    return (struct raw_server){.pid = pid, .port = port};
}

static inline struct raw_server raw_start(const char *head, const char *again)
{
    return raw_start_answer(&(struct raw_answer){.head = head, .again = again});
}

static inline void raw_stop(struct raw_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}
