/* Expressions of the study file while it is loaded: one way to read them, whatever their names
 * mean. Private to spec/. */
#pragma once

#include "spec/loader.h"

/* A text that must be an expression over `names`; `must_name`: what it has to name one of
 * ("metric"), NULL: it may do without. */
NODISCARD bool spec_load_expr(struct spec_loader *l, const struct yaml_node *node,
                              const char *where, const struct expr_names *names,
                              const char *must_name, const struct expr **ret_expr);
/* A condition or constraint. `service` < 0: full names only; only knobs below `limit` may be
 * named. */
NODISCARD bool spec_load_knob_expr(struct spec_loader *l, const struct yaml_node *node,
                                   const char *where, int service, size_t limit,
                                   const struct expr **ret_expr);
