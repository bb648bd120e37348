/* A study's file as a run would leave it, made up from a seed: the same one always. Its requests
 * have latencies of a known shape, its metrics are computed from them as a trial does. */
#pragma once

#include "spec/catalog.h"
#include "store/store.h"

enum sample_story {
    SAMPLE_WINNER,        /* tiny.en wins clearly */
    SAMPLE_BASELINE_BEST, /* all candidates are alike */
    SAMPLE_INFEASIBLE,    /* slow or failing, every one */
    SAMPLE_UNFINISHED,    /* stopped while exploring */
    SAMPLE_WEIRD,         /* as WINNER, with hostile texts wherever texts come from outside */
    SAMPLE_SMALL,         /* as WINNER, with windows too short for percentiles */
    SAMPLE_GPU,           /* as WINNER, on a card with a neighbour (sample_gpu.h) */
};

struct sample_options {
    enum sample_story story;
    size_t trials;   /* exploring trials; 0: the story's own few */
    size_t requests; /* per trial; 0: the story's own */
};

const struct spec_catalog *sample_catalog(void);
/* Fills a fresh store. False with err set. */
NODISCARD bool sample_fill(struct store *store, const struct sample_options *options,
                           struct err *err);
