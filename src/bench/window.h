/* One window of load on a running service, and what came of it. The search for a capacity and the
 * command's own run are both made of it. */
#pragma once

#include "base/arena.h"
#include "bench/series.h"
#include "load/plan.h"
#include "load/worker.h"
#include "stats/wer.h"
#include "trial/finding.h"
#include "trial/window.h"

enum bench_end {
    BENCH_WHOLE,   /* the plan ran to its end */
    BENCH_STOPPED, /* the user's wish (base/cancel.h): what came until then is there */
    BENCH_DECIDED, /* a hook had seen enough */
    BENCH_BROKEN,  /* our worker failed; report.failure says how */
};

/* Answers of the window; warm-up is only counted. Seconds, bytes. What of the window's beginning is
 * warm-up after all (trial/window.h) is left out of every time and rate when it is closed, but not
 * of the failures and what they are a share of. */
struct bench_results {
    enum bench_end end;
    struct load_report report; /* of the worker, about itself */
    double window_s;           /* over which rates are: until the last answer, or as planned */
    int64_t from_ns;           /* where it begins: after what was cut */
    struct window_cut cut_off; /* of its beginning */
    const char *unsteady;      /* which quantiles move, by how much; NULL: none that shows */
    bool moving;               /* the load itself changes: nothing is cut, and nothing steady */
    uint64_t warmups;
    uint64_t reloads; /* the server loaded its model first: neither requests nor failures */
    /* Of the window as it was planned, with what was cut off, so that failures are a share of all
     * that was asked for. Requests that we cut short are no requests. */
    uint64_t requests, ok;
    uint64_t settled;   /* requests from from_ns on */
    uint64_t cut;       /* in flight when we stopped */
    uint64_t held_back; /* waited for the in-flight limit */
    uint64_t made;      /* of all that was sent: with words that were made up */
    uint64_t completed; /* answered within window_s */
    uint64_t errors[LOAD_ERROR_COUNT_];
    int http_status[LOAD_ERROR_COUNT_]; /* of the first of its kind */
    char *examples[LOAD_ERROR_COUNT_];  /* owned, NULL: none had words; outside text */
    uint64_t bytes;                     /* of answers within window_s */
    double tokens, prompt_tokens;       /* NaN: some answer told none */
    bool tokens_exact;
    struct bench_series latency, service; /* from the intended send, from the real one */
    struct bench_series content, ttft, itl, rtf;
    struct bench_series failed; /* when those were meant to leave; no values */
    struct stats_wer *wer;      /* owned, per clip of the corpus; NULL: no transcripts */
    size_t wer_count;
    struct bench_heard { /* owned, as many: what was heard when it went worst */
        char *text;      /* outside text, bounded; NULL: never anything wrong */
        uint64_t errors; /* of that time */
        uint32_t times;
    } * heard;
    /* Successful ones, the warm-up's too, in the order of their ends; their gaps one after the
     * other. Owned. */
    struct load_record *answers;
    size_t answer_count, answer_capacity;
    int64_t *gaps_ns;
    size_t gap_count, gap_capacity;
    uint64_t gaps_left_out;        /* of answers that came when there were too many: not in `itl` */
    struct finding_limits limits;  /* what a good answer keeps, see bench_results_grade() */
    uint64_t good, good_completed; /* of the window; answered within window_s */
    struct arena *arena;           /* owned: texts */
};

struct bench_hooks { /* members may be NULL */
    void *context;
    /* Each result, the warm-up's too, in the order of their ends. False: enough has been seen. */
    bool (*result)(void *context, const struct load_result *result,
                   const struct bench_results *so_far);
    /* Every `tick_ns` while it runs. */
    void (*tick)(void *context, const struct bench_results *so_far);
    int64_t tick_ns;
};

/* Runs a plan of one stream to its end and waits for it. Nothing of it runs when this returns.
 * False: the plan can't be run. The owner ends *ret_results. */
NODISCARD bool bench_window(const struct load_plan *plan, const struct bench_hooks *hooks,
                            struct bench_results **ret_results, struct err *err);
/* Which answers were good for everything that is asked of one at once. */
void bench_results_grade(struct bench_results *results, const struct finding_limits *limits);
struct bench_results *bench_results_free(struct bench_results *results);
AUTO_FN(struct bench_results, bench_results_free)
