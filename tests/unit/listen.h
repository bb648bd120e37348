/* A socket that listens on a port of this machine, for servers that a test makes itself. */
#pragma once

#include "check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* *port 0: any that is free, told in it; else this one, also right after another left it. To be
 * closed. */
static inline int check_listen(int *port, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)*port)};
    socklen_t len = sizeof at;
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*port)
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

/* A process that listens there and does nothing else; to be given to check_end_server. */
static inline pid_t check_start_server(int *port)
{
    int fd = check_listen(port, 1);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also where a row fails */
        for (;;)
            pause();
    }
    close(fd);
    return child;
}

static inline void check_end_server(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
