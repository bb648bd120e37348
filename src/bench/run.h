/* One finished run with all that is said about it, and its renderings. */
#pragma once

#include "base/json.h"
#include "bench/compare.h"
#include "bench/require.h"
#include "bench/sent.h"
#include "bench/setup.h"
#include "report/report.h"

#include <stdio.h>

struct bench_run { /* all borrowed */
    struct bench_setup *setup;
    struct bench_results *results;
    double first_request_s; /* of the probe */
    int tried_again;        /* other windows, in which we were late ourselves; this is the best */
    bool fewer_were_late, more_were_late; /* workers, in those */
    int64_t started_wall_us;
    const char *text_salt;   /* of the window that counts */
    struct bench_sent *sent; /* NULL: no prompts of a list */
    const struct bench_requirement *requirements;
    const struct bench_judgement *judgements; /* of each */
    size_t requirement_count;
    const struct bench_comparison *comparison; /* NULL: with nothing */
};

/* docs/BENCH.md says what it holds; --compare reads it. New reference. */
json_t *bench_json(const struct bench_run *run);

/* At most the terminal's width; what came from outside is escaped. */
void bench_print(const struct bench_run *run, FILE *out, struct report_terminal terminal);
/* Its part below the percentiles. */
void bench_print_lines(const struct bench_run *run, FILE *out, struct report_terminal terminal);
/* What gives the words of made-up text again. */
void bench_add_salt(struct buf *text, const char *text_salt);
/* "bursts of 5/s", "2 clients, each waits for its answer": the load in words. */
void bench_add_load(struct buf *buf, const struct bench_setup *setup);
