/* A URL is taken apart by us before libcurl sees it, because the two must agree on what is loaded:
 * a load generator pointed at the wrong machine is an attack. So hosts are plain names or numbers,
 * and everything by which a URL can look like another one (a user before an @, escapes in the
 * host, blanks) is refused by name.
 *
 * A name is looked up once, before the run, and its addresses hold for all of it. Rejected: leaving
 * that to libcurl, which starts a thread for each look-up and asks again every minute, in the
 * middle of a window; and a run whose name moves to another machine half way measures neither. */
#include "load/url.h"

#include "base/buf.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

enum { ADDRESSES_USED = 4 }; /* of one name */

/* Numbers say by themselves whether they are this machine. */
static bool is_number(const char *host, bool bracket, bool *ret_local)
{
    struct in_addr v4;
    struct in6_addr v6;
    *ret_local = false;
    if (bracket) {
        if (inet_pton(AF_INET6, host, &v6) != 1)
            return false;
        *ret_local = IN6_IS_ADDR_LOOPBACK(&v6);
        return true;
    }
    if (inet_pton(AF_INET, host, &v4) != 1)
        return false;
    *ret_local = ntohl(v4.s_addr) >> 24 == 127;
    return true;
}

/* Letters, digits, dots and dashes; and no odd spelling of a number ("127.1", "0x7f000001"), which
 * the resolver would take for an address. */
static bool is_name(const char *host)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    const char *dot = strrchr(host, '.');
    const char *last = dot ? dot + 1 : host;
    bool numeric =
        last[strspn(last, "0123456789abcdefABCDEFxX")] == '\0' && last[0] >= '0' && last[0] <= '9';
    return host[0] && host[0] != '.' && host[0] != '-' && host[strspn(host, allowed)] == '\0' &&
           last[0] && !numeric && !strstr(host, "..");
}

/* ":8080" or "". */
static bool take_port(const char *text, size_t len, int *port)
{
    if (len == 0)
        return true;
    char digits[8] = "";
    int64_t number = 0;
    if (len < 2 || len > sizeof digits || text[0] != ':')
        return false;
    memcpy(digits, text + 1, len - 1);
    if (!text_to_i64(digits, &number) || number < 1 || number > 65535)
        return false;
    *port = (int)number;
    return true;
}

static bool take_scheme(const char *url, struct load_url *parsed, const char **ret_rest)
{
    parsed->tls = strncasecmp(url, "https://", 8) == 0;
    parsed->port = parsed->tls ? 443 : 80;
    *ret_rest = url + (parsed->tls ? 8 : 7);
    return parsed->tls || strncasecmp(url, "http://", 7) == 0;
}

/* HOST, HOST:PORT or [V6]:PORT; *ret_used: bytes of the host as written. */
static bool take_host(const char *start, size_t authority, struct load_url *parsed,
                      size_t *ret_used)
{
    bool bracket = start[0] == '[';
    const char *end = bracket ? memchr(start, ']', authority) : NULL;
    if (bracket && !end)
        return false;
    size_t len = bracket ? (size_t)(end - start) - 1 : strcspn(start, ":/?#");
    *ret_used = len + (bracket ? 2 : 0);
    if (len >= sizeof parsed->host || *ret_used > authority ||
        !take_port(start + *ret_used, authority - *ret_used, &parsed->port))
        return false;
    memcpy(parsed->host, start + (bracket ? 1 : 0), len);
    parsed->host[len] = '\0';
    if (is_number(parsed->host, bracket, &parsed->local))
        return true;
    bool localhost = strcasecmp(parsed->host, "localhost") == 0;
    parsed->local = localhost;
    parsed->named = !localhost || parsed->tls;
    return !bracket && is_name(parsed->host);
}

