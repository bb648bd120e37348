/* A trial whose verdict says nothing about its candidate (contended, instrument, env_fault) is
 * tried again under the same request; all tries are stored, the last one counts. */
#include "study/history.h"

#include "study/counted.h"

#include <math.h>
#include <string.h>

static int purpose_from_name(const char *name)
{
    static const char *const names[] = {"baseline", "explore", "final", "compare"};
    for (int i = 0; i < (int)ARRAY_LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static bool convert(const struct spec_study *study, const struct store_history_row *row,
                    struct history_trial *ret, struct err *err)
{
    struct spec_candidate candidate;
    int purpose = purpose_from_name(row->purpose), verdict = verdict_from_name(row->verdict);
    if (purpose < 0 || verdict < 0)
        return err_set(err, ERR_INTERNAL,
                       "trial %lld has purpose \"%s\" and verdict \"%s\", which "
                       "this version does not know",
                       (long long)row->number, row->purpose, row->verdict);
    struct err reason = ERR_INIT;
    if (!spec_candidate_parse(study, row->candidate, &candidate, &reason))
        return err_set(err, ERR_INTERNAL,
                       "trial %lld was of a candidate that the study does not have: "
                       "%s",
                       (long long)row->number, reason.text);
    int service = row->service ? spec_study_service(study, row->service) : -1;
    bool bound = row->bound && service >= 0;
    *ret = (struct history_trial){
        .bound = !bound                             ? BOUND_NOTHING
                 : strcmp(row->bound, "above") == 0 ? BOUND_ABOVE_FAILS
                                                    : BOUND_BELOW_FAILS,
        .bound_service = bound ? (size_t)service : 0,
        .number = row->number,
        .retry_of = row->retry_of,
        .purpose = purpose,
        .code = spec_candidate_code(study, &candidate),
        .round = row->round,
        .repeat = row->repeat,
        .verdict = (enum verdict)verdict,
        .cold = row->cold,
        .workers = row->workers > 0 ? row->workers : 1,
        .fitness = row->fitness,
        .measured = row->fitness,
        .by_events = study_counted_names(study, row->by_events),
        .duration_s = row->duration_s,
    };
    return true;
}

static struct history_trial *grow(struct history *history, struct arena *arena)
{
    if (history->count == history->capacity) {
        size_t capacity = history->capacity ? 2 * history->capacity : 64;
        struct history_trial *trials = arena_array(arena, capacity, sizeof *trials);
        if (history->count)
            memcpy(trials, history->trials, history->count * sizeof *trials);
        history->trials = trials;
        history->capacity = capacity;
    }
    return &history->trials[history->count];
}

/* Anew each time: what was appended provisionally may have gone again. */
static void rank(struct history *history, const struct spec_study *study)
{
    if (study_counted_asked(study) == 0)
        return;
    AUTO(free) struct study_counted *counted = calloc(history->count + 1, sizeof *counted);
    if (!counted)
        abort();
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *t = &history->trials[i];
        counted[i].ranked = t->verdict == VERDICT_OK && !isnan(t->measured);
        counted[i].by_events = t->by_events;
    }
    uint32_t mixed = study_counted_mixed(study, counted, history->count);
    for (size_t i = 0; i < history->count; i++) {
        struct history_trial *t = &history->trials[i];
        t->fitness = counted[i].ranked && (t->by_events & mixed) ? NAN : t->measured;
    }
}

/* `comparison` 0: the study's own. */
static bool load(struct store *store, const struct spec_study *study, int comparison,
                 struct arena *arena, struct history *ret_history, struct err *err)
{
    AUTO(free) struct store_history_row *rows = NULL;
    size_t count = 0;
    if (!store_history(store, &rows, &count, err))
        return false;
    struct history history = {.last_number = count ? rows[count - 1].number : 0};
    for (size_t i = 0; i < count; i++) {
        bool compares = strcmp(rows[i].purpose, "compare") == 0;
        if (compares != (comparison > 0) || (compares && rows[i].round != comparison))
            continue;
        if (!convert(study, &rows[i], grow(&history, arena), err))
            return false;
        if (rows[i].ruled_out)
            history.trials[history.count].ruled_out = arena_strdup(arena, rows[i].ruled_out);
        history.count++;
    }
    rank(&history, study);
    *ret_history = history;
    return true;
}

bool history_load(struct store *store, const struct spec_study *study, struct arena *arena,
                  struct history *ret_history, struct err *err)
{
    return load(store, study, 0, arena, ret_history, err);
}

bool history_load_compare(struct store *store, const struct spec_study *study, int comparison,
                          struct arena *arena, struct history *ret_history, struct err *err)
{
    return load(store, study, comparison, arena, ret_history, err);
}

bool history_append(struct history *history, const struct spec_study *study,
                    const struct store_trial *trial, struct arena *arena, struct err *err)
{
    struct store_history_row row = {
        .number = trial->number,
        .candidate = trial->candidate,
        .purpose = trial->purpose,
        .verdict = trial->verdict,
        .service = trial->service,
        .bound = trial->bound,
        .cold = trial->cold,
        .workers = trial->workers,
        .round = trial->round,
        .repeat = trial->repeat,
        .retry_of = trial->retry_of,
        .fitness = trial->fitness,
        .duration_s = trial->duration_s,
    };
    struct history_trial one = {0};
    if (!convert(study, &row, &one, err))
        return false;
    one.by_events = study_counted_by_events(study, trial);
    one.ruled_out = arena_strdup(arena, trial->ruled_out);
    size_t at = history->count;
    while (at > 0 && history->trials[at - 1].number > trial->number)
        at--;
    grow(history, arena);
    memmove(history->trials + at + 1, history->trials + at,
            (history->count - at) * sizeof *history->trials);
    history->trials[at] = one;
    history->count++;
    rank(history, study);
    return true;
}

int history_workers(const struct history *history, const struct history_trial *last)
{
    int workers = 1;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_trial *trial = &history->trials[i];
        if (trial->workers > workers && verdict_facts(trial->verdict)->has_fitness)
            workers = trial->workers;
    }
    if (last && last->workers > workers)
        workers = last->workers;
    if (last && last->verdict == VERDICT_INSTRUMENT && 2 * last->workers > workers)
        workers = 2 * last->workers;
    return workers < HISTORY_WORKERS_MAX ? workers : HISTORY_WORKERS_MAX;
}

