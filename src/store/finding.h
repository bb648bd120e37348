/* What a trial found beyond its numbers: how sure its requirements are, and what was heard worst.
 * Texts are borrowed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A requirement on a share of requests ("stt.latency.p95 < 500 ms": 5 % may be over), or of words
 * ("stt.wer < 10 %": these may be wrong, and `over` are). Counts of
 * several trials may be added up; answers may not. */
struct store_requirement {
    const char *service, *text; /* text as in the study file */
    double allowed;             /* ratio of requests that may be over */
    int64_t requests, over;
    double worth;       /* independent ones that they are worth */
    const char *answer; /* "met", "missed", "undecided" */
    const char *of;     /* what is counted: "requests", "turns", "words" */
};

/* One clip that was heard wrong, with everything that was heard of it in the window. */
struct store_utterance {
    const char *service;
    int64_t item;                                        /* of the corpus */
    int64_t heard;                                       /* times */
    int64_t words, substitutions, deletions, insertions; /* of all times */
    const char *reference, *hypothesis;                  /* bounded; the worst time's */
};

static inline int64_t store_utterance_errors(const struct store_utterance *u)
{
    return u->substitutions + u->deletions + u->insertions;
}

/* Was `a` heard worse: more errors each time; of two alike, more in all. How often a clip was asked
 * is the load's doing. */
static inline bool store_utterance_worse(const struct store_utterance *a,
                                         const struct store_utterance *b)
{
    int64_t ea = store_utterance_errors(a), eb = store_utterance_errors(b);
    int64_t each_a = ea * b->heard, each_b = eb * a->heard;
    return each_a != each_b ? each_a > each_b : ea > eb;
}
