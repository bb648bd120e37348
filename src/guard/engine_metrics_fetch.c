/* The pages of metrics, fetched on the loop by the load's own HTTP client.
 *
 * A page is asked for twelve times a window, at most every second: quantiles are differences
 * between pages, and what came since the last one is not known yet. An answer that takes longer
 * than two seconds is given up, and the next one asked for at its time; a server that hangs shows
 * in its probe, not here. */
#include "guard/engine_metrics.h"

#include "base/clock.h"
#include "base/err.h"
#include "load/http.h"
#include "load/url.h"
#include "load/worker.h"
#include "spec/guard.h"
#include "spec/space.h"

#include <stdlib.h>
#include <string.h>

static const int64_t WITHIN_NS = 2 * NS_PER_S, EVERY_LEAST_NS = NS_PER_S;
enum { OLD_FACTOR = 3 };

struct page {                   /* of one service */
    struct load_http_call call; /* first: a call is one of these */
    struct guard_engines *engines;
    struct guard_engine_window *window; /* owned; NULL: it has no page */
    char *url;                          /* owned */
    const char *address;                /* as load_stream has it */
    int64_t due_ns, sent_ns;
};

struct guard_engines {
    const struct spec_study *study;    /* borrowed */
    struct load_http *http;            /* owned */
    struct load_http_headers *headers; /* owned */
    struct page *pages;                /* owned, one for each service */
    int64_t every_ns;
};

static void on_chunk(struct load_http_call *call)
{
    (void)call;
}

static void on_done(struct load_http_call *call, enum load_http_end end)
{
    struct page *page = (struct page *)call;
    static struct guard_engine_page found; /* 3 KiB that need not be on every stack */
    if (end == LOAD_HTTP_COMPLETE && call->answer.http_status == 200) {
        guard_engine_parse(call->answer.body, call->answer.len, &found);
        guard_engine_window_add(page->window, clock_now_ns(), &found);
    }
    load_http_call_trim(call);
}

static const char *path_of(const struct spec_study *study, const struct spec_candidate *candidate,
                           size_t i)
{
    const struct spec_watch *watch = &study->guard->watches[i];
    if (watch->kind == WATCH_NOTHING || watch->port <= 0)
        return NULL;
    if (watch->metrics_path)
        return watch->metrics_path;
    const struct spec_engine_use *use = spec_candidate_engine(study, candidate, i);
    return use ? use->engine->metrics_path : NULL;
}

static void prepare(struct guard_engines *engines, const struct spec_candidate *candidate, size_t i)
{
    struct page *page = &engines->pages[i];
    const char *path = path_of(engines->study, candidate, i);
    page->engines = engines;
    if (!path)
        return;
    const struct load_site site = {engines->study->guard->watches[i].port,
                                   &engines->study->services[i].tls};
    AUTO(buf_done) struct buf url = BUF_INIT(LOAD_URL_MAX), whole = BUF_INIT(LOAD_URL_MAX);
    buf_addf(&whole, "%s%s", path[0] == '/' ? "" : "/", path);
    load_site_add_url(&site, "http", buf_text(&whole), &url, &page->address);
    if (whole.over || url.over)
        return;
    page->url = strdup(buf_text(&url));
    if (!page->url)
        abort();
    page->window = guard_engine_window_new(engines->study->guard->window_ns, clock_now_ns());
}

bool guard_engines_new(const struct spec_study *study, const struct spec_candidate *candidate,
                       sd_event *event, struct guard_engines **ret_engines, struct err *err)
{
    static const struct load_http_hooks hooks = {.chunk = on_chunk, .done = on_done};
    struct guard_engines *engines = calloc(1, sizeof *engines);
    struct page *pages = calloc(study->service_count, sizeof *pages);
    if (!engines || !pages)
        abort();
    engines->study = study;
    engines->pages = pages;
    engines->every_ns = study->guard->window_ns / GUARD_WINDOW_SLOTS;
    if (engines->every_ns < EVERY_LEAST_NS)
        engines->every_ns = EVERY_LEAST_NS;
    engines->headers = load_http_headers_new("text/plain", 0);
    if (!load_http_setup(err) || !load_http_new(event, &hooks, &engines->http, err)) {
        guard_engines_free(engines);
        return false;
    }
    for (size_t i = 0; i < study->service_count; i++)
        prepare(engines, candidate, i);
    *ret_engines = engines;
    return true;
}

struct guard_engines *guard_engines_free(struct guard_engines *engines)
{
    if (!engines)
        return NULL;
    for (size_t i = 0; i < engines->study->service_count; i++) {
        load_http_call_done(&engines->pages[i].call);
        free(engines->pages[i].url);
        guard_engine_window_free(engines->pages[i].window);
    }
    if (engines->http)
        load_http_free(engines->http);
    load_http_headers_free(engines->headers);
    free(engines->pages);
    free(engines);
    return NULL;
}

bool guard_engines_asks(const struct guard_engines *engines, size_t service)
{
    return engines->pages[service].window != NULL;
}

void guard_engines_step(struct guard_engines *engines, int64_t now_ns, const bool *up,
                        const bool *hurried)
{
    for (size_t i = 0; i < engines->study->service_count; i++) {
        struct page *page = &engines->pages[i];
        if (!page->window)
            continue;
        if (page->call.active && now_ns - page->sent_ns > WITHIN_NS) {
            load_http_cancel(&page->call);
            load_http_call_trim(&page->call);
        }
        bool due =
            now_ns >= page->due_ns || (hurried[i] && now_ns - page->sent_ns >= EVERY_LEAST_NS);
        if (page->call.active || !due || !up[i])
            continue;
        const struct load_http_request request = {.url = page->url,
                                                  .addresses = page->address,
                                                  .ca = engines->study->services[i].tls.ca,
                                                  .headers = engines->headers,
                                                  .get = true};
        page->due_ns = now_ns + engines->every_ns;
        page->sent_ns = now_ns;
        load_http_send(engines->http, &page->call, &request);
    }
}

void guard_engines_read(struct guard_engines *engines, int64_t now_ns, size_t service,
                        struct guard_engine_view *ret_view)
{
    guard_engine_window_read(engines->pages[service].window, now_ns,
                             OLD_FACTOR * engines->every_ns + WITHIN_NS, ret_view);
}
