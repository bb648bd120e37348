/* From trials to curves.
 *
 * Three kinds of measurements say how slow a setting is at a rate. A search for requests per second
 * has just that: level and percentile. A window of an open loop has one such point, at its own
 * rate. A search for clients is a closed loop: it holds n requests in the server all the time, and
 * an open loop of the same throughput has sometimes more, sometimes fewer. It is read so: in a
 * queue with one server and random arrivals the chance of n or more requests is (rate / most)^n
 * (M/M/1); at the rate where that is 1 - q, the latency seen with n clients is the q-quantile or
 * more. That is a model, and the one place where one is used; docs/METHOD.md says how it can lie.
 *
 * A trial counts where all of its knobs are as they are in production now with this tier in its
 * place: its service's own, and the neighbours'. A language model with another share of the card is
 * another neighbour, beside which the same tier is slower, or finds no room.
 *
 * What a tier's own processes hold hardly depends on who is beside it. So where nothing was
 * measured beside what runs now, and the file has no `memory:`, the most that was seen beside
 * others counts: else a promotion would take away the last resort.
 *
 * Rejected: trials beside any neighbours where there are none with these. They look like
 * measurements of what runs, and a tier is gone up to by them; unknown is learned live. The
 * report's view: it computes far more, and wants a decision where none is needed. */
#include "guard/tier_study.h"

#include "base/text.h"
#include "spec/verdict.h"
#include "stats/capacity.h"
#include "stats/quantile.h"
#include "store/read.h"
#include "study/study.h"

#include <math.h>
#include <string.h>

double tier_study_open_rps(double clients, double most_rps, double quantile)
{
    return clients >= 1 && quantile < 1 ? most_rps * pow(1 - quantile, 1 / clients) : NAN;
}

/* A point's percentile that is no smaller than the wanted one; NaN: it has none. */
static double point_latency(const struct store_capacity_point *point, double quantile)
{
    if (quantile <= 0.5)
        return point->p50;
    return quantile <= 0.95 ? point->p95 : NAN;
}

static bool counts(const struct store_capacity_point *point)
{
    for (int level = LEVEL_MET; level <= LEVEL_MISSED; level++)
        if (strcmp(point->outcome, stats_level_name((enum stats_level)level)) == 0)
            return true;
    return false;
}

/* Left since it was certainly missed: those that had answered by then were the quick ones. */
static bool is_cut_short(const struct store_capacity_point *point)
{
    return point->early && strcmp(point->outcome, stats_level_name(LEVEL_MISSED)) == 0;
}

static void raise_most(struct policy_curve *curve, double rps)
{
    if (rps > 0)
        curve->most_rps = fmax(curve->most_rps, rps); /* fmax passes over the NaN */
}

static void add_capacities(struct tier_study *tier, const struct store_trial *trial,
                           const char *service, double quantile)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < trial->capacity_point_count; k++) {
            const struct store_capacity_point *point = &trial->capacity_points[k];
            if (point->search < 0 || (size_t)point->search >= trial->capacity_count)
                continue;
            const struct store_capacity *search = &trial->capacities[point->search];
            if (strcmp(search->service, service) != 0 || strcmp(search->metric, "latency") != 0 ||
                !counts(point))
                continue;
            bool by_clients = strcmp(search->of, "concurrency") == 0;
            if (pass == 0) {
                raise_most(&tier->curve, point->answered_rps);
                tier->peak_bytes = fmax(tier->peak_bytes, search->memory_bytes);
                continue;
            }
            double rate = by_clients
                              ? tier_study_open_rps(point->level, tier->curve.most_rps, quantile)
                              : point->level;
            if (!is_cut_short(point))
                policy_curve_add(&tier->curve, rate, point_latency(point, quantile));
        }
}

/* "p95" of the study's window, if the load was an open loop and the window was not left early. One
 * that its count does not carry, which earlier versions stored, is the largest of a few. */
