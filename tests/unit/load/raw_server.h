/* A server that answers every connection with the same bytes, then, if asked, with one piece again
 * and again. For answers which no decent server gives. */
#pragma once

#include "check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct raw_server {
    pid_t pid;
    int port;
};

static inline void raw_serve_(int listener, const char *head, const char *again)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        char request[65536];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || recv(fd, request, sizeof request, 0) <= 0)
            continue;
        bool open = send(fd, head, strlen(head), 0) > 0;
        /* In large pieces, so that even an endless answer comes to its limit soon. */
        char piece[32768];
        size_t len = 0;
        while (again && len + strlen(again) < sizeof piece) {
            memcpy(piece + len, again, strlen(again));
            len += strlen(again);
        }
        while (open && again)
            open = send(fd, piece, len, 0) > 0;
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof request, 0) > 0)
            continue;
        close(fd);
    }
}

static inline struct raw_server raw_start(const char *head, const char *again)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        raw_serve_(fd, head, again);
    }
    close(fd);
    return (struct raw_server){.pid = pid, .port = ntohs(address.sin_port)};
}

static inline void raw_stop(struct raw_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}
