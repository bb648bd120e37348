/*
 * The head and the body of a request, out of the bytes that have come so far.
 *
 * The idea: nothing is parsed twice but chunk lines, which are few; a chunked body becomes a plain
 * one in place, so that whoever reads it never learns how it came.
 *
 * Invariant: what is not HTTP is refused, never guessed; lengths are bounded before they are added
 * up.
 */
#include "http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Value of a header whose line begins at `line`, when its name is `name`; else NULL. */
static const char *header_value(const char *line, const char *name)
{
    const size_t len = strlen(name);
    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static void copy_token(char *to, size_t size, const char *from, const char *end_set)
{
    size_t len = strcspn(from, end_set);
    len = len < size - 1 ? len : size - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

static bool read_header(struct http_conn *conn, const char *line)
{
    struct http_request *request = &conn->request;
    const char *value = header_value(line, "Content-Length");
    if (value != NULL) {
        char *end = NULL;
        const unsigned long long len = strtoull(value, &end, 10);
        if (end == value || *value == '-' || len > HTTP_BODY_MAX_BYTES)
            return false;
        conn->content_len = (size_t)len;
        return true;
    }
    value = header_value(line, "Content-Type");
    if (value != NULL)
        copy_token(request->content_type, sizeof(request->content_type), value, "\r\n");
    value = header_value(line, "Authorization");
    if (value != NULL)
        copy_token(request->authorization, sizeof(request->authorization), value, "\r\n");
    value = header_value(line, "Inference-Header-Content-Length");
    if (value != NULL)
        request->tensor_head_len = strtoul(value, NULL, 10);
    value = header_value(line, "Transfer-Encoding");
    if (value != NULL)
        conn->chunked_in = strncasecmp(value, "chunked", 7) == 0;
    value = header_value(line, "Connection");
    if (value != NULL && strncasecmp(value, "close", 5) == 0)
        request->keep_alive = false;
    if (value != NULL && strncasecmp(value, "keep-alive", 10) == 0)
        request->keep_alive = true;
    return true;
}

bool http_parse_head(struct http_conn *conn, size_t head_len, bool *ret_expects)
{
    struct http_request *request = &conn->request;
    char *line = conn->in.data;
    *request = (struct http_request){.first_byte_ns = conn->first_byte_ns};
    copy_token(request->method, sizeof(request->method), line, " \r\n");
    const char *path = line + strcspn(line, " \r\n");
    if (*path != ' ' || path[1] != '/')
        return false;
    copy_token(request->path, sizeof(request->path), path + 1, " ?\r\n");
    const char *version = path + 1 + strcspn(path + 1, " \r\n");
    if (strncmp(version, " HTTP/1.", 8) != 0)
        return false;
    request->http10 = version[8] == '0';
    request->keep_alive = !request->http10;
    conn->content_len = 0;
    conn->chunked_in = false;
    *ret_expects = false;
    for (;;) {
        line = strchr(line, '\n');
        if (line == NULL || (size_t)(line + 1 - conn->in.data) >= head_len)
            break;
        line++;
        if (!read_header(conn, line))
            return false;
        *ret_expects = *ret_expects || header_value(line, "Expect") != NULL;
    }
    conn->head_len = head_len;
    return true;
}

/* Where the chunk that begins at `at` has its bytes; false when its line is not complete. */
static bool chunk_at(const struct buf *in, size_t at, size_t *ret_from, size_t *ret_len,
                     bool *ret_bad)
{
    char *end = NULL;
    if (at >= in->len || memchr(in->data + at, '\n', in->len - at) == NULL)
        return false;
    const unsigned long long len = strtoull(in->data + at, &end, 16);
    *ret_bad = end == in->data + at || len > HTTP_BODY_MAX_BYTES;
    const char *newline = memchr(in->data + at, '\n', in->len - at);
    *ret_from = (size_t)(newline - in->data) + 1;
    *ret_len = (size_t)len;
    return true;
}

bool http_parse_chunks(struct http_conn *conn, bool *ret_bad)
{
    struct buf *in = &conn->in;
    size_t at = conn->head_len, from, len;
    do {
        if (!chunk_at(in, at, &from, &len, ret_bad) || *ret_bad || in->len < from + len + 2)
            return false;
        at = from + len + 2;
    } while (len > 0);
    const size_t end = at;
    size_t to = conn->head_len;
    for (at = conn->head_len; chunk_at(in, at, &from, &len, ret_bad) && len > 0;
         at = from + len + 2) {
        memmove(in->data + to, in->data + from, len);
        to += len;
    }
    memmove(in->data + to, in->data + end, in->len - end + 1);
    in->len -= end - to;
    conn->content_len = to - conn->head_len;
    conn->chunked_in = false;
    return true;
}
