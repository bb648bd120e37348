/* Private to the reading of `load:`: what load_section.c binds and load_shape.c settles. */
#pragma once

#include "spec/loader.h"

/* What the file says about one service's load. A member that ends in _map is the mapping that may
 * stand in place of one number; NULL: none does. */
struct spec_load_draft {
    struct spec_load load;
    int arrivals, concurrency;               /* -1, 0: not given */
    int normalise;                           /* -1: not given */
    int turns, prompt_tokens, output_tokens; /* 0: not given */
    int64_t think_ns;                        /* -1: not given */
    const struct yaml_node *rate_map, *think_map, *turns_map, *prompt_map, *output_map, *mix_map,
        *prefixes;
};

/* Arrivals, and all that bends them: draft to load, checked. `node` is the service's entry. */
NODISCARD bool spec_load_shape(struct spec_loader *l, struct spec_load_draft *draft,
                               const struct yaml_node *node, const char *where,
                               const struct spec_protocol *const *protocols, size_t count);
