/* What a study found, said once and shown many ways. The view holds every number, computed from the
 * store alone; renderings only choose words and layout, so that no two outputs can disagree.
 *
 * Everything that came from outside (names, evidence, transcripts, logs) is bounded and escaped for
 * the target on its way out. */
#pragma once

#include "base/arena.h"
#include "base/json.h"
#include "spec/study.h"
#include "store/store.h"

#include <stdio.h>

struct report_view; /* its body is in report/view.h, for the renderings */

enum report_outcome {
    REPORT_UNFINISHED,    /* still running, or stopped: nothing is named as the winner */
    REPORT_WINNER,        /* a candidate beats the baseline (or there is none to beat) */
    REPORT_BASELINE_BEST, /* nothing was shown to be better than what runs today */
    REPORT_INFEASIBLE,    /* no candidate met the requirements */
    REPORT_OUTCOME_COUNT_
};

/* Reads everything but logs. *ret_view lives in `arena`. ERR_INPUT when the file holds no study
 * yet, or when its study file can't be understood with this catalog. */
NODISCARD bool report_view_build(struct store *store, const struct spec_catalog *catalog,
                                 struct arena *arena, struct report_view **ret_view,
                                 struct err *err);
enum report_outcome report_view_outcome(const struct report_view *view);

/* Why a trial failed, as short as it can be said: "llm: asked 55.4 GiB, 44.4 free beside
 * ollama.service" where the service said numbers, else the trial's summary. Escaped. */
void report_add_reason(struct buf *buf, const struct spec_study *study,
                       const struct store_trial *trial);
/* "ollama.service 2,260 MiB (stays)"; several: "a.service, b.service 3.1 GiB together (stay)".
 * Nothing when the study declares none; NaN: not read. Escaped. */
void report_add_neighbours(struct buf *buf, const struct spec_study *study, double bytes);

/* report.md, report.html, report.json and winner.json in `folder`, each written whole or not at
 * all. Without a winner winner.json says so: it is never left over from another run. */
NODISCARD bool report_write_all(const struct report_view *view, const char *folder,
                                struct err *err);
/* What report.json holds (docs/REPORT.md); new reference. */
json_t *report_json(const struct report_view *view);

struct report_terminal {
    int width;  /* columns; 0: 80 */
    bool color; /* may use ANSI colours */
};

/* Candidates with their verdicts and numbers, best first, failed ones after them. */
void report_print_leaderboard(const struct report_view *view, FILE *out,
                              struct report_terminal terminal);
/* The lines at the end of a run: the winner against the baseline, how certain, what next. */
void report_print_end(const struct report_view *view, FILE *out, struct report_terminal terminal);
/* One trial in full. ERR_MISSING: no trial of that number. */
NODISCARD bool report_print_trial(struct store *store, const struct spec_catalog *catalog,
                                  int64_t number, FILE *out, struct report_terminal terminal,
                                  struct err *err);
/* A service's log as stored with a trial. ERR_MISSING: no such trial, service or log. */
NODISCARD bool report_print_log(struct store *store, int64_t number, const char *service, FILE *out,
                                struct err *err);
