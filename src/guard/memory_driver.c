/* The driver's two halves: the module in the kernel and the library on the disk.
 *
 * An unattended upgrade puts a new library beside the module that runs. Whoever has the old library
 * open goes on, guard's own NVML too, so asking NVML would say that all is well; the next start of
 * a service fails with "Driver/library version mismatch". The module tells its version, the
 * library's is the end of its file's name, behind the link that every driver's package makes.
 * Loading it in a child was rejected: a second context every half minute, to learn what a name
 * says.
 *
 * Not known is no mismatch: containers see a library that their runtime put there, and other
 * drivers have other names. */
#include "guard/memory.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096 };
static const char *const folders[] = {"usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu",
                                      "usr/lib64", "usr/lib"};
static const char library[] = "libnvidia-ml.so.";

/* "580.159.04": what both have. */
static bool is_version(const char *text)
{
    return text[0] && strchr(text, '.') && strspn(text, "0123456789.") == strlen(text);
}

static bool library_version(const char *root, char *ret_version, size_t size)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        snprintf(path, sizeof path, "%s/%s/%s1", root, folders[i], library);
        AUTO(free) char *real = realpath(path, NULL);
        if (!real)
            continue;
        const char *name = strrchr(real, '/');
        if (!name || strncmp(name + 1, library, sizeof library - 1) != 0)
            return false;
        snprintf(ret_version, size, "%s", name + sizeof library);
        return is_version(ret_version);
    }
    return false;
}

bool guard_memory_mismatch(const char *root, char *ret_text, size_t size)
{
    AUTO(buf_done) struct buf module = BUF_INIT(256);
    struct err ignored = ERR_INIT;
    char path[PATH_SIZE], version[64], running[64];
    snprintf(path, sizeof path, "%s/sys/module/nvidia/version", root);
    if (!buf_read_file(&module, path, &ignored) || !library_version(root, version, sizeof version))
        return false;
    snprintf(running, sizeof running, "%.*s", (int)strcspn(buf_text(&module), "\n"),
             buf_text(&module));
    if (!is_version(running) || strcmp(running, version) == 0)
        return false;
    snprintf(ret_text, size, "the driver's module is %s, its library on the disk %s (mismatch)",
             running, version);
    return true;
}
