/* What a request asks for, and whether it may. Pure; private to serve.c. */
#pragma once

#include "base/err.h"
#include "guard/status.h"
#include "spec/guard.h"

#include <sys/socket.h>

enum serve_what { SERVE_METRICS, SERVE_STATUS, SERVE_HEALTH, SERVE_COUNT_ };
/* -1: there is no such page. */
int serve_find(const char *path);
/* May it be had without a token? It tells nothing then but whether guard lives. */
bool serve_is_open(enum serve_what what);

/* By an Accept header, NULL none: OpenMetrics where it is wanted at least as much as the text. */
enum guard_exposition serve_form(const char *accept);

/* Is this an Authorization header with that token? Takes as long for a wrong one as for the right
 * one. */
bool serve_may(const char *authorization, const char *token);

struct serve_address {
    struct sockaddr_storage socket;
    socklen_t len;
    bool loopback;
};
/* "127.0.0.1", "::1", "localhost", "0.0.0.0". ERR_INPUT: no address. */
NODISCARD bool serve_address(const char *text, int port, struct serve_address *ret_address,
                             struct err *err);
/* Is it good enough for where it listens? NULL: there is none. ERR_INPUT: see guard_serve_open().
 */
NODISCARD bool serve_check_token(const struct spec_guard *guard, bool loopback, const char *token,
                                 struct err *err);
