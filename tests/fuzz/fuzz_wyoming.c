/* Wyoming's events and the answer made of them, from hostile bytes.
 *
 * Property 1: an event lies within the bytes it was found in, one that is wanted needs more than
 * there are, and with exactly so many it is one or is wrong. Property 2: where an answer ends does
 * not depend on how it was cut, nor on whether the last look is remembered. Property 3: a record
 * makes sense, and what is complete is judged.
 *
 * The first byte chooses the size of the pieces, the rest is the answer. */
#include "load/plan.h"
#include "load/protocols/wyoming_event.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        __builtin_trap();
}

static void check_events(const char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        struct load_wyoming_event event;
        size_t need = 0;
        enum load_wyoming_news news = load_wyoming_next(bytes + at, len - at, &event, &need);
        if (news == LOAD_WYOMING_MORE)
            check(need > len - at);
        if (news != LOAD_WYOMING_EVENT)
            return;
        check(event.size > 0 && event.size <= len - at);
        check(event.payload >= bytes + at &&
              event.payload + event.payload_len == bytes + at + event.size);
        check(event.type[0] && strlen(event.type) < sizeof event.type);
        check(json_is_object(event.data));
        load_wyoming_event_done(&event);
        at += event.size ? event.size : 1;
    }
}

/* The length at which the answer was complete; SIZE_MAX: never. */
static size_t completed(const struct load_protocol *protocol, struct load_answer *answer,
                        size_t len, size_t piece)
{
    struct load_scan scan = {0};
    answer->scan = &scan;
    answer->len = 0;
    while (answer->len < len) {
        answer->len += piece < len - answer->len ? piece : len - answer->len;
        bool complete = protocol->complete(answer);
        answer->scan = NULL;
        check(protocol->complete(answer) == complete);
        answer->scan = &scan;
        if (complete)
            return answer->len;
    }
    return SIZE_MAX;
}

static void check_reader(const char *bytes, size_t len, size_t piece)
{
    struct corpus_clip clip = {.name = "a", .data = "", .duration_s = 1};
    struct corpus corpus = {.clips = &clip, .clip_count = 1};
    struct load_stream stream = {.protocol = load_protocol_find("wyoming"), .corpus = &corpus};
    struct load_chunk chunk = {.end = len, .at_ns = 5};
    struct load_answer answer = {.body = bytes, .chunks = &chunk, .chunk_count = 1};
    size_t whole = completed(stream.protocol, &answer, len, len ? len : 1);
    size_t cut = completed(stream.protocol, &answer, len, piece);
    check((whole == SIZE_MAX) == (cut == SIZE_MAX));
    answer.len = cut == SIZE_MAX ? len : cut;
    struct load_record r = {.first_token_ns = -1, .first_content_ns = -1, .last_token_ns = -1};
    struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(64);
    stream.protocol->read(&stream, &answer, &r, &text, &gaps);
    check((unsigned)r.error < LOAD_ERROR_COUNT_);
    check((r.error == LOAD_TRUNCATED) == (cut == SIZE_MAX));
    check((r.first_token_ns < 0) == (r.last_token_ns < 0));
    check(text.len <= LOAD_TEXT_MAX && strlen(buf_text(&text)) == text.len);
    buf_done(&text);
    buf_done(&gaps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece = (size_t)data[0] + 1, len = size - 1;
    /* A copy with a NUL, as the worker's buffer has; and no more, so that ASan sees an overrun. */
    char *bytes = malloc(len + 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, len);
    bytes[len] = '\0';
    check_events(bytes, len);
    check_reader(bytes, len, piece);
    free(bytes);
    return 0;
}
