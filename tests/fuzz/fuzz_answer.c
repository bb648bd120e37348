/* Whole answers through every protocol's reader, from hostile bytes.
 *
 * Property: whatever the answer holds, the record makes sense: one of the known errors; tokens that
 * came before they ended; no gaps without tokens; counts that are counts; text within its bound and
 * without NULs; and the same answer read twice gives the same record.
 *
 * The first byte chooses the size of the pieces, the second the settings, the rest is the answer.
 */
#include "load/plan.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        __builtin_trap();
}

/* As it came, piece by piece, a microsecond apart; the end mark is looked for with each. */
static struct load_answer arrive(const struct load_protocol *protocol, const char *bytes,
                                 size_t len, size_t piece, struct load_chunk *chunks)
{
    struct load_answer answer = {.http_status = 200, .body = bytes, .chunks = chunks};
    while (answer.len < len) {
        answer.len += piece < len - answer.len ? piece : len - answer.len;
        chunks[answer.chunk_count] = (struct load_chunk){
            .end = answer.len, .at_ns = 1000 * (int64_t)(answer.chunk_count + 1)};
        answer.chunk_count++;
        if (protocol->complete)
            protocol->complete(&answer);
    }
    return answer;
}

static struct load_record read_once(const struct load_stream *stream,
                                    const struct load_answer *answer, struct buf *text,
                                    struct buf *gaps)
{
    size_t count = answer->chunk_count;
    struct load_record r = {
        .intended_ns = 1,
        .sent_ns = 2,
        .first_byte_ns = count ? answer->chunks[0].at_ns : -1,
        .first_token_ns = -1,
        .first_content_ns = -1,
        .last_token_ns = -1,
        .done_ns = count ? answer->chunks[count - 1].at_ns : 3,
        .tokens = -1,
        .prompt_tokens = -1,
        .audio_s = 1,
        .bytes = (int64_t)answer->len,
        .http_status = 200,
    };
    stream->protocol->read(stream, answer, &r, text, gaps);
    return r;
}

static void check_record(const struct load_record *r, const struct load_answer *answer,
                         const struct buf *text, const struct buf *gaps)
{
    int64_t end_ns = answer->chunk_count ? answer->chunks[answer->chunk_count - 1].at_ns : 3;
    check((unsigned)r->error < LOAD_ERROR_COUNT_);
    check(r->first_token_ns <= r->last_token_ns && r->first_content_ns <= r->last_token_ns);
    check((r->first_token_ns < 0) == (r->last_token_ns < 0));
    check(r->last_token_ns <= end_ns);
    check(r->error != LOAD_OK || r->done_ns >= 0);
    check(r->done_ns <= end_ns);
    check(r->tokens >= -1 && r->prompt_tokens >= -1);
    check(text->len <= LOAD_TEXT_MAX && strlen(buf_text(text)) == text->len);
    check(gaps->len % sizeof(int64_t) == 0 && (gaps->len == 0 || r->first_token_ns >= 0));
    check(gaps->len <= LOAD_GAPS_MAX * sizeof(int64_t));
}

static void check_reader(const struct load_stream *stream, const char *bytes, size_t len,
                         size_t piece)
{
    struct load_chunk *chunks = calloc(len / piece + 2, sizeof *chunks);
    if (!chunks)
        return;
    struct load_answer answer = arrive(stream->protocol, bytes, len, piece, chunks);
    struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(LOAD_GAPS_MAX * sizeof(int64_t));
    struct buf again = BUF_INIT(LOAD_TEXT_MAX), more = BUF_INIT(LOAD_GAPS_MAX * sizeof(int64_t));
    struct load_record r = read_once(stream, &answer, &text, &gaps);
    check_record(&r, &answer, &text, &gaps);
    struct load_record same = read_once(stream, &answer, &again, &more);
    check(same.error == r.error && same.tokens == r.tokens && same.done_ns == r.done_ns);
    check(again.len == text.len && memcmp(buf_text(&again), buf_text(&text), text.len) == 0);
    buf_done(&text);
    buf_done(&gaps);
    buf_done(&again);
    buf_done(&more);
    free(chunks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct corpus_clip clip = {.name = "a", .data = "", .duration_s = 1};
    struct corpus_prompt prompt = {.prompt = "one"};
    struct corpus corpus = {.clips = &clip, .clip_count = 1, .prompts = &prompt, .prompt_count = 1};
    if (size < 2)
        return 0;
    size_t piece = (size_t)data[0] + 1, len = size - 2;
    const struct spec_setting settings[] = {
        {.name = "stream", .text = data[1] & 1 ? "true" : "false"},
        {.name = "response_format", .text = data[1] & 2 ? "verbose_json" : "json"},
    };
    /* A copy with a NUL, as the worker's buffer has; and no more, so that ASan sees an overrun. */
    char *bytes = malloc(len + 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 2, len);
    bytes[len] = '\0';
    for (size_t i = 0; i < load_protocol_count; i++) {
        const struct load_stream stream = {
            .name = "fuzzed",
            .protocol = load_protocol_table[i],
            .corpus = &corpus,
            .unchecked = (data[1] & 4) != 0,
            .settings = settings,
            .setting_count = ARRAY_LEN(settings),
        };
        check_reader(&stream, bytes, len, piece);
    }
    free(bytes);
    return 0;
}
