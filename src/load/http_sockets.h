/* Inside http.c: the sockets that curl waits for, on an epoll of their own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct load_http_sockets; /* opaque */

/* `on_ready` is called with `ctx` while any of them is ready. NULL: no descriptor left. */
struct load_http_sockets *load_http_sockets_new(sd_event *event, sd_event_io_handler_t on_ready,
                                                void *ctx);
struct load_http_sockets *load_http_sockets_free(struct load_http_sockets *sockets);
/* `tag` comes back with the socket; `known`: it is watched already. */
bool load_http_sockets_watch(struct load_http_sockets *sockets, int fd, uint32_t tag,
                             uint32_t events, bool known);
void load_http_sockets_forget(struct load_http_sockets *sockets, int fd);
/* The next ready one, each in its turn; false: none for now. It may have become unready since. */
bool load_http_sockets_next(struct load_http_sockets *sockets, int *ret_fd, uint32_t *ret_tag,
                            uint32_t *ret_events);
