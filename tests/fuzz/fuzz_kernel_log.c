/* A line of the kernel's log is any bytes: texts end, numbers are in their range. */
#include "guard/journal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size ? size : 1);
    struct guard_kernel_line found;
    if (!line)
        abort();
    if (size)
        memcpy(line, data, size);
    if (guard_kernel_parse(line, size, &found) &&
        (found.pid < 0 || found.code < 0 || strlen(found.comm) >= sizeof found.comm ||
         strlen(found.group) >= sizeof found.group || strlen(found.words) >= sizeof found.words))
        abort();
    free(line);
    return 0;
}
