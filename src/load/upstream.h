/* Whose server a stream's requests go to and as whom: its URL, its name's addresses, the
 * authorities whose certificates are trusted, the key.
 *
 * The key is a secret: it lives in the worker's memory and in the header of its requests. It is
 * read from the environment by name, and it is taken out of whatever a server sends back before
 * that is shown or stored. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

struct load_stream;

/* The key in the environment variable `name`; borrowed from the environment. ERR_INPUT, without its
 * value, when there is none or when it could not stand in a header. */
NODISCARD bool load_upstream_key(const char *name, const char **ret_key, struct err *err);

/* Is that a file with certificates? ERR_INPUT or what reading it says. */
NODISCARD bool load_upstream_check_ca(const char *ca, struct err *err);

/* Can the stream's requests be sent where it says? Looks its host's name up, which may block. What
 * is written: the URL, and behind a blank (which no URL holds) the addresses of a host by name. */
NODISCARD bool load_upstream_check(const struct load_stream *stream, char *ret_target, size_t size,
                                   struct err *err);
/* Of such a target; NULL when the host is a number. Borrowed from it. */
const char *load_upstream_addresses(const char *target);

/* Puts stars in place of the key, and of its beginning at a text's cut end. NULL key: nothing. */
void load_upstream_redact(const char *key, struct buf *text);
