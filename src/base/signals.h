/* The signals of a child between fork (or vfork) and exec. */
#pragma once

/* All to their defaults, none held back. System calls only, so a vfork child may call it.
 *
 * glibc's signal() refuses the two signals that it keeps to itself, and its posix_spawn leaves them
 * ignored in a child: whoever started us may have handed us those, so they are reset by the
 * kernel's own call. KILL and STOP refuse, which is fine. */
void signals_reset(void);
