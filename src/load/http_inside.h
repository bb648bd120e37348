/* Inside the HTTP client: its state, for http.c, which drives it, and http_hold.c. */
#pragma once

#include "load/http.h"

#include <curl/curl.h>

enum { LOAD_HTTP_HUBS_MAX = 128 };

struct load_http_hub {
    struct load_http *http;
    CURLM *multi;
    sd_event_source *timer;  /* curl's time-outs */
    int64_t timer_ns, at_ns; /* when it fires, and when curl wants it to; CLOCK_NEVER */
    int running;             /* transfers, when curl last said so */
};

struct load_http {
    struct load_http_hub hubs[LOAD_HTTP_HUBS_MAX];
    size_t hub_count;
    long calls; /* made so far */
    sd_event *event;
    struct load_http_sockets *sockets;
    sd_event_source *wake;   /* transfers that ended while sending */
    sd_event_source *resume; /* goes on with paused ones. A timer that is over, which takes its turn
                              * among the others; sd-event would put a `defer` before all of them */
    struct load_http_call *paused; /* a list */
    int64_t turn_ns;               /* first byte of an answer in this turn; 0: none yet */
    struct load_http_hooks hooks;
    size_t held_bytes; /* sum of all calls' `held` */
    bool reaping;
    bool last; /* nothing else waited to be read when this answer came */
};

/* curl's callback for a new socket; `ctx` is the call. */
curl_socket_t load_http_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address);
/* A held one whose connection has ended, or said something unasked: it is dropped with what the
 * kernel held of it. */
void load_http_lose(struct load_http_call *call);
