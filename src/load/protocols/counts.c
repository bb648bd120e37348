/* Counts that decide rates and limits, and so must not be anybody's word alone.
 *
 * A token is at least a byte of text, but for the few that show as nothing, so a count over the
 * text's size is wrong: from a counter that is broken, or of tokens that never came here (a hidden
 * chain of thought, which is no output that anybody could use). What a service says that it hid is
 * taken off first. A count that can't be is unknown; text events stand in for it where there are
 * any. Where all is said to be hidden and yet text came, the thought was sent as text or the count
 * is wrong: unknown as well. Rejected: cutting it down to the text's size, which would be a made-up
 * number; the body's size as the bound, which in a stream is some two hundred times the text's.
 *
 * Invariant: gap_count + gaps_left_out is the number of text events less one. */
#include "load/protocols/counts.h"

void load_gap_add(struct load_record *record, struct buf *gaps, int64_t gap_ns)
{
    if (gaps->len >= LOAD_GAPS_MAX * sizeof gap_ns)
        record->gaps_left_out++;
    else if (!buf_append(gaps, &gap_ns, sizeof gap_ns))
        gaps->over = true;
}

/* An end mark, the marks around a thought and a channel, blanks that a parser strips, the bytes of
 * a character that was not finished. */
enum { SHOW_AS_NOTHING = 8 };

size_t load_told_most(size_t text_bytes)
{
    return text_bytes + SHOW_AS_NOTHING;
}

void load_tokens_take(struct load_record *record, const struct load_told *told)
{
    if (told->tokens < 0)
        return;
    int64_t tokens = told->hidden > 0 ? told->tokens - told->hidden : told->tokens;
    bool has_text = told->most > load_told_most(0);
    bool nothing_left = tokens == 0 && told->hidden > 0 && has_text;
    bool believed =
        tokens >= 0 && tokens <= INT32_MAX && (uint64_t)tokens <= told->most && !nothing_left;
    record->tokens = believed ? (int32_t)tokens : -1;
    record->tokens_exact = believed;
}
