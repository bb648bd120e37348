/* Framing of server-sent events: each row is fed whole, byte by byte, and cut at every place. */
#include "load/sse.h"

#include "check.h"

/* Events are written down as type|data|error$, T for a tail. */
static void note(void *ctx, const struct load_sse_event *event)
{
    struct buf *seen = ctx;
    buf_addf(seen, "%s|%s|%s@%zu%s$", event->type, event->data, event->error ? event->error : "",
             event->offset, event->tail ? "T" : "");
}

static const struct {
    const char *name, *bytes, *events;
} rows[] = {
    {"LF", "data: a\n\ndata: b\n\n", "|a|@7$|b|@16$"},
    {"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", "|a|@7$|b|@18$"},
    {"CRLF within an event", "data: a\r\ndata: b\r\n\r\n", "|a\nb|@16$"},
    {"CR", "data: a\r\rdata: b\r\r", "|a|@7$|b|@16$"},
    {"mixed ends", "data: a\r\n\ndata: b\n\r\n", "|a|@7$|b|@17$"},
    {"no blank after the colon", "data:a\n\n", "|a|@6$"},
    {"only one blank goes", "data:  a\n\n", "| a|@8$"},
    {"several data lines", "data: a\ndata: b\ndata:\n\n", "|a\nb\n|@21$"},
    {"comments", ":\n\n: ping\n\ndata: a\n:x\n\n", "|a|@18$"},
    {"event type", "event: ping\ndata: {}\n\n", "ping|{}|@20$"},
    {"type without data is no event", "event: ping\n\ndata: a\n\n", "|a|@20$"},
    {"id and retry", "id: 1\nretry: 5\n\nid: 2\ndata: a\n\n", "|a|@29$"},
    {"empty data", "data:\n\n", "||@5$"},
    {"field without colon", "data\n\n", "||@4$"},
    {"unknown field", "foo: x\n\n", ""},
    {"error field", "error: {\"code\":400}\n\ndata: [DONE]\n\n",
     "||{\"code\":400}@19$|[DONE]|@33$"},
    {"byte order mark",
     "\xef\xbb\xbf"
     "data: a\n\n",
     "|a|@10$"},
    {"half a mark is text",
     "\xef\xbb"
     "data: a\n\ndata: b\n\n",
     "|b|@18$"},
    {"tail without line end", "data: a\n\ndata: [DONE]", "|a|@7$|[DONE]|@21T$"},
    {"tail without blank line", "data: [DONE]\n", "|[DONE]|@12T$"},
    {"nothing", "", ""},
    {"blank lines only", "\n\r\n\r\n\n", ""},
    {"colons in the value", "data: a: b\n\n", "|a: b|@10$"},
    {"name is compared whole", "dat: a\ndata2: b\n\n", ""},
};

static void run(size_t row, size_t piece)
{
    size_t len = strlen(rows[row].bytes);
    struct buf seen = BUF_INIT(4096);
    struct load_sse sse = load_sse_init(1024);
    for (size_t at = 0; at < len; at += piece)
        load_sse_feed(&sse, rows[row].bytes + at, piece < len - at ? piece : len - at, note, &seen);
    load_sse_end(&sse, note, &seen);
    CHECK_ROW_TEXT(row, rows[row].name, buf_text(&seen), rows[row].events);
    assert_false(sse.over);
    load_sse_done(&sse);
    buf_done(&seen);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= strlen(rows[i].bytes) + 1; piece++)
            run(i, piece);
}

static void test_bounded(void **state)
{
    (void)state;
    struct buf seen = BUF_INIT(4096);
    struct load_sse sse = load_sse_init(16);
    for (int i = 0; i < 100; i++)
        load_sse_feed(&sse, "data: 0123456789", 16, note, &seen);
    load_sse_end(&sse, note, &seen);
    assert_true(sse.over);
    assert_true(sse.line.cap < 64 + 1 && sse.data.len <= 16);
    load_sse_done(&sse);
    buf_done(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
