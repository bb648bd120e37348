/* What can be measured of a service: the one table of metric names, units and directions.
 * Values are kept in base units everywhere: seconds, bytes, ratios, counts, 1/s. */
#pragma once

#include "base/err.h"
#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum metric {
    METRIC_LATENCY,      /* intended send to last byte */
    METRIC_TTFT,         /* intended send to first non-empty text on any channel, or first sound */
    METRIC_CONTENT,      /* intended send to first non-empty text that is no thinking */
    METRIC_TURN,         /* from the send of a chain's first request to the first text or sound */
    METRIC_TURN_ERRORS,  /* chains that never came so far, whichever step failed */
    METRIC_ITL,          /* gap between successive text events of one answer */
    METRIC_RTF,          /* latency over the duration of the audio sent, or spoken */
    METRIC_TOKENS_PER_S, /* output tokens answered in the window over its length */
    METRIC_REQUESTS_PER_S, /* completed in the window over its length */
    METRIC_WER,            /* word error rate, all words of the window pooled */
    METRIC_ERRORS,         /* failed requests in the window */
    METRIC_ERROR_RATIO,    /* failed over all requests of the window */
    METRIC_MEMORY,         /* peak memory of the process tree on its device (PSS on a CPU box) */
    METRIC_CPU,            /* cores used in the window: CPU seconds per second */
    METRIC_READY,          /* start to ready */
    METRIC_FIRST_REQUEST,  /* latency of the very first request after ready */
    METRIC_MEMORY_IDLE,    /* the same memory after the start, before the first request */
    METRIC_MEMORY_GROWTH,  /* its slope under load: a leak, or a cache that fills */
    METRIC_HOST_MEMORY,    /* peak PSS of the process tree, wherever it computes */
    METRIC_GOODPUT,        /* requests in the window that kept all limits, over its length */
    METRIC_GOODPUT_RATIO,  /* the same over all requests of the window */
    METRIC_COUNT_
};

/* How a rate of tokens is marked that rests on counted text events, not on the server's count. */
#define METRIC_BY_EVENTS "counted by events"

enum metric_unit {
    UNIT_SECONDS,
    UNIT_BYTES,
    UNIT_RATIO,
    UNIT_COUNT,
    UNIT_PER_SECOND,
    UNIT_BYTES_PER_SECOND, /* people say it per minute */
};
enum metric_stat {
    STAT_VALUE,
    STAT_P50,
    STAT_P90,
    STAT_P95,
    STAT_P99,
    STAT_MEAN,
    STAT_MIN,
    STAT_MAX,
    STAT_COUNT_
};

/* What a protocol's answers allow to be measured (bits). */
enum metric_source {
    SOURCE_ANY = 1,    /* every request */
    SOURCE_TEXT = 2,   /* streamed tokens */
    SOURCE_AUDIO = 4,  /* audio in, transcript out */
    SOURCE_SPEECH = 8, /* text in, audio out */
    SOURCE_TURN = 16,  /* a load that follows another's answers, to a first text or sound */
};

struct metric_facts {
    const char *name; /* "latency" */
    enum metric_unit unit;
    bool distribution; /* has one value per request: needs a stat; else it is a single value */
    bool higher_is_better;
    unsigned source; /* a protocol must offer one of these bits */
    const char *meaning;
};

const struct metric_facts *metric_facts(enum metric metric);
int metric_from_name(const char *name);              /* enum metric or -1 */
const char *metric_stat_name(enum metric_stat stat); /* "p95"; "" for STAT_VALUE */
int metric_stat_from_name(const char *name);
double metric_stat_quantile(enum metric_stat stat); /* 0.95; NaN for those that are none */

/* "stt.latency.p95": one number of one trial. */
struct metric_ref {
    size_t service; /* index into the study's services */
    enum metric metric;
    enum metric_stat stat;
};

/* Reads "500ms", "5%", "1.5", "512MiB", "3/s", "12MiB/min" as a value of the unit, in base units.
 * Seconds need a unit; a bare number is allowed for ratios, counts and rates of events. */
NODISCARD bool metric_parse_quantity(enum metric_unit unit, const char *text, double *ret_value,
                                     struct err *err);
/* "118 ms", "7.4 %", "34.8 GiB", "81.2 /s", "12 MiB/min", "3"; NaN prints "unknown". */
void metric_add_value(struct buf *buf, enum metric_unit unit, double value);
