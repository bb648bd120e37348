/* From trials to answers: within each block the difference of the two sides, over all blocks its
 * mean and interval, and where that lies.
 *
 * Times, sizes and rates are compared as ratios, shares (error ratio, word error rate) as
 * differences; word errors by resampling clips, both sides together, because a clip's difficulty is
 * the same for both and a second hearing of it in the next block says nothing new.
 *
 * Judged are the study's objectives: what the user said to care about. They share the error, so
 * that "B is slower" is false at most as often as stated whichever of them said it; the others are
 * shown with the same error each for itself, and answer nothing. Rejected: judging everything that
 * is measured, which with 40 measures asks for twice the blocks and says nothing more.
 *
 * Invariant: a failed trial is no number. Its block counts for nobody, its verdict is the side's.
 */
#include "study/compare_inside.h"

#include "base/text.h"
#include "spec/verdict.h"
#include "stats/wer.h"
#include "study/counted.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WORD_DRAWS = 20000, WORD_CLIPS_LEAST = 20 };

static const struct {
    enum metric metric;
    enum metric_stat stat;
} shown[] = {
    {METRIC_LATENCY, STAT_P50},        {METRIC_LATENCY, STAT_P95},
    {METRIC_TTFT, STAT_P50},           {METRIC_TTFT, STAT_P95},
    {METRIC_TURN, STAT_P50},           {METRIC_TURN, STAT_P95},
    {METRIC_TOKENS_PER_S, STAT_VALUE}, {METRIC_WER, STAT_VALUE},
    {METRIC_ERROR_RATIO, STAT_VALUE},  {METRIC_READY, STAT_VALUE},
    {METRIC_MEMORY, STAT_VALUE},
};

/* ---- which rows ---- */

static bool can_judge(enum metric metric)
{
    enum metric_unit unit = metric_facts(metric)->unit;
    return unit != UNIT_COUNT && unit != UNIT_BYTES_PER_SECOND;
}

static bool is_objective(const struct spec_study *study, struct metric_ref ref)
{
    for (size_t i = 0; i < study->objective_count; i++) {
        const struct metric_ref *own = &study->objectives[i].metric;
        if (own->service == ref.service && own->metric == ref.metric && own->stat == ref.stat)
            return can_judge(ref.metric);
    }
    return false;
}

static void add_row(const struct spec_study *study, struct compare_pair *pair,
                    struct metric_ref ref, struct arena *arena)
{
    const char *service = study->services[ref.service].name;
    const struct metric_facts *facts = metric_facts(ref.metric);
    const char *stat = metric_stat_name(ref.stat);
    const char *name =
        arena_printf(arena, "%s.%s%s%s", service, facts->name, *stat ? "." : "", stat);
    for (size_t i = 0; i < pair->row_count; i++)
        if (strcmp(pair->rows[i].name, name) == 0)
            return;
    if (pair->row_count == COMPARE_ROWS_MAX)
        return;
    pair->rows[pair->row_count++] = (struct compare_row){
        .name = name,
        .service = service,
        .metric = ref.metric,
        .stat = ref.stat,
        .higher_is_better = facts->higher_is_better,
        .is_ratio = facts->unit != UNIT_RATIO || ref.metric == METRIC_RTF,
        .judged = is_objective(study, ref),
    };
}

static void plan_pair(const struct spec_study *study, struct compare_pair *pair,
                      struct arena *arena)
{
    pair->rows = arena_array(arena, COMPARE_ROWS_MAX + 1, sizeof *pair->rows);
    for (size_t i = 0; i < study->objective_count; i++)
        if (can_judge(study->objectives[i].metric.metric))
            add_row(study, pair, study->objectives[i].metric, arena);
    bool any = pair->row_count > 0;
    for (size_t s = 0; s < study->service_count; s++) {
        for (size_t k = 0; k < ARRAY_LEN(shown); k++)
            add_row(study, pair, (struct metric_ref){s, shown[k].metric, shown[k].stat}, arena);
        for (size_t i = pair->row_count; !any && i-- > 0;)
            if (pair->rows[i].metric == METRIC_LATENCY && pair->rows[i].stat == STAT_P95)
                pair->rows[i].judged = true;
    }
    if (study->service_count > 1 && pair->row_count < COMPARE_ROWS_MAX)
        pair->rows[pair->row_count++] =
            (struct compare_row){.name = "memory", .metric = METRIC_MEMORY, .is_ratio = true};
}

