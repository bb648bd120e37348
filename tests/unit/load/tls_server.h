/* A TLS server with a certificate made for the occasion: it answers a chat that brings the right
 * key, and quotes the key of one that does not, as real servers do. Or what no decent server says.
 */
#pragma once

#include "tls_certificate.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct tls_server {
    pid_t pid;
    int port;
    char ca[256]; /* file with its certificate */
};

/* Of one connection. */
typedef void tls_answerer(SSL *ssl, const void *data);

static inline void tls_answer_(SSL *ssl, const void *ctx)
{
    const char *key = ctx;
    char request[16384] = "", answer[16384], body[8192];
    size_t len = 0;
    /* Head and body come in one piece or two. */
    while (len < sizeof request - 1 && !strstr(request, "\"messages\"")) {
        int n = SSL_read(ssl, request + len, (int)(sizeof request - 1 - len));
        if (n <= 0)
            return;
        len += (size_t)n;
        request[len] = '\0';
    }
    const char *given = strstr(request, "Authorization: Bearer ");
    given = given ? given + strlen("Authorization: Bearer ") : "";
    size_t given_len = strcspn(given, "\r\n");
    bool good = strlen(key) == given_len && strncmp(key, given, given_len) == 0;
    snprintf(body, sizeof body,
             good ? "{\"choices\":[{\"message\":{\"content\":\"you sent %.*s\"}}]}"
                  : "{\"error\":{\"message\":\"Incorrect API key: %.*s\"}}",
             (int)given_len, given);
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 %s\r\nContent-Type: application/json\r\nWWW-Authenticate: Bearer\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     good ? "200 OK" : "401 Unauthorized", strlen(body), body);
    SSL_write(ssl, answer, n);
    SSL_shutdown(ssl);
}

static inline void tls_serve_(int listener, SSL_CTX *ctx, tls_answerer *answer, const void *data)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        if (fd >= 0 && SSL_accept(ssl) == 1)
            answer(ssl, data);
        SSL_free(ssl);
        close(fd);
    }
}

static inline struct tls_server tls_start_(const char *folder, const char *names, long seconds,
                                           tls_answerer *answer, const void *data)
{
    struct tls_server server = {0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = tls_certificate(key, names, seconds);
    snprintf(server.ca, sizeof server.ca, "%s/ca.pem", folder);
    FILE *file = fopen(server.ca, "w");
    assert_non_null(file);
    PEM_write_X509(file, cert);
    fclose(file);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    server.port = ntohs(address.sin_port);
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate(ctx, cert);
        SSL_CTX_use_PrivateKey(ctx, key);
        tls_serve_(fd, ctx, answer, data);
    }
    close(fd);
    X509_free(cert);
    EVP_PKEY_free(key);
    return server;
}

static inline struct tls_server tls_start(const char *folder, const char *names, long seconds,
                                          const char *api_key)
{
    return tls_start_(folder, names, seconds, tls_answer_, api_key);
}

static inline void tls_stop(struct tls_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}
