/* A request that waits for its moment, all but sent. curl writes it as any other, into a socket
 * that the kernel was told to hold back (http_sockets.c); from then on curl waits for the answer,
 * and the moment is one system call. Since curl believes that the request has left, it must not
 * hear of the connection until it has: it would send the request again, at once, on a new one. So a
 * socket that becomes ready while it is held is the caller's to know of, and opening another is
 * refused.
 *
 * Only on a kept connection of the call's own, in the clear: what a new one costs is part of the
 * latency, and over TLS there are bytes that nobody asked for. Rejected: to keep the request's
 * bytes ourselves and put them on the wire beside curl, which has no door for that.
 *
 * Invariant: no byte and no connection before load_http_release(). */
#include "load/http_inside.h"

#include "load/http_easy.h"
#include "load/http_sockets.h"

#include <string.h>
#include <sys/socket.h>

enum { HEAD_SLACK = 512 }; /* of a request's head, what is neither URL, key nor header of ours */

/* A request that is held must not make a connection: that is part of what is measured. */
curl_socket_t load_http_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    const struct load_http_call *call = ctx;
    if (call->corked)
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

bool load_http_hold(struct load_http *http, struct load_http_call *call,
                    const struct load_http_request *request)
{
    const size_t key = request->api_key ? strlen(request->api_key) : 0;
    const size_t bytes =
        HEAD_SLACK + strlen(request->url) + key + request->headers->len + request->len;
    if (!call->apart || !request->reuse || strncmp(request->url, "http:", 5) != 0 ||
        !load_http_sockets_hold(http->sockets, call->fd, call, bytes))
        return false;
    call->corked = true;
    load_http_send(http, call, request);
    /* It may have been closed by the server, which curl finds out first of all. */
    long connects = 0, sent = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (connects == 0 && sent > (long)request->len &&
        load_http_sockets_holder(http->sockets, call->fd) == call)
        return true;
    load_http_cancel(call);
    if (load_http_sockets_holder(http->sockets, call->fd) == call)
        load_http_sockets_release(http->sockets, call->fd); /* curl never wrote to it */
    return false;
}

void load_http_release(struct load_http_call *call)
{
    load_http_sockets_release(call->http->sockets, call->fd);
    call->corked = false;
}

void load_http_lose(struct load_http_call *call)
{
    load_http_cancel(call);
    call->http->hooks.lost(call);
}
