/* A mapping of the study file as a table: which keys, of which type and range, where they go, what
 * they mean. The same rows check the file, name the nearest key, and print the manual. */
#pragma once

#include "base/buf.h"
#include "spec/document.h"

struct spec_loader;

enum spec_field_type {
    FIELD_TEXT,     /* const char * */
    FIELD_INT,      /* int */
    FIELD_INT64,    /* int64_t */
    FIELD_REAL,     /* double */
    FIELD_BOOL,     /* bool: true or false */
    FIELD_DURATION, /* int64_t ns; the range is in seconds */
    FIELD_SIZE,     /* int64_t bytes */
    FIELD_RATIO,    /* double: 5% or 0.05 */
    FIELD_RATE,     /* double per second: 3/s */
    FIELD_CHOICE,   /* int: index into choices */
    FIELD_NODE,     /* const struct yaml_node *: read by code */
};

struct spec_field {
    const char *name;
    enum spec_field_type type;
    size_t offset;        /* in the record */
    size_t map_offset;    /* a mapping instead of the scalar is kept there, as a node; 0: none is
                           * taken */
    double min, max;      /* inclusive; both 0: any */
    const char *fallback; /* default as it would be written; NULL: the record keeps what it holds */
    bool required;
    const char *const *choices;
    int choice_count;
    const char *help;
};

/* One mapping of the file, for the manual. */
struct spec_section {
    const char *title; /* "measure", "services.NAME" */
    const struct spec_field *fields;
    size_t count;
};
/* All of them, in the file's usual order; ends with a NULL title. */
const struct spec_section *spec_sections(void);
/* What a field takes, for the manual: "a number; 0.001 to 1,000; default 1". */
void spec_field_add_facts(struct buf *buf, const struct spec_field *field);

/* Further keys that the caller reads itself. */
struct spec_extra {
    const char *const *names;
    size_t count;
};

/* Fills the record from a mapping (NULL: defaults only). Unknown keys, wrong types, values out of
 * range and missing keys are errors with their place; `where` is the path of the mapping ("" at the
 * top). */
NODISCARD bool spec_bind(struct spec_loader *l, const struct yaml_node *map, const char *where,
                         const struct spec_section *section, struct spec_extra extra, void *record);

extern const struct spec_section spec_study_section, spec_service_section, spec_ready_section,
    spec_tls_section, spec_knob_section, spec_load_section, spec_rate_section, spec_think_section,
    spec_length_section, spec_prefix_section, spec_measure_section, spec_objective_section,
    spec_goal_section, spec_capacity_section, spec_search_section, spec_neighbour_section,
    spec_promotion_section, spec_check_section, spec_production_section, spec_hand_section,
    spec_guard_section, spec_watch_section, spec_guard_rule_section, spec_act_section,
    spec_proxy_section, spec_attach_section, spec_front_section, spec_tier_section,
    spec_split_section, spec_arm_section, spec_stick_section;