int64_t history_chain(const struct history_trial *trial)
{
    return trial->retry_of ? trial->retry_of : trial->number;
}

int history_tries(const struct history *history, size_t index)
{
    int64_t chain = history_chain(&history->trials[index]);
    int tries = 0;
    for (size_t i = 0; i <= index; i++)
        tries += history_chain(&history->trials[i]) == chain;
    return tries;
}

bool history_settled(const struct history *history, size_t index)
{
    const struct history_trial *trial = &history->trials[index];
    /* Out of memory beside a service that stayed up, and may have grown: once more, all anew. */
    if (trial->verdict == VERDICT_OOM_START && !trial->cold)
        return history_tries(history, index) > 1;
    if (!verdict_facts(trial->verdict)->retried)
        return true;
    if ((trial->verdict == VERDICT_ENV_FAULT && !trial->ruled_out) ||
        trial->verdict == VERDICT_DEVICE_DIRTY)
        return false;
    return history_tries(history, index) >= HISTORY_TRIES;
}

bool history_unranked(const struct history_trial *trial)
{
    return isnan(trial->fitness) && !isnan(trial->measured);
}

bool history_broken_at(const struct history *history, size_t index)
{
    const struct history_trial *trial = &history->trials[index];
    return trial->verdict == VERDICT_ENV_FAULT && !trial->ruled_out &&
           history_tries(history, index) % HISTORY_TRIES == 0;
}

bool history_broken(const struct history *history)
{
    return history->count > 0 && history_broken_at(history, history->count - 1);
}

int history_contended_in_a_row(const struct history *history)
{
    int count = 0;
    for (size_t i = history->count; i-- > 0 && history->trials[i].verdict == VERDICT_CONTENDED;)
        count++;
    return count;
}

double history_elapsed_s(const struct history *history)
{
    double sum = 0;
    for (size_t i = 0; i < history->count; i++)
        sum += history->trials[i].duration_s;
    return sum;
}