void study_compare_plan_rows(const struct spec_study *study, struct study_comparison *comparison,
                             struct arena *arena)
{
    comparison->judged = 0;
    comparison->pair_count = 0;
    for (size_t other = 1; other < comparison->side_count; other++) {
        struct compare_pair *pair = &comparison->pairs[comparison->pair_count++];
        *pair = (struct compare_pair){.other = other};
        plan_pair(study, pair, arena);
        for (size_t i = 0; i < pair->row_count; i++)
            comparison->judged += pair->rows[i].judged;
    }
}

/* ---- sides ---- */

/* Of one side: its measured trial of each block; NULL: none. */
struct side_runs {
    const struct store_trial *of[COMPARE_BLOCKS_MAX];
    bool failed[COMPARE_BLOCKS_MAX];
};

static void note_failure(struct compare_side *side, const struct store_trial *t,
                         struct arena *arena)
{
    if (side->failed)
        return;
    side->failed_trial = t->number;
    side->failed = arena_strdup(arena, t->verdict);
    side->failed_why = t->summary ? arena_printf(arena, "%s%s%s", t->service ? t->service : "",
                                                 t->service ? ": " : "", t->summary)
                                  : NULL;
}

static void fill_side(const struct store_trial *trials, size_t count, size_t blocks, int round,
                      struct compare_side *side, struct side_runs *ret, struct arena *arena)
{
    side->runs = side->slow = side->disturbed = 0;
    *ret = (struct side_runs){0};
    for (size_t i = 0; i < count; i++) {
        const struct store_trial *t = &trials[i];
        if (strcmp(t->purpose, "compare") != 0 || t->round != round || t->repeat < 1 ||
            (size_t)t->repeat > blocks || strcmp(t->candidate, side->text) != 0)
            continue;
        int verdict = verdict_from_name(t->verdict);
        const struct verdict_facts *facts = verdict < 0 ? NULL : verdict_facts(verdict);
        if (facts && facts->has_fitness) {
            ret->of[t->repeat - 1] = t;
        } else if (facts && (!facts->retried || t->ruled_out)) {
            ret->failed[t->repeat - 1] = true;
            note_failure(side, t, arena);
        }
    }
    for (size_t b = 0; b < blocks; b++) {
        const struct store_trial *t = ret->of[b];
        side->runs += t != NULL;
        side->slow += t && strcmp(t->verdict, verdict_facts(VERDICT_SLOW)->name) == 0;
        side->disturbed += !t && !ret->failed[b] && !side->failed;
    }
}

/* ---- numbers ---- */

/* A rate of tokens counted by events is another quantity than one counted by the server. */
static bool counted_alike(const struct spec_study *study, const struct store_trial *first,
                          const struct store_trial *other, const struct compare_row *row)
{
    if (row->metric != METRIC_TOKENS_PER_S || !first || !other)
        return true;
    uint32_t differ = study_counted_by_events(study, first) ^ study_counted_by_events(study, other);
    int service = row->service ? spec_study_service(study, row->service) : -1;
    return service < 0 ? differ == 0 : !(differ >> service & 1);
}

static const struct store_metric *find_metric(const struct store_trial *trial, const char *service,
                                              const struct compare_row *row)
{
    for (size_t i = 0; i < trial->metric_count; i++) {
        const struct store_metric *m = &trial->metrics[i];
        if (strcmp(m->mode, "shared") == 0 && strcmp(m->service, service) == 0 &&
            strcmp(m->metric, metric_facts(row->metric)->name) == 0 &&
            strcmp(m->stat, metric_stat_name(row->stat)) == 0)
            return m;
    }
    return NULL;
}

static double value_of_service(const struct store_trial *trial, const char *service,
                               const struct compare_row *row)
{
    const struct store_metric *m = find_metric(trial, service, row);
    return m ? m->value : NAN;
}

static double value_of(const struct spec_study *study, const struct store_trial *trial,
                       const struct compare_row *row)
{
    if (!trial || row->service)
        return trial ? value_of_service(trial, row->service, row) : NAN;
    double sum = 0; /* one that is unknown makes the sum unknown */
    for (size_t s = 0; s < study->service_count; s++)
        sum += value_of_service(trial, study->services[s].name, row);
    return sum;
}

static double difference(const struct compare_row *row, double first, double other)
{
    if (!row->is_ratio)
        return other - first;
    if (first == 0 && other == 0)
        return 0;
    return first > 0 && other > 0 ? log(other / first) : NAN;
}

/* A share of requests, of which each block has few: its interval may be no narrower than they
 * allow. Word errors are no share of requests, and have their own (fill_words). */
