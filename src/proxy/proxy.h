/* HAProxy in front of services: its configuration made from the study file, checked by HAProxy
 * itself before use, run, reloaded and spoken to. spica is never in the data path: everything here
 * may die and HAProxy goes on as it was.
 *
 * What run time has set (weights, which tier, pins) stands in files beside the configuration as
 * well, written first: a reload reads them and changes nothing. Never is the last usable server of
 * a front drained or set to weight 0: such a call is refused. */
#pragma once

#include "base/buf.h"
#include "spec/study.h"
#include "spec/guard.h"

struct proxy_state {                            /* of each front, what run time has set */
    const char *tier[SPEC_FRONTS_MAX];          /* its current tier's name; NULL: its first */
    int weight[SPEC_FRONTS_MAX][SPEC_ARMS_MAX]; /* -1: as in the file */
    bool drained[SPEC_FRONTS_MAX][SPEC_TIERS_MAX], by_hand[SPEC_FRONTS_MAX][SPEC_TIERS_MAX];
    int log_port;               /* on loopback, where log lines go (UDP); 0: nowhere */
    char token[17];             /* in each line: only who may read the configuration writes them */
    int run_as_uid, run_as_gid; /* whom HAProxy becomes once it listens; 0: it stays who it is */
};

/* config.c: the whole file, or with `attach_file` only our sections. Pure. */
void proxy_config_write(const struct spec_study *study, const struct proxy_state *state,
                        struct buf *buf);

struct proxy; /* opaque: where it is, and how to speak to it */
NODISCARD bool proxy_open(const struct spec_study *study, struct proxy **ret_proxy,
                          struct err *err);
struct proxy *proxy_close(struct proxy *proxy); /* returns NULL; HAProxy goes on */
AUTO_FN(struct proxy, proxy_close)

/* Writes configuration, maps and the state kept, has `haproxy -c` check it (ERR_INPUT with its
 * first line), then starts HAProxy or reloads the one that runs. Nothing is changed when the check
 * fails, and an unchanged one is not reloaded. Returns when it answers on its socket. */
NODISCARD bool proxy_apply(struct proxy *proxy, bool *ret_reloaded, struct err *err);
/* Has HAProxy check what would be written; changes nothing. */
NODISCARD bool proxy_check(struct proxy *proxy, struct err *err);
/* The configuration as it would be written now, its token left out. */
void proxy_show(const struct proxy *proxy, struct buf *buf);
/* Ends one that we run, after its last answer or `within_ns`. One attached to is not ours. */
NODISCARD bool proxy_stop(struct proxy *proxy, int64_t within_ns, struct err *err);

/* For who must not stand still: from now on proxy_set_*() wait for nobody. ERR_BUSY where another
 * changes HAProxy's settings just now; nothing was changed, try again. */
void proxy_set_hurried(struct proxy *proxy);
/* At once, and kept (keep.h). ERR_DECLINED: it would leave the front without a usable server. */
NODISCARD bool proxy_set_tier(struct proxy *proxy, size_t front, const char *tier, struct err *err);
NODISCARD bool proxy_set_weights(struct proxy *proxy, size_t front, const int *weights,
                                 struct err *err);
/* Drained: no new requests but pinned ones; answers under way are finished. ERR_DECLINED:
 * PROXY_READY for one that was drained by hand. */
enum proxy_server_state { PROXY_READY, PROXY_DRAIN, PROXY_READY_BY_HAND, PROXY_DRAIN_BY_HAND };
NODISCARD bool proxy_set_server(struct proxy *proxy, size_t front, const char *server,
                                enum proxy_server_state state, struct err *err);

struct proxy_server {              /* a tier or an arm, as HAProxy counts it now */
    const char *name;              /* borrowed from the study */
    bool usable, drained, by_hand; /* by_hand: a tier's drain, and not guard's */
    int weight;
    uint64_t in_flight, waiting; /* now */
    uint64_t total, errors;      /* since HAProxy began */
};
struct proxy_front {
    const char *tier; /* NULL: unknown */
    uint64_t in_flight;
    struct proxy_server servers[SPEC_TIERS_MAX];
    size_t server_count;
};
struct proxy_view {
    bool up;
    int64_t pid, uptime_s; /* another pid or a smaller uptime than before: it was restarted */
    bool by_apply; /* or reloaded: this worker is one that a proxy_apply() has brought up, of
                    * whichever process, or is just about to */
    uint64_t dropped_logs; /* lines that HAProxy could not send */
    struct proxy_front fronts[SPEC_FRONTS_MAX];
};
/* Within a second. `up` false and no error when nobody answers. */
NODISCARD bool proxy_look(struct proxy *proxy, struct proxy_view *ret_view, struct err *err);

/* ---- log.c: a request as HAProxy logged it ---- */
enum proxy_end {
    PROXY_OK,
    PROXY_SERVER_ERROR, /* 5xx by the server */
    PROXY_CUT,          /* the server or its time limit ended it, whatever the status says */
    PROXY_CLIENT,       /* the client left: nobody's fault here */
    PROXY_REFUSED,      /* 4xx */
    PROXY_UNSERVED,     /* no server took it: queue time limit, none usable */
    PROXY_END_COUNT_
};
extern const char *const proxy_end_names[PROXY_END_COUNT_];

struct proxy_request {
    int64_t wall_us; /* accepted */
    size_t front;
    int server; /* index of tier or arm; -1: none took it */
    /* It was for another than took it: for `assigned`, which is down. Not when that one is drained,
     * which somebody wanted. */
    bool missed;
    int assigned; /* index; of one that was missed alone */
    enum proxy_end end;
    int status;
    /* By HAProxy's clock of whole milliseconds. first: to the end of the answer's head, the last
     * that it counts before the end: a server that sends its head before its first token makes it
     * too short. NaN: it did not come so far. */
    double total_s, first_s, queue_s;
    uint64_t bytes_in, bytes_out;
    bool pinned; /* by header */
};
/* A datagram of the log that proxy_config_write() asks for. False: none of ours. No allocation. */
bool proxy_log_parse(const struct proxy *proxy, const char *line, size_t len,
                     struct proxy_request *ret_request);
/* Receives them, not blocking. What nobody reads the kernel drops. *ret_fd is owned. */
NODISCARD bool proxy_log_open(struct proxy *proxy, int *ret_fd, struct err *err);
/* Bytes, by the kernel's count, that may lie there unread; and that were asked for. 0: unknown. */
void proxy_log_room(int fd, long *ret_bytes, long *ret_asked_bytes);
/* The next datagram, at most `size` bytes; 0: none is there now; -1 and errno. *lost is set to what
 * the kernel has dropped on this socket since it was opened, whenever it tells. */
enum { PROXY_LINE_MAX = 2048 };
long proxy_log_receive(int fd, char *line, size_t size, uint32_t *lost);
