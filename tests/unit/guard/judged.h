/* A study file with a guard, and ticks made by hand: what tests of judging share. Time is what the
 * test says. */
#pragma once

#include "guard/judge.h"

enum { JUDGED_MAX = 64 };

struct judged {
    struct spec_study *study;   /* owned */
    struct guard_judge *judge;  /* owned */
    struct guard_value *values; /* owned; unknown until set */
    struct guard_tick tick;
    int64_t now_s;

    /* What was told since the last judged_clear; texts are the whole line. */
    struct guard_decision told[JUDGED_MAX];
    size_t told_count;
    size_t total; /* since it was made */
};

/* `guard` is the part's text, two blanks before each line; fails the test when it is refused. Two
 * services: stt on gpu0 (unit w, port 8000), llm on gpu0 (port 8001); production is given. */
struct judged *judged_new(const char *guard);
void judged_free(struct judged *judged);

/* All is well, everything known; with probes, a proxy and the kernel's log. */
void judged_all_well(struct judged *judged);
/* NaN: unknown. `count` 100 from requests, where the figure has one. */
void judged_set(struct judged *judged, const char *name, double value);
void judged_set_count(struct judged *judged, const char *name, double value, uint64_t count);
void judged_set_word(struct judged *judged, const char *name, const char *word);
/* Of the next step alone. */
void judged_event(struct judged *judged, enum guard_event_kind kind, int service, const char *text);
/* One step, or so many, a second apart. */
void judged_step(struct judged *judged);
void judged_steps(struct judged *judged, int64_t seconds);
void judged_clear(struct judged *judged);
/* The only one told of this rule since the last clear, else the test fails. */
const struct guard_decision *judged_only(const struct judged *judged, const char *rule);
/* How many were told of it. */
size_t judged_count(const struct judged *judged, const char *rule);
enum guard_state judged_state(const struct judged *judged, const char *rule, char text[240]);
