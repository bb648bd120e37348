/* SHA-256 (libcrypto), as 64 lower-case hex digits. */
#pragma once

#include "base/err.h"

#include <stddef.h>

enum { DIGEST_HEX_SIZE = 65 }; /* with the NUL */

void digest_bytes(const void *data, size_t len, char ret_hex[DIGEST_HEX_SIZE]);
NODISCARD bool digest_file(const char *path, char ret_hex[DIGEST_HEX_SIZE], struct err *err);
