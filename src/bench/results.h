/* Inside bench/: results as they come in. */
#pragma once

#include "bench/window.h"

struct bench_setup;

enum { BENCH_WORST_MAX = 5 };
/* The transcript of a clip of its corpus. */
const char *bench_said(const struct bench_setup *setup, size_t item);

struct bench_results *bench_results_new(const struct load_stream *stream);
/* One more, while the worker's report says at least when the window is. */
void bench_results_add(struct bench_results *results, const struct load_stream *stream,
                       const struct load_report *report, const struct load_result *result,
                       bool stopping);
/* One more hearing of a clip. */
void bench_heard_add(struct bench_heard *heard, const struct stats_wer *one, const char *text);
/* Clips by their errors each time that they were heard, worst first, at most `most`; those without
 * errors are not among them. */
size_t bench_heard_worst(const struct bench_results *results, size_t *ret_items, size_t most);

/* Once all are there: over how long rates are. `until_ns`: when we stopped, or CLOCK_NEVER. */
void bench_results_close(struct bench_results *results, const struct load_report *report,
                         int64_t until_ns);