static void add_window(struct tier_study *tier, const struct spec_study *study,
                       const struct store_trial *trial, size_t service, double quantile)
{
    static const struct {
        double quantile;
        const char *stat;
    } stats[] = {{0.5, "p50"}, {0.9, "p90"}, {0.95, "p95"}, {0.99, "p99"}};
    const struct spec_service *spec = &study->services[service];
    bool open =
        spec->load.given && spec->load.rate_rps > 0 &&
        (spec->load.arrivals == ARRIVALS_POISSON || spec->load.arrivals == ARRIVALS_CONSTANT);
    bool early = store_trial_left_early(trial);
    bool closed = spec->load.given && spec->load.arrivals == ARRIVALS_CLOSED;
    double best = 2;
    double latency = NAN;
    for (size_t k = 0; k < trial->metric_count; k++) {
        const struct store_metric *row = &trial->metrics[k];
        if (!row->service || strcmp(row->service, spec->name) != 0 ||
            strcmp(row->mode, "shared") != 0)
            continue;
        /* At a rate it answers what is sent, however much it could, unless that was too much. */
        if ((closed || early) && strcmp(row->metric, "requests_per_s") == 0)
            raise_most(&tier->curve, row->value);
        for (size_t s = 0; s < ARRAY_LEN(stats) && strcmp(row->metric, "latency") == 0; s++)
            if (strcmp(row->stat, stats[s].stat) == 0 && stats[s].quantile >= quantile - 1e-9 &&
                stats[s].quantile < best && row->count > 0 &&
                stats_quantile_allowed((size_t)row->count, stats[s].quantile)) {
                best = stats[s].quantile;
                latency = row->value;
            }
    }
    /* As with a level: too many were over, and what an older study stored is of the others. */
    if (open && !early)
        policy_curve_add(&tier->curve, spec->load.rate_rps, latency);
}

struct tier_study tier_study_new(void)
{
    return (struct tier_study){
        .curve.most_rps = NAN, .peak_bytes = NAN, .elsewhere_peak_bytes = NAN};
}

double tier_study_peak_bytes(const struct tier_study *tier, double file_bytes)
{
    if (!isnan(tier->peak_bytes))
        return tier->peak_bytes;
    return isnan(file_bytes) ? tier->elsewhere_peak_bytes : file_bytes;
}

void tier_study_add(struct tier_study *tier, const struct spec_study *study,
                    const struct store_trial *trial, size_t service, double quantile)
{
    const char *name = study->services[service].name;
    for (size_t k = 0; k < trial->service_count; k++)
        if (strcmp(trial->services[k].name, name) == 0)
            tier->peak_bytes = fmax(tier->peak_bytes, trial->services[k].peak_memory_bytes);
    add_window(tier, study, trial, service, quantile);
    add_capacities(tier, trial, name, quantile);
    tier->trials++;
}

/* ---- which trials are a tier's ---- */

static int named_value(const struct spec_study *study, const struct spec_tier *tier, size_t knob)
{
    for (size_t v = 0; v < tier->value_count; v++) {
        const struct spec_setting *value = &tier->values[v];
        if (!value->name || !value->text || strcmp(value->name, study->knobs[knob].name) != 0)
            continue;
        for (size_t i = 0; i < study->knobs[knob].value_count; i++)
            if (strcmp(study->knobs[knob].values[i].label, value->text) == 0)
                return (int)i;
    }
    return -1;
}

struct spec_candidate tier_study_candidate(const struct spec_study *study,
                                           const struct spec_tier *tier, size_t service,
                                           const struct spec_candidate *reference)
{
    struct spec_candidate candidate = *reference;
    struct err ignored = ERR_INIT;
    for (size_t k = 0; k < study->knob_count; k++) {
        int value = study->knobs[k].service == service ? named_value(study, tier, k) : -1;
        if (value >= 0)
            candidate.index[k] = value;
    }
    (void)!spec_candidate_check(study, &candidate, &ignored);
    return candidate;
}

bool tier_study_agrees(const struct spec_study *study, size_t service,
                       const struct spec_candidate *wanted, const struct spec_candidate *found,
                       bool others_too)
{
    for (size_t k = 0; k < study->knob_count; k++)
        if ((others_too || study->knobs[k].service == service) &&
            wanted->index[k] != found->index[k])
            return false;
    return true;
}

