/* Files of units that somebody has edited. Private to promote/. */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "host/config.h"

/* What the unit's next start would bring, and its process was not started with: in words, in the
 * arena; NULL: nothing is known of such a thing. Our own drop-in and the paths of `except` (NULL at
 * the end; NULL: none) are not looked at. */
const char *promote_unit_edited(const struct host_config *config, const char *const *except,
                                struct arena *arena);

/* Of a file that not everybody may read: of what stat(2) tells, not of its bytes. It is the same
 * for whoever asks, also who may not read it, and says nothing of secrets in it. "": no such file.
 */
void promote_digest_private(const char *path, char ret_hex[DIGEST_HEX_SIZE]);
