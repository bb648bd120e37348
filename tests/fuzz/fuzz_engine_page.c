/* A page of metrics is any bytes: bounds rise, totals don't fall, gauges are unknown or can be. */
#include "guard/engine_metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct guard_engine_histogram *histogram)
{
    if (histogram->count > GUARD_BUCKETS_MAX)
        abort();
    for (size_t i = 0; i < histogram->count; i++) {
        if (!(histogram->bounds[i] >= 0) || !(histogram->totals[i] >= 0))
            abort();
        if (i > 0 && (!(histogram->bounds[i] > histogram->bounds[i - 1]) ||
                      histogram->totals[i] < histogram->totals[i - 1]))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that the sanitizer sees a read behind its end. */
    char *page = malloc(size ? size : 1);
    static struct guard_engine_page found;
    if (!page)
        abort();
    if (size)
        memcpy(page, data, size);
    guard_engine_parse(page, size, &found);
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
        check(&found.histograms[h]);
    if (found.running < 0 || found.waiting < 0 || found.requests < 0 || found.errors < 0)
        abort();
    free(page);
    return 0;
}
