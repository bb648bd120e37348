/* sd-event looks at all its descriptors before each single thing that it does. With 2,000 streams
 * of which 200 are ready that is 200 looks at 200 descriptors: what k answers cost grows with the
 * square of k, and a loop that fell behind once never comes back. Here the ready ones are fetched
 * some at a time and handed out one after the other; sd-event sees one descriptor.
 *
 * Level-triggered, and the kernel puts what it has reported behind what it has not, so each gets
 * its turn.
 *
 * curl lets go of a connection's socket after each answer and wants it again with the next request:
 * two system calls, and a kept-alive connection says nothing in between. So what is forgotten stays
 * registered until it does say something (the server closes it) or is closed. That asks for knowing
 * of each close, since its number may come back as another socket: for what was not announced with
 * load_http_sockets_opened, forgetting is at once.
 *
 * A request that waits for its moment is held by the kernel (TCP_CORK): curl has written it, it is
 * in the socket's queue, and letting go is one system call without a copy. What keeps it there is
 * that it is less than a full segment; the kernel lets it go by itself after 200 ms, which is far
 * more than anything is held here. Half a segment is the bound: a path may become narrower.
 * Rejected: a writer of HTTP of our own beside curl's, a second client to be kept right.
 *
 * Invariant: a descriptor that is forgotten is not handed out any more, although its number may be
 * in use again. Nothing that is held leaves but by load_http_sockets_release(). */
#include "load/http_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

/* What the kernel was told of a descriptor. */
struct watched {
    uint32_t events; /* 0: it is not registered */
    uint32_t tag;
    uint32_t segment_bytes; /* the kernel's, asked for once; 0: not yet */
    bool wanted;            /* by curl; else what comes is for nobody */
    bool opened;            /* as a connection, whose close will be known */
    bool held;              /* what is written to it stays in the kernel */
    void *owner;            /* who opened it; borrowed until it is closed or disowned */
};

struct load_http_sockets {
    int fd;
    sd_event_source *source;
    struct epoll_event ready[AT_ONCE];
    int count, at;         /* of those fetched; handed out so far */
    struct watched *table; /* by descriptor; owned */
    size_t size;
};

struct load_http_sockets *load_http_sockets_new(sd_event *event, sd_event_io_handler_t on_ready,
                                                void *ctx)
{
    struct load_http_sockets *sockets = calloc(1, sizeof *sockets);
    if (!sockets)
        abort();
    sockets->fd = epoll_create1(EPOLL_CLOEXEC);
    if (sockets->fd < 0 ||
        sd_event_add_io(event, &sockets->source, sockets->fd, EPOLLIN, on_ready, ctx) < 0)
        return load_http_sockets_free(sockets);
    sd_event_source_set_description(sockets->source, "answers");
    return sockets;
}

struct load_http_sockets *load_http_sockets_free(struct load_http_sockets *sockets)
{
    if (!sockets)
        return NULL;
    sd_event_source_disable_unref(sockets->source);
    if (sockets->fd >= 0)
        close(sockets->fd);
    free(sockets->table);
    free(sockets);
    return NULL;
}

static int fd_of(const struct epoll_event *event)
{
    return (int)(uint32_t)event->data.u64;
}

static struct watched *row_of(struct load_http_sockets *sockets, int fd)
{
    size_t need = (size_t)fd + 1, size = sockets->size ? sockets->size : 64;
    while (size < need)
        size *= 2;
    if (size > sockets->size) {
        struct watched *table = realloc(sockets->table, size * sizeof *table);
        if (!table)
            abort();
        memset(table + sockets->size, 0, (size - sockets->size) * sizeof *table);
        sockets->table = table;
        sockets->size = size;
    }
    return &sockets->table[fd];
}

void load_http_sockets_opened(struct load_http_sockets *sockets, int fd, void *owner)
{
    *row_of(sockets, fd) = (struct watched){.opened = true, .owner = owner};
}

