/* Answers in pieces, each with its stamp, and what must be read of them. */
#pragma once

#include "check.h"
#include "plan_of.h"

struct answer_row {
    const char *name, *body;
    enum load_error error;
    const char *text;
    int tokens;
    bool exact;
    int64_t first_token_ns, first_content_ns, last_token_ns, done_ns;
    size_t gaps;
};

/* Cuts the row at its marks: a '~' ends a chunk, and they come at 100, 200, 300 ... ns. */
static inline struct load_answer answer_of(const char *cut, char *body, struct load_chunk *chunks)
{
    struct load_answer answer = {.http_status = 200, .body = body, .chunks = chunks};
    for (; *cut; cut++) {
        if (*cut != '~') {
            body[answer.len++] = *cut;
            continue;
        }
        chunks[answer.chunk_count] = (struct load_chunk){
            .end = answer.len, .at_ns = 100 * (int64_t)(answer.chunk_count + 1)};
        answer.chunk_count++;
    }
    if (answer.len > 0) {
        chunks[answer.chunk_count] = (struct load_chunk){
            .end = answer.len, .at_ns = 100 * (int64_t)(answer.chunk_count + 1)};
        answer.chunk_count++;
    }
    body[answer.len] = '\0';
    return answer;
}

static inline void answer_row_check(const struct load_stream *stream, size_t i,
                                    const struct answer_row *row)
{
    char body[8192];
    struct load_chunk chunks[64];
    struct load_answer answer = answer_of(row->body, body, chunks);
    struct load_record r = {.first_token_ns = -1,
                            .first_content_ns = -1,
                            .last_token_ns = -1,
                            .done_ns = -1,
                            .tokens = -1,
                            .prompt_tokens = -1};
    struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(LOAD_GAPS_MAX * 8);
    stream->protocol->read(stream, &answer, &r, &text, &gaps);
    CHECK_ROW_TEXT(i, row->name, load_error_name(r.error), load_error_name(row->error));
    CHECK_ROW_TEXT(i, row->name, buf_text(&text), row->text);
    CHECK_ROW(i, row->name, r.tokens == row->tokens);
    CHECK_ROW(i, row->name, r.tokens_exact == row->exact);
    CHECK_ROW(i, row->name, r.first_token_ns == row->first_token_ns);
    CHECK_ROW(i, row->name, r.first_content_ns == row->first_content_ns);
    CHECK_ROW(i, row->name, r.last_token_ns == row->last_token_ns);
    CHECK_ROW(i, row->name, r.done_ns == row->done_ns);
    CHECK_ROW(i, row->name, gaps.len / sizeof(int64_t) == row->gaps);
    CHECK_ROW(i, row->name, r.prompt_tokens == (row->exact ? 7 : -1));
    buf_done(&text);
    buf_done(&gaps);
}
