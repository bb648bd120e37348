/* Where requests go: http:// on this machine only, for now. */
#pragma once

#include "base/err.h"

#include <stddef.h>

enum { LOAD_URL_MAX = 1024 };

/* Checks a URL and writes it with a numeric address ("localhost" becomes 127.0.0.1), so that no
 * name is ever looked up. Another scheme or host is refused by name (ERR_INPUT). */
NODISCARD bool load_url_check(const char *url, char *ret_url, size_t size, struct err *err);
