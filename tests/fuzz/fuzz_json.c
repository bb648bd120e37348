/* A server's JSON, held against jansson: both refuse, or both give equal values. A byte of zero is
 * always refused, while jansson drops one that stands behind a number or a word. */
#include "load/protocols/json_answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size ? size : 1); /* exactly so long, for the sanitizer */
    if (!bytes)
        abort();
    if (size)
        memcpy(bytes, data, size);
    json_t *ours = load_json_parse(bytes, size);
    json_t *theirs =
        memchr(bytes, '\0', size) ? NULL : json_loadb(bytes, size, JSON_ALLOW_NUL, NULL);
    if (!ours != !theirs || (ours && !json_equal(ours, theirs)))
        abort();
    if (ours) { /* json_equal() does not look at the order of members */
        char *a = json_dumps(ours, JSON_COMPACT), *b = json_dumps(theirs, JSON_COMPACT);
        if (!a || !b || strcmp(a, b) != 0)
            abort();
        free(a);
        free(b);
    }
    json_decref(ours);
    json_decref(theirs);
    free(bytes);
    return 0;
}
