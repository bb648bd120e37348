/* What every handle is told and what its ends mean, apart from when things happen (http.c).
 *
 * - No proxy, redirect, compression or Expect: 100-continue: what is measured is this server.
 * - Certificates are verified, always; there is no switch against it, but a file of authorities of
 *   one's own. Without reuse each request makes a whole TLS handshake: a session kept from an
 *   earlier one would make some requests cheaper than others.
 * - A key goes into the header Authorization through curl's own option, which keeps it to the host
 *   it was meant for. It stands in no URL, argument, record or message.
 * - A name's addresses were looked up before the run and are pinned here.
 *
 * Rejected: classing ends by curl's words. Its codes decide; words are only read where one code
 * means two things. */
#include "load/http_easy.h"

#include "load/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { EXPECT_BYTES = 64 << 10 }; /* curl asks for leave from 1 MiB on; far below is as good */

bool load_http_setup(struct err *err)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_SSL);
    return code == CURLE_OK || err_set(err, ERR_INTERNAL, "libcurl: %s", curl_easy_strerror(code));
}

void load_http_easy_common(CURL *easy, char *why)
{
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Half of curl's default, which is most of what 2,000 streams at once would hold. */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 8192L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
}

static struct curl_slist *pin(const char *text, const char *addresses)
{
    struct load_url url;
    if (!load_url_parse(text, &url, NULL))
        return NULL;
    struct buf line = BUF_INIT(LOAD_HOST_MAX + LOAD_ADDRESSES_MAX + 16);
    buf_addf(&line, "%s:%d:%s", url.host, url.port, addresses);
    struct curl_slist *list = curl_slist_append(NULL, buf_text(&line));
    if (!list)
        abort();
    buf_done(&line);
    return list;
}

/* curl takes a URL apart and writes it together again for each request, a tenth of all that it does
 * for one: here it is done once. */
static void set_url(struct load_http_call *call, const char *url)
{
    CURL *easy = call->easy;
    call->parsed = curl_url();
    if (call->parsed && curl_url_set((CURLU *)call->parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
        curl_easy_setopt(easy, CURLOPT_CURLU, (CURLU *)call->parsed);
    else
        curl_easy_setopt(easy, CURLOPT_URL, url);
}

void load_http_easy_site(struct load_http_call *call, const struct load_http_request *request)
{
    CURL *easy = call->easy;
    set_url(call, request->url);
    if (request->addresses) {
        call->pin = pin(request->url, request->addresses);
        curl_easy_setopt(easy, CURLOPT_RESOLVE, (struct curl_slist *)call->pin);
    }
    if (request->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* the file's authorities and no others */
    }
    if (request->api_key) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, request->api_key);
    }
}

/* curl says "SSL certificate problem: self-signed certificate": right, but no help. */
static void explain_certificate(struct load_http_call *call)
{
    static const struct {
        const char *said, *meaning;
    } rows[] = {
        {"self-signed certificate in certificate chain",
         "the server's certificate is signed by an authority this machine does not know; ca "
         "names a file with it"},
        {"self-signed certificate",
         "the server's certificate is self-signed and not trusted; ca names a file with it"},
        {"unable to get local issuer",
         "the server's certificate is signed by an authority this machine does not know; ca "
         "names a file with it"},
        {"certificate has expired", "the server's certificate has expired"},
        {"certificate is not yet valid", "the server's certificate is not valid yet"},
        {"no alternative certificate subject name matches",
         "the server's certificate is for another host name"},
        {"certificate subject name", "the server's certificate is for another host name"},
        {"wrong version number", "the port does not speak TLS: is it http://?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strstr(call->why, rows[i].said)) {
            snprintf(call->why, sizeof call->why, "%s", rows[i].meaning);
            return;
        }
}

static enum load_http_end end_of_connect(struct load_http_call *call)
{
    long sys = 0;
    curl_easy_getinfo((CURL *)call->easy, CURLINFO_OS_ERRNO, &sys);
    bool ours = sys == EADDRNOTAVAIL || sys == EMFILE || sys == ENFILE;
    return ours ? LOAD_HTTP_INTERNAL : LOAD_HTTP_CONNECT;
}

static enum load_http_end limit(struct load_http_call *call, const char *what)
{
    snprintf(call->why, sizeof call->why, "%s", what);
    return LOAD_HTTP_LIMIT;
}

enum load_http_end load_http_easy_end(struct load_http_call *call, CURLcode code)
{
    if (call->limit)
        return limit(call, call->limit);
    switch (code) {
    case CURLE_OK:
        return LOAD_HTTP_COMPLETE;
    case CURLE_COULDNT_CONNECT:
        return end_of_connect(call);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CACERT_BADFILE: /* `ca:`, which was there before the run */
        explain_certificate(call);
        return LOAD_HTTP_TLS;
    case CURLE_RECV_ERROR: /* also curl's code for broken chunks, which no errno explains */
        return strstr(call->why, "chunk") ? LOAD_HTTP_NONSENSE : LOAD_HTTP_CLOSED;
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return LOAD_HTTP_CLOSED;
    case CURLE_OPERATION_TIMEDOUT: /* curl's own bound on connecting, 300 s */
        return LOAD_HTTP_CONNECT;
    case CURLE_OUT_OF_MEMORY: /* libcurl's word for a header line over its bound of 100 KiB; a real
                               * lack of memory ends a process before it is told */
        return limit(call, "a header line over 100 KiB");
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE: /* the same in newer ones */
        return limit(call, "a header line over 100 KiB");
#endif
    case CURLE_FAILED_INIT:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_BAD_FUNCTION_ARGUMENT: /* of curl_easy_pause(), as the next */
    case CURLE_RECURSIVE_API_CALL:
        return LOAD_HTTP_INTERNAL;
    default:
        /* No status line, a header without end, and whatever else a server can think of: curl has a
         * code for each, and none of them may pass for a failure of ours. */
        return LOAD_HTTP_NONSENSE;
    }
}

static void add_header(struct load_http_headers *headers, const char *line)
{
    struct curl_slist *all = curl_slist_append(headers->list, line);
    if (!all)
        abort();
    headers->list = all;
    headers->len += strlen(line) + strlen("\r\n");
}

/* curl writes every header of its own making out twice, and goes through this list for each of
 * them: with a short list and the user's agent in it a request costs a tenth less. */
struct load_http_headers *load_http_headers_new(const char *content_type, size_t body_len)
{
    struct load_http_headers *headers = calloc(1, sizeof *headers);
    if (!headers)
        abort();
    struct buf line = BUF_INIT(1024);
    buf_addf(&line, "Content-Type: %s", content_type);
    add_header(headers, buf_text(&line));
    buf_done(&line);
    add_header(headers, "User-Agent: spica/" SPICA_VERSION);
    if (body_len >= EXPECT_BYTES)
        add_header(headers, "Expect:");
    return headers;
}

void load_http_headers_add(struct load_http_headers *headers, const char *name, size_t number)
{
    struct buf line = BUF_INIT(256);
    buf_addf(&line, "%s: %zu", name, number);
    add_header(headers, buf_text(&line));
    buf_done(&line);
}

struct load_http_headers *load_http_headers_free(struct load_http_headers *headers)
{
    if (!headers)
        return NULL;
    curl_slist_free_all(headers->list);
    free(headers);
    return NULL;
}
