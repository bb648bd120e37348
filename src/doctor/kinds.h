/* The servers that the doctor knows: how each is recognised and where its port, model and wishes
 * stand. To add one: one entry in doctor/kinds.c. */
#pragma once

#include "spec/catalog.h"

enum doctor_asks { ASKS_NOTHING = 0, ASKS_CPU, ASKS_GPU };

/* How a server is told where to compute. The first row that holds decides. */
struct doctor_wish {
    const char *flags;       /* aliases, separated by blanks; NULL */
    const char *environment; /* variable; NULL. Without both: always */
    const char *value;       /* pattern of the value; NULL: the flag alone */
    enum doctor_asks asks;
};

struct doctor_kind {
    const char *name;           /* as people call it */
    const char *const *words;   /* patterns for program, module or script; NULL-terminated */
    const char *subcommand;     /* must be among the arguments; NULL */
    bool must_listen;           /* the words are loose: only what listens is a server */
    bool lazy;                  /* loads a model when asked and may drop it: absence on a card says
                                 * nothing */
    const char *engine;         /* of a study file; NULL: as a command */
    enum spec_role role;        /* ROLE_OTHER: no study can load it */
    const char *protocol;       /* of a study file, for a command */
    const char *port_flags;     /* aliases, separated by blanks */
    const char *port_variable;  /* environment, "host:port" or "port"; NULL */
    int port;                   /* where it listens unless told; 0 */
    const char *model_flags;    /* aliases; a bare argument follows "serve" for vLLM */
    const char *model_variable; /* environment; NULL */
    const char *detail_flags, *detail_word; /* "--gpu-memory-utilization", "share" */
    const struct doctor_wish *wishes;       /* tried in order */
    size_t wish_count;
    const char *health;    /* HTTP path of its readiness; NULL: speaks no HTTP */
    const char *models;    /* HTTP path of OpenAI's model list; NULL */
    const char *loaded;    /* HTTP path of what Ollama has loaded; NULL */
    const char *gpu_build; /* how to get a build that can use the GPU */
};

extern const struct doctor_kind doctor_kinds[];
extern const size_t doctor_kind_count;