bool tier_study_is_measured(const struct store_trial *trial)
{
    int verdict = verdict_from_name(trial->verdict);
    return verdict == VERDICT_OK || verdict == VERDICT_SLOW;
}

void tier_study_take(struct tier_study *tier, const struct spec_study *study, size_t service,
                     const struct store_trial *trials, size_t count, double quantile)
{
    for (size_t t = 0; t < count; t++) {
        struct spec_candidate found;
        if (!tier_study_is_measured(&trials[t]) ||
            !spec_candidate_parse(study, trials[t].candidate, &found, NULL) ||
            !tier_study_agrees(study, service, &tier->candidate, &found, false))
            continue;
        struct tier_study elsewhere = tier_study_new();
        if (tier_study_agrees(study, service, &tier->candidate, &found, true)) {
            tier_study_add(tier, study, &trials[t], service, quantile);
            continue;
        }
        tier_study_add(&elsewhere, study, &trials[t], service, quantile);
        tier->elsewhere_peak_bytes = fmax(tier->elsewhere_peak_bytes, elsewhere.peak_bytes);
        tier->elsewhere++;
    }
}

bool tier_study_read(const struct spec_study *study, const char *folder,
                     const struct spec_candidate *running,
                     struct tier_study ret_tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX], char *ret_note,
                     size_t size)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(store_close) struct store *store = NULL;
    AUTO(free) char *path = folder ? study_store_path(folder) : NULL;
    struct store_trial *trials = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    ret_note[0] = '\0';
    if (!path || !store_open_soon(path, &store, &err) ||
        !store_read_trials(store, arena, true, &trials, &count, &err)) {
        snprintf(ret_note, size, "no measurements: %.160s", path ? err.text : "no results");
        count = 0;
    }
    for (size_t f = 0; f < study->guard->front_count; f++) {
        const struct spec_front *front = &study->guard->fronts[f];
        double quantile = isnan(front->quantile) ? 0.95 : front->quantile;
        for (size_t t = 0; t < front->tier_count; t++) {
            struct tier_study *tier = &ret_tiers[f][t];
            *tier = tier_study_new();
            tier->candidate =
                tier_study_candidate(study, &front->tiers[t], front->service, running);
            tier_study_take(tier, study, front->service, trials, count, quantile);
        }
    }
    return err.code != ERR_BUSY;
}

void tier_study_add_words(const struct tier_study *tier, const struct policy_tier *policy,
                          double quantile, const char *note, struct buf *buf)
{
    const struct policy_curve *curve = &policy->curve;
    buf_addf(buf, "%.40s: ", policy->name);
    if (curve->count > 0) {
        const struct policy_point *last = &curve->points[curve->count - 1];
        buf_addf(buf, "p%g ", 100 * quantile);
        text_add_duration(buf, curve->points[0].latency_s);
        buf_addf(buf, " at %.3g requests/s to ", curve->points[0].rate_rps);
        text_add_duration(buf, last->latency_s);
        buf_addf(buf, " at %.3g, measured in %zu trials", last->rate_rps, tier->trials);
    } else if (tier->trials == 0 && tier->elsewhere > 0) {
        buf_addf(buf,
                 "how slow it is under load was not measured beside what runs now (%zu trials "
                 "have its settings beside others%s)",
                 tier->elsewhere,
                 policy->peak_bytes == tier->elsewhere_peak_bytes && isnan(tier->peak_bytes)
                     ? ", and its peak of memory is theirs"
                     : "");
    } else {
        buf_addf(buf, "how slow it is under load was not measured%s%.100s", note[0] ? ", " : "",
                 note);
    }
    if (policy->managed && isnan(policy->peak_bytes))
        buf_addf(buf, "; its memory is unknown, so %s (set `memory:`)",
                 policy->resident ? "guard does not start it where no tier is usable"
                                  : "it is never started");
}
