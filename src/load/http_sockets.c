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
 * Invariant: a descriptor that is forgotten is not handed out any more, although its number may be
 * in use again. */
#include "load/http_sockets.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { AT_ONCE = 64 };

/* What the kernel was told of a descriptor. */
struct watched {
    uint32_t events; /* 0: it is not registered */
    uint32_t tag;
    bool wanted; /* by curl; else what comes is for nobody */
    bool opened; /* as a connection, whose close will be known */
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

void load_http_sockets_opened(struct load_http_sockets *sockets, int fd)
{
    *row_of(sockets, fd) = (struct watched){.opened = true};
}

int load_http_sockets_close(struct load_http_sockets *sockets, int fd)
{
    struct watched *row = row_of(sockets, fd);
    row->opened = false;
    load_http_sockets_forget(sockets, fd);
    return close(fd);
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