int load_http_sockets_close(struct load_http_sockets *sockets, int fd)
{
    struct watched *row = row_of(sockets, fd);
    /* A close would send what is held: it is reset instead, which drops it. */
    const struct linger none = {.l_onoff = 1};
    if (row->held)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    row->opened = row->held = false;
    row->owner = NULL;
    load_http_sockets_forget(sockets, fd);
    return close(fd);
}

static uint32_t ask_segment(int fd)
{
    int bytes = 0;
    socklen_t len = sizeof bytes;
    bool known = getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, &len) == 0 && bytes > 0;
    return known ? (uint32_t)bytes : 1;
}

bool load_http_sockets_hold(struct load_http_sockets *sockets, int fd, const void *owner,
                            size_t bytes)
{
    static const int on = 1;
    struct watched *row = row_of(sockets, fd);
    if (!row->opened || row->owner != owner)
        return false;
    if (row->segment_bytes == 0)
        row->segment_bytes = ask_segment(fd);
    row->held = bytes <= row->segment_bytes / 2 &&
                setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0;
    return row->held;
}

void *load_http_sockets_holder(const struct load_http_sockets *sockets, int fd)
{
    bool held = (size_t)fd < sockets->size && sockets->table[fd].held;
    return held ? sockets->table[fd].owner : NULL;
}

void load_http_sockets_release(struct load_http_sockets *sockets, int fd)
{
    static const int off = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
    sockets->table[fd].held = false;
}

bool load_http_sockets_watch(struct load_http_sockets *sockets, int fd, uint32_t tag,
                             uint32_t events)
{
    struct watched *row = row_of(sockets, fd);
    bool known = row->events != 0;
    if (!known || row->events != events || row->tag != tag) {
        struct epoll_event event = {.events = events,
                                    .data.u64 = (uint64_t)tag << 32 | (uint32_t)fd};
        if (epoll_ctl(sockets->fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
            return false;
    }
    row->events = events;
    row->tag = tag;
    row->wanted = true;
    return true;
}

static void unregister(struct load_http_sockets *sockets, int fd)
{
    struct watched *row = row_of(sockets, fd);
    if (row->events)
        epoll_ctl(sockets->fd, EPOLL_CTL_DEL, fd, NULL);
    row->events = 0;
}

void load_http_sockets_forget(struct load_http_sockets *sockets, int fd)
{
    struct watched *row = row_of(sockets, fd);
    row->wanted = false;
    if (!row->opened)
        unregister(sockets, fd);
    for (int i = sockets->at; i < sockets->count; i++)
        if (fd_of(&sockets->ready[i]) == fd)
            sockets->ready[i].data.u64 = UINT32_MAX; /* -1 */
}

bool load_http_sockets_more(const struct load_http_sockets *sockets)
{
    return sockets->at < sockets->count || sockets->count == AT_ONCE;
}

bool load_http_sockets_next(struct load_http_sockets *sockets, int *ret_fd, uint32_t *ret_tag,
                            uint32_t *ret_events)
{
    for (;;) {
        if (sockets->at == sockets->count) {
            /* Fewer than asked for: there were no more. */
            bool all = sockets->count > 0 && sockets->count < AT_ONCE;
            sockets->count = 0;
            sockets->at = 0;
            if (all)
                return false;
            int count = epoll_wait(sockets->fd, sockets->ready, AT_ONCE, 0);
            sockets->at = 0;
            sockets->count = count > 0 ? count : 0;
            if (sockets->count == 0)
                return false;
        }
        const struct epoll_event *event = &sockets->ready[sockets->at++];
        if (fd_of(event) < 0)
            continue;
        if (!row_of(sockets, fd_of(event))->wanted) {
            unregister(sockets, fd_of(event)); /* closed by the server, while it idled */
            continue;
        }
        *ret_fd = fd_of(event);
        *ret_tag = (uint32_t)(event->data.u64 >> 32);
        *ret_events = event->events;
        return true;
    }
}