/* May the value of this parameter be shown? Rather hidden once too often ("max_tokens"). */
static bool is_secret(const char *name, size_t len)
{
    static const char *const words[] = {"key", "token", "secret", "passw", "auth", "signature"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (size_t at = 0; at + strlen(words[i]) <= len; at++)
            if (strncasecmp(name + at, words[i], strlen(words[i])) == 0)
                return true;
    return false;
}

void load_url_add_shown(const char *url, struct buf *ret_text)
{
    size_t head = strstr(url, "://") ? strcspn(url, "?") : strlen(url);
    buf_addf(ret_text, "%.*s", (int)head, url);
    for (const char *at = url + head; *at && *at != '#';) {
        size_t len = 1 + strcspn(at + 1, "&#"), name = 1 + strcspn(at + 1, "=&#");
        bool hide = name < len && is_secret(at + 1, name - 1);
        buf_addf(ret_text, "%.*s%s", (int)(hide ? name + 1 : len), at, hide ? "..." : "");
        at += len;
    }
}

/* "WHAT: WHY", without a key that stands in its query. */
static bool refuse(const char *url, const char *why, struct err *err)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(4096);
    load_url_add_shown(url, &shown);
    return err_set(err, ERR_INPUT, "%.200s: %s", buf_text(&shown), why);
}

static bool check_characters(const char *url, struct err *err)
{
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return refuse(url, "a URL holds no blanks or controls", err);
    return true;
}

bool load_url_parse(const char *url, struct load_url *ret_url, struct err *err)
{
    struct load_url parsed = {0};
    const char *start = NULL;
    if (!check_characters(url, err))
        return false;
    if (!take_scheme(url, &parsed, &start))
        return refuse(url, "only http:// and https:// URLs can be loaded", err);
    size_t authority = strcspn(start, "/?#"), used = 0;
    if (memchr(start, '@', authority))
        return err_set(err, ERR_INPUT,
                       "a URL names no user or password; a key comes from the environment");
    if (!take_host(start, authority, &parsed, &used))
        return refuse(url, parsed.tls ? "not https://HOST:PORT/PATH" : "not http://HOST:PORT/PATH",
                      err);
    bool rewrite = parsed.local && !parsed.named && strcasecmp(parsed.host, "localhost") == 0;
    if (rewrite)
        memcpy(parsed.host, "127.0.0.1", sizeof "127.0.0.1");
    int len =
        snprintf(parsed.text, sizeof parsed.text, "%s://%.*s%s", parsed.tls ? "https" : "http",
                 rewrite ? 9 : (int)used, rewrite ? parsed.host : start, start + used);
    if (len < 0 || (size_t)len >= sizeof parsed.text)
        return err_set(err, ERR_INPUT, "%.60s...: URL longer than %zu bytes", url,
                       sizeof parsed.text - 1);
    *ret_url = parsed;
    return true;
}

bool load_url_check(const char *url, char *ret_url, size_t size, struct err *err)
{
    struct load_url parsed;
    if (!load_url_parse(url, &parsed, err))
        return false;
    if (strlen(parsed.text) >= size)
        return err_set(err, ERR_INPUT, "%.60s...: URL longer than %zu bytes", url, size - 1);
    memcpy(ret_url, parsed.text, strlen(parsed.text) + 1);
    return true;
}

static void add_address(struct buf *buf, const struct addrinfo *info)
{
    char text[INET6_ADDRSTRLEN];
    bool six = info->ai_family == AF_INET6;
    const void *raw = six ? (const void *)&((const struct sockaddr_in6 *)info->ai_addr)->sin6_addr
                          : (const void *)&((const struct sockaddr_in *)info->ai_addr)->sin_addr;
    if (inet_ntop(info->ai_family, raw, text, sizeof text))
        buf_addf(buf, "%s%s%s%s", buf->len ? "," : "", six ? "[" : "", text, six ? "]" : "");
}

bool load_url_resolve(const struct load_url *url, char *ret_addresses, size_t size, struct err *err)
{
    AUTO(buf_done) struct buf found = BUF_INIT(size - 1);
    if (url->local && url->named) {
        buf_add(&found, "127.0.0.1");
    } else {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
        struct addrinfo *all = NULL;
        int code = getaddrinfo(url->host, NULL, &hints, &all);
        if (code != 0)
            return err_set(err, ERR_INPUT, "%s: no such host: %s", url->host, gai_strerror(code));
        const struct addrinfo *info = all;
        for (int i = 0; info && i < ADDRESSES_USED; i++, info = info->ai_next)
            if (info->ai_family == AF_INET || info->ai_family == AF_INET6)
                add_address(&found, info);
        freeaddrinfo(all);
    }
    if (found.len == 0 || found.over)
        return err_set(err, ERR_INPUT, "%s: the host has no usable address", url->host);
    memcpy(ret_addresses, buf_text(&found), found.len + 1);
    return true;
}
