/* /proc/PID/stat holds a name that any program chooses for itself: whatever the bytes, a stat is
 * either refused untouched or within what the kernel can mean. */
#include "device/proc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proc_stat stat;
    memset(&stat, 0x5a, sizeof stat);
    const struct proc_stat untouched = stat;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    bool good = proc_parse_stat(text, &stat);
    if (!good && memcmp(&stat, &untouched, sizeof stat) != 0)
        abort();
    if (good && (stat.pid <= 0 || stat.ppid < 0 || stat.pgrp < -1 || stat.session < -1 ||
                 stat.cpu_ns < 0 || stat.reaped_cpu_ns < 0 || stat.start_ticks < 0 ||
                 strnlen(stat.comm, sizeof stat.comm) == sizeof stat.comm))
        abort();
    free(text);
    return 0;
}