static void widen_share(const struct side_runs *first, const struct side_runs *other, size_t blocks,
                        double error, struct compare_row *row)
{
    if (row->is_ratio || !row->service || row->metric == METRIC_WER)
        return;
    uint64_t hits[2] = {0}, asked[2] = {0};
    size_t look = stats_compare_look(blocks);
    for (size_t b = 0; b < look; b++) {
        const struct store_trial *both[2] = {first->of[b], other->of[b]};
        for (int side = 0; side < 2 && both[0] && both[1]; side++) {
            const struct store_metric *m = find_metric(both[side], row->service, row);
            if (!m || m->count <= 0 || !(m->value >= 0 && m->value <= 1))
                continue;
            hits[side] += (uint64_t)llround(m->value * (double)m->count);
            asked[side] += (uint64_t)m->count;
        }
    }
    stats_compare_widen(&row->effect, hits, asked, blocks, error);
}

static void fill_blocks(const struct spec_study *study, const struct side_runs *first,
                        const struct side_runs *other, size_t blocks, double error,
                        struct compare_row *row)
{
    double differences[COMPARE_BLOCKS_MAX], sum_first = 0, sum_other = 0;
    size_t n = 0, look = stats_compare_look(blocks);
    row->counted_otherwise = false;
    for (size_t b = 0; b < blocks; b++) {
        double a = value_of(study, first->of[b], row), c = value_of(study, other->of[b], row);
        bool alike = counted_alike(study, first->of[b], other->of[b], row);
        row->counted_otherwise = row->counted_otherwise || !alike;
        differences[b] = alike ? difference(row, a, c) : NAN;
        if (isnan(differences[b]) || b >= look)
            continue;
        n++;
        sum_first += row->is_ratio ? log(a) : a;
        sum_other += row->is_ratio ? log(c) : c;
    }
    row->effect = row->is_ratio ? stats_compare_ratio(differences, blocks, error)
                                : stats_compare_mean(differences, blocks, error);
    widen_share(first, other, blocks, error, row);
    row->first = n ? sum_first / (double)n : NAN;
    row->other = n ? sum_other / (double)n : NAN;
    if (row->is_ratio) {
        row->first = exp(row->first);
        row->other = exp(row->other);
    }
    const struct stats_interval *i = &row->effect.interval;
    row->low = row->is_ratio ? row->first * (i->low - 1) : i->low;
    row->high = row->is_ratio ? row->first * (i->high - 1) : i->high;
}

/* ---- words ---- */

struct clips {
    struct stats_wer *list; /* by item, grown in an arena */
    size_t count;
};

static bool add_words(struct store *store, int64_t trial, const char *service, struct arena *arena,
                      struct clips *clips, struct err *err)
{
    enum { ITEMS_MAX = 1000000 };
    struct store_words *words = NULL;
    size_t n = 0;
    if (!store_read_words(store, arena, trial, service, &words, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (words[i].item < 0 || words[i].item >= ITEMS_MAX || words[i].words <= 0 ||
            words[i].word_errors < 0)
            continue;
        size_t item = (size_t)words[i].item;
        if (item >= clips->count) {
            size_t count = item < 64 ? 128 : 2 * (item + 1);
            struct stats_wer *list = arena_array(arena, count, sizeof *list);
            if (clips->count)
                memcpy(list, clips->list, clips->count * sizeof *list);
            *clips = (struct clips){list, count};
        }
        clips->list[item].reference_words += (uint64_t)words[i].words;
        clips->list[item].substitutions += (uint64_t)words[i].word_errors;
    }
    return true;
}

static bool read_clips(struct store *store, const struct side_runs *runs, size_t look,
                       const char *service, struct arena *arena, struct clips *clips,
                       struct err *err)
{
    *clips = (struct clips){0};
    for (size_t b = 0; b < look; b++)
        if (runs->of[b] && !add_words(store, runs->of[b]->number, service, arena, clips, err))
            return false;
    return true;
}

static bool fill_words(const struct spec_study *study, struct store *store,
                       const struct side_runs *first, const struct side_runs *other, size_t blocks,
                       double error, struct compare_row *row, struct err *err)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct clips a, c;
    size_t look = stats_compare_look(blocks), n = 0;
    /* Not the blocks' own interval: a transcript repeats itself in each of them, to the letter. */
    row->effect.interval = (struct stats_interval){NAN, NAN};
    row->low = row->high = NAN;
    if (!read_clips(store, first, look, row->service, scratch, &a, err) ||
        !read_clips(store, other, look, row->service, scratch, &c, err))
        return false;
    struct stats_wer sum_a = {0}, sum_c = {0};
    for (size_t i = 0; i < a.count && i < c.count; i++) {
        if (a.list[i].reference_words == 0 || c.list[i].reference_words == 0)
            continue; /* heard on one side only */
        a.list[n] = a.list[i];
        c.list[n++] = c.list[i];
        stats_wer_pool(&sum_a, &a.list[n - 1]);
        stats_wer_pool(&sum_c, &c.list[n - 1]);
    }
    if (n == 0)
        return true;
    row->first = stats_wer_ratio(&sum_a);
    row->other = stats_wer_ratio(&sum_c);
    row->effect = (struct stats_effect){row->other - row->first, {NAN, NAN}, look};
    struct rng rng = rng_init(study->seed, row->name);
    if (n < WORD_CLIPS_LEAST) /* so few resampled clips look certain of anything */
        return true;
    row->effect.interval = stats_wer_difference(
        c.list, a.list, n, 1 - error * stats_compare_share(look), WORD_DRAWS, &rng);
    row->low = row->effect.interval.low;
    row->high = row->effect.interval.high;
    return true;
}

