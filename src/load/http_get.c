/* One GET, blocking, with a deadline: is a service ready, and what does it say of itself? Apart
 * from the load, whose client never blocks. Always to this machine: the services are ours.
 *
 * Rejected: a connection kept between two looks, which a service that restarts would break in the
 * middle of the second. Invariant: at most LOAD_ANSWER_MAX bytes are taken. */
#include "load/http_easy.h"

#include "base/clock.h"
#include "load/url.h"
#include "load/worker.h"

#include <stdio.h>

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

static CURLcode get(CURL *easy, int port, const char *path, int64_t timeout_ns, struct buf *body)
{
    struct buf url = BUF_INIT(LOAD_URL_MAX);
    struct got got = {.body = body};
    long timeout_ms = (long)(timeout_ns / NS_PER_MS);
    buf_addf(&url, "http://127.0.0.1:%d%s", port, path ? path : "");
    curl_easy_setopt(easy, CURLOPT_URL, buf_text(&url));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, path ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "spica/" SPICA_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, (void *)&got);
    CURLcode code = url.over ? CURLE_URL_MALFORMAT : curl_easy_perform(easy);
    buf_done(&url);
    return code;
}

void load_http_get(int port, const char *path, int64_t timeout_ns, int *ret_status, char *ret_why,
                   size_t size)
{
    load_http_fetch(port, path, timeout_ns, NULL, ret_status, ret_why, size);
}

void load_http_fetch(int port, const char *path, int64_t timeout_ns, struct buf *ret_body,
                     int *ret_status, char *ret_why, size_t size)
{
    char why[CURL_ERROR_SIZE] = "";
    struct err err = ERR_INIT;
    CURL *easy = load_http_setup(&err) ? curl_easy_init() : NULL;
    *ret_status = 0;
    if (!easy) {
        snprintf(ret_why, size, "libcurl could not be set up");
        return;
    }
    load_http_easy_common(easy, why);
    CURLcode code = get(easy, port, path, timeout_ns, ret_body);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && !path)
        snprintf(ret_why, size, "the port accepts connections");
    else if (code == CURLE_OK)
        snprintf(ret_why, size, "answered %ld", status);
    else
        snprintf(ret_why, size, "%s", why[0] ? why : curl_easy_strerror(code));
    if (code == CURLE_OK)
        *ret_status = path ? (int)status : 200;
    curl_easy_cleanup(easy);
}
