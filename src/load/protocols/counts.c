/* Counts that decide rates and limits, and so must not be anybody's word alone.
 *
 * A token is at least a byte of the answer's body, so a count over the body's size is wrong: from a
 * counter that is broken, or of tokens that never came here (a hidden chain of thought, which is
 * no output that anybody could use). Such a count is unknown; text events stand in for it where
 * there are any. Rejected: cutting it down to the body's size, which would be a made-up number.
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

void load_tokens_take(struct load_record *record, int64_t tokens, size_t most)
{
    if (tokens < 0)
        return;
    bool believed = tokens <= INT32_MAX && (uint64_t)tokens <= most;
    record->tokens = believed ? (int32_t)tokens : -1;
    record->tokens_exact = believed;
}
