/* One trial on a terminal: what trial_text.c and trial_device.c share. */
#pragma once

#include "report/grid.h"
#include "report/view.h"

struct trial_sheet {
    const struct store_trial *trial;
    FILE *out;
    struct report_terminal terminal;
    struct arena *arena;
};

/* "  label         text, wrapped"; nothing for NULL and "". Outside text, escaped here. */
void report_print_field(const struct trial_sheet *sheet, const char *label, const char *text);
/* A metric row as "118 ms [112, 127]"; percentiles only where the sample carries them. */
const char *report_metric_text(const struct trial_sheet *sheet, const struct store_metric *metric);

/* trial_device.c */
void report_print_cards(const struct trial_sheet *sheet);
/* Every piece of a proof of placement on its own line. */
void report_print_proof(const struct trial_sheet *sheet, const struct store_service *service);
/* What the worker that computes really had in its environment. */
void report_print_read_back(const struct trial_sheet *sheet, const struct store_service *service);
/* Latencies of a service that computed in the wrong place; `fallback` NULL: nothing to set beside
 * them. */
void report_print_fallback(const struct trial_sheet *sheet, const struct report_fallback *fallback);
bool report_has_fallback(const struct store_trial *trial);
