/* A load that stands in no study file: the same keys with the same checks, from pairs of texts. */
#pragma once

#include "spec/study.h"

/* `text` is as it would stand in the file: "5/s", "{on: 2s, off: 8s}". A literal one is a text, not
 * YAML: a path may hold a colon. */
struct spec_pair {
    const char *key, *text;
    bool literal;
};

/* `pairs` of keys of `load:` or of the protocol's options; a key given twice is refused. What is to
 * be sent need not be named. Relative paths start in the current folder. *ret_load is in the arena.
 * Errors are ERR_INPUT: "rate: what is wrong; what is allowed". */
NODISCARD bool spec_load_alone(const struct spec_catalog *catalog,
                               const struct spec_protocol *protocol, const struct spec_pair *pairs,
                               size_t count, struct arena *arena, struct spec_load *ret_load,
                               struct err *err);
