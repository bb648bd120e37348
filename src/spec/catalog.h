/* What the study file may name but folders above spec/ implement: engines and protocols, described
 * as data so that the file can be checked, and help generated, without them. cli/ plugs them in. */
#pragma once

#include "spec/metric.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum spec_role { ROLE_OTHER, ROLE_STT, ROLE_LLM, ROLE_COUNT_ };
extern const char *const spec_role_names[ROLE_COUNT_];

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_REAL, OPTION_CHOICE, OPTION_BOOL, OPTION_PATH };

/* What a larger number does to the memory that the service takes on its device. What is known to
 * fit or not to fit with one value then says something about others. */
enum option_memory {
    MEMORY_NONE, /* nothing, or not known */
    MEMORY_MORE, /* takes more: a larger cache, more slots */
    MEMORY_LESS,
    MEMORY_SHARE, /* takes more and has more room inside: a server's own share of the device */
    MEMORY_COUNT_
};
extern const char *const spec_memory_names[MEMORY_COUNT_]; /* "more"; [MEMORY_NONE] is "none" */

/* One setting of an engine or a protocol: fixed in the study file, or a knob. */
struct spec_option {
    const char *name; /* in the study file: "threads" */
    enum option_type type;
    double min, max;            /* for INT and REAL, inclusive; both 0: unbounded */
    const char *const *choices; /* for CHOICE, NULL-terminated */
    const char *flag;           /* command line flag; NULL when the engine's code handles it.
                                 * BOOL: the flag alone when true, nothing when false */
    const char *flag_off;       /* BOOL: the flag that says false, or NULL: nothing does */
    const char *env;            /* environment variable that holds its text, or NULL */
    const char *value;          /* default written explicitly when not set, or NULL: left out */
    const char *cpu_value, *gpu_value; /* the default for services `on: cpu`, `on: gpu`, instead of
                                        * `value`; NULL: as `value` */
    bool required;
    enum option_memory memory;
    bool weights; /* a path that `prepare` checks before any trial */
    const char *help;
};

struct spec_engine {
    const char *name; /* "llama-server" */
    const char *help;
    enum spec_role role;      /* default role */
    const char *protocol;     /* default protocol */
    const char *program;      /* default program, found on PATH when `program:` is not given */
    const char *ready_path;   /* default HTTP path of the ready check */
    const char *metrics_path; /* HTTP path with metrics in Prometheus' text format; NULL: none */
    int64_t
        ready_within_ns; /* default deadline of it where the usual one is too short; 0: it is not */
    double start_s;      /* what a start usually takes, for estimates; 0: some seconds */
    const struct spec_option *options;
    size_t option_count;
};

struct spec_protocol {
    const char *name; /* "openai-transcriptions" */
    const char *help;
    unsigned sources;                  /* enum metric_source bits its answers carry */
    unsigned streamed_sources;         /* more of them, with its option "stream" */
    bool needs_text;                   /* sends prompts, though no text comes back */
    bool needs_model;                  /* no request without the name of a model */
    bool runs_program;                 /* asks nobody: a program is run for each request */
    bool never_tls;                    /* there is no such form of it */
    const char *path;                  /* default HTTP path */
    const struct spec_option *options; /* keys allowed under `load:` of the service, besides the
                                        * common ones (spec/study.h) */
    size_t option_count;
};

struct spec_catalog {
    const struct spec_engine *const *engines;
    size_t engine_count;
    const struct spec_protocol *const *protocols;
    size_t protocol_count;
    const char *const *strategies; /* names of search strategies */
    size_t strategy_count;
};

const struct spec_engine *spec_catalog_engine(const struct spec_catalog *catalog, const char *name);
const struct spec_protocol *spec_catalog_protocol(const struct spec_catalog *catalog,
                                                  const char *name);
const struct spec_option *spec_option_find(const struct spec_option *options, size_t count,
                                           const char *name);
/* What the protocol's answers carry under this load (bits): with its option "stream" maybe more. */
struct spec_load;
unsigned spec_load_sources(const struct spec_protocol *protocol, const struct spec_load *load);
/* The text of the option "model"; NULL: not given. */
const char *spec_load_model(const struct spec_load *load);
