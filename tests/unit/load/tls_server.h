/* A TLS server with a certificate made for the occasion: it answers a chat that brings the right
 * key, and quotes the key of one that does not, as real servers do. Or what no decent server says.
 */
#pragma once

#include "check.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct tls_server {
    pid_t pid;
    int port;
    char ca[256]; /* file with its certificate */
};

/* Self-signed, for `names` ("IP:127.0.0.1,DNS:localhost"), valid until `seconds` from now. */
static inline X509 *tls_certificate(EVP_PKEY *key, const char *names, long seconds)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static inline void tls_answer_(SSL *ssl, const char *key)
{
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

/* In place of an answer to a chat. */
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

static inline void tls_hostile_answer_(SSL *ssl, const struct tls_hostile *hostile)
{
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

static inline void tls_serve_(int listener, SSL_CTX *ctx, const char *key,
                              const struct tls_hostile *hostile)
{
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        bool open = fd >= 0 && SSL_accept(ssl) == 1;
        if (open && hostile)
            tls_hostile_answer_(ssl, hostile);
        else if (open)
            tls_answer_(ssl, key);
        SSL_free(ssl);
        close(fd);
    }
}

static inline struct tls_server tls_start_(const char *folder, const char *names, long seconds,
                                           const char *api_key, const struct tls_hostile *hostile)
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
        tls_serve_(fd, ctx, api_key, hostile);
    }
    close(fd);
    X509_free(cert);
    EVP_PKEY_free(key);
    return server;
}

static inline struct tls_server tls_start(const char *folder, const char *names, long seconds,
                                          const char *api_key)
{
    return tls_start_(folder, names, seconds, api_key, NULL);
}

static inline struct tls_server tls_start_hostile(const char *folder,
                                                  const struct tls_hostile *hostile)
{
    return tls_start_(folder, "IP:127.0.0.1", 3600, "", hostile);
}

static inline void tls_stop(struct tls_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}
