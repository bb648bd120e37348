/* What was heard worst: a word error rate says how much is wrong, and this what, so that somebody
 * can listen to it. Ranked by errors each time, since a clip that came round once more than another
 * has not been understood worse for it.
 *
 * Rejected: keeping every transcript. One text a clip, of its worst time, is bounded however long a
 * run is. */
#include "bench/results.h"

#include "bench/setup.h"

#include <string.h>

enum { TEXT_MAX = 400 };

static uint64_t errors_of(const struct stats_wer *wer)
{
    return wer->substitutions + wer->deletions + wer->insertions;
}

void bench_heard_add(struct bench_heard *heard, const struct stats_wer *one, const char *text)
{
    heard->times++;
    if (errors_of(one) <= heard->errors)
        return;
    heard->errors = errors_of(one);
    free(heard->text);
    heard->text = strndup(text ? text : "", TEXT_MAX);
}

static double errors_each_time(const struct bench_results *results, size_t item)
{
    uint32_t times = results->heard[item].times;
    return times ? (double)errors_of(&results->wer[item]) / (double)times : 0;
}

size_t bench_heard_worst(const struct bench_results *results, size_t *ret_items, size_t most)
{
    size_t count = 0;
    for (size_t i = 0; results->wer && results->heard && i < results->wer_count; i++) {
        double errors = errors_each_time(results, i);
        size_t at = count;
        while (at > 0 && errors_each_time(results, ret_items[at - 1]) < errors)
            at--;
        if (errors <= 0 || at == most)
            continue;
        count += count < most;
        memmove(ret_items + at + 1, ret_items + at, (count - at - 1) * sizeof *ret_items);
        ret_items[at] = i;
    }
    return count;
}

const char *bench_said(const struct bench_setup *setup, size_t item)
{
    return setup->plan.streams[0].corpus->clips[item].transcript;
}
