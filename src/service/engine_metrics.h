/* What a server's /metrics page says of its inside, in Prometheus' text format. Pure; hostile
 * bytes. The numbers are the server's own and its word only: they explain a measurement, none of
 * them is one. */
#pragma once

#include <stddef.h>

/* NaN: the page does not say, or says NaN. Of several engines behind one page the fullest cache
 * counts, and the sum of the others. */
struct engine_metrics {
    double kv_cache_ratio;    /* share of the cache in use, 0 to 1 */
    double preemptions;       /* requests thrown out of the cache since the start */
    double requests_running;  /* now */
    double requests_waiting;  /* now */
    double prompt_tokens;     /* read since the start */
    double generation_tokens; /* written since the start */
};

void engine_metrics_parse(const char *text, size_t len, struct engine_metrics *ret_metrics);
