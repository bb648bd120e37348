/* A requirement on a quantile, checked while requests come in: "p95 < 300 ms" says that at most 5 %
 * of all requests take longer. Each request is then over or not, and what is asked is a bound on a
 * binomial share. It may be asked after every request: the answer changes only at looks that are
 * fixed beforehand, and looking there again and again does not raise the error beyond what is
 * stated (requirement.c).
 *
 * The requests must be independent of each other as far as being over goes; where they are not
 * (bursts, one server that is full), stats/series.h says what a sample is worth instead. */
#pragma once

#include <stdint.h>

enum stats_answer { STATS_OPEN, STATS_MET, STATS_MISSED };

enum { STATS_LOOKS_MAX = 72, STATS_REQUESTS_MAX = 1000000 };

/* After `n` requests: met with `met_to` over at most, missed from `missed_from` over on. */
struct stats_look {
    uint32_t n, missed_from; /* missed_from > n: can't be missed at this look */
    int32_t met_to;          /* -1: can't be met at this look */
};

struct stats_requirement {
    double allowed; /* ratio of requests that may be over: 0.05 of a p95 */
    double error;   /* probability of a wrong MET, and of a wrong MISSED */
    uint64_t n_max; /* the sample that is planned at most; the last look is there */
    uint64_t n, over;
    enum stats_answer answer; /* final once it is not OPEN */
    uint32_t look_count, next_look;
    struct stats_look looks[STATS_LOOKS_MAX];
};

/* 0 < allowed < 1, 0 < error < 0.5, asserted. n_max above STATS_REQUESTS_MAX counts as that. Costs
 * some ms for the largest sample, microseconds for some hundreds. */
struct stats_requirement stats_requirement_init(double allowed, double error, uint64_t n_max);
/* One more request; returns the answer so far. After n_max requests that decided nothing it stays
 * OPEN: the sample can't tell. */
enum stats_answer stats_requirement_add(struct stats_requirement *requirement, int over);
/* The smallest fixed sample that can meet it, none being over: 59 for a p95 at an error of 5 %, 90
 * at 1 %. */
uint64_t stats_requirement_smallest(double allowed, double error);
/* One look at a sample whose size was settled beforehand: exact one-sided bounds of the share
 * (Clopper and Pearson 1934), `error` for each side. `worth` is the count of independent requests
 * that the n are worth (stats_series_worth(); n when they are independent): the counts are scaled
 * to it, after Korn and Graubard 1998. */
enum stats_answer stats_requirement_fixed(double allowed, double error, uint64_t n, uint64_t over,
                                          double worth);
