/* A voice turn as the report tells it: one line for each chain of services. */
#pragma once

#include "base/buf.h"
#include "base/text.h"

#include <stddef.h>

struct report_side;
struct report_view;

/* Is the service the last step of a chain? */
bool report_ends_turn(const struct report_view *view, size_t service);
/* "stt: end of speech → text 310 ms → llm: whole answer 450 ms (first token 120 ms) → tts: first
 * sound 200 ms; the turn 940 ms, p95 1.31 s": medians of the side's runs. Nothing where the side
 * has no run. */
void report_add_turn(struct buf *buf, enum text_target target, const struct report_view *view,
                     const struct report_side *side, size_t service);
