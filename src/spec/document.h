/* The study file as a tree of nodes that know where they stand. Only what a study needs of YAML:
 * one document, no tags, keys are plain text, no key twice, aliases to what stands above. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

/* Limits, checked while reading: a hostile file costs no more than an ordinary one of its size. */
enum { YAML_BYTES_MAX = 1 << 20, YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 200000 };

struct yaml_node {
    enum yaml_kind kind;
    int line, column; /* from 1 */
    bool plain;       /* a scalar without quotes: "null", "true" and numbers mean themselves */
    const char *text; /* of a scalar; never NULL */
    struct yaml_entry *first; /* of a list or map, in file order */
    size_t count;
    size_t weight; /* nodes below and itself, aliases counted each time */
};

struct yaml_entry {
    struct yaml_entry *next;
    const struct yaml_node *key; /* NULL in a list */
    const struct yaml_node *value;
};

/* Everything lives in the arena; aliased nodes are shared. Errors are ERR_INPUT with
 * "path:line:column: ...". An empty document is an empty map. */
NODISCARD bool spec_yaml_parse(struct arena *arena, const char *path, const char *text, size_t len,
                               const struct yaml_node **ret_root, struct err *err);

/* Value of a key; NULL when absent, or when the node is no map. */
const struct yaml_node *spec_yaml_get(const struct yaml_node *map, const char *key);
bool spec_yaml_is_null(const struct yaml_node *node);
/* "a list", "a mapping", "text". */
const char *spec_yaml_kind_name(const struct yaml_node *node);

/* The second of two equal names, or -1. Sorts a copy: a knob may have 10,000 values. */
int spec_names_duplicate(const char *const *names, size_t count);
