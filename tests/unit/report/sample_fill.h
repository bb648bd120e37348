/* Between sample.c, which tells the stories, and sample_trial.c, which makes up one trial's rows.
 */
#pragma once

#include "sample.h"

#include "spec/space.h"

enum { SAMPLE_METRICS_MAX = 96 };

struct sample_filler {
    struct store *store;
    const struct sample_options *options;
    const struct spec_study *study;
    struct err *err;
    int64_t number;
    size_t requests;
    struct arena *arena; /* of the trial under way */
    struct store_metric metrics[SAMPLE_METRICS_MAX];
    size_t metric_count;
    struct store_service services[2];
    struct store_phase phases[3];
    struct store_evidence evidence[2];
    double fitness; /* of the last trial */
};

struct sample_wish { /* what a trial shall become */
    struct spec_candidate candidate;
    const char *purpose;
    int round, repeat;
    int64_t retry_of;
    const char *verdict; /* NULL: what its numbers say */
    const char *summary, *evidence;
    const char *service; /* whom the verdict is about; NULL: stt */
    const char *hint, *bound;
    int64_t llm_since; /* GPU: the trial that started the llm, 0 this one */
};

bool sample_is_gpu(const struct sample_filler *f);
/* Names of the three knobs: of Whisper two, of the llm one. */
const char *sample_knob_name(const struct sample_filler *f, int i);
/* The usual text, or the hostile one in the story for it. */
const char *sample_text(const struct sample_filler *f, const char *usual, const char *weird);
bool sample_add_trial(struct sample_filler *f, const struct sample_wish *w);
