/* The body of a view: every number of the report, computed once. Renderers read it and compute
 * nothing. Everything is in the view's arena or borrowed from its study; NaN is unknown, and a
 * number that is unknown says why. */
#pragma once

#include "report/capacity.h"
#include "report/compared.h"
#include "report/crowd.h"
#include "report/device.h"
#include "report/number.h"
#include "report/report.h"
#include "report/told.h"

#include "spec/space.h"
#include "spec/verdict.h"
#include "stats/summary.h"
#include "store/read.h"

/* A candidate that was measured in the final: the winner, the baseline, another finalist. */
struct report_side {
    struct report_candidate *candidate;
    bool is_winner, is_baseline;
    const struct store_trial **runs; /* measured runs of the final, in order */
    size_t run_count;
    size_t final_count;                        /* runs and those that failed or were disturbed */
    struct report_number *shared, *alone;      /* per measure */
    struct report_change *against, *sharing;   /* the baseline; alone at the same settings */
    double fitness, fitness_low, fitness_high; /* mean, least and largest of its measured runs */
    const char *eliminated;                    /* why it left the final; NULL: it did not */
    struct report_card *cards;                 /* GPUs that its runs used */
    size_t card_count;
};

enum report_fate {
    FATE_UNJUDGED, /* disturbed or stopped: nothing is known about it */
    FATE_WINNER,
    FATE_BASELINE,
    FATE_FINALIST, /* reached the final and lost there */
    FATE_OUTRUN,   /* met the requirements, others were better */
    FATE_SLOW,     /* a requirement failed */
    FATE_FAILED,   /* any other verdict */
    FATE_COUNT_
};
struct report_candidate {
    const char *text;
    const char *changes; /* what differs from the baseline; the whole text when there is none */
    bool parsed;
    struct spec_candidate values;
    enum report_fate fate;
    enum verdict verdict;            /* of its last word */
    const struct store_trial *trial; /* its last word: last settled trial of exploration or final */
    const struct report_trial *explored; /* last exploring (or baseline) run with a fitness; NULL */
    double fitness;
    int round;       /* the last one it took part in */
    const char *why; /* one line; outside text */
    bool on_front;
    bool unranked; /* as its last word */
};

struct report_trial { /* the progression */
    const struct store_trial *trial;
    struct report_candidate *candidate;
    enum verdict verdict;
    struct report_told *told; /* per measure: what of its values may be told */
    double *raw; /* per measure, whatever its sample carries: to rank by, never to tell */
    bool best_so_far;
    bool unranked; /* its tokens were counted otherwise than others': no fitness beside theirs */
};

struct report_unknown {
    const char *what, *why;
};

struct report_view {
    struct arena *arena;
    const struct spec_study *study;
    struct store_study stored;
    enum report_outcome outcome;
    double confidence;
    const char *reason, *statement; /* of the decision; NULL while unfinished */
    double fitness_difference, fitness_difference_low, fitness_difference_high;
    int64_t feasible; /* candidates; -1 unknown */

    struct report_measure *measures;
    size_t measure_count;
    struct report_candidate *candidates; /* in order of first appearance */
    struct report_candidate **ranked;    /* the same, best first */
    size_t candidate_count;
    struct report_trial *trials;
    size_t trial_count;
    size_t verdict_counts[VERDICT_COUNT_];
    size_t failed_count;       /* trials without a fitness */
    struct report_side *sides; /* winner first, baseline next, then the others */
    size_t side_count;
    const struct report_side *winner, *baseline; /* in sides; NULL when there is none */
    const struct report_candidate *best;         /* by exploration, when nothing was decided */
    double worst_contention, worst_lateness_s;   /* over the final */
    int most_workers;                            /* that shared the sending of a run of it */
    int64_t requests;                            /* rows in the file */
    struct report_unknown *unknowns;
    size_t unknown_count;
    const char *last_event;   /* kind; NULL */
    struct report_kept *kept; /* per service of the study */
    struct report_bound *bounds;
    size_t bound_count;
    bool bounds_at_least; /* too many candidates to count them all */
    struct report_fallback *fallbacks;
    size_t fallback_count;
    struct report_crowd *crowd;         /* NULL: not measured */
    struct report_capacity *capacities; /* the winner's first, then the baseline's */
    size_t capacity_count;
    struct report_compared *compared; /* in order of number */
    size_t compared_count;
};

/* The measure of all services' memory (the only one's); measure_count: it is an objective already,
 * or there is none. */
size_t report_memory_measure(const struct report_view *view);
/* Some candidate puts that service on a GPU. */
bool report_is_on_gpu(const struct spec_study *study, size_t service);
