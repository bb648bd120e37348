/* Pages, forms and tokens.
 *
 * A token is compared by its SHA-256: equal lengths whatever comes, every byte looked at. Rejected:
 * comparing the bytes themselves in constant time, which still tells the length.
 *
 * Of Accept as much is understood as Prometheus and its kin send: media types, q, and OpenMetrics'
 * version. What is not understood gets the old text, which everything reads. */
#include "guard/serve_request.h"

#include "base/digest.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

enum { TOKEN_LEAST = 16, ACCEPT_MAX = 1024 };

static const struct {
    const char *path;
    bool open;
} pages[SERVE_COUNT_] = {
    [SERVE_METRICS] = {"/metrics", false},
    [SERVE_STATUS] = {"/status", false},
    [SERVE_HEALTH] = {"/healthz", true},
};

int serve_find(const char *path)
{
    for (int i = 0; i < SERVE_COUNT_; i++)
        if (strcmp(pages[i].path, path) == 0)
            return i;
    return -1;
}

bool serve_is_open(enum serve_what what)
{
    return pages[what].open;
}

/* ---- Accept ---- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* The value of a parameter (";q=0.5") of one entry, up to its end; NULL: it has none. */
static const char *parameter(const char *entry, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = memchr(entry, ';', (size_t)(end - entry)); at;
         at = memchr(at, ';', (size_t)(end - at))) {
        at = skip_blanks(at + 1);
        if (at + len < end && strncasecmp(at, name, len) == 0 && at[len] == '=')
            return at + len + 1;
    }
    return NULL;
}

/* In thousandths, as RFC 9110 has them; 1 where it is none. */
static int quality(const char *entry, const char *end)
{
    const char *at = parameter(entry, end, "q");
    int value = 0, digits = 0;
    if (!at || (*at != '0' && *at != '1'))
        return 1000;
    value = (*at - '0') * 1000;
    if (at + 1 < end && at[1] == '.')
        for (int scale = 100; digits < 3 && at + 2 + digits < end; scale /= 10, digits++) {
            char c = at[2 + digits];
            if (c < '0' || c > '9')
                break;
            value += (c - '0') * scale;
        }
    return value > 1000 ? 1000 : value;
}

static bool is_type(const char *entry, const char *end, const char *type)
{
    size_t len = strlen(type);
    return (size_t)(end - entry) >= len && strncasecmp(entry, type, len) == 0 &&
           (entry + len == end || strchr(" \t;", entry[len]));
}

static bool is_our_version(const char *entry, const char *end)
{
    const char *version = parameter(entry, end, "version");
    if (version && *version == '"')
        version++;
    return !version || strncmp(version, "1.0.0", 5) == 0;
}

enum guard_exposition serve_form(const char *accept)
{
    int open = 0, text = 0;
    if (!accept || strnlen(accept, ACCEPT_MAX) == ACCEPT_MAX)
        return EXPOSE_TEXT;
    for (const char *at = accept; *at;) {
        const char *entry = skip_blanks(at);
        const char *end = entry + strcspn(entry, ",");
        int q = quality(entry, end);
        if (is_type(entry, end, "application/openmetrics-text") && is_our_version(entry, end))
            open = q > open ? q : open;
        else if (is_type(entry, end, "text/plain"))
            text = q > text ? q : text;
        at = *end ? end + 1 : end;
    }
    return open > 0 && open >= text ? EXPOSE_OPENMETRICS : EXPOSE_TEXT;
}

/* ---- who may ---- */

bool serve_may(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    char given[DIGEST_HEX_SIZE], wanted[DIGEST_HEX_SIZE];
    unsigned differ = 0;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *text = skip_blanks(authorization + sizeof scheme - 1);
    digest_bytes(text, strlen(text), given);
    digest_bytes(token, strlen(token), wanted);
    for (size_t i = 0; i < sizeof given; i++)
        differ |= (unsigned char)given[i] ^ (unsigned char)wanted[i];
    return differ == 0;
}

bool serve_address(const char *text, int port, struct serve_address *ret_address, struct err *err)
{
    struct serve_address address = {0};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    const char *name = strcmp(text, "localhost") == 0 ? "127.0.0.1" : text;
    if (inet_pton(AF_INET, name, &v4.sin_addr) == 1) {
        memcpy(&address.socket, &v4, sizeof v4);
        address.len = sizeof v4;
        address.loopback = (ntohl(v4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
    } else if (inet_pton(AF_INET6, name, &v6.sin6_addr) == 1) {
        memcpy(&address.socket, &v6, sizeof v6);
        address.len = sizeof v6;
        address.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    } else {
        return err_set(err, ERR_INPUT, "listen: %s: an address such as 127.0.0.1 or ::1 is needed",
                       text);
    }
    *ret_address = address;
    return true;
}

bool serve_check_token(const struct spec_guard *guard, bool loopback, const char *token,
                       struct err *err)
{
    if (!guard->token_env && loopback)
        return true;
    if (!guard->token_env)
        return err_set(err, ERR_INPUT,
                       "listen: %s is not this machine alone: name a variable with a token under "
                       "token_env:, or listen on 127.0.0.1",
                       guard->listen_address);
    if (!token || !*token)
        return err_set(err, ERR_INPUT, "token_env: %s is not set: nothing is served without it",
                       guard->token_env);
    if (strlen(token) < TOKEN_LEAST)
        return err_set(err, ERR_INPUT, "token_env: the token in %s is shorter than %d characters",
                       guard->token_env, TOKEN_LEAST);
    return true;
}
