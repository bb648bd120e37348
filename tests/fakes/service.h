/* The service itself: which requests are served when, and how they end. */
#ifndef FAKES_SERVICE_H
#define FAKES_SERVICE_H

#include "arrivals.h"
#include "gpu.h"
#include "http.h"
#include "options.h"
#include "prefixes.h"
#include "process.h"
#include "share.h"
#include "speech.h"

struct job;

enum service_state {
    SERVICE_LOADING, /* /health 503, work 503 */
    SERVICE_READY,
    SERVICE_HUNG, /* work is never answered, /health is */
    SERVICE_MUTE, /* nothing is ever answered */
};

struct service {
    const struct options *options; /* borrowed */
    struct loop *loop;             /* borrowed */
    struct process *process;       /* borrowed */
    struct gpu *gpu;               /* borrowed */
    struct http_server http;
    struct share share;
    struct speech speech;
    struct arrivals arrivals, served;
    struct prefixes prefixes;
    enum service_state state;
    int hung_status;                      /* what /health says once hung */
    struct job *queue_first, *queue_last; /* wait for a slot */
    long count;                           /* pieces of work so far */
    long busy, queued, done, failed;
    long prompt_tokens, tokens;
};

bool service_open(struct service *service, struct loop *loop, struct process *process,
                  struct gpu *gpu, const struct options *options);
void service_flush(struct service *service); /* its logs, before it dies on purpose */
void service_ready(struct service *service);
void service_close(struct service *service);

/* For the endpoints that are not work: answers when the path is one of them. */
bool control_answer(struct service *service, struct http_conn *conn);
/* Counts as work because --health-blocks makes it wait for a slot. */
bool control_is_health(const struct http_conn *conn);

/* Makes an empty file for others to see; NULL: none. */
void service_touch(const char *path);
/* An error in OpenAI's form. */
void service_refuse(struct http_conn *conn, int status, const char *message);

#endif
