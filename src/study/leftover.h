/* Processes that an earlier run of some study started and nobody owns any more: whatever they do,
 * they do it on this machine while we measure. */
#pragma once

#include "base/buf.h"

/* Every process that carries SPICA_SERVICE in its environment while no keeper is among its
 * ancestors, as "pid 4711 (python3) of voice-cpu/stt", comma-separated; empty when there is none.
 * Processes whose environment may not be read are not seen. */
NODISCARD bool study_find_leftovers(const char *proc_root, struct buf *ret_text, struct err *err);
