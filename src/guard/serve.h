/* GET /metrics, /status and /healthz over HTTP, inside the daemon's loop. Nothing can be changed
 * through it. On loopback for anybody on this machine; elsewhere only with a token, in clear text:
 * who needs it secret puts a proxy with TLS in front. */
#pragma once

#include "guard/status.h"

struct sd_event;
struct guard_serve; /* opaque */

/* The value of `token_env:`'s variable, which is taken out of the environment: what guard starts
 * (commands, HAProxy) has no need of it. Owned by the caller; NULL: not named, or not set. */
char *guard_serve_take_token(const struct spec_guard *guard);

/* By the study's `listen:` and `token_env:`. *ret_serve NULL: nothing is to be served. `status` and
 * `token` (of guard_serve_take_token()) are borrowed until the end. ERR_INPUT: an address that is
 * none, another than loopback without a token, a token that is not set or shorter than 16
 * characters; ERR_BUSY: the port is taken. */
NODISCARD bool guard_serve_open(const struct spec_guard *guard, struct sd_event *event,
                                const struct guard_status *status, const char *token,
                                struct guard_serve **ret_serve, struct err *err);
struct guard_serve *guard_serve_close(struct guard_serve *serve); /* returns NULL */
AUTO_FN(struct guard_serve, guard_serve_close)

int guard_serve_port(const struct guard_serve *serve); /* the one it got; NULL: 0 */
