/* Plans and corpora for the tests of load/. */
#pragma once

#include "base/clock.h"
#include "load/plan.h"

#define PROMPTS(...)                                                                               \
    {                                                                                              \
        .prompts = (struct corpus_prompt[]){__VA_ARGS__},                                          \
        .prompt_count =                                                                            \
            sizeof((struct corpus_prompt[]){__VA_ARGS__}) / sizeof(struct corpus_prompt)           \
    }

static inline struct load_plan plan_of(const char *protocol, const struct corpus *corpus,
                                       const char *url)
{
    return (struct load_plan){
        .stream_count = 1,
        .seed = 7,
        .salt = "test",
        .window_ns = NS_PER_S,
        .drain_ns = 5 * NS_PER_S,
        .streams = {{.name = "one",
                     .protocol = load_protocol_find(protocol),
                     .url = url,
                     .corpus = corpus,
                     .arrivals = ARRIVALS_CONSTANT,
                     .rate_rps = 100,
                     .timeout_ns = 10 * NS_PER_S}},
    };
}

/* One request, asked at once. */
static inline struct load_plan plan_of_one(const char *protocol, const struct corpus *corpus,
                                           const char *url)
{
    struct load_plan plan = plan_of(protocol, corpus, url);
    plan.probe = true;
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].request_limit = 1;
    return plan;
}
