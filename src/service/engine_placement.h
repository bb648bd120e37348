/* What a server says of where it computes: in its log, or on a status page. Hostile bytes.
 *
 * Words can only lower a proof, never make one: a log says where layers were put, not where the
 * work was done. So the answer is PLACEMENT_CPU or PLACEMENT_PARTIAL, or PLACEMENT_UNPROVEN for
 * "says nothing against the GPU", and never PLACEMENT_GPU. */
#pragma once

#include "device/device.h"

/* `engine` is a name from the catalog; NULL: any program, whose log may be that of any engine.
 * `ret_words` gets one line for people ("10 of 31 layers on the GPU (32 %)"), "" when it says
 * nothing. Of several loads in one log the last one counts. */
enum placement engine_placement(const char *engine, const char *log, size_t len, char *ret_words,
                                size_t size);

/* Ollama's /api/ps: how much of `model` (NULL: of the one that is worst off) is in device memory.
 * A model that is not loaded says nothing. */
enum placement engine_placement_loaded(const char *json, size_t len, const char *model,
                                       char *ret_words, size_t size);
