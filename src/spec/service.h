/* A service of the study file: its settings, knobs, engines and load. Part of spec/study.h;
 * everything is borrowed from the study's arena and does not change after loading. Durations are
 * ns, sizes bytes, shares ratios. */
#pragma once

#include "spec/catalog.h"
#include "spec/expr.h"
#include "spec/shape.h"
#include "spec/tls.h"

#include <stdint.h>

enum { SPEC_PROGRAMS_MAX = 256 }; /* of one service that is run for each request, at once */

struct spec_place { /* where in the file, for messages; 0 when not from the file */
    int line, column;
};

/* A text that may hold {knob}, {port}, {dir} placeholders, e.g. "models/ggml-{model}.bin".
 * "{{" is a brace, "}" alone is itself. Checked: every placeholder names a knob of its service, or
 * port, dir (the service's private scratch folder), study (the study file's folder). */
struct spec_setting {
    const char *name; /* NULL for a bare argument */
    const char *text; /* NULL: explicitly left out (YAML null) */
    struct spec_place place;
};

struct spec_value {
    const char *label; /* as written; shown, stored, and compared in expressions */
    const char *text;  /* put in place of {knob}; NULL: the argument or entry is left out */
    double number;     /* the label as a number ("2", "512MiB") in base units, NaN if it is none */
    struct spec_place place;
};

struct spec_knob {
    const char *name;      /* "threads" */
    const char *full_name; /* "stt.threads" */
    size_t service;
    struct spec_value *values;
    size_t value_count; /* >= 1 */
    bool ordered;       /* a range or all numbers: neighbours in the list are near each other */
    /* As the file says, else as its engine's option does; only where `ordered`: compare the values'
     * numbers, the list may stand in any order. */
    enum option_memory memory;
    const struct expr *when; /* over earlier knobs; NULL: always active */
    struct spec_place place;
};

struct spec_engine_use {
    const struct spec_engine *engine;
    const struct spec_protocol *protocol; /* the service's, else the engine's default */
    const char *program;                  /* may hold placeholders; NULL: engine's default */
    struct spec_setting *settings; /* engine options: fixed in the file, and one "{knob}" for each
                                    * knob that has the name of an option */
    size_t setting_count;
};

struct spec_load {
    bool given; /* false: the service is started, probed, but not loaded */
    enum arrivals arrivals;
    double rate_rps; /* open loop: requests (or sessions) per second; bursts: while on; ramp:
                      * its higher end; trace: 0 */
    struct spec_shape shape;
    const char *after; /* ARRIVALS_AFTER: the service whose answers its requests are made
                        * from, by name and by index */
    size_t after_service;
    const char *api_key_env; /* environment variable with a key; NULL: none */
    int concurrency;         /* closed loop: clients; open loop: most requests in flight */
    int64_t timeout_ns;      /* per request, from the intended send */
    bool reuse_connection;   /* false: a new connection per request */
    const char *corpus;      /* folder of audio with transcripts, absolute; NULL if not given */
    const char *prompts;     /* JSONL file of prompts, absolute; NULL if not given */
    int max_tokens;          /* 0: as the prompt says */
    double max_wer;          /* over this the answers are bad; NaN: no limit */
    enum spec_words words;   /* what transcripts are compared after */
    struct spec_setting *settings; /* protocol options */
    size_t setting_count;
    struct spec_place place;
};

enum spec_on { ON_CPU, ON_GPU };

struct spec_service {
    const char *name;
    enum spec_role role;
    /* Exactly one of: engine_uses (one, or several chosen by the knob engine_knob), or command. */
    struct spec_engine_use *engine_uses;
    size_t engine_use_count;
    int engine_knob;              /* index of the knob whose value names the engine, or -1 */
    struct spec_setting *command; /* argv templates */
    size_t command_count;
    bool by_request; /* started by nobody: the command is run for each request, with {audio},
                      * {prompt} or {text_file} besides the knobs */
    bool container;  /* the command is podman's or docker's, as the file's `container:` */
    struct spec_setting *arguments; /* `args:`, appended to an engine's own command line */
    size_t argument_count;
    struct spec_setting *environment;
    size_t environment_count;
    const char *folder;     /* working folder, absolute; default: the study file's */
    const char *ready_path; /* HTTP path answering 200 when ready; NULL: the engine's
                             * default, and without one: the port accepts */
    struct spec_tls tls;
    int64_t ready_within_ns;              /* default 60 s */
    const struct spec_protocol *protocol; /* as the file says; NULL: the engine's default, see
                                           * spec_candidate_protocol() */
    const char *protocol_path;            /* NULL: the protocol's default */
    enum spec_on on;
    size_t device;   /* index into the study's devices: where it runs unless a knob says so */
    int device_knob; /* index of its knob "device", whose values name devices, or -1 */
    bool answers_unchecked; /* random weights: texts mean nothing; transport, token count and finish
                             * reason are still checked, and the report says so */
    int64_t stop_grace_ns;  /* TERM to KILL, default 10 s */
    int64_t memory_limit_bytes; /* 0: none; a real limit on the process tree where one can be set */
    bool allow_download;        /* a trial may fetch from the network */
    bool fresh;                 /* restart for every trial even when unchanged */
    struct spec_load load;
    struct spec_place place;
};
