/* The load worker: a process of its own, or several that share a plan (by fork; the plan is
 * inherited), one event loop, so that nothing we do elsewhere can delay a send. It streams one
 * record per request back and ends with a report about itself. It dies with us (PR_SET_PDEATHSIG).
 *
 * Non-blocking: load_worker_fd() becomes readable; load_worker_next() hands out results. */
#pragma once

#include "load/delays.h"
#include "load/plan.h"
#include "load/record.h"

#include <sys/types.h>

struct load_worker; /* opaque */

struct load_report {  /* about the instrument, not the services */
    bool complete;    /* the worker ran its plan to the end */
    int64_t start_ns; /* the run's zero: intended times count from here (monotonic) */
    int64_t window_start_ns, window_end_ns;
    int workers;    /* processes that shared the sending */
    int64_t cpu_ns; /* CPU time of them all */
    uint64_t requests;
    /* Send after due, of the window's sends; what the in-flight limit held back was due when it let
     * it through. Of a run that did not complete, as far as it told: NaN: of none. */
    double lateness_p50_s, lateness_p99_s, lateness_max_s;
    /* How late the event loop was at moments 20 ms apart from the window's start on: what a stopped
     * or starved worker adds to the stamps of answers. Of the worst worker. NaN for a probe. */
    double stall_p99_s, stall_max_s;
    uint64_t stalls[LOAD_DELAY_BANDS]; /* all workers' ticks by lateness, see load/delays.h */
    char failure[256];                 /* why it did not complete, "" if it did */
};

/* The plan and all it points to must stay until the worker is freed. */
NODISCARD bool load_worker_start(const struct load_plan *plan, struct load_worker **ret_worker,
                                 struct err *err);
int load_worker_fd(const struct load_worker *worker);
pid_t load_worker_pid(const struct load_worker *worker); /* of one that is not reaped; 0: all are */
size_t load_worker_pids(const struct load_worker *worker, pid_t ret_pids[LOAD_WORKERS_MAX]);
/* The process below which the programs of this stream run, and no others; 0: it runs no service's
 * program, or has ended. */
pid_t load_worker_runner(const struct load_worker *worker, size_t stream);
int64_t load_worker_cpu_ns(const struct load_worker *worker); /* of all, so far */

enum load_news { LOAD_NEWS_NONE, LOAD_NEWS_RESULT, LOAD_NEWS_END };
/* RESULT: *ret_result is valid until the next call. NONE: nothing more now. END: it has ended and
 * load_worker_report() is final (complete = false when it died). */
enum load_news load_worker_next(struct load_worker *worker, struct load_result *ret_result);
const struct load_report *load_worker_report(const struct load_worker *worker);

/* Counts so far per stream, for progress: intended by now, answered, failed. */
struct load_progress {
    uint64_t answered, failed;
};
struct load_progress load_worker_progress(const struct load_worker *worker, size_t stream);

void load_worker_stop(
    struct load_worker *worker); /* ends sending; in-flight requests are dropped */
struct load_worker *load_worker_free(struct load_worker *worker); /* kills it if it still runs */
AUTO_FN(struct load_worker, load_worker_free)

/* A service of this machine, and what one GET saw of it. */
struct load_site {
    int port;
    const struct spec_tls *tls; /* NULL, or one that is not given: plain http:// */
};
struct load_look {
    int status;     /* 0: nothing answered */
    bool untrusted; /* who answered is not trusted, or speaks no TLS: waiting does not help */
    char why[256];  /* what happened, in words */
};

/* Ready check: one GET, at most `timeout_ns`, which it may block. With path NULL only a connection
 * is made (and a secure one, where it speaks TLS), and the status of success is 200. */
void load_http_get(const struct load_site *site, const char *path, int64_t timeout_ns,
                   struct load_look *ret_look);
/* The same with the answer's body added to `ret_body`, as far as it has room; NULL: dropped. */
void load_http_fetch(const struct load_site *site, const char *path, int64_t timeout_ns,
                     struct buf *ret_body, struct load_look *ret_look);
/* The URL of a service of this machine. *ret_address: of its host where that is a name that is
 * not to be looked up, as load_stream has it; NULL: it needs none. `path` begins with "/" or is
 * empty. */
void load_site_add_url(const struct load_site *site, const char *scheme, const char *path,
                       struct buf *ret_url, const char **ret_address);
