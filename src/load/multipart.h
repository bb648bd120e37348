/* multipart/form-data (RFC 7578), written only: a request's fields and its file. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

struct load_part_of_form {
    const char *name;
    const char *file_name; /* NULL: a plain field */
    const char *type;      /* of a file, e.g. "audio/wav"; NULL: none stated */
    const void *data;
    size_t len;
};

enum { LOAD_BOUNDARY_SIZE = 48 };

/* The body, appended, and the value of the Content-Type header. The boundary is drawn from the
 * kernel's random numbers and does not occur in the data. */
NODISCARD bool load_multipart_write(const struct load_part_of_form *parts, size_t count,
                                    struct buf *ret_body, struct buf *ret_content_type,
                                    struct err *err);
/* The same with a given boundary; false with ERR_INPUT when the data hold it. */
NODISCARD bool load_multipart_write_with(const struct load_part_of_form *parts, size_t count,
                                         const char *boundary, struct buf *ret_body,
                                         struct err *err);
