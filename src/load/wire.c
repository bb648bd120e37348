/* Frames, written at the end of a buffer and read where they lie. JSON or a text form would cost
 * the worker time for every request and be read by the same program anyway.
 *
 * Order within a record's payload: the struct, the gaps (8-aligned because the struct's size is a
 * multiple of 8), the text with its NUL. Invariant: a reader believes no length which the frame
 * does not bear out. */
#include "load/wire.h"

#include <assert.h>
#include <string.h>

struct head {
    uint32_t kind, len; /* len: of the payload without its padding */
};

static_assert(sizeof(struct head) == 8, "payloads must stay aligned");
static_assert(sizeof(struct load_record) % 8 == 0, "gaps must stay aligned");

enum {
    PAYLOAD_MAX = (int)sizeof(struct load_record) + LOAD_GAPS_MAX * 8 + LOAD_TEXT_MAX + 1 + 4096
};

static size_t padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

bool load_wire_add(struct buf *out, enum load_wire_kind kind, const void *payload, size_t len)
{
    struct head head = {.kind = kind, .len = (uint32_t)len};
    char *at = len <= PAYLOAD_MAX ? buf_reserve(out, sizeof head + padded(len)) : NULL;
    if (!at)
        return false;
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, payload, len);
    memset(at + sizeof head + len, 0, padded(len) - len);
    buf_filled(out, sizeof head + padded(len));
    return true;
}

bool load_wire_add_record(struct buf *out, const struct load_record *record, const struct buf *text,
                          const struct buf *gaps)
{
    struct load_record sent = *record;
    sent.text_len = (uint32_t)text->len;
    sent.gap_count = (uint32_t)(gaps->len / sizeof(int64_t));
    size_t gaps_len = sent.gap_count * sizeof(int64_t);
    size_t len = sizeof sent + gaps_len + text->len + 1;
    struct head head = {.kind = LOAD_WIRE_RECORD, .len = (uint32_t)len};
    char *at = len <= PAYLOAD_MAX ? buf_reserve(out, sizeof head + padded(len)) : NULL;
    if (!at)
        return false;
    memcpy(at, &head, sizeof head);
    at += sizeof head;
    memcpy(at, &sent, sizeof sent);
    if (gaps_len)
        memcpy(at + sizeof sent, gaps->data, gaps_len);
    memcpy(at + sizeof sent + gaps_len, buf_text(text), text->len + 1);
    memset(at + len, 0, padded(len) - len);
    buf_filled(out, sizeof head + padded(len));
    return true;
}

enum load_wire_state load_wire_next(const char *bytes, size_t len,
                                    struct load_wire_frame *ret_frame, size_t *ret_used)
{
    struct head head;
    if (len < sizeof head)
        return LOAD_WIRE_MORE;
    memcpy(&head, bytes, sizeof head);
    if (head.kind < LOAD_WIRE_START || head.kind >= LOAD_WIRE_COUNT_ || head.len > PAYLOAD_MAX)
        return LOAD_WIRE_BROKEN;
    if (len < sizeof head + padded(head.len))
        return LOAD_WIRE_MORE;
    *ret_frame = (struct load_wire_frame){
        .kind = head.kind, .payload = bytes + sizeof head, .len = head.len};
    *ret_used = sizeof head + padded(head.len);
    return LOAD_WIRE_FRAME;
}

bool load_wire_read_record(const struct load_wire_frame *frame, struct load_result *ret_result)
{
    struct load_record record;
    if (frame->kind != LOAD_WIRE_RECORD || frame->len < sizeof record)
        return false;
    memcpy(&record, frame->payload, sizeof record);
    if (record.text_len > LOAD_TEXT_MAX || record.gap_count > LOAD_GAPS_MAX ||
        (unsigned)record.error >= LOAD_ERROR_COUNT_ || (unsigned)record.part > LOAD_PROBE)
        return false;
    size_t gaps_len = record.gap_count * sizeof(int64_t);
    if (frame->len != sizeof record + gaps_len + record.text_len + 1)
        return false;
    const char *gaps = frame->payload + sizeof record;
    *ret_result = (struct load_result){
        .record = record,
        .text = gaps + gaps_len,
        .gaps_ns = (const int64_t *)(const void *)gaps,
    };
    return ret_result->text[record.text_len] == '\0';
}
