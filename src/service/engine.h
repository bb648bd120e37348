/* An engine: a server program whose flags, weights, and log words are known. Most of it is data
 * (struct spec_engine); code only where a table can't say it.
 *
 * To add one: engines/NAME.c with a `const struct engine_ops`, one line in service/engine.c. */
#pragma once

#include "service/launch.h"
#include "service/signature.h"

/* A setting with its final text, after knobs and defaults: what an engine's code sees. */
struct engine_setting {
    const struct spec_option *option;
    const char *text; /* NULL: left out */
};

/* An engine that is also started by another program than its own: those whose file name starts with
 * `program` ("python" is python3.12 too) take `argv` instead of base_argv. */
struct engine_form {
    const char *program; /* NULL: end of the list */
    const char *const *argv;
};

struct engine_ops {
    const struct spec_engine *spec;
    /* Fixed arguments after the program, before flags; NULL-terminated; may hold {port} and {dir}.
     * "=NAME" is replaced by the text of that option, and dropped when it is left out. */
    const char *const *base_argv;
    const struct engine_form *forms; /* optional */
    /* Environment set unless the study file says otherwise; NULL-terminated name, value pairs,
     * where a value may hold {port} and {dir}. */
    const char *const *base_env;
    /* Optional: the option whose text requests have to name as their model. */
    const char *model_option;
    /* Optional: an HTTP path whose answer lists the models served; the server is ready only when
     * the launch's model is among them (engine_models_list()). */
    const char *ready_models;
    /* Optional: an HTTP path that tells how much of a model is on the device (Ollama's /api/ps,
     * engine_placement_loaded()). */
    const char *placement_path;
    /* It can't read a UUID in CUDA_VISIBLE_DEVICES: give it the number. */
    bool wants_number;
    /* Optional: fills launch->config_* and may add arguments; settings are in option order. */
    bool (*configure)(struct arena *arena, const struct engine_setting *settings, size_t count,
                      struct service_launch *launch, struct err *err);
    /* Optional: what is wrong with weights that are there, as one line without a newline. */
    void (*check_weights)(const char *path, struct buf *ret_problem);
    /* Optional: a name that is no file can be had from a hub: its arguments (after `program`, which
     * it may replace), NULL-terminated, in `arena`. */
    const char **(*fetch_argv)(struct arena *arena, const char *name, const char **program);
    /* With it: is that name in the hub's cache on this machine already? */
    bool (*cached)(const char *name);
    /* What its log lines mean, tried in order; ends with a NULL text. */
    const struct service_signature *signatures;
    /* Optional: reads the version from a log or from `program --version` output. */
    bool (*version)(const char *text, char *ret_version, size_t size);
    const char *const *version_argv; /* NULL-terminated arguments that print it, or NULL */
    /* Or: the Python distribution ("vllm") whose version the program's own Python is asked for,
     * which takes no time, where `program --version` would load all of PyTorch. */
    const char *python_package;
};

extern const struct engine_ops *const engine_table[];
extern const size_t engine_count;
const struct engine_ops *engine_find(const char *name); /* NULL if none */
/* The fixed arguments for `program`, a path or a bare name. NULL if there are none. */
const char *const *engine_base_argv(const struct engine_ops *ops, const char *program);
/* Does a /v1/models answer (any bytes) list `model`? Ollama's ":latest" may be left out. */
bool engine_models_list(const char *json, size_t len, const char *model);
/* The catalog's engine list, in engine_table order. */
const struct spec_engine *const *engine_specs(size_t *ret_count);

/* Weights named by a launch's settings, checked to exist and be readable, and sane (a directory
 * with model.bin, a file with the right magic). Every missing one gets one line in `ret_problems`.
 * `fetch`: try what the engine offers to fetch them (only where a hub is reached). */
NODISCARD bool engine_prepare(const struct spec_study *study,
                              const struct spec_candidate *candidate, size_t service, bool fetch,
                              struct buf *ret_problems, struct err *err);
