/* A Wyoming peer for tests: takes a whole request apart with the parser under test, answers with
 * fixed bytes (whole, or one byte at a time), and then keeps the connection open, closes it, or
 * goes on for ever. */
#pragma once

#include "check.h"
#include "load/protocols/wyoming_event.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum wyoming_then { THEN_OPEN, THEN_CLOSE, THEN_RESET, THEN_AGAIN };

struct wyoming_script {
    const char *answer;
    size_t len; /* 0: strlen */
    enum wyoming_then then;
    bool early, singly; /* before it has read anything; one byte a packet */
    int delay_ms;
};

struct wyoming_server {
    int port;
    pid_t pid;
};

/* Reads events until audio-stop; the bytes of sound, or -1 for a peer that speaks something else.
 */
static inline long wyoming_hear_(int fd)
{
    static char bytes[1 << 20];
    size_t len = 0, at = 0;
    long sound = 0;
    for (;;) {
        struct load_wyoming_event event;
        size_t need = 0;
        enum load_wyoming_news news =
            len > at ? load_wyoming_next(bytes + at, len - at, &event, &need) : LOAD_WYOMING_MORE;
        ssize_t n = news == LOAD_WYOMING_MORE ? recv(fd, bytes + len, sizeof bytes - len, 0) : 0;
        len += n > 0 ? (size_t)n : 0;
        if (n > 0)
            continue;
        if (news != LOAD_WYOMING_EVENT)
            return -1;
        at += event.size;
        bool stop = strcmp(event.type, "audio-stop") == 0;
        sound += (long)event.payload_len;
        load_wyoming_event_done(&event);
        if (stop)
            return sound;
    }
}

/* In large pieces, so that even an endless answer comes to its limit soon. */
static inline bool wyoming_repeat_(int fd, const char *answer, size_t len)
{
    char piece[32768];
    size_t used = 0;
    for (; used + len <= sizeof piece; used += len)
        memcpy(piece + used, answer, len);
    return send(fd, piece, used, 0) > 0;
}

static inline void wyoming_serve_(int listener, const struct wyoming_script *script)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        char rest[4096];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        size_t len = script->len ? script->len : strlen(script->answer);
        bool heard = script->early || wyoming_hear_(fd) >= 0;
        nanosleep(&(struct timespec){.tv_nsec = script->delay_ms * 1000000L}, NULL);
        for (size_t at = 0; heard && at < len;) {
            size_t piece = script->singly ? 1 : len - at;
            ssize_t n = send(fd, script->answer + at, piece, 0);
            if (n <= 0)
                break;
            at += (size_t)n;
        }
        while (heard && script->then == THEN_AGAIN && wyoming_repeat_(fd, script->answer, len))
            continue;
        struct linger now = {.l_onoff = 1};
        if (script->then == THEN_RESET)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        if (script->then == THEN_CLOSE)
            shutdown(fd, SHUT_WR);
        while (script->then != THEN_RESET && recv(fd, rest, sizeof rest, 0) > 0)
            continue;
        close(fd);
    }
}

static inline struct wyoming_server wyoming_start(const struct wyoming_script *script)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_true(bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        wyoming_serve_(fd, script);
    }
    close(fd);
    return (struct wyoming_server){.pid = pid, .port = ntohs(address.sin_port)};
}

static inline void wyoming_stop(struct wyoming_server *server)
{
    if (kill(server->pid, SIGKILL) == 0)
        waitpid(server->pid, NULL, 0);
}
