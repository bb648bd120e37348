/* The shape of a load: when requests come and how long they are, beyond one rate and one file. Part
 * of spec/service.h. All zero is a load without any shape: one rate, the corpus as it stands.
 *
 * Durations are ns, rates per second, lengths tokens. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    SPEC_TOKENS_MAX = 1000000, /* of one prompt or answer */
    SPEC_TURNS_MAX = 100,      /* of one session */
    SPEC_MIX_MAX = 16,         /* files of prompts */
    SPEC_MIX_PASS = 100,       /* requests in which a mix shows its exact shares */
};

enum arrivals {
    ARRIVALS_CLOSED,
    ARRIVALS_CONSTANT,
    ARRIVALS_POISSON,
    ARRIVALS_BURSTS, /* Poisson while on, nothing while off */
    ARRIVALS_RAMP,   /* Poisson at a rate that goes from one end to the other */
    ARRIVALS_TRACE,  /* at a file's times */
    ARRIVALS_AFTER,  /* each when another service has answered, made from its answer */
    ARRIVALS_COUNT_
};
extern const char *const spec_arrivals_names[ARRIVALS_COUNT_];

/* The rules after which words are compared, as stats/wer.h has them. */
enum spec_words { WORDS_ENGLISH, WORDS_PLAIN, WORDS_COUNT_ };
extern const char *const spec_words_names[WORDS_COUNT_];

enum spec_spread_kind {
    SPREAD_NONE, /* not given */
    SPREAD_FIXED,
    SPREAD_UNIFORM,
    SPREAD_EXPONENTIAL,
    SPREAD_LOGNORMAL,
    SPREAD_FILE, /* any of the file's numbers, all alike */
};

/* A number that is drawn anew each time it is needed. */
struct spec_spread {
    enum spec_spread_kind kind;
    double low, high; /* fixed: low; uniform: both ends; exponential: low is the mean; lognormal:
                       * low is the median, high the 95th percentile */
    double max;       /* larger draws are cut to it */
    const char *file; /* absolute */
};

struct spec_mix {
    const char *path; /* absolute */
    double weight;
};

struct spec_shape {
    double ramp_from_rps, ramp_to_rps; /* at the window's two ends */
    int64_t on_ns, off_ns;             /* bursts */
    const char *trace;                 /* absolute; NULL: none */
    double speed;                      /* of the trace; 0: as recorded */
    int64_t start_ns;                  /* the load begins so long after the others' */
    struct spec_spread think_ns;       /* from an answer to the next request of the same client */
    struct spec_spread turns;          /* of a session; NONE: each request stands alone */
    struct spec_spread prompt_tokens;  /* of made-up prompts; NONE: from files */
    struct spec_spread output_tokens;  /* max_tokens of each request */
    int prefix_count, prefix_tokens;   /* shared beginnings, one of which each request draws */
    struct spec_mix *mix;              /* files of prompts with their weights */
    size_t mix_count;
};
