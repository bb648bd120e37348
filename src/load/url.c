/* A load generator pointed at the wrong machine is an attack: in this version every URL must be on
 * loopback, and what is refused is named. The address is rewritten to numbers, because looking up
 * even "localhost" can block or start a thread in libcurl. */
#include "load/url.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* ":8080" or "". */
static bool is_port(const char *text, size_t len)
{
    if (len == 0)
        return true;
    char digits[8] = "";
    int64_t port = 0;
    if (len < 2 || len > sizeof digits || text[0] != ':')
        return false;
    memcpy(digits, text + 1, len - 1);
    return text_to_i64(digits, &port) && port >= 1 && port <= 65535;
}

bool load_url_check(const char *url, char *ret_url, size_t size, struct err *err)
{
    if (strncasecmp(url, "http://", 7) != 0)
        return err_set(err, ERR_INPUT, "%s: only http:// URLs can be loaded", url);
    for (const char *p = url; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(err, ERR_INPUT, "%s: a URL holds no blanks or controls", url);
    const char *start = url + 7;
    size_t authority = strcspn(start, "/?#");
    bool bracket = start[0] == '[';
    size_t host_len = bracket ? strcspn(start, "]") - 1 : strcspn(start, ":/?#");
    const char *host_at = start + (bracket ? 1 : 0);
    size_t used = host_len + (bracket ? 2 : 0);
    char host[64];
    if (used > authority || host_len >= sizeof host || !is_port(start + used, authority - used))
        return err_set(err, ERR_INPUT, "%s: not http://HOST:PORT/PATH", url);
    memcpy(host, host_at, host_len);
    host[host_len] = '\0';
    bool named = strcasecmp(host, "localhost") == 0;
    if (!named && !is_loopback(host))
        return err_set(err, ERR_INPUT,
                       "%s: %s is not this machine; only loopback addresses are loaded", url, host);
    int len = snprintf(ret_url, size, "http://%s%s%s%s", bracket ? "[" : "",
                       named ? "127.0.0.1" : host, bracket ? "]" : "", start + used);
    if (len < 0 || (size_t)len >= size)
        return err_set(err, ERR_INPUT, "%.60s...: URL longer than %zu bytes", url, size - 1);
    return true;
}
