/* The machine's floor for a sender: sleeps with clock_nanosleep until each planned moment and hands
 * one request to the kernel, nothing else. What it is late, anything on this machine would be.
 *
 *   bare-sender PORT CONNECTIONS < TIMES > SENT
 *
 * TIMES: ns from the start, one a line, ascending. SENT: one line per request, planned and real
 * CLOCK_MONOTONIC ns of the send, written after the last one. The requests are GET /health on kept
 * connections, taken in turn; answers are thrown away. It shares no code with spica's worker, but
 * its timer slack and priority are the same, as far as the user may set them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TIMES_MAX = 10000000, CONNECTIONS_MAX = 256 };

static const char request[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static size_t read_times(int64_t **ret_times)
{
    size_t count = 0, cap = 1 << 16;
    int64_t *times = malloc(cap * sizeof *times);
    char line[64];
    while (times && count < TIMES_MAX && fgets(line, sizeof line, stdin)) {
        if (count == cap) {
            cap *= 2;
            int64_t *more = realloc(times, cap * sizeof *times);
            if (!more)
                break;
            times = more;
        }
        times[count++] = strtoll(line, NULL, 10);
    }
    *ret_times = times;
    return times ? count : 0;
}

static int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* As the worker does: a priority counts only within its session where sessions share the cores. */
static void raise_priority(void)
{
    setpriority(PRIO_PROCESS, 0, -10);
    int fd = setsid() >= 0 ? open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && write(fd, "-10", 3) == 3)
        close(fd);
}

int main(int argc, char **argv)
{
    int port = argc == 3 ? (int)strtol(argv[1], NULL, 10) : 0;
    int connections = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (port < 1 || port > 65535 || connections < 1 || connections > CONNECTIONS_MAX) {
        fprintf(stderr, "usage: bare-sender PORT CONNECTIONS < TIMES > SENT\n");
        return 2;
    }
    int64_t *times = NULL;
    size_t count = read_times(&times);
    int64_t *sent = calloc(count + 1, sizeof *sent);
    int fds[CONNECTIONS_MAX];
    for (int i = 0; i < connections; i++) {
        fds[i] = connect_to(port);
        if (fds[i] < 0) {
            perror("bare-sender: connect");
            return 1;
        }
    }
    if (!sent)
        return 1;
    prctl(PR_SET_TIMERSLACK, 1L);
    raise_priority();
    const int64_t start_ns = now_ns() + 100 * 1000000;
    char waste[4096];
    for (size_t i = 0; i < count; i++) {
        const int64_t at_ns = start_ns + times[i];
        const struct timespec at = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000};
        const int fd = fds[i % (size_t)connections];
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1)) {
            perror("bare-sender: send");
            return 1;
        }
        sent[i] = now_ns(); /* as a worker's: its bytes have been handed to the kernel */
        while (recv(fd, waste, sizeof waste, MSG_DONTWAIT) == (ssize_t)sizeof waste)
            continue;
    }
    for (size_t i = 0; i < count; i++)
        printf("%lld %lld\n", (long long)(start_ns + times[i]), (long long)sent[i]);
    free(times);
    free(sent);
    return 0;
}
