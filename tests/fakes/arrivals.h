/* The log of arrivals: what really came in, and when. */
#ifndef FAKES_ARRIVALS_H
#define FAKES_ARRIVALS_H

#include <stdbool.h>

#include "http.h"

struct arrivals {
    int fd; /* -1: none wanted */
    struct buf lines;
    struct loop *loop; /* borrowed */
    struct loop_timer timer;
};

bool arrivals_open(struct arrivals *arrivals, struct loop *loop, const char *path);
/* `number` counts work from 1; 0 for /health and the like. */
void arrivals_note(struct arrivals *arrivals, const struct http_request *request, long number);
void arrivals_flush(struct arrivals *arrivals);
void arrivals_close(struct arrivals *arrivals);

#endif
