/* What study.db has of the candidate that runs, as far as guard compares with it.
 *
 * Of trials that went well, and of what a trial saw of others before it loaded anything: there the
 * memory of strangers is theirs alone. The rate is the study file's own where its arrivals have
 * one, since an overloaded server answers fewer than were sent; where the file was edited since
 * (another digest), what was answered is all that is known.
 *
 * Rejected: the report's view, which computes far more, and comparing with the text of the study
 * file that is stored: it would have to be loaded again. */
#include "guard/changed.h"

#include "base/file.h"
#include "base/json.h"
#include "spec/verdict.h"
#include "store/read.h"
#include "study/study.h"

#include <math.h>
#include <string.h>

static void forget(struct guard_studied *studied)
{
    memset(studied, 0, sizeof *studied);
    for (size_t i = 0; i < SPEC_SERVICES_MAX; i++)
        studied->services[i].rps = NAN;
    for (size_t d = 0; d < SPEC_DEVICES_MAX; d++)
        studied->strangers[d] = studied->neighbours[d] = (struct guard_span){NAN, NAN};
}

static void widen(struct guard_span *span, double value)
{
    span->low = fmin(span->low, value); /* both pass over a NaN */
    span->high = fmax(span->high, value);
}

static void take_readings(const struct spec_study *study, const struct store_trial *trial,
                          struct guard_studied *studied)
{
    for (size_t k = 0; k < trial->reading_count; k++) {
        const struct store_reading *reading = &trial->readings[k];
        if (reading->service || !reading->device || !reading->name)
            continue;
        for (size_t d = 0; d < study->device_count; d++) {
            if (strcmp(reading->device, study->devices[d]) != 0)
                continue;
            if (strcmp(reading->name, "strangers") == 0)
                widen(&studied->strangers[d], reading->value);
            else if (strcmp(reading->name, "neighbours") == 0)
                widen(&studied->neighbours[d], reading->value);
        }
    }
}

static void take_services(const struct spec_study *study, const struct store_trial *trial,
                          struct guard_studied *studied)
{
    for (size_t k = 0; k < trial->service_count; k++) {
        int i = spec_study_service(study, trial->services[k].name);
        if (i >= 0 && trial->services[k].version)
            snprintf(studied->services[i].version, sizeof studied->services[i].version, "%s",
                     trial->services[k].version);
    }
    for (size_t k = 0; k < trial->metric_count; k++) {
        const struct store_metric *row = &trial->metrics[k];
        int i = row->service ? spec_study_service(study, row->service) : -1;
        if (i >= 0 && strcmp(row->mode, "shared") == 0 &&
            strcmp(row->metric, "requests_per_s") == 0)
            studied->services[i].rps = fmax(studied->services[i].rps, row->value);
    }
}

/* Requests per second as the file has them; NaN: its arrivals follow from answers, or from a file.
 */
static double rate_of(const struct spec_load *load)
{
    const double turns = load->shape.turns.kind == SPREAD_NONE ? 1 : NAN; /* of each session */
    switch (load->arrivals) {
    case ARRIVALS_CONSTANT:
    case ARRIVALS_POISSON:
    case ARRIVALS_RAMP:
        return turns * load->rate_rps;
    case ARRIVALS_BURSTS:
        return turns * load->rate_rps * (double)load->shape.on_ns /
               (double)(load->shape.on_ns + load->shape.off_ns);
    default:
        return NAN;
    }
}

static void take_load(const struct spec_study *study, bool same_file, struct guard_studied *studied)
{
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_load *load = &study->services[i].load;
        double rps = same_file && load->given ? rate_of(load) : NAN;
        studied->services[i].loaded = load->given;
        studied->services[i].as_few =
            load->arrivals != ARRIVALS_CLOSED || load->shape.think_ns.kind != SPREAD_NONE;
        if (!isnan(rps))
            studied->services[i].rps = rps;
    }
}

static bool take_trials(const struct spec_study *study, const struct store_trial *trials,
                        size_t count, const char *candidate, struct guard_studied *studied)
{
    bool found = false;
    for (size_t t = 0; candidate && t < count; t++) {
        const struct store_trial *trial = &trials[t];
        bool well = strcmp(trial->verdict, verdict_facts(VERDICT_OK)->name) == 0 ||
                    strcmp(trial->verdict, verdict_facts(VERDICT_SLOW)->name) == 0;
        if (!well || strcmp(trial->candidate, candidate) != 0)
            continue;
        found = true;
        take_readings(study, trial, studied);
        take_services(study, trial, studied);
    }
    return found;
}

bool guard_studied_read(const struct spec_study *study, const char *folder,
                        const struct spec_candidate *candidate, struct guard_studied *ret_studied)
{
    struct err err = ERR_INIT; /* what can't be read is unknown */
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *path = study_store_path(folder ? folder : "");
    AUTO(free) char *decided = NULL;
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    AUTO(store_close) struct store *store = NULL;
    struct store_study stored;
    struct store_trial *trials = NULL;
    size_t count = 0;
    bool found = false;
    const bool read = folder && file_exists(path) && store_open_soon(path, &store, &err) &&
                      store_study_get(store, &found, &stored, &err) && found &&
                      store_read_trials(store, arena, true, &trials, &count, &err);
    if (!read && err.code == ERR_BUSY)
        return false;
    forget(ret_studied);
    if (!read)
        return true;
    spec_candidate_add_text(&text, study, candidate);
    ret_studied->found = take_trials(study, trials, count, buf_text(&text), ret_studied);
    if (!ret_studied->found && store_decision_get(store, &decided, &err) && decided) {
        AUTO_JSON json_t *decision = json_loads(decided, 0, NULL);
        const char *winner = decision ? json_get_text(decision, "winner") : NULL;
        ret_studied->found = take_trials(study, trials, count, winner, ret_studied);
    }
    if (!ret_studied->found)
        return true;
    snprintf(ret_studied->driver, sizeof ret_studied->driver, "%s",
             stored.device_versions ? stored.device_versions : "");
    take_load(study, stored.digest && strcmp(study->digest, stored.digest) == 0, ret_studied);
    return true;
}
