/* A transcript that comes piece by piece as server-sent events. */
#pragma once

#include "load/plan.h"

bool load_transcript_complete(const struct load_answer *answer);
/* Reads the stream up to its error: text, token times, counts. A good stream without text is
 * LOAD_EMPTY; whoever knows the clip may forgive that. */
void load_transcript_read(const struct load_answer *answer, struct load_record *record,
                          struct buf *ret_text, struct buf *ret_gaps);
