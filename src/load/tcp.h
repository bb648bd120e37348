/* Where a TCP peer is: tcp://HOST:PORT. */
#pragma once

#include "base/err.h"

#include <sys/socket.h>

/* Looks a host's name up, which may block; a number is not looked up. ERR_INPUT names what is
 * refused. */
NODISCARD bool load_tcp_address(const char *url, struct sockaddr_storage *ret_address,
                                socklen_t *ret_len, struct err *err);
