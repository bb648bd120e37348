/* The GPU story of sample.h: its study file, and what a trial on a card has beside numbers. */
#pragma once

#include "base/arena.h"
#include "store/store.h"

extern const char sample_gpu_study[];
extern const char sample_gpu_contention[]; /* detail of an event, as run --show-contention writes */

struct sample_gpu_look { /* of one trial */
    double share;        /* of the card for the llm */
    bool small, emptied; /* the small Whisper; CUDA_VISIBLE_DEVICES emptied */
    bool measured;
    int64_t llm_since; /* the trial that started the llm; 0: this one */
};

double sample_gpu_memory(const struct sample_gpu_look *look, bool llm);
/* Placement, environment read back and readings of the card; services: stt, llm. */
void sample_gpu_dress(struct store_trial *trial, struct store_service services[2],
                      const struct sample_gpu_look *look, struct arena *arena);
