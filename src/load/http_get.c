/* One GET, blocking, with a deadline: is a service ready, and what does it say of itself? Apart
 * from the load, whose client never blocks. Always to this machine: the services are ours. Over TLS
 * it is verified as the load is; a certificate that is not trusted is told apart from a service
 * that is not there yet, since only the latter is worth waiting for.
 *
 * Rejected: a connection kept between two looks, which a service that restarts would break in the
 * middle of the second. Rejected too: a look that does not verify because it measures nothing: it
 * would call a service ready which then no request reaches. Invariant: at most LOAD_ANSWER_MAX
 * bytes are taken. */
#include "load/http_easy.h"

#include "base/clock.h"
#include "load/url.h"
#include "load/worker.h"

#include <stdio.h>
#include <string.h>

struct got {
    size_t bytes;
    struct buf *body; /* NULL: dropped */
};

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct got *got = ctx;
    got->bytes += size * count;
    if (got->body)
        (void)!buf_append(got->body, bytes, size * count); /* a full buffer says "over" */
    return got->bytes > (size_t)LOAD_ANSWER_MAX ? CURL_WRITEFUNC_ERROR : size * count;
}

void load_site_add_url(const struct load_site *site, const char *scheme, const char *path,
                       struct buf *ret_url, const char **ret_address)
{
    const bool tls = site->tls && site->tls->given;
    buf_addf(ret_url, "%s%s://%s:%d%s", scheme, tls ? "s" : "", tls ? site->tls->name : "127.0.0.1",
             site->port, path);
    *ret_address = tls ? "127.0.0.1" : NULL;
}

static CURLcode get(struct load_http_call *call, const struct load_site *site, const char *path,
                    int64_t timeout_ns, struct buf *body)
{
    CURL *easy = call->easy;
    AUTO(buf_done) struct buf url = BUF_INIT(LOAD_URL_MAX);
    struct got got = {.body = body};
    struct load_http_request request = {.ca = site->tls ? site->tls->ca : NULL};
    long timeout_ms = (long)(timeout_ns / NS_PER_MS);
    load_site_add_url(site, "http", path ? path : "", &url, &request.addresses);
    request.url = buf_text(&url);
    if (url.over)
        return CURLE_URL_MALFORMAT;
    load_http_easy_site(call, &request);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, path ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "spica/" SPICA_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)&got);
    return curl_easy_perform(easy);
}

/* A handshake that was broken off may be a server at its start; a certificate does not change, and
 * a port that answered in clear text does not learn TLS. */
static bool is_untrusted(CURLcode code, const char *why)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR ||
           code == CURLE_SSL_CACERT_BADFILE ||
           (code == CURLE_SSL_CONNECT_ERROR && strstr(why, "wrong version number"));
}

static void say(struct load_http_call *call, CURLcode code, const char *path,
                struct load_look *look)
{
    long status = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_RESPONSE_CODE, &status);
    look->untrusted = is_untrusted(code, call->why);
    if (code == CURLE_OK && !path) {
        look->status = 200;
        snprintf(look->why, sizeof look->why, "the port accepts connections");
    } else if (code == CURLE_OK) {
        look->status = (int)status;
        snprintf(look->why, sizeof look->why, "answered %ld", status);
    } else {
        (void)load_http_easy_end(call, code); /* for its words */
        snprintf(look->why, sizeof look->why, "%s",
                 call->why[0] ? call->why : curl_easy_strerror(code));
    }
}

void load_http_get(const struct load_site *site, const char *path, int64_t timeout_ns,
                   struct load_look *ret_look)
{
    load_http_fetch(site, path, timeout_ns, NULL, ret_look);
}

void load_http_fetch(const struct load_site *site, const char *path, int64_t timeout_ns,
                     struct buf *ret_body, struct load_look *ret_look)
{
    struct err err = ERR_INIT;
    struct load_http_call call = {0};
    *ret_look = (struct load_look){0};
    call.easy = load_http_setup(&err) ? curl_easy_init() : NULL;
    if (!call.easy) {
        snprintf(ret_look->why, sizeof ret_look->why, "libcurl could not be set up");
        return;
    }
    load_http_easy_common(call.easy, call.why);
    say(&call, get(&call, site, path, timeout_ns, ret_body), path, ret_look);
    load_http_call_done(&call);
}
