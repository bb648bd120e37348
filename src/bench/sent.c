/* Every request counts that opens a conversation, the first of all and the warm-up's too, and those
 * of windows that were tried before the one that counts: the server has seen them all. Later turns
 * of a session follow what was said in it, which is no beginning that another shares.
 *
 * Rejected: comparing texts. Two prompts of a list may begin alike, and how much of a beginning a
 * server keeps is its own affair; what is sent twice as a whole is sure. */
#include "bench/sent.h"

struct bench_sent *bench_sent_new(const struct load_stream *stream, struct arena *arena)
{
    const struct corpus *corpus = stream->corpus;
    if (stream->protocol->sends_audio || !corpus || corpus->prompt_count == 0)
        return NULL;
    struct bench_sent *sent = arena_alloc(arena, sizeof *sent);
    sent->count = corpus->prompt_count;
    sent->times = arena_array(arena, sent->count, sizeof *sent->times);
    return sent;
}

void bench_sent_add(struct bench_sent *sent, const struct load_record *record)
{
    if (sent && record->turn == 0 && record->item < sent->count && !record->made)
        sent->times[record->item]++;
}

struct bench_repeats bench_sent_repeats(const struct bench_sent *sent)
{
    struct bench_repeats all = {0};
    for (size_t i = 0; sent && i < sent->count; i++) {
        uint32_t times = sent->times[i];
        if (times == 0)
            continue;
        all.least = all.prompts == 0 || times < all.least ? times : all.least;
        all.most = times > all.most ? times : all.most;
        all.prompts++;
    }
    return all;
}
