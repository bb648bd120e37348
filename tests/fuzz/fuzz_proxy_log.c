/* What comes from HAProxy, its log and its socket's answers, is any bytes: every parse ends within
 * them, and what it finds is in range. */
#include "proxy/inside.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spec_tier tiers[] = {{.name = "base", .port = 8101}, {.name = "tiny", .port = 8102}};
static struct spec_arm arms[] = {{.name = "now", .port = 8001, .weight = 90},
                                 {.name = "next", .port = 8002, .weight = 10}};
static struct spec_front fronts[] = {
    {.service = 0, .port = 8089, .tiers = tiers, .tier_count = 2},
    {.service = 1, .port = 8079, .split = {.arms = arms, .count = 2}}};
static struct spec_service services[] = {{.name = "stt"}, {.name = "llm"}};
static const struct spec_guard guard = {.given = true, .fronts = fronts, .front_count = 2};
static const struct spec_study study = {
    .name = "voice", .services = services, .service_count = 2, .guard = &guard};

static void need(bool holds)
{
    if (!holds)
        abort();
}

static void log_line(const char *text, size_t size)
{
    struct proxy proxy = {.study = &study, .guard = &guard};
    struct proxy_request request;
    snprintf(proxy.state.token, sizeof proxy.state.token, "0123456789abcdef");
    if (!proxy_log_parse(&proxy, text, size, &request))
        return;
    need(request.front < 2 && request.server >= -1 && request.server < 2);
    need(request.end < PROXY_END_COUNT_ && request.status >= 0 && request.status <= 999);
    need(isnan(request.total_s) || request.total_s >= 0);
    need(isnan(request.first_s) || request.first_s >= 0);
    need(isnan(request.queue_s) || request.queue_s >= 0);
}

static void answers(const char *text, size_t size)
{
    struct proxy_view view = {0};
    struct proxy_info info;
    int64_t pids[4];
    proxy_stat_parse(&study, text, size, &view);
    proxy_map_parse(&study, text, size, &view);
    for (size_t i = 0; i < 2; i++)
        need(view.fronts[1].servers[i].weight >= -100 && view.fronts[1].servers[i].weight <= 100);
    need(!view.fronts[0].tier || strlen(view.fronts[0].tier) == 4);
    need(!proxy_info_parse(text, size, &info) || (info.pid >= 0 && info.uptime_s >= 0));
    size_t count = proxy_workers_parse(text, size, pids, 4);
    need(count <= 4);
    for (size_t i = 0; i < count; i++)
        need(pids[i] > 0);
    need(proxy_failed_parse(text, size) >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that the sanitizer sees a read behind its end. */
    char *text = malloc(size ? size : 1);
    need(text != NULL);
    if (size)
        memcpy(text, data, size);
    log_line(text, size);
    answers(text, size);
    free(text);
    return 0;
}
