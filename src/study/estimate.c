/* How long a study takes, told before it runs: its windows, and what starts and stops take.
 *
 * The second is a guess until trials of this study are stored; then it is what those took beside
 * their windows, trials that started everything apart from those that kept services up. Rejected:
 * the starts of single services, added up: how they overlap, what a probe takes and how long a stop
 * is would have to be modelled, and the trial's own duration has it all. */
#include "study/study.h"

#include "base/clock.h"
#include "search/search.h"

#include <math.h>
#include <string.h>

enum { CANDIDATES_MAX = 1000000000 }; /* an estimate beyond that is as good as one of that */

/* Doubling, halving, the second looks. Some windows are left early, some are repeated. */
enum { CAPACITY_WINDOWS_GUESS = 14 };
static const double START_GUESS_S = 8;

double study_capacity_guess_s(const struct spec_study *study)
{
    double sum_s = 0;
    for (size_t i = 0; i < study->capacity_count; i++) {
        const struct spec_capacity *c = &study->capacities[i];
        double guess_s = CAPACITY_WINDOWS_GUESS * (double)(c->warmup_ns + c->window_ns) / NS_PER_S;
        sum_s += fmin(guess_s, (double)c->within_ns / NS_PER_S);
    }
    return sum_s;
}

/* Some seconds whatever they are, and what the slow ones take: one starts after the other. */
double study_start_guess_s(const struct spec_study *study)
{
    double sum_s = START_GUESS_S;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        double slowest_s = 0;
        for (size_t u = 0; u < s->engine_use_count; u++)
            slowest_s = fmax(slowest_s, s->engine_uses[u].engine->start_s);
        sum_s += slowest_s;
    }
    return sum_s;
}

/* All services' windows alone, in a trial of the final. */
static double alone_s(const struct spec_study *study)
{
    size_t loaded = 0;
    for (size_t i = 0; i < study->service_count; i++)
        loaded += study->services[i].load.given;
    return loaded > 1 ? (double)loaded * ((double)study->measure.alone_ns / NS_PER_S + 3) : 0;
}

struct sum {
    double total_s;
    size_t count;
};

static double mean(const struct sum *sum, double otherwise)
{
    return sum->count ? sum->total_s / (double)sum->count : otherwise;
}

/* What a stored trial took beside its windows; false for one that does not tell: not measured, or
 * with a search for capacity in it. */
static bool beside_windows(const struct spec_study *study, const struct store_history_row *row,
                           double *ret_s)
{
    bool final = strcmp(row->purpose, "final") == 0;
    bool capacity = study->capacity_count > 0 && (study->knob_count == 0 || row->repeat == 1);
    if (!(row->window_s > 0) || isnan(row->duration_s) || capacity ||
        (!final && strcmp(row->purpose, "explore") != 0 && strcmp(row->purpose, "baseline") != 0))
        return false;
    *ret_s = fmax(0, row->duration_s - row->window_s - (double)study->measure.warmup_ns / NS_PER_S -
                         (final ? alone_s(study) : 0));
    return true;
}

struct study_starts study_starts_of(const struct spec_study *study,
                                    const struct store_history_row *rows, size_t count)
{
    struct study_starts starts = {study_start_guess_s(study), study_start_guess_s(study), 0};
    struct sum all = {0}, cold = {0}, warm = {0};
    for (size_t i = 0; i < count; i++) {
        double took_s;
        if (!beside_windows(study, &rows[i], &took_s))
            continue;
        struct sum *kind = rows[i].cold ? &cold : &warm;
        kind->total_s += took_s;
        kind->count++;
        all.total_s += took_s;
        all.count++;
    }
    starts.trials = all.count;
    starts.cold_s = mean(&cold, mean(&all, starts.cold_s));
    starts.restart_s = mean(&warm, mean(&all, starts.restart_s));
    return starts;
}

struct study_starts study_starts(const struct spec_study *study, const char *folder)
{
    AUTO(free) char *path = study_store_path(folder);
    AUTO(store_close) struct store *store = NULL;
    AUTO(free) struct store_history_row *rows = NULL;
    struct err ignored = ERR_INIT; /* without results there is a guess */
    struct store_study stored;
    size_t count = 0;
    bool found = false;
    if (!store_open(path, STORE_READ, &store, &ignored) ||
        !store_study_get(store, &found, &stored, &ignored) || !found ||
        strcmp(stored.digest, study->digest) != 0 || !store_history(store, &rows, &count, &ignored))
        count = 0;
    return study_starts_of(study, rows, count);
}

struct study_estimate study_estimate(const struct spec_study *study, uint64_t candidates,
                                     const struct study_starts *starts)
{
    const struct spec_measure *m = &study->measure;
    double warmup_s = (double)m->warmup_ns / NS_PER_S, window_s = (double)m->window_ns / NS_PER_S;
    const struct search_input input = {
        .study = study,
        .code_count = candidates < CANDIDATES_MAX ? (size_t)candidates : CANDIDATES_MAX,
        .trials = study->search.trials > 0 ? (size_t)study->search.trials : 0,
    };
    size_t trials = search_strategy_find(study->search.strategy)->planned(&input);
    /* A tournament's windows average half of the full one. */
    double share = strcmp(study->search.strategy, "tournament") == 0 ? 0.5 : 1;
    struct study_estimate estimate = {.explore_trials = trials};
    estimate.final_trials =
        ((size_t)study->search.finalists + (study->baseline != NULL)) * (size_t)m->repeats;
    estimate.explore_s = (double)trials * (starts->restart_s + warmup_s + share * window_s);
    estimate.final_s =
        (double)estimate.final_trials * (starts->cold_s + warmup_s + window_s + alone_s(study));
    estimate.final_s +=
        study_capacity_guess_s(study) *
        (double)(study->knob_count ? estimate.final_trials / (size_t)m->repeats : 1);
    return estimate;
}
