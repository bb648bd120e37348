/* Numbers and outside texts as words, the same in every rendering. */
#pragma once

#include "base/text.h"
#include "report/view.h"

/* Growth of a service's memory that is worth a word: 64 MiB a minute. */
#define REPORT_GROWTH_BYTES_PER_S ((double)(64 << 20) / 60)

/* "61 °C", "310 W", "16.2 GiB", "unknown". */
void report_add_gauge(struct buf *buf, enum report_gauge gauge, double value);

enum { REPORT_TEXT_MAX = 400 }; /* bytes of one outside text in a line or cell */

/* Outside text, bounded and escaped. */
void report_add_text(struct buf *buf, enum text_target target, const char *text);
/* Settings and commands: a code span in Markdown where that is safe, else escaped text. */
void report_add_code(struct buf *buf, enum text_target target, const char *text);

/* "118 ms"; "- (n=12)" when the sample carries none. */
void report_add_value(struct buf *buf, const struct report_measure *measure,
                      const struct report_number *number);
/* "[112, 127]" in the value's unit, "" when there is none; a side that is unknown is "-". Of values
 * that are one a run it is their range: "(8.1 to 9.4)". */
void report_add_interval(struct buf *buf, const struct report_measure *measure,
                         const struct report_number *number);
/* "37 % faster [32, 41]", "7 % slower [3, 12]", "not certain: 2 % slower [-3, 8]", "" when not
 * given. */
void report_add_change(struct buf *buf, const struct report_measure *measure,
                       const struct report_change *change);
/* "no difference" and the like without its interval, for sentences: "37 % faster". */
void report_add_change_short(struct buf *buf, const struct report_measure *measure,
                             const struct report_change *change);
/* "latency p95", "word error rate", "memory". */
void report_add_measure_title(struct buf *buf, const struct report_measure *measure);
/* Service in front: "stt latency p95"; "all services memory". */
void report_add_measure_name(struct buf *buf, enum text_target target,
                             const struct report_view *view, const struct report_measure *measure);

/* "stt latency p95", "llm tokens/s", "memory": for narrow columns of a terminal. */
void report_add_measure_short(struct buf *buf, const struct report_measure *measure);

/* A value of a plain unit: metric_add_value, but unknown is "-". */
void report_add_plain(struct buf *buf, enum metric_unit unit, double value);

/* The sentences at the top; the first stands alone as the answer. */
void report_add_headline(struct buf *buf, enum text_target target, const struct report_view *view);
void report_add_basis(struct buf *buf, enum text_target target, const struct report_view *view);

/* What to do next, one line each; false after the last. */
bool report_add_next_step(struct buf *buf, enum text_target target, const struct report_view *view,
                          size_t index);
/* How many trials each verdict had: "17 ok, 3 slow, 2 crashed_start". */
void report_add_verdict_counts(struct buf *buf, const struct report_view *view);
/* reason.c; all escaped for a terminal: for Markdown they pass report_add_text() again. */
/* What a service's log said in numbers, NULL: nothing. */
const char *report_hint(const struct store_trial *trial, const char **ret_service);
double report_neighbour_bytes(const struct store_trial *trial);
/* "gpu0", "gpu0, gpu1": where the measured runs put a service. True: every one of them proved that
 * it computed on a GPU there. */
bool report_add_devices(struct buf *buf, const struct report_side *side, const char *service);
/* "7 candidates that ask for no less memory were not run: #4 failed so (...)". */
void report_add_bound(struct buf *buf, const struct report_view *view, size_t index);
/* "stt on the CPU: latency p50 1.01 s (n=9), 22 times the GPU's 46.0 ms (#3, alone)". */
void report_add_fallback(struct buf *buf, const struct report_fallback *fallback);
/* "llm in 5 trials (340 s), stt ...: 345 s of starts saved"; nothing when no service stayed up. */
void report_add_kept(struct buf *buf, const struct report_view *view);

/* "STUDY" as the commands want it: the study file's path, or NAME.spica. */
const char *report_study_argument(const struct report_view *view);
