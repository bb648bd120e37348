/* Word error rate: least edit distance over words, with the counts of each kind of edit.
 *
 * Several alignments can be least, and they differ in their counts ("two substitutions" is also
 * "one deletion and one insertion" at times). The choice is that of rapidfuzz, which jiwer uses:
 * common beginning and end are set apart, then, coming from the end, a deletion is preferred to an
 * insertion and that to a substitution where they cost the same. The usual matrix of back pointers
 * was rejected: which step is taken depends on distances of neighbouring cells alone, so each cell
 * can carry the counts of its own best path, and two rows are enough.
 *
 * Invariants: hits + substitutions + deletions = reference words; hits + substitutions + insertions
 * = hypothesis words; memory is O(STATS_WORDS_MAX). */
#include "stats/wer.h"

#include <math.h>
#include <stdlib.h>

#include "base/auto.h"
#include "stats/words.h"

struct cell {
    uint32_t distance, substitutions, deletions, insertions;
};

/* One cell from its three neighbours: `diagonal` (both one less), `above` (hypothesis one less),
 * `left` (reference one less). */
static struct cell cell_from(const struct cell *diagonal, const struct cell *above,
                             const struct cell *left, bool same)
{
    uint32_t distance = diagonal->distance + !same;
    if (above->distance + 1 < distance)
        distance = above->distance + 1;
    if (left->distance + 1 < distance)
        distance = left->distance + 1;
    struct cell cell;
    if (left->distance + 1 == distance) {
        cell = *left;
        cell.deletions++;
    } else if (above->distance + 1 == diagonal->distance) {
        cell = *above;
        cell.insertions++;
    } else {
        cell = *diagonal;
        cell.substitutions += !same;
    }
    cell.distance = distance;
    return cell;
}

static struct cell align(const struct stats_word *reference, size_t reference_count,
                         const struct stats_word *hypothesis, size_t hypothesis_count)
{
    const size_t width = reference_count + 1;
    struct cell *rows = calloc(2 * width, sizeof *rows);
    if (!rows)
        abort();
    for (size_t c = 0; c < width; c++)
        rows[c] = (struct cell){.distance = (uint32_t)c, .deletions = (uint32_t)c};
    for (size_t r = 1; r <= hypothesis_count; r++) { /* the two rows take turns */
        const struct cell *above = rows + (r - 1) % 2 * width;
        struct cell *row = rows + r % 2 * width;
        row[0] = (struct cell){.distance = (uint32_t)r, .insertions = (uint32_t)r};
        for (size_t c = 1; c < width; c++)
            row[c] = cell_from(&above[c - 1], &above[c], &row[c - 1],
                               stats_word_same(&reference[c - 1], &hypothesis[r - 1]));
    }
    struct cell last = rows[hypothesis_count % 2 * width + reference_count];
    free(rows);
    return last;
}

struct stats_wer stats_wer_count(enum stats_normaliser normaliser, const char *reference,
                                 const char *hypothesis)
{
    AUTO(stats_words_done) struct stats_words ref, hyp;
    stats_words_init(&ref, normaliser, reference);
    stats_words_init(&hyp, normaliser, hypothesis);
    size_t n = ref.count, m = hyp.count, first = 0;
    while (first < n && first < m && stats_word_same(&ref.list[first], &hyp.list[first]))
        first++;
    while (n > first && m > first && stats_word_same(&ref.list[n - 1], &hyp.list[m - 1])) {
        n--;
        m--;
    }
    struct cell cell = align(ref.list + first, n - first, hyp.list + first, m - first);
    return (struct stats_wer){
        .reference_words = ref.count + ref.beyond,
        .hypothesis_words = hyp.count + hyp.beyond,
        .hits = ref.count - cell.substitutions - cell.deletions,
        .substitutions = cell.substitutions,
        .deletions = cell.deletions + ref.beyond,
        .insertions = cell.insertions + hyp.beyond,
        .cut = ref.cut || hyp.cut,
    };
}

double stats_wer_ratio(const struct stats_wer *wer)
{
    uint64_t errors = wer->substitutions + wer->deletions + wer->insertions;
    return (double)errors / (double)(wer->reference_words ? wer->reference_words : 1);
}

void stats_wer_pool(struct stats_wer *total, const struct stats_wer *one)
{
    total->reference_words += one->reference_words;
    total->hypothesis_words += one->hypothesis_words;
    total->hits += one->hits;
    total->substitutions += one->substitutions;
    total->deletions += one->deletions;
    total->insertions += one->insertions;
    total->cut |= one->cut;
}

static struct stats_wer pool_all(const struct stats_wer *utterances, size_t n)
{
    struct stats_wer total = {0};
    for (size_t i = 0; i < n; i++)
        stats_wer_pool(&total, &utterances[i]);
    return total;
}

/* `b` NULL: the ratio of `a` alone. Each draw takes the same clips of both. */
static struct stats_interval resample(const struct stats_wer *a, const struct stats_wer *b,
                                      size_t n, double confidence, size_t draws, struct rng *rng)
{
    struct stats_interval interval = {NAN, NAN};
    bool known = n >= 2 && confidence > 0 && confidence < 1 && pool_all(a, n).reference_words > 0;
    if (!known || (b && pool_all(b, n).reference_words == 0))
        return interval;
    draws = draws ? draws : 2000;
    AUTO(free) double *values = calloc(draws, sizeof *values);
    if (!values)
        abort();
    for (size_t d = 0; d < draws; d++) {
        struct stats_wer pool_a = {0}, pool_b = {0};
        for (size_t i = 0; i < n; i++) {
            size_t clip = (size_t)rng_below(rng, n);
            stats_wer_pool(&pool_a, &a[clip]);
            if (b)
                stats_wer_pool(&pool_b, &b[clip]);
        }
        values[d] = stats_wer_ratio(&pool_a) - stats_wer_ratio(&pool_b);
    }
    stats_sort(values, draws);
    interval.low = stats_quantile(values, draws, 0.5 - confidence / 2);
    interval.high = stats_quantile(values, draws, 0.5 + confidence / 2);
    return interval;
}

struct stats_interval stats_wer_interval(const struct stats_wer *utterances, size_t n,
                                         double confidence, size_t draws, struct rng *rng)
{
    return resample(utterances, NULL, n, confidence, draws, rng);
}

struct stats_interval stats_wer_difference(const struct stats_wer *a, const struct stats_wer *b,
                                           size_t n, double confidence, size_t draws,
                                           struct rng *rng)
{
    return resample(a, b, n, confidence, draws, rng);
}
