/* A study as far as HAProxy needs one: stt with two tiers, llm with a split. Members may be changed
 * before it is used. */
#pragma once

#include "proxy/inside.h"

struct made {
    struct spec_study study;
    struct spec_service services[2];
    struct spec_guard guard;
    struct spec_front fronts[2];
    struct spec_tier tiers[2];
    struct spec_arm arms[2];
    struct proxy proxy; /* as proxy_open() would make it, without files */
};

static inline void made_init(struct made *made, const char *folder)
{
    *made = (struct made){
        .services = {{.name = "stt", .ready_path = "/health"}, {.name = "llm"}},
        .tiers = {{.name = "base", .port = 8101}, {.name = "tiny", .port = 8102}},
        .arms = {{.name = "now", .port = 8001, .weight = 90},
                 {.name = "next", .port = 8002, .weight = 10}},
        .fronts = {{.service = 0, .port = 8089, .tier_count = 2, .timeout_ns = 600 * NS_PER_S},
                   {.service = 1,
                    .port = 8079,
                    .timeout_ns = 600 * NS_PER_S,
                    .queue_max = 4,
                    .split = {.count = 2, .sticky_header = "X-Session"}}},
        .guard = {.given = true, .front_count = 2, .proxy = {.given = true, .folder = folder}},
        .study = {.name = "voice", .path = "voice.yaml", .service_count = 2},
    };
    made->fronts[0].tiers = made->tiers;
    made->fronts[1].split.arms = made->arms;
    made->guard.fronts = made->fronts;
    made->study.services = made->services;
    made->study.guard = &made->guard;
    made->proxy.study = &made->study;
    made->proxy.guard = &made->guard;
    made->proxy.folder = folder;
    proxy_state_init(&made->proxy.state);
    made->proxy.state.log_port = 20001;
    snprintf(made->proxy.state.token, sizeof made->proxy.state.token, "0123456789abcdef");
}
