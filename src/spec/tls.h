/* How a service is reached over https://. Always verified; always on this machine. */
#pragma once

#include <stdbool.h>

enum { SPEC_HOST_MAX = 253 };

struct spec_tls {
    bool given;       /* false: plain http:// */
    const char *ca;   /* file of the authorities to trust, absolute; NULL: the system's */
    const char *name; /* host that the certificate is for */
};

bool spec_is_host(const char *name); /* could `name` be that? */
