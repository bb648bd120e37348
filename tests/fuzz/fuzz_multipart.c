/* Forms written from hostile names and data, read back by a small strict parser: what went in comes
 * out, and nothing that was put in can end its part or add one.
 *
 * The input is cut at its 0xff bytes into name, file name, data, name, file name, data, ... */
#include "load/multipart.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTS_MAX = 8, FIELDS = 3 };

static void check(bool good)
{
    if (!good)
        __builtin_trap();
}

/* --- the parser --- */

struct cursor {
    const char *at, *end;
};

static void expect(struct cursor *c, const char *text)
{
    size_t len = strlen(text);
    check((size_t)(c->end - c->at) >= len && memcmp(c->at, text, len) == 0);
    c->at += len;
}

/* A quoted name must be the text with quote, CR and LF written as %XX. */
static void expect_name(struct cursor *c, const char *name)
{
    expect(c, "\"");
    for (const char *p = name; *p; p++) {
        char plain[2] = {*p, '\0'};
        expect(c, *p == '"' ? "%22" : *p == '\r' ? "%0D" : *p == '\n' ? "%0A" : plain);
    }
    expect(c, "\"");
}

/* The data end where the next delimiter stands, and nowhere before. */
static void expect_data(struct cursor *c, const struct load_part_of_form *part,
                        const char *boundary)
{
    struct buf delimiter = BUF_INIT(256);
    buf_addf(&delimiter, "\r\n--%s", boundary);
    const char *stop = memmem(c->at, (size_t)(c->end - c->at), buf_text(&delimiter), delimiter.len);
    check(stop && (size_t)(stop - c->at) == part->len);
    check(part->len == 0 || memcmp(c->at, part->data, part->len) == 0);
    c->at = stop + 2;
    buf_done(&delimiter);
}

static void read_back(const struct buf *body, const struct load_part_of_form *parts, size_t count,
                      const char *boundary)
{
    struct cursor c = {body->data, body->data + body->len};
    for (size_t i = 0; i < count; i++) {
        expect(&c, "--");
        expect(&c, boundary);
        expect(&c, "\r\nContent-Disposition: form-data; name=");
        expect_name(&c, parts[i].name);
        if (parts[i].file_name) {
            expect(&c, "; filename=");
            expect_name(&c, parts[i].file_name);
        }
        if (parts[i].type)
            expect(&c, "\r\nContent-Type: audio/wav");
        expect(&c, "\r\n\r\n");
        expect_data(&c, &parts[i], boundary);
    }
    expect(&c, "--");
    expect(&c, boundary);
    expect(&c, "--\r\n");
    check(c.at == c.end);
}

/* --- the input --- */

/* Cuts the copy in place; returns how many whole parts it gives. */
static size_t cut(char *bytes, size_t len, struct load_part_of_form *parts)
{
    size_t fields = 0, start = 0;
    for (size_t i = 0; i <= len && fields < PARTS_MAX * FIELDS; i++) {
        if (i < len && (unsigned char)bytes[i] != 0xff)
            continue;
        struct load_part_of_form *part = &parts[fields / FIELDS];
        bytes[i] = '\0';
        if (fields % FIELDS == 0)
            part->name = bytes + start;
        else if (fields % FIELDS == 1)
            part->file_name = i > start ? bytes + start : NULL;
        else
            *part = (struct load_part_of_form){.name = part->name,
                                               .file_name = part->file_name,
                                               .data = bytes + start,
                                               .type = part->file_name ? "audio/wav" : NULL,
                                               .len = i - start};
        fields++;
        start = i + 1;
    }
    return fields / FIELDS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct load_part_of_form parts[PARTS_MAX + 1] = {0};
    char *bytes = malloc(size + 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    size_t count = cut(bytes, size, parts);
    struct buf body = BUF_INIT(1 << 20), type = BUF_INIT(256);
    /* A boundary that hostile data can know ("b"), and a drawn one. */
    if (load_multipart_write_with(parts, count, "b", &body, NULL))
        read_back(&body, parts, count, "b");
    else
        check(!body.over);
    buf_clear(&body);
    check(load_multipart_write(parts, count, &body, &type, NULL));
    read_back(&body, parts, count, strstr(buf_text(&type), "boundary=") + 9);
    buf_done(&body);
    buf_done(&type);
    free(bytes);
    return 0;
}
