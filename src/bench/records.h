/* One JSON line per request, with the names of AIPerf's profile_export.jsonl where they mean the
 * same; docs/BENCH.md lists them. */
#pragma once

#include "load/record.h"

#include <stdio.h>

/* `wall_offset_ns` is added to monotonic times: one number for the whole run, so that differences
 * stay exact. Returns false on a write error. */
bool bench_records_write(FILE *file, const struct load_result *result, int64_t wall_offset_ns);
