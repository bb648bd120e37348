/* Is arm B slower than arm A, or wrong more often? A sequential test of two streams of requests
 * that may be looked at after every one: the chance that it ever says so falsely, over all looks
 * there will ever be, is at most `error`.
 *
 * What is tested. Let t be A's q-quantile, taken from A's requests of before. In each block of
 * requests, given the past: a request to A exceeds t with odds oA, one to B exceeds (1 + harm) t
 * with odds oB.
 *   harm     rejects "oB <= oA, and B fails with at most (1 + harm) times A's odds, in every block"
 *   no harm  rejects "oB >= oA in every block", and the error ratio of B is at most (1 + harm)
 * times A's and one per cent of all requests, by intervals that hold at all times With t at A's
 * quantile the first reads "B's q-quantile is at most (1 + harm) times A's". Each of the two
 * verdicts has the stated error for itself.
 *
 * What it needs: that within one block, and given how many of its requests were slow, which arm
 * they went to is chance: requests of a block are independent of each other, and the arm was not
 * chosen by how long they take. Between blocks anything may change (time of day, load, weights).
 * docs/ METHOD.md says how that fails.
 *
 * How. Given a block's margins, B's share of the slow ones is Fisher's noncentral hypergeometric in
 * the odds ratio; the likelihood ratio of an alternative to the null is an e-value (exact, no
 * asymptotics), and their product over blocks a test martingale (Ville 1939: it ever reaches
 * 1 / error with chance at most error). Several alternatives are mixed, as are the blocks with
 * which harm may begin, so that a B that turns bad late is found too. Turner, Ly and Gruenwald
 * 2024, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping"
 * (here the conditional form); Shin, Ramdas and Rinaldo 2024, "E-detectors" (the sum over
 * beginnings); Robbins 1970, "Statistical methods related to the law of the iterated logarithm". */
#pragma once

#include "stats/quantile.h"
#include "stats/sketch.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    STATS_ANYTIME_BLOCK = 50, /* requests of a block, or more where one arm is rare */
    STATS_ANYTIME_ALTERNATIVES = 6,
    STATS_ANYTIME_TEMPERS = 5, /* evidence divided by 1, 2, 4, 8, 16 */
    STATS_ANYTIME_SCALES = 3,  /* batches of 1, 4, 16 blocks */
};
#define STATS_ANYTIME_ERRORS_MORE                                                                  \
    0.01 /* of all requests: what "no harm" lets B fail more often                                 \
          */

struct stats_anytime_options {
    double harm_ratio; /* >= 0 */
    double error;      /* 0 to 1, both left out */
    double quantile;   /* likewise */
};

enum stats_anytime_fate {
    ANYTIME_ANSWERED,
    ANYTIME_FAILED, /* its latency says nothing */
    ANYTIME_LEFT,   /* the client did not wait: slow if it had waited over t, else unknown */
};
enum stats_anytime_arm { ANYTIME_A, ANYTIME_B };

/* How much more B's share of the slow ones varies from block to block than chance would have it:
 * pairs of batches next to each other, so that a steady difference of the arms is none. */
struct stats_anytime_scale {
    double sum,
        variance; /* of the batch under way: hits less expected, and its variance by chance */
    uint64_t blocks;
    double before_sum, before_variance; /* of the one before; 0: it was paired already */
    double squares;                     /* sum of squared differences over their variances */
    uint64_t pairs;
};

/* All that a test knows, but for A's past latencies: kept on disk as it is. */
struct stats_anytime_sums {
    uint64_t blocks;     /* in which there was something to learn */
    uint64_t since_step; /* the same, since the weights changed last */
    /* ln of each alternative's sum, -INFINITY at first; of the last, since the step, 0 at first. */
    double slower[STATS_ANYTIME_TEMPERS][STATS_ANYTIME_ALTERNATIVES];
    double failing[STATS_ANYTIME_TEMPERS][STATS_ANYTIME_ALTERNATIVES];
    double not_slower[STATS_ANYTIME_TEMPERS][STATS_ANYTIME_ALTERNATIVES];
    struct stats_anytime_scale slow_spread[STATS_ANYTIME_SCALES];
    struct stats_anytime_scale wrong_spread[STATS_ANYTIME_SCALES];
    uint64_t requests[2], failed[2]; /* since the step; per arm */
    double threshold_s;              /* t; NaN: not enough requests to A yet */
    bool harm, no_harm;              /* said once, it stays said; no harm: until the next step */
};

struct stats_anytime; /* opaque */
struct stats_anytime *stats_anytime_new(const struct stats_anytime_options *options);
struct stats_anytime *stats_anytime_free(struct stats_anytime *test); /* returns NULL */
AUTO_FN(struct stats_anytime, stats_anytime_free)

/* latency_s: in any unit; of a FAILED one it is not looked at. */
void stats_anytime_add(struct stats_anytime *test, enum stats_anytime_arm arm,
                       enum stats_anytime_fate fate, double latency_s);
/* The weights have changed: a block half full is left out, and "no harm" begins anew. */
void stats_anytime_step(struct stats_anytime *test);

enum stats_anytime_verdict { ANYTIME_UNDECIDED, ANYTIME_HARM, ANYTIME_NO_HARM, ANYTIME_COUNT_ };
extern const char *const stats_anytime_verdict_names[ANYTIME_COUNT_]; /* "undecided", "harm",
                                                                       * "no-harm" */
struct stats_anytime_answer {
    enum stats_anytime_verdict verdict;
    bool by_errors;       /* harm: most of the evidence is of errors, not of time */
    double harm, no_harm; /* evidence: e-values; a verdict at `needed`, unless errors hold it up */
    double needed;        /* 1 / error */
    double divided;       /* ln of the evidence of time is divided by this: requests are alike */
    bool spread_known;    /* of that: there were enough blocks to see it; else it is a precaution */
    bool errors_held_up;  /* fast enough, but B's errors are not known to be few enough */
};
struct stats_anytime_answer stats_anytime_look(const struct stats_anytime *test);

const struct stats_anytime_sums *stats_anytime_sums(const struct stats_anytime *test);
/* Goes on from sums that were kept; A's threshold stays until there are new requests to A. */
void stats_anytime_resume(struct stats_anytime *test, const struct stats_anytime_sums *sums);

/* An interval of a share, k of n, that holds for all n at once with `confidence` (the beta-binomial
 * mixture of Robbins 1970). [0, 1] for n = 0. */
struct stats_interval stats_anytime_share(uint64_t k, uint64_t n, double confidence);
/* The same for a quantile of a stream in a sketch (Howard and Ramdas 2022, "Sequential estimation
 * of quantiles with applications to A/B testing and best-arm identification"), widened by the
 * sketch's own error. NaN on a side that the sample can't carry yet. */
struct stats_interval stats_anytime_quantile(const struct stats_sketch *sketch, double q,
                                             double confidence);
