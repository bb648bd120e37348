/* After which rules a study's transcripts are compared with what was said. Word error rates of
 * other rules are other numbers, and the study file need not say which: a later version may take
 * others for it. */
#pragma once

#include "spec/study.h"

#include "base/arena.h"
#include "base/buf.h"

/* As the store keeps it, {"stt":"plain"}, in the arena; NULL: all are compared after "english", as
 * in all studies that were begun before there were others. */
const char *study_rules_text(const struct spec_study *study, struct arena *arena);

/* `stored`: the text of the study as it was begun. False where a rate would be counted otherwise
 * now: which, as words. */
bool study_rules_same(const struct spec_study *study, const char *stored, struct buf *ret_changed);
