/* Inside bench/: results as they come in. */
#pragma once

#include "bench/window.h"

struct bench_results *bench_results_new(const struct load_stream *stream);
/* One more, while the worker's report says at least when the window is. */
void bench_results_add(struct bench_results *results, const struct load_stream *stream,
                       const struct load_report *report, const struct load_result *result,
                       bool stopping);
/* Once all are there: over how long rates are. `until_ns`: when we stopped, or CLOCK_NEVER. */
void bench_results_close(struct bench_results *results, const struct load_report *report,
                         int64_t until_ns);
