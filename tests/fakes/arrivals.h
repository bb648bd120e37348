/* The logs of arrivals and of what was served: what really came in and went out, and when. */
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

/* One answer's true times, ns; 0: it never came to that. */
struct served {
    int64_t first_byte_ns, complete_ns; /* of the request */
    int64_t started_ns;                 /* it has its slot: its latency counts from here */
    int64_t sent_ns; /* just before its answer (or first token) was handed to the kernel */
    int64_t last_ns; /* the same of its last piece */
    int64_t late_ns; /* the most by which a piece left after its plan */
    long pieces;     /* that left on a plan of their own */
};

bool arrivals_open(struct arrivals *arrivals, struct loop *loop, const char *path);
/* `number` counts work from 1; 0 for /health and the like. */
void arrivals_note(struct arrivals *arrivals, const struct http_request *request, long number);
/* For a log of answers: at the end of each that went out whole. */
void arrivals_note_served(struct arrivals *arrivals, const struct served *served, long number);
void arrivals_flush(struct arrivals *arrivals);
void arrivals_close(struct arrivals *arrivals);

#endif
