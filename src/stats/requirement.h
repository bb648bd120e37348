/* A requirement on a quantile, checked while requests come in: "p95 < 300 ms" says that at most 5 %
 * of all requests take longer. Each request is then over or not, and what is asked is a bound on a
 * binomial share. It may be asked after every request: looking again and again does not raise the
 * error beyond what is stated.
 *
 * The requests must be independent of each other as far as being over goes; where they are not
 * (bursts, one server that is full), stats/steady.h says what a sample is worth instead. */
#pragma once

#include <stdint.h>

enum stats_answer { STATS_OPEN, STATS_MET, STATS_MISSED };

struct stats_requirement {
    double allowed; /* ratio of requests that may be over: 0.05 of a p95 */
    double error;   /* probability of a wrong MET, and of a wrong MISSED */
    uint64_t n_max; /* the sample that is planned at most; the last look is there */
    uint64_t n, over;
    enum stats_answer answer; /* final once it is not OPEN */
};

/* 0 < allowed < 1, 0 < error < 0.5, asserted. */
struct stats_requirement stats_requirement_init(double allowed, double error, uint64_t n_max);
/* One more request; returns the answer so far. After n_max requests that decided nothing it stays
 * OPEN: the sample can't tell. */
enum stats_answer stats_requirement_add(struct stats_requirement *requirement, int over);
/* The smallest fixed sample that can meet it, none being over: 59 for a p95 at an error of 5 %, 90
 * at 1 %. */
uint64_t stats_requirement_smallest(double allowed, double error);
