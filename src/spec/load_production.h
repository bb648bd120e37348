/* Private to the reading of `production:`: what its two files share. */
#pragma once

#include "spec/loader.h"

/* One service's part of it. */
NODISCARD bool spec_load_production_of(struct spec_loader *l, const struct yaml_node *node,
                                       size_t service, struct spec_production *ret);
/* A command as a list, the program first; its placeholders are the caller's to check. */
NODISCARD bool spec_load_argv(struct spec_loader *l, const struct yaml_node *node,
                              const char *where, struct spec_argv *ret_argv);
/* The unit's full name, of what stands under "unit" in the mapping; NULL stays NULL. */
NODISCARD bool spec_settle_unit(struct spec_loader *l, const struct yaml_node *node,
                                const char *where, const char **unit);
