/* HTTP as a transport among others: the table's functions in terms of load/http.h, which stays the
 * only place that knows libcurl. A call of ours holds a call of that client and lends its answer,
 * so a chunk costs one more function call, not a copy. */
#include "load/transport.h"

#include "load/http.h"
#include "load/plan.h"
#include "load/upstream.h"
#include "load/url.h"

#include <stddef.h>
#include <string.h>

struct http_client {
    struct load_http *http; /* owned */
    struct load_transport_hooks hooks;
};

struct http_call {
    struct load_call call;
    struct load_http_call inner;
    struct http_client *client;
    char url[LOAD_URL_MAX]; /* of the target, without the addresses; "": not known yet */
};

static struct http_call *call_of(struct load_call *call)
{
    return (struct http_call *)(void *)call;
}

static struct http_call *outer(struct load_http_call *inner)
{
    return (struct http_call *)(void *)((char *)inner - offsetof(struct http_call, inner));
}

static void on_chunk(struct load_http_call *inner)
{
    struct http_call *call = outer(inner);
    call->client->hooks.chunk(&call->call);
}

static void on_done(struct load_http_call *inner, enum load_http_end end)
{
    static const enum load_transport_end ends[] = {
        [LOAD_HTTP_COMPLETE] = LOAD_END_COMPLETE, [LOAD_HTTP_CONNECT] = LOAD_END_CONNECT,
        [LOAD_HTTP_CLOSED] = LOAD_END_CLOSED,     [LOAD_HTTP_NONSENSE] = LOAD_END_NONSENSE,
        [LOAD_HTTP_LIMIT] = LOAD_END_LIMIT,       [LOAD_HTTP_INTERNAL] = LOAD_END_INTERNAL,
        [LOAD_HTTP_TLS] = LOAD_END_TLS,
    };
    struct http_call *call = outer(inner);
    call->call.dropped_bytes = inner->dropped_bytes;
    call->call.last = inner->last;
    call->client->hooks.done(&call->call, ends[end]);
}

static void on_lost(struct load_http_call *inner)
{
    struct http_call *call = outer(inner);
    call->client->hooks.lost(&call->call);
}

static bool check(const struct load_stream *stream, char *ret_target, size_t size, struct err *err)
{
    return load_upstream_check(stream, ret_target, size, err);
}

static void http_close(void *opaque)
{
    struct http_client *client = opaque;
    if (!client)
        return;
    load_http_free(client->http);
    free(client);
}

static bool http_open(sd_event *event, const struct load_transport_hooks *hooks, void **ret_client,
                      struct err *err)
{
    static const struct load_http_hooks ours = {
        .chunk = on_chunk, .done = on_done, .lost = on_lost};
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        abort();
    client->hooks = *hooks;
    if (!load_http_new(event, &ours, &client->http, err)) {
        http_close(client);
        return false;
    }
    *ret_client = client;
    return true;
}

static void *make_ready(void *client, const struct load_stream *stream,
                        const struct load_request *request)
{
    (void)client;
    (void)stream;
    struct load_http_headers *headers =
        load_http_headers_new(buf_text(&request->content_type), request->body.len);
    if (request->size_header)
        load_http_headers_add(headers, request->size_header, request->size_value);
    return headers;
}

static void free_ready(void *ready)
{
    load_http_headers_free(ready);
}

static struct load_call *call_new(void *client)
{
    struct http_call *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->client = client;
    call->call.answer = &call->inner.answer;
    call->call.why = call->inner.why;
    return &call->call;
}

static void call_free(struct load_call *call)
{
    if (!call)
        return;
    load_http_call_done(&call_of(call)->inner);
    free(call_of(call));
}

/* A call serves one stream, and so one target. */
static const char *url_of(struct http_call *call, const char *target)
{
    if (!call->url[0])
        memcpy(call->url, target, strcspn(target, " "));
    return call->url;
}

static struct load_http_request request_of(struct http_call *ours, const struct load_parcel *parcel)
{
    const struct load_stream *stream = parcel->stream;
    ours->call.dropped_bytes = 0;
    ours->call.last = false;
    return (struct load_http_request){
        .url = url_of(ours, parcel->target),
        .addresses = load_upstream_addresses(parcel->target),
        .ca = stream->ca,
        .api_key = stream->api_key,
        .headers = parcel->ready,
        .body = parcel->request->body.data,
        .len = parcel->request->body.len,
        .reuse = stream->reuse_connection,
    };
}

static void send_request(struct load_call *call, const struct load_parcel *parcel)
{
    struct http_call *ours = call_of(call);
    const struct load_http_request request = request_of(ours, parcel);
    load_http_send(ours->client->http, &ours->inner, &request);
}

static bool hold(struct load_call *call, const struct load_parcel *parcel)
{
    struct http_call *ours = call_of(call);
    const struct load_http_request request = request_of(ours, parcel);
    return load_http_hold(ours->client->http, &ours->inner, &request);
}

static void release(struct load_call *call)
{
    load_http_release(&call_of(call)->inner);
}

static void cancel(struct load_call *call)
{
    load_http_cancel(&call_of(call)->inner);
    call->dropped_bytes = call_of(call)->inner.dropped_bytes;
}

static void trim(struct load_call *call)
{
    load_http_call_trim(&call_of(call)->inner);
}

const struct load_transport load_transport_http = {
    .name = "http",
    .scheme = "http",
    .has_status = true,
    .check = check,
    .open = http_open,
    .close = http_close,
    .make_ready = make_ready,
    .free_ready = free_ready,
    .call_new = call_new,
    .call_free = call_free,
    .send = send_request,
    .hold = hold,
    .release = release,
    .cancel = cancel,
    .trim = trim,
};
