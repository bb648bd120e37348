/* What a study asks about how much its services can take. Part of spec/study.h; borrowed from the
 * study's arena. */
#pragma once

#include "spec/service.h"

struct spec_requirement;

enum spec_capacity_of { CAPACITY_OF_CONCURRENCY, CAPACITY_OF_RATE, CAPACITY_OF_COUNT_ };
const char *spec_capacity_of_name(enum spec_capacity_of of); /* "concurrency", "rate" */

/* A search for how much one service can take: clients, or requests per second. */
struct spec_capacity {
    size_t service;
    enum spec_capacity_of of;
    double start, most;      /* the first level, the largest; 1 <= both for clients */
    double resolution_ratio; /* 0: exact, for clients */
    bool beside;             /* all other services keep their load */
    int64_t warmup_ns, window_ns, within_ns;
    struct spec_requirement *requirements; /* what must hold; at least one */
    size_t requirement_count;
    struct spec_place place;
};
