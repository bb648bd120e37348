/* One hash, one spelling: SHA-256 in lower-case hex, through libcrypto's EVP interface, because
 * that is the one which uses the processor's SHA instructions and is not deprecated. A hash that
 * cannot be computed in memory means a broken libcrypto, so it aborts instead of giving half an
 * identity. */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>

AUTO_FN(EVP_MD_CTX, EVP_MD_CTX_free)

enum { SHA256_SIZE = 32, CHUNK_SIZE = 65536 };

static void write_hex(const unsigned char bytes[SHA256_SIZE], char ret_hex[DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_hex[DIGEST_HEX_SIZE - 1] = '\0';
}

void digest_bytes(const void *data, size_t len, char ret_hex[DIGEST_HEX_SIZE])
{
    unsigned char hash[SHA256_SIZE];
    if (!EVP_Digest(data, len, hash, NULL, EVP_sha256(), NULL))
        abort();
    write_hex(hash, ret_hex);
}

bool digest_file(const char *path, char ret_hex[DIGEST_HEX_SIZE], struct err *err)
{
    AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? err_set(err, ERR_MISSING, "%s: no such file", path)
                               : err_sys(err, "%s", path);
    AUTO(EVP_MD_CTX_free) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    AUTO(free) unsigned char *chunk = malloc(CHUNK_SIZE);
    if (!ctx || !chunk || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
        abort();
    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK_SIZE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "reading %s", path);
        if (n == 0)
            break;
        if (!EVP_DigestUpdate(ctx, chunk, (size_t)n))
            abort();
    }
    unsigned char hash[SHA256_SIZE];
    if (!EVP_DigestFinal_ex(ctx, hash, NULL))
        abort();
    write_hex(hash, ret_hex);
    return true;
}
