/* A TLS server that says what no decent server says. */
#pragma once

#include "tls_server.h"

struct tls_hostile {
    const char *head, *again; /* again and again, until nobody takes it; NULL: nothing more */
    const char *behind;       /* in clear text, where a record of TLS should be; NULL */
    enum {
        TLS_CLOSED,
        TLS_CUT,
        TLS_RESET,
        TLS_SILENT
    } end; /* cut: without the word that it ends */
};

static inline void tls_hostile_answer_(SSL *ssl, const void *data)
{
    const struct tls_hostile *hostile = data;
    static char request[16384];
    char piece[16384];
    size_t len = 0, one = hostile->again ? strlen(hostile->again) : 0;
    bool open = SSL_read(ssl, request, sizeof request) > 0;
    open = open && SSL_write(ssl, hostile->head, (int)strlen(hostile->head)) > 0;
    for (; one > 0 && len + one < sizeof piece; len += one)
        memcpy(piece + len, hostile->again, one);
    while (open && len > 0)
        open = SSL_write(ssl, piece, (int)len) > 0;
    if (open && hostile->behind)
        (void)!write(SSL_get_fd(ssl), hostile->behind, strlen(hostile->behind));
    if (hostile->end == TLS_CLOSED)
        SSL_shutdown(ssl);
    if (hostile->end == TLS_RESET)
        setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
    while (hostile->end == TLS_SILENT && recv(SSL_get_fd(ssl), request, sizeof request, 0) > 0)
        continue;
}

static inline struct tls_server tls_start_hostile(const char *folder,
                                                  const struct tls_hostile *hostile)
{
    return tls_start_(folder, "IP:127.0.0.1", 3600, tls_hostile_answer_, hostile);
}
