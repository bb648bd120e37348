/* What `spica run` shows while it works: one line per finished trial, and on a terminal two live
 * lines below them (with several lanes, one line each). Everything goes to stdout; when that is no
 * terminal, only the finished lines do. */
#pragma once

#include "cli/display_kept.h"
#include "study/study.h"

#include <stdio.h>

struct display {
    FILE *out;
    bool live, color;
    int width;
    bool verbose; /* name every phase, on stderr */
    struct {
        enum trial_phase phase; /* last named: of this trial, about this service */
        int64_t trial;
        const char *service;
        char *row; /* heap; with several lanes: what it does now; NULL: nothing */
        struct display_kept kept;
    } lanes[SPEC_DEVICES_MAX];
    int live_lines;      /* on the screen now, below the finished lines */
    double best_fitness; /* shown so far as "best so far" */
    const struct spec_study *study;
    bool gpu; /* a device of the study is one: memory has a column, reasons stand beside verdicts */
};

struct display display_init(const struct spec_study *study, FILE *out);
/* The observer of a study that draws on this display; borrowed by the study's run. */
struct study_observer display_observer(struct display *display);
void display_clear(struct display *display); /* removes the live lines */
void display_done(struct display *display);
AUTO_FN(struct display, display_done)

/* display_head.c: the lines above the table. */
void display_print_head(const struct display *display, const struct study_view *view);

/* A candidate as its differences from the baseline ("model=tiny.en threads=1"), or in full when
 * there is no baseline; "baseline" when nothing differs. */
void display_add_settings(struct buf *buf, const struct spec_study *study,
                          const struct spec_candidate *candidate);
