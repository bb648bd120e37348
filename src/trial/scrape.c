/* What the servers say of their inside over the window: how full their cache is, how many requests
 * they threw out of it, how many wait. Asked once at each end of the window, by one GET on loopback
 * after our own readings are taken: often enough to explain a latency, too rarely to make one.
 *
 * The numbers are the server's own word. They are stored as readings of the engine and decide
 * nothing. */
#include "trial/scrape.h"
#include "trial/watch.h"

#include "base/clock.h"
#include "service/engine_metrics.h"

#include <math.h>

static const int64_t PAGE_WITHIN_NS = 300 * NS_PER_MS;

static bool read_page(const struct attempt *attempt, size_t i, struct engine_metrics *ret_metrics)
{
    const struct running *running = &attempt->runner->services[i];
    const struct load_site site = {running->launch.port, &attempt->study->services[i].tls};
    const struct spec_engine *engine = running->launch.engine;
    AUTO(buf_done) struct buf body = BUF_INIT(4 << 20);
    struct load_look look;
    if (running->root == 0 || !engine || !engine->metrics_path)
        return false;
    load_http_fetch(&site, engine->metrics_path, PAGE_WITHIN_NS, &body, &look);
    if (look.status != 200)
        return false;
    engine_metrics_parse(buf_text(&body), body.len, ret_metrics);
    return true;
}

void scrape_window_begin(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->study->service_count; i++)
        attempt->scrapes[i].known = read_page(attempt, i, &attempt->scrapes[i].metrics);
}

static void add(struct attempt *attempt, size_t i, const char *name, double value)
{
    if (!isnan(value))
        watch_note_value(attempt, "measure", i, name, reading_known(READING_FROM_ENGINE, value));
}

void scrape_window_end(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        const struct engine_metrics *before = &attempt->scrapes[i].metrics;
        struct engine_metrics now;
        if (!attempt->scrapes[i].known || !read_page(attempt, i, &now))
            continue;
        add(attempt, i, "cache in use", now.kv_cache_ratio);
        add(attempt, i, "requests running", now.requests_running);
        add(attempt, i, "requests waiting", now.requests_waiting);
        /* Counters, over the window. */
        add(attempt, i, "preemptions", now.preemptions - before->preemptions);
        add(attempt, i, "prompt tokens", now.prompt_tokens - before->prompt_tokens);
        add(attempt, i, "generated tokens", now.generation_tokens - before->generation_tokens);
    }
}
