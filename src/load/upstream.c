/* What a stream's requests may carry and where they may go, decided before the first one leaves.
 *
 * A key in clear text would be read by everyone on the way, so it is sent over https:// or within
 * this machine and nowhere else. Servers quote the key they refuse ("Incorrect API key provided:
 * ..."), and answers are stored and shown: it is starred there, before a record leaves the worker.
 *
 * Rejected: a key in the study file or on the command line, where it would be stored with the
 * study, shown by `ps` and kept by the shell's history. */
#include "load/upstream.h"

#include "load/plan.h"
#include "load/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_MAX = 8192,
    CA_MAX_BYTES = 16 << 20,
    CUT_MIN = 4, /* shorter beginnings of a key at a text's end tell nothing */
};

/* Visible ASCII: what a header's value holds whatever the server. */
static bool check_key(const char *key, const char *name, struct err *err)
{
    size_t len = strlen(key);
    if (len == 0)
        return err_set(err, ERR_INPUT, "the environment variable %s is empty; it should hold a key",
                       name);
    if (len > KEY_MAX)
        return err_set(err, ERR_INPUT, "the key in %s is longer than %d bytes", name, KEY_MAX);
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return err_set(err, ERR_INPUT,
                           "the key in %s holds a blank, a line end or another character that no "
                           "header takes (byte %zu)",
                           name, (size_t)(p - key) + 1);
    return true;
}

bool load_upstream_key(const char *name, const char **ret_key, struct err *err)
{
    const char *key = getenv(name);
    if (!key)
        return err_set(err, ERR_INPUT,
                       "the environment variable %s is not set; it should hold a key", name);
    if (!check_key(key, name, err))
        return false;
    *ret_key = key;
    return true;
}

bool load_upstream_check_ca(const char *ca, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(CA_MAX_BYTES);
    if (!buf_read_file(&text, ca, err))
        return err_wrap(err, "reading the trusted certificates");
    if (!memmem(buf_text(&text), text.len, "-----BEGIN", 10))
        return err_set(err, ERR_INPUT, "%s holds no certificate in PEM form", ca);
    return true;
}

static bool check_ca(const struct load_stream *stream, const struct load_url *url, struct err *err)
{
    if (!stream->ca)
        return true;
    if (!url->tls)
        return err_set(err, ERR_INPUT, "certificates (%s) for a URL that is not https://",
                       stream->ca);
    return load_upstream_check_ca(stream->ca, err);
}

bool load_upstream_check(const struct load_stream *stream, char *ret_target, size_t size,
                         struct err *err)
{
    struct load_url url;
    char addresses[LOAD_ADDRESSES_MAX] = "";
    if (!load_url_parse(stream->url, &url, err) || !check_ca(stream, &url, err))
        return false;
    if (stream->api_key && !url.tls && !url.local)
        return err_set(err, ERR_INPUT,
                       "%s: a key is sent over https:// or within this machine, not in clear text",
                       url.text);
    if (stream->api_key && !check_key(stream->api_key, "use", err))
        return false;
    if (stream->address)
        snprintf(addresses, sizeof addresses, "%s", stream->address);
    else if (url.named && !load_url_resolve(&url, addresses, sizeof addresses, err))
        return false;
    int len = snprintf(ret_target, size, "%s%s%s", url.text, addresses[0] ? " " : "", addresses);
    if (len < 0 || (size_t)len >= size)
        return err_set(err, ERR_INPUT, "%.60s...: URL longer than %zu bytes", url.text, size - 1);
    return true;
}

const char *load_upstream_addresses(const char *target)
{
    const char *blank = strchr(target, ' ');
    return blank ? blank + 1 : NULL;
}

/* How many bytes of the key stand at the text's end, cut there. */
static size_t cut_key(const char *key, size_t key_len, const struct buf *text)
{
    size_t longest = text->len < key_len ? text->len : key_len - 1;
    for (size_t len = longest; len >= CUT_MIN; len--)
        if (memcmp(text->data + text->len - len, key, len) == 0)
            return len;
    return 0;
}

void load_upstream_redact(const char *key, struct buf *text)
{
    if (!key || !key[0] || text->len == 0)
        return;
    size_t len = strlen(key);
    char *end = text->data + text->len;
    char *at = memmem(text->data, text->len, key, len);
    while (at) {
        memset(at, '*', len);
        at = memmem(at + len, (size_t)(end - at) - len, key, len);
    }
    size_t cut = cut_key(key, len, text);
    memset(end - cut, '*', cut);
}
