/* JSON in requests: what the protocols that send it share. */
#pragma once

#include "load/plan.h"

#include <jansson.h>

bool load_setting_is_true(const struct load_stream *stream, const char *name);
/* The option as a number of the object, under its own name; nothing when it is not set. */
void load_json_set_number(json_t *object, const struct load_stream *stream, const char *name);
/* The same as a text, and as true or false. */
void load_json_set_text(json_t *object, const struct load_stream *stream, const char *name);
void load_json_set_bool(json_t *object, const struct load_stream *stream, const char *name);

/* The request that carries `body`, which is taken over: dumped and dropped. */
NODISCARD bool load_json_request(json_t *body, const struct load_input *input, bool expects_stream,
                                 struct load_request *ret_request, struct err *err);
