/* Where requests go: http:// or https://, any host that a person wrote down. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

enum { LOAD_URL_MAX = 1024, LOAD_HOST_MAX = 256, LOAD_ADDRESSES_MAX = 512 };

struct load_url {
    char text[LOAD_URL_MAX];  /* as it is requested */
    char host[LOAD_HOST_MAX]; /* without brackets */
    int port;                 /* 80 or 443 where none is written */
    bool tls;                 /* https:// */
    bool named;               /* the host is a name: load_url_resolve() before the first request */
    bool local;               /* this machine, by number or as "localhost" */
};

/* Checks a URL and takes it apart. "localhost" becomes 127.0.0.1, but for https://, where the name
 * is what the certificate is checked against. What is refused is named (ERR_INPUT): another scheme,
 * a user or password, blanks and controls. */
NODISCARD bool load_url_parse(const char *url, struct load_url *ret_url, struct err *err);
/* The same, for the text alone. */
NODISCARD bool load_url_check(const char *url, char *ret_url, size_t size, struct err *err);

/* The host's numeric addresses, separated by commas, IPv6 in brackets. Looks a name up, which may
 * block for seconds: never while something is being measured. ERR_INPUT when there is none. */
NODISCARD bool load_url_resolve(const struct load_url *url, char *ret_addresses, size_t size,
                                struct err *err);

/* The URL for eyes: values in its query whose names speak of a key, a token or the like become
 * "...". What is no URL is added as it is. */
void load_url_add_shown(const char *url, struct buf *ret_text);
