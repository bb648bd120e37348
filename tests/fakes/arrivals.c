/*
 * The log of arrivals, one line per request: first byte, complete (both CLOCK_MONOTONIC ns), path,
 * number; and that of answers, in the order of `struct served`, the number first.
 *
 * The idea: whoever claims to have sent at an instant can be checked against the clock of the one
 * who received. Lines wait in memory and leave every half second, so that writing never delays a
 * reading.
 */
#include "arrivals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FLUSH_NS (NS_PER_S / 2)

void arrivals_flush(struct arrivals *arrivals)
{
    if (arrivals->fd >= 0 && arrivals->lines.len > 0 &&
        write(arrivals->fd, arrivals->lines.data, arrivals->lines.len) < 0)
        fprintf(stderr, "fake-service: a log of requests: %s\n", strerror(errno));
    buf_drop(&arrivals->lines, arrivals->lines.len);
}

static void flush_again(void *ctx, int64_t now_ns)
{
    struct arrivals *arrivals = ctx;
    arrivals_flush(arrivals);
    loop_timer_set(arrivals->loop, &arrivals->timer, now_ns + FLUSH_NS);
}

bool arrivals_open(struct arrivals *arrivals, struct loop *loop, const char *path)
{
    *arrivals = (struct arrivals){.fd = -1, .loop = loop};
    arrivals->timer = (struct loop_timer){.fire = flush_again, .ctx = arrivals};
    if (path == NULL)
        return true;
    arrivals->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (arrivals->fd < 0) {
        fprintf(stderr, "fake-service: %s: %s\n", path, strerror(errno));
        return false;
    }
    loop_timer_set(loop, &arrivals->timer, loop_now_ns() + FLUSH_NS);
    return true;
}

void arrivals_note(struct arrivals *arrivals, const struct http_request *request, long number)
{
    if (arrivals->fd >= 0)
        buf_printf(&arrivals->lines, "%lld %lld %s %ld\n", (long long)request->first_byte_ns,
                   (long long)request->complete_ns, request->path, number);
}

void arrivals_note_served(struct arrivals *arrivals, const struct served *served, long number)
{
    if (arrivals->fd >= 0)
        buf_printf(&arrivals->lines, "%ld %lld %lld %lld %lld %lld %lld %ld\n", number,
                   (long long)served->first_byte_ns, (long long)served->complete_ns,
                   (long long)served->started_ns, (long long)served->sent_ns,
                   (long long)served->last_ns, (long long)served->late_ns, served->pieces);
}

void arrivals_close(struct arrivals *arrivals)
{
    if (arrivals == NULL || arrivals->fd < 0)
        return;
    arrivals_flush(arrivals);
    close(arrivals->fd);
    arrivals->fd = -1;
    buf_done(&arrivals->lines);
}
