/* Inside doctor/ only: one GET to a port of this machine. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

/* The status, with the body in *ret_body (cut off at its maximum); 0 when nothing sensible came
 * within `within_ns`. Only loopback is ever asked. */
int doctor_http_get(int port, const char *path, int64_t within_ns, struct buf *ret_body);
