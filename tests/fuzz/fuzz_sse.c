/* Event streams and what is read from them, from hostile bytes.
 *
 * Property 1: the events do not depend on how the bytes were cut. Property 2: a reader's record
 * makes sense whatever the answer holds: one of the known errors, a first token no later than the
 * last, no more gaps than tokens, text within its bound and without NULs.
 *
 * The first byte chooses the size of the pieces, the rest is the answer. */
#include "load/plan.h"
#include "load/sse.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        __builtin_trap();
}

static void note(void *ctx, const struct load_sse_event *event)
{
    struct buf *seen = ctx;
    check(strlen(event->data) <= event->len);
    buf_addf(seen, "%zu %zu %d %s %s|", event->len, event->offset, event->tail, event->type,
             event->error ? event->error : "-");
    check(buf_append(seen, event->data, event->len) || seen->over);
}

/* True when nothing was over the bound: only then are the events promised to be the same. */
static bool events(const char *bytes, size_t len, size_t piece, struct buf *ret_seen)
{
    struct load_sse sse = load_sse_init(2048);
    for (size_t at = 0; at < len; at += piece)
        load_sse_feed(&sse, bytes + at, piece < len - at ? piece : len - at, note, ret_seen);
    load_sse_end(&sse, note, ret_seen);
    bool over = sse.over;
    load_sse_done(&sse);
    return !over;
}

static void check_cuts(const char *bytes, size_t len, size_t piece)
{
    struct buf whole = BUF_INIT(1 << 20), cut = BUF_INIT(1 << 20);
    bool whole_good = events(bytes, len, len ? len : 1, &whole);
    bool cut_good = events(bytes, len, piece, &cut);
    if (whole_good && cut_good) {
        check(whole.len == cut.len);
        check(memcmp(buf_text(&whole), buf_text(&cut), whole.len) == 0);
    }
    buf_done(&whole);
    buf_done(&cut);
}

/* Given to the protocol as it came, piece by piece, a nanosecond apart. */
static void check_reader(const char *protocol, const char *bytes, size_t len, size_t piece)
{
    struct corpus_clip clip = {.name = "a", .data = "", .duration_s = 1};
    struct corpus corpus = {.clips = &clip, .clip_count = 1};
    struct load_stream stream = {.protocol = load_protocol_find(protocol), .corpus = &corpus};
    struct load_chunk *chunks = calloc(len / piece + 1, sizeof *chunks);
    struct load_answer answer = {.http_status = 200, .body = bytes, .chunks = chunks};
    while (answer.len < len) {
        answer.len += piece < len - answer.len ? piece : len - answer.len;
        chunks[answer.chunk_count] =
            (struct load_chunk){.end = answer.len, .at_ns = (int64_t)answer.chunk_count + 1};
        answer.chunk_count++;
        if (stream.protocol->complete)
            stream.protocol->complete(&answer);
    }
    struct load_record r = {.first_token_ns = -1,
                            .first_content_ns = -1,
                            .last_token_ns = -1,
                            .tokens = -1,
                            .prompt_tokens = -1};
    struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(LOAD_GAPS_MAX * sizeof(int64_t));
    stream.protocol->read(&stream, &answer, &r, &text, &gaps);
    check((unsigned)r.error < LOAD_ERROR_COUNT_);
    check(r.first_token_ns <= r.last_token_ns && r.first_content_ns <= r.last_token_ns);
    check((r.first_token_ns < 0) == (r.last_token_ns < 0));
    check(r.tokens >= -1 && r.prompt_tokens >= -1);
    check(text.len <= LOAD_TEXT_MAX && strlen(buf_text(&text)) == text.len);
    check(gaps.len % sizeof(int64_t) == 0 && (gaps.len == 0 || r.first_token_ns >= 0));
    buf_done(&text);
    buf_done(&gaps);
    free(chunks);
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
    check_cuts(bytes, len, piece);
    check_reader("openai-chat", bytes, len, piece);
    check_reader("openai-transcriptions", bytes, len, piece);
    free(bytes);
    return 0;
}
