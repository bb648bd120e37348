/* From what somebody asks for to a plan that can be run. */
#pragma once

#include "base/arena.h"
#include "bench/window.h"
#include "spec/load_alone.h"

struct bench_options {
    const struct spec_protocol *protocol;
    const char *url;               /* NULL where the protocol runs a program */
    const char *model;             /* NULL: none is sent */
    const char *api_key_env;       /* name of the variable that holds a key; NULL: none */
    const char *ca;                /* https: file of authorities to trust; NULL: the system's */
    const char *prompt;            /* the one text to send; NULL: see `load` */
    const struct spec_pair *pairs; /* keys of the load, as in a study file */
    size_t pair_count;
    const struct spec_load *load; /* one that is bound already, the pairs being shown only; NULL:
                                   * what the pairs say */
    bool unchecked;               /* the answers' texts mean nothing */
    int64_t window_ns;            /* 0: default */
    int64_t warmup_ns;            /* -1: default */
    uint64_t requests;            /* 0: no limit */
    uint64_t seed;
    const char *text_salt; /* of made-up text; NULL: one that no run had before */
    int workers;           /* processes that share the sending; 0: as many as it takes */
};

struct bench_setup { /* in the arena */
    struct load_plan plan;
    struct spec_load load;
    struct corpus corpus;
    const char *sending;           /* "12 built-in prompts" */
    const struct spec_pair *pairs; /* the options', borrowed */
    size_t pair_count;
    const char *text_salt; /* of the run; a window tried again has its own, made from it */
    bool workers_fixed;    /* they were asked for */
    bool timed;            /* the window's length was asked for, or is the default */
};

/* Errors are ERR_INPUT, one line that says what to give. */
NODISCARD bool bench_setup_make(const struct bench_options *options,
                                const struct spec_catalog *catalog, struct arena *arena,
                                struct bench_setup **ret_setup, struct err *err);

/* What its answers carry: enum metric_source bits, those of answers in pieces where they are asked
 * for. */
unsigned bench_sources(const struct bench_setup *setup);

/* The URL that is meant by "127.0.0.1:8000", "http://h/v1", or a whole one: what is missing of the
 * scheme and of the protocol's own path is added. In the arena. */
const char *bench_url_complete(const char *url, const struct spec_protocol *protocol,
                               struct arena *arena);

/* What is asked, for eyes: without a key that stands in a URL. In the arena. */
const char *bench_target(const struct bench_setup *setup, struct arena *arena);

/* The plan sends the same load in other words, for the `again`-th time (0: as the run says). */
void bench_setup_say_anew(struct bench_setup *setup, int again, struct arena *arena);

/* A real request, or some one after the other, so that a wrong address or a wrong protocol is said
 * at once and in one line (ERR_PROBLEM). *ret_last is the last one that was answered. */
NODISCARD bool bench_probe(const struct bench_setup *setup, int requests,
                           struct load_record *ret_last, struct err *err);

/* Twice as many workers for the same load, after a window in which they were late; false: they were
 * asked for, or there are enough of them: four, or one for each core, as more would only wait for
 * each other. */
bool bench_setup_add_workers(struct load_plan *plan, const struct bench_setup *setup, int cores);

/* What is sent where nobody says what. */
extern const struct corpus_prompt bench_prompts[];
extern const size_t bench_prompt_count;
