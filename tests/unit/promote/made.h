/* A world for plans: a temporary folder with units, a study with a winner, answers instead of
 * systemd, devices and versions. */
#pragma once

#include "promote/world.h"
#include "sample.h"

struct made {
    char folder[64];                   /* of everything */
    const struct host_config *configs; /* per unit, `name` first */
    size_t config_count;
    bool down;                /* no unit runs */
    enum promote_has process; /* of each */
    const char *dependents;   /* of the first of them; NULL: none */
    bool once, no_start;      /* it runs once; it can't be started: each that hangs on it */
    const char *versions[2];  /* stt's, llm's; NULL: as measured */
    const char *device_versions;
    struct promote_world world;
    struct spec_study *study;
};

/* With the results of this story; no study yet. */
void made_init(struct made *made, enum sample_story story);
void made_done(struct made *made);
/* A name in the folder; good for the next seven calls. */
const char *made_path(const struct made *made, const char *name);
void made_file(const struct made *made, const char *name, const char *text);
/* The stored study's text with this `production:` behind it. */
void made_study(struct made *made, const char *production);
/* The same with one text of it replaced: another study, for its digest. */
void made_edited_study(struct made *made, const char *from, const char *to, const char *production);
/* NULL with err set; `accept` NULL: what is always accepted here ("spica"). */
struct promote_plan *made_plan(struct made *made, const char *const *accept, struct err *err);
