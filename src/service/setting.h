/* The final text of each option of an engine, for one candidate. */
#pragma once

#include "service/engine.h"

/* Settings in the order of the engine's options, in `arena`: the study's text with its placeholders
 * filled in, else the knob of that name, else the default; paths made absolute. */
struct engine_setting *service_settings(struct arena *arena, const struct spec_study *study,
                                        const struct spec_candidate *candidate, size_t service,
                                        const struct spec_engine_use *use, int port,
                                        const char *scratch);

/* A text with its placeholders filled in, in `arena`; NULL: left out. */
const char *service_expand(struct arena *arena, const struct spec_study *study,
                           const struct spec_candidate *candidate, size_t service, const char *text,
                           int port, const char *scratch);
