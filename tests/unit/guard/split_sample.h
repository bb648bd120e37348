/* A study of one service behind a front with a split, as the tests of splits need it. */
#pragma once

#include "spec/guard.h"
#include "spec/study.h"

struct split_sample {
    struct spec_arm arms[3];
    struct spec_front front;
    struct spec_guard guard;
    struct spec_service service;
    struct spec_study study;
};

/* now 90, next 10; 10 % allowed at p95, 5 % error. Points into itself: must not be moved. */
static inline void split_sample_init(struct split_sample *sample)
{
    *sample = (struct split_sample){
        .arms = {{.name = "now", .port = 8001, .weight = 90},
                 {.name = "next", .port = 8002, .weight = 10},
                 {.name = "third", .port = 8003}},
        .front = {.service = 0,
                  .port = 8079,
                  .split = {.count = 2, .harm_ratio = 0.1, .error = 0.05, .quantile = 0.95}},
        .guard = {.given = true, .front_count = 1},
        .service = {.name = "llm"},
    };
    sample->front.split.arms = sample->arms;
    sample->guard.fronts = &sample->front;
    sample->study = (struct spec_study){.name = "sample",
                                        .services = &sample->service,
                                        .service_count = 1,
                                        .guard = &sample->guard};
}
