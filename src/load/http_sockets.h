/* Inside http.c: the sockets that curl waits for, on an epoll of their own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct load_http_sockets; /* opaque */

/* `on_ready` is called with `ctx` while any of them is ready. NULL: no descriptor left. */
struct load_http_sockets *load_http_sockets_new(sd_event *event, sd_event_io_handler_t on_ready,
                                                void *ctx);
struct load_http_sockets *load_http_sockets_free(struct load_http_sockets *sockets);
/* A connection was made by `owner`; it is closed with load_http_sockets_close. */
void load_http_sockets_opened(struct load_http_sockets *sockets, int fd, void *owner);
int load_http_sockets_close(struct load_http_sockets *sockets, int fd); /* as close(2) */
/* `tag` comes back with the socket. False: the kernel can't watch it. */
bool load_http_sockets_watch(struct load_http_sockets *sockets, int fd, uint32_t tag,
                             uint32_t events);
void load_http_sockets_forget(struct load_http_sockets *sockets, int fd);
/* What is written to it from now on, at most `bytes`, stays in the kernel until it is released; a
 * close drops it. False: it isn't this owner's open connection, or so much can't be held. */
bool load_http_sockets_hold(struct load_http_sockets *sockets, int fd, const void *owner,
                            size_t bytes);
/* Whose request is held there; NULL: none is. */
void *load_http_sockets_holder(const struct load_http_sockets *sockets, int fd);
void load_http_sockets_release(struct load_http_sockets *sockets, int fd); /* of one that is held */
/* The next ready one, each in its turn; false: none for now. It may have become unready since. */
bool load_http_sockets_next(struct load_http_sockets *sockets, int *ret_fd, uint32_t *ret_tag,
                            uint32_t *ret_events);
/* False: surely no other is ready, as the kernel said when it was last asked. */
bool load_http_sockets_more(const struct load_http_sockets *sockets);
