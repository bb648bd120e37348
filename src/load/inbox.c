/* Bytes are read into the room behind those that are there already: no second buffer, no copy. The
 * stamp is taken after the read, when the bytes are known to be here.
 *
 * Bounds: LOAD_ANSWER_MAX bytes, and a number of pieces, since a peer that sends single bytes would
 * have us keep sixteen for each. */
#include "load/inbox.h"

#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

enum { READ_BYTES = 8192, PIECES_MAX = 1 << 18, KEPT_BYTES = 1 << 20, KEPT_PIECES = 4096 };

void load_inbox_reset(struct load_inbox *inbox)
{
    buf_clear(&inbox->body);
    inbox->body.max = LOAD_ANSWER_MAX;
    inbox->scan = (struct load_scan){0};
    inbox->answer = (struct load_answer){.body = "", .chunks = inbox->chunks, .scan = &inbox->scan};
}

/* Twice as many as before: one allocation for many pieces. */
static void note_piece(struct load_inbox *inbox, int64_t now_ns)
{
    struct load_answer *answer = &inbox->answer;
    if (answer->chunk_count == inbox->chunk_cap) {
        size_t cap = inbox->chunk_cap ? 2 * inbox->chunk_cap : 64;
        struct load_chunk *chunks = realloc(inbox->chunks, cap * sizeof *chunks);
        if (!chunks)
            abort();
        inbox->chunks = chunks;
        inbox->chunk_cap = cap;
    }
    inbox->chunks[answer->chunk_count++] =
        (struct load_chunk){.end = inbox->body.len, .at_ns = now_ns};
    answer->chunks = inbox->chunks;
    answer->len = inbox->body.len;
}

enum load_inbox_news load_inbox_read(struct load_inbox *inbox, int fd)
{
    size_t left = inbox->body.max - inbox->body.len;
    size_t room = left < READ_BYTES ? left : READ_BYTES;
    if (room == 0 || inbox->answer.chunk_count == PIECES_MAX)
        return LOAD_INBOX_FULL;
    char *at = buf_reserve(&inbox->body, room);
    inbox->answer.body = buf_text(&inbox->body); /* it may have moved, whatever comes now */
    ssize_t n = -1;
    do
        n = read(fd, at, room);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        return LOAD_INBOX_END;
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? LOAD_INBOX_EMPTY : LOAD_INBOX_RESET;
    int64_t now_ns = clock_now_ns();
    buf_filled(&inbox->body, (size_t)n);
    note_piece(inbox, now_ns);
    return LOAD_INBOX_TOOK;
}

void load_inbox_trim(struct load_inbox *inbox)
{
    if (inbox->body.cap > KEPT_BYTES)
        buf_done(&inbox->body);
    if (inbox->chunk_cap > KEPT_PIECES) {
        free(inbox->chunks);
        inbox->chunks = NULL;
        inbox->chunk_cap = 0;
    }
    inbox->answer = (struct load_answer){.body = ""};
}

void load_inbox_done(struct load_inbox *inbox)
{
    buf_done(&inbox->body);
    free(inbox->chunks);
    *inbox = (struct load_inbox){0};
}
