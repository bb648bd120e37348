/* Form-data as browsers write it (HTML, 4.10.21.8): in names a quote, CR and LF are written as %22,
 * %0D, %0A, so that no name can end its header early. curl's own mime writer was rejected: it sends
 * piece by piece through a callback while the clock runs, whereas a body that lies ready is handed
 * over at once and shared by all requests of its clip.
 *
 * Invariant: "\r\n--boundary" stands in the body only where we put it. A drawn boundary of 128 bits
 * will not occur in a clip, but it is looked for all the same: that is cheap and a proof. */
#include "load/multipart.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static void add_name(struct buf *body, const char *key, const char *value)
{
    buf_addf(body, "; %s=\"", key);
    for (const char *p = value; *p; p++) {
        if (*p == '"' || *p == '\r' || *p == '\n')
            buf_addf(body, "%%%02X", (unsigned char)*p);
        else
            buf_addc(body, *p);
    }
    buf_addc(body, '"');
}

static void add_part(struct buf *body, const struct load_part_of_form *part, const char *boundary)
{
    buf_addf(body, "--%s\r\nContent-Disposition: form-data", boundary);
    add_name(body, "name", part->name);
    if (part->file_name)
        add_name(body, "filename", part->file_name);
    if (part->type)
        buf_addf(body, "\r\nContent-Type: %s", part->type);
    buf_add(body, "\r\n\r\n");
    if (!buf_append(body, part->data, part->len))
        body->over = true;
    buf_add(body, "\r\n");
}

static bool occurs(const struct load_part_of_form *parts, size_t count, const char *boundary)
{
    for (size_t i = 0; i < count; i++)
        if (parts[i].len && memmem(parts[i].data, parts[i].len, boundary, strlen(boundary)))
            return true;
    return false;
}

bool load_multipart_write_with(const struct load_part_of_form *parts, size_t count,
                               const char *boundary, struct buf *ret_body, struct err *err)
{
    if (occurs(parts, count, boundary))
        return err_set(err, ERR_INPUT, "the boundary %s occurs in the data", boundary);
    for (size_t i = 0; i < count; i++)
        add_part(ret_body, &parts[i], boundary);
    buf_addf(ret_body, "--%s--\r\n", boundary);
    if (ret_body->over)
        return err_set(err, ERR_LIMIT, "a form is longer than %zu bytes", ret_body->max);
    return true;
}

bool load_multipart_write(const struct load_part_of_form *parts, size_t count, struct buf *ret_body,
                          struct buf *ret_content_type, struct err *err)
{
    char boundary[LOAD_BOUNDARY_SIZE];
    do {
        uint64_t draw[2];
        if (getrandom(draw, sizeof draw, 0) != (ssize_t)sizeof draw)
            return err_sys(err, "drawing a form's boundary");
        snprintf(boundary, sizeof boundary, "spica-%016llx%016llx", (unsigned long long)draw[0],
                 (unsigned long long)draw[1]);
    } while (occurs(parts, count, boundary));
    if (!load_multipart_write_with(parts, count, boundary, ret_body, err))
        return false;
    buf_addf(ret_content_type, "multipart/form-data; boundary=%s", boundary);
    return true;
}
