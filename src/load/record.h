/* What is kept of one request. Times are monotonic ns; -1: it never came to that. Fixed size but
 * for the text and the gaps, which follow it in the worker's stream. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum load_error {
    LOAD_OK = 0,
    LOAD_CONNECT,      /* refused, reset before anything was sent, name, route */
    LOAD_TLS,          /* no secure connection: not trusted, another name, no handshake */
    LOAD_CLOSED,       /* closed or reset before a complete answer */
    LOAD_TIMEOUT,      /* nothing complete before the request's timeout */
    LOAD_HTTP_STATUS,  /* a status other than 200; http_status says which */
    LOAD_SERVER_ERROR, /* status 200 but the body carries an error */
    LOAD_TRUNCATED,    /* a stream that ended without its end mark */
    LOAD_MALFORMED,    /* an answer that is not what the protocol says */
    LOAD_EMPTY,        /* a well-formed answer without any text */
    LOAD_LIMIT,        /* an answer over our size limit */
    LOAD_UNFINISHED,   /* still in flight when the drain time was over */
    LOAD_RELOAD,       /* answered, but the server loaded its model first: neither a failure nor a
                        * sample of anything */
    LOAD_ERROR_COUNT_
};
const char *load_error_name(enum load_error error);
int load_error_from_name(const char *name); /* or -1 */

enum load_part { LOAD_WARMUP = 0, LOAD_WINDOW = 1, LOAD_PROBE = 2 }; /* by the intended send */

enum { LOAD_TEXT_MAX = 16384, LOAD_GAPS_MAX = 8192 };

struct load_record {
    uint32_t stream;   /* index into the plan's streams */
    uint32_t sequence; /* n-th request of its stream */
    uint32_t session;  /* whose turn it is; without sessions: as the sequence */
    uint32_t turn;     /* of the session, from 0 on */
    uint32_t item;     /* which prompt or clip; 0 where `made` */
    enum load_part part;
    enum load_error error;
    int http_status;        /* 0 when no status line came */
    int64_t intended_ns;    /* when the plan says it should leave; closed loop: when the client was
                             * free (plus think time) */
    int64_t sent_ns;        /* when our loop handed it to the socket layer: sent - intended is our
                             * own lateness */
    bool held_back;         /* open loop: the in-flight limit made it wait, so that sent - intended
                             * is not our lateness (it still counts in the latency) */
    bool made;              /* its text was made up, and is none of the corpus's prompts */
    int64_t first_byte_ns;  /* first byte of the answer's body */
    int64_t first_token_ns; /* first non-empty text on any channel (content, reasoning) */
    int64_t first_content_ns; /* first non-empty text of the content channel */
    int64_t last_token_ns;
    int64_t done_ns;        /* answer complete, or failure noticed */
    int64_t bytes;          /* of the answer's body */
    int32_t tokens;         /* output tokens; -1 unknown */
    bool tokens_exact;      /* from the server's usage; false: counted text events */
    int32_t prompt_tokens;  /* -1 unknown */
    int64_t turn_start_ns;  /* intended send of the first request of the chain that this one is a
                             * step of: the end of speech, in a voice turn; -1: of none */
    uint64_t gaps_left_out; /* gaps between text events beyond LOAD_GAPS_MAX, which don't follow */
    double audio_s;         /* duration of the clip sent; NaN if none */
    uint32_t text_len;      /* bytes of text that follow: transcript or answer, cut at the max;
                             * of a failed request what is known about the failure */
    uint32_t gap_count;     /* gaps between text events that follow, in ns, as int64_t */
};

/* A record with its tail; both borrowed from whoever hands it out, valid until its next call. */
struct load_result {
    struct load_record record;
    const char *text; /* NUL-terminated, text_len bytes */
    const int64_t *gaps_ns;
};

double load_latency_s(const struct load_record *record); /* done - intended; NaN unless LOAD_OK */
double load_service_s(const struct load_record *record); /* done - sent: what a closed-loop tool
                                                          * would report; kept beside it */
double load_ttft_s(const struct load_record *record);    /* first token - intended; NaN if none */
double load_content_s(const struct load_record *record); /* first content - intended; NaN if none */
double load_turn_s(const struct load_record *record);    /* first token, or first sound, - the
                                                          * chain's start; NaN if none */
double load_lateness_s(const struct load_record *record); /* sent - intended; NaN if never sent or
                                                           * held back */
/* Share of an answer's text events that came within [start, end), 0 to 1; without any, of the
 * answer as a whole. Events whose gaps were not kept lie evenly between the last that was and the
 * answer's last. `gaps_ns`: gap_count of them; NULL: none was kept. */
double load_share_inside(const struct load_record *record, const int64_t *gaps_ns, int64_t start_ns,
                         int64_t end_ns);
