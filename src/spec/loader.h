/* What the parts of the study loader share; nobody outside spec/ includes this. Each load_*.c turns
 * one part of the file into one part of the study, in the order in which study.c calls them. */
#pragma once

#include "spec/schema.h"
#include "spec/study.h"
#include "spec/document.h"

enum {
    SPEC_VALUES_MAX = 10000,      /* of one knob */
    SPEC_VALUES_ALL_MAX = 100000, /* of all knobs */
    SPEC_NAME_MAX = 32,
    SPEC_TEXT_MAX = 4096, /* bytes of any text that reaches a command line */
};

struct spec_loader {
    const char *path;    /* NULL: what is checked comes from no file */
    struct arena *arena; /* the study's */
    const struct spec_catalog *catalog;
    struct spec_study *study;
    size_t value_count; /* of all knobs so far */
    struct err *err;
};

/* What the file says about one service, kept until its knobs and engines are known. */
struct spec_service_draft {
    struct spec_service service;
    int role, on, answers; /* of the first two -1: not given */
    bool tls;
    const char *engine, *program, *protocol, *path, *device;
    const struct yaml_node *node, *engines, *command, *arguments, *environment, *ready, *knobs;
    const struct yaml_node *container, *tls_map;
};

/* "path:line:column: where: ...", ERR_INPUT; returns false. `where` may be "".
 * Without a path (what is checked is no file) only "where: ...". */
bool spec_fail(struct spec_loader *l, struct spec_place place, const char *where, const char *fmt,
               ...) PRINTF_LIKE(4, 5);
/* "where.key"; `key` where nothing stands before it. In the arena. */
const char *spec_join(struct spec_loader *l, const char *where, const char *key);
struct spec_place spec_place_of(const struct yaml_node *node);
/* Text of the file made safe and short for a message; spec_quote's is in the arena. */
enum { SPEC_SHOWN_SIZE = 256 };
const char *spec_shown(const char *text, char ret_shown[SPEC_SHOWN_SIZE]);
const char *spec_quote(struct spec_loader *l, const char *text);
/* "a, b, c" of at most 30 names, and "; did you mean b?" or "". In the arena. */
const char *spec_list(struct spec_loader *l, const char *const *names, size_t count);
const char *spec_did_you_mean(struct spec_loader *l, const char *const *names, size_t count,
                              const char *word);
bool spec_is_name(const char *text);     /* [a-z][a-z0-9_]*, at most 32 */
bool spec_is_variable(const char *text); /* of an environment */
/* A relative path starts at the study file's folder. NULL stays NULL. */
void spec_make_absolute(struct spec_loader *l, const char **path);

/* A scalar that becomes part of a command line or environment: text, or NULL for YAML null. */
NODISCARD bool spec_load_text(struct spec_loader *l, const struct yaml_node *node,
                              const char *where, const char **ret_text);

/* The top-level `device:`, NULL: not given. */
NODISCARD bool spec_load_devices(struct spec_loader *l, const struct yaml_node *device);
/* Every service's device and `on`, once all knobs are loaded. */
NODISCARD bool spec_place_services(struct spec_loader *l, const struct spec_service_draft *drafts);
/* Once all loads are: can what must compute on a GPU be proven to? */
NODISCARD bool spec_check_proofs(struct spec_loader *l, const struct yaml_node *services);
NODISCARD bool spec_load_services(struct spec_loader *l, const struct yaml_node *services);
NODISCARD bool spec_load_knobs(struct spec_loader *l, const struct spec_service_draft *drafts);
NODISCARD bool spec_load_engines(struct spec_loader *l, const struct spec_service_draft *draft,
                                 size_t service);
/* NULL with the error set when there is none of this name. */
const struct spec_engine *spec_find_engine(struct spec_loader *l, struct spec_place place,
                                           const char *where, const char *name);
NODISCARD bool spec_load_commands(struct spec_loader *l, const struct spec_service_draft *draft,
                                  size_t service);
/* A list of texts with placeholders: `command:`, `args:`. */
NODISCARD bool spec_load_list(struct spec_loader *l, const struct yaml_node *node,
                              const char *where, struct spec_setting **ret_items,
                              size_t *ret_count);
/* A service whose protocol runs a program: sets `by_request` and refuses what makes no sense. */
NODISCARD bool spec_check_by_request(struct spec_loader *l, struct spec_service_draft *draft);
/* What of that can be looked at only when the loads are known. */
NODISCARD bool spec_check_runs(struct spec_loader *l);
/* `tls:`, and whether its protocols, once known, have it. */
NODISCARD bool spec_load_tls(struct spec_loader *l, const struct spec_service_draft *draft,
                             struct spec_service *s);
NODISCARD bool spec_check_tls(struct spec_loader *l, const struct spec_service_draft *draft,
                              const struct spec_service *s);
/* `container:`, into the service's command. */
NODISCARD bool spec_load_container(struct spec_loader *l, const struct spec_service_draft *draft,
                                   struct spec_service *s);
/* One service's load, into it; whether it names what to send is the caller's to check. */
NODISCARD bool spec_load_one(struct spec_loader *l, const struct yaml_node *node,
                             struct spec_place place, const char *where,
                             struct spec_service *service);
/* Every `after` names a service with texts, and no chain of them comes back to itself. */
NODISCARD bool spec_check_chains(struct spec_loader *l);
NODISCARD bool spec_load_loads(struct spec_loader *l, const struct yaml_node *load);
NODISCARD bool spec_load_neighbours(struct spec_loader *l, const struct yaml_node *neighbours);
NODISCARD bool spec_load_measure(struct spec_loader *l, const struct yaml_node *measure);
NODISCARD bool spec_load_search(struct spec_loader *l, const struct yaml_node *search);
/* One expression over metrics, which are added to the study's. */
NODISCARD bool spec_load_requirement(struct spec_loader *l, const struct yaml_node *node,
                                     const char *where, struct spec_requirement *ret);
NODISCARD bool spec_load_capacity(struct spec_loader *l, const struct yaml_node *capacity);
NODISCARD bool spec_load_production(struct spec_loader *l, const struct yaml_node *production);
NODISCARD bool spec_load_goal(struct spec_loader *l, const struct yaml_node *goal);
NODISCARD bool spec_load_constraints(struct spec_loader *l, const struct yaml_node *constraints);
NODISCARD bool spec_load_baseline(struct spec_loader *l, const struct yaml_node *baseline);

/* At least one candidate satisfies all constraints; else names the one that excludes everything. */
NODISCARD bool spec_check_feasible(struct spec_loader *l);
enum { SPEC_PROTOCOLS_MAX = 16 };
/* The different protocols that a service's candidates use. */
size_t spec_service_protocols(const struct spec_service *s, const struct spec_protocol **ret_all,
                              size_t max);
/* Every placeholder has a knob, every knob is used, every option gets values that it takes. */
NODISCARD bool spec_check_uses(struct spec_loader *l);
/* Placeholders of some texts of one service; those of knobs are added to *used (bit per knob). */
NODISCARD bool spec_check_texts(struct spec_loader *l, size_t service,
                                const struct spec_setting *settings, size_t count,
                                const char *where, uint64_t *used);