/* ---- answers ---- */

static void answer(const struct study_comparison *comparison, struct compare_row *row)
{
    double edge = 1 + comparison->tolerance;
    enum stats_standing standing =
        row->is_ratio
            ? stats_compare_standing(&row->effect, 1 / edge, edge)
            : stats_compare_standing(&row->effect, -comparison->tolerance, comparison->tolerance);
    bool up = standing == STATS_STANDING_ABOVE;
    row->unknown = NULL;
    row->answer = COMPARE_OPEN;
    if (standing == STATS_STANDING_WITHIN)
        row->answer = COMPARE_SAME;
    else if (standing != STATS_STANDING_OPEN)
        row->answer = up == row->higher_is_better ? COMPARE_BETTER : COMPARE_WORSE;
    else if (comparison->looked > 0 && row->effect.blocks == 0) {
        row->answer = COMPARE_UNKNOWN;
        row->unknown = row->counted_otherwise
                           ? "counted by the server on one side, by events on the other"
                           : "in no block measured on both sides";
    } else if (comparison->looked > 0 && row->metric == METRIC_WER && isnan(row->low)) {
        row->answer = COMPARE_UNKNOWN;
        row->unknown = "fewer than 20 clips were heard on both sides, which can't tell";
    }
}

static void find_over(struct study_comparison *comparison)
{
    comparison->over = false;
    for (size_t p = 0; p < comparison->pair_count && !comparison->sides[0].failed; p++) {
        const struct compare_pair *pair = &comparison->pairs[p];
        if (comparison->sides[pair->other].failed)
            comparison->over = true;
        for (size_t i = 0; i < pair->row_count; i++)
            if (pair->rows[i].judged && pair->rows[i].answer == COMPARE_WORSE)
                comparison->over = true;
    }
}

bool study_compare_fill(const struct spec_study *study, struct store *store,
                        const struct store_trial *trials, size_t count, size_t blocks,
                        struct study_comparison *comparison, struct arena *arena, struct err *err)
{
    struct side_runs runs[COMPARE_SIDES_MAX] = {0};
    comparison->blocks = blocks;
    comparison->looked = stats_compare_look(blocks);
    for (size_t s = 0; s < comparison->side_count; s++)
        fill_side(trials, count, blocks, (int)comparison->number, &comparison->sides[s], &runs[s],
                  arena);
    for (size_t p = 0; p < comparison->pair_count; p++) {
        struct compare_pair *pair = &comparison->pairs[p];
        const struct side_runs *other = &runs[pair->other];
        for (size_t i = 0; i < pair->row_count; i++) {
            struct compare_row *row = &pair->rows[i];
            double error =
                row->judged ? comparison->error / (double)comparison->judged : comparison->error;
            fill_blocks(study, &runs[0], other, blocks, error, row);
            if (row->metric == METRIC_WER && row->effect.blocks > 0 && store &&
                !fill_words(study, store, &runs[0], other, blocks, error, row, err))
                return false;
            answer(comparison, row);
        }
    }
    find_over(comparison);
    return true;
}

enum compare_end study_compare_is_over(const struct study_comparison *comparison)
{
    bool others = false, open = false;
    for (size_t p = 0; p < comparison->pair_count; p++) {
        const struct compare_pair *pair = &comparison->pairs[p];
        if (comparison->sides[pair->other].failed)
            continue;
        others = true;
        for (size_t i = 0; i < pair->row_count; i++)
            open = open || (pair->rows[i].judged && pair->rows[i].answer == COMPARE_OPEN);
    }
    if (comparison->sides[0].failed || !others)
        return COMPARE_FAILED;
    return open || comparison->looked == 0 ? COMPARE_GOES_ON : COMPARE_DECIDED;
}
