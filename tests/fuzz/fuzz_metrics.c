/* A page of metrics is any bytes: the parse ends, and what it finds is unknown or can be. */
#include "service/engine_metrics.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(double value, double max)
{
    if (!isnan(value) && !(value >= 0 && value <= max))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that the sanitizer sees a read behind its end. */
    char *page = malloc(size ? size : 1);
    if (!page)
        abort();
    if (size)
        memcpy(page, data, size);
    struct engine_metrics metrics;
    engine_metrics_parse(page, size, &metrics);
    check(metrics.kv_cache_ratio, 1);
    check(metrics.preemptions, HUGE_VAL);
    check(metrics.requests_running, HUGE_VAL);
    check(metrics.requests_waiting, HUGE_VAL);
    check(metrics.prompt_tokens, HUGE_VAL);
    check(metrics.generation_tokens, HUGE_VAL);
    free(page);
    return 0;
}
