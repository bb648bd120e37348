/* Parsing of requests; private to the two files of HTTP. */
#ifndef FAKES_HTTP_PARSE_H
#define FAKES_HTTP_PARSE_H

#include "http.h"

#define HTTP_BODY_MAX_BYTES (256u << 20)

/* Reads the head, whose blank line ends at `head_len` of conn->in; false when it is not HTTP. */
bool http_parse_head(struct http_conn *conn, size_t head_len, bool *ret_expects);
/* Turns a chunked body that is all there into a plain one; false when bytes are missing, or when it
 * is broken (then *ret_bad). */
bool http_parse_chunks(struct http_conn *conn, bool *ret_bad);

#endif
