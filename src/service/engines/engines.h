/* The engines, and what several of them need. */
#pragma once

#include "service/engine.h"

extern const struct engine_ops engine_llama_server;
extern const struct engine_ops engine_whisper_server;
extern const struct engine_ops engine_faster_whisper_server;
extern const struct engine_ops engine_vllm;
extern const struct engine_ops engine_ollama;

/* A setting by its option's name; NULL when the engine has no such option. */
const struct engine_setting *engine_setting_find(const struct engine_setting *settings,
                                                 size_t count, const char *name);
/* "true"; the study file takes only that and "false". */
bool engine_setting_is_true(const struct engine_setting *setting);

/* "PATH is no KIND file" unless the file starts with `magic`; also when it can't be read. */
void engine_check_magic(const char *path, const char *magic, size_t magic_len, const char *kind,
                        struct buf *ret_problem);
/* What stands after `before`, up to one of `stops`; false when it is absent or longer than `size`.
 */
bool engine_version_after(const char *text, const char *before, const char *stops,
                          char *ret_version, size_t size);
/* The program named in a script's first line, "env NAME" found on PATH; NULL when it is no script.
 * In `arena`. */
const char *engine_script_interpreter(struct arena *arena, const char *path);
/* The Python that runs `program`: itself, or its script's. NULL when it is neither. In `arena`. */
const char *engine_python(struct arena *arena, const char *program);
/* "PYTHON -c CODE NAME" as a NULL-terminated list in `arena`, and *program is that Python; NULL
 * when the program is none of Python's. */
const char **engine_python_argv(struct arena *arena, const char *code, const char *name,
                                const char **program);
/* Does the hub's cache on this machine, as huggingface_hub lays it out, hold `file` of the
 * repository "org/name"? */
bool engine_hub_holds(const char *repository, const char *file);
