/* report.json: the view, complete, for programs. docs/REPORT.md says what each member means.
 *
 * Base units throughout (seconds, bytes, ratios, counts, per second) and full precision; null is
 * unknown, and a number that is unknown has its reason beside it. */
#include "report/report.h"
#include "report/winner.h"
#include "report/words.h"

#include <math.h>

static const char *const outcome_names[REPORT_OUTCOME_COUNT_] = {
    [REPORT_UNFINISHED] = "unfinished",
    [REPORT_WINNER] = "winner",
    [REPORT_BASELINE_BEST] = "baseline_best",
    [REPORT_INFEASIBLE] = "infeasible",
};
static const char *const fate_names[FATE_COUNT_] = {
    [FATE_UNJUDGED] = "unjudged", [FATE_WINNER] = "winner", [FATE_BASELINE] = "baseline",
    [FATE_FINALIST] = "finalist", [FATE_OUTRUN] = "outrun", [FATE_SLOW] = "slow",
    [FATE_FAILED] = "failed",
};
static const char *const kind_names[] = {
    [NUMBER_QUANTILE] = "pooled_quantile",
    [NUMBER_RUNS] = "mean_of_runs",
    [NUMBER_SHARE] = "pooled_share",
    [NUMBER_SUM] = "sum",
};
static const char *const unit_names[] = {
    [UNIT_SECONDS] = "s",   [UNIT_BYTES] = "bytes",    [UNIT_RATIO] = "ratio",
    [UNIT_COUNT] = "count", [UNIT_PER_SECOND] = "1/s", [UNIT_BYTES_PER_SECOND] = "bytes/s",
};

static void set_text(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, json_text_or_null(value));
}

static void set_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real_or_null(value));
}

static void set_int(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

json_t *report_number_json(const struct report_measure *m, const struct report_number *number)
{
    json_t *object = json_object();
    set_text(object, "unit", unit_names[m->unit]);
    set_text(object, "kind", kind_names[number->kind]);
    set_real(object, "value", number->value);
    set_real(object, "low", number->low);
    set_real(object, "high", number->high);
    set_int(object, "count", number->count);
    set_int(object, "runs", (int64_t)number->runs);
    if (number->method)
        set_text(object, "method", number->method);
    if (number->refused)
        set_text(object, "no_interval", number->refused);
    if (isnan(number->value))
        set_text(object, "reason", number->unknown ? number->unknown : "not measured");
    return object;
}

static json_t *change_json(const struct report_change *change)
{
    json_t *object = json_object();
    set_text(object, "kind", change->is_ratio ? "ratio" : "difference");
    set_real(object, "value", change->value);
    set_real(object, "low", change->low);
    set_real(object, "high", change->high);
    set_text(object, "certain",
             change->certain > 0   ? "better"
             : change->certain < 0 ? "worse"
                                   : "no");
    return object;
}

static json_t *numbers_json(const struct report_view *view, const struct report_number *numbers,
                            bool known_only)
{
    json_t *object = json_object();
    for (size_t i = 0; numbers && i < view->measure_count; i++)
        if (!known_only || !isnan(numbers[i].value))
            json_object_set_new(object, view->measures[i].name,
                                report_number_json(&view->measures[i], &numbers[i]));
    return object;
}

static json_t *changes_json(const struct report_view *view, const struct report_change *changes)
{
    json_t *object = json_object();
    for (size_t i = 0; changes && i < view->measure_count; i++)
        if (changes[i].given)
            json_object_set_new(object, view->measures[i].name, change_json(&changes[i]));
    return object;
}

static json_t *side_json(const struct report_view *view, const struct report_side *side)
{
    json_t *object = json_object(), *runs = json_array();
    for (size_t i = 0; i < side->run_count; i++)
        json_array_append_new(runs, json_integer(side->runs[i]->number));
    set_text(object, "candidate", side->candidate->text);
    json_object_set_new(object, "winner", json_boolean(side->is_winner));
    json_object_set_new(object, "baseline", json_boolean(side->is_baseline));
    json_object_set_new(object, "measured_trials", runs);
    set_int(object, "final_trials", (int64_t)side->final_count);
    set_real(object, "fitness", side->fitness);
    set_real(object, "fitness_min", side->fitness_low);
    set_real(object, "fitness_max", side->fitness_high);
    set_text(object, "eliminated", side->eliminated);
    json_object_set_new(object, "placement", report_placement_json(side));
    json_object_set_new(object, "cards", report_cards_json(side));
    json_object_set_new(object, "shared", numbers_json(view, side->shared, false));
    json_object_set_new(object, "alone", numbers_json(view, side->alone, true));
    json_object_set_new(object, "against_baseline", changes_json(view, side->against));
    json_object_set_new(object, "sharing", changes_json(view, side->sharing));
    return object;
}

static json_t *candidate_json(const struct report_view *view, const struct report_candidate *c)
{
    json_t *object = json_object(), *settings = json_object();
    for (size_t i = 0; c->parsed && i < view->study->knob_count; i++) {
        const struct spec_value *value = spec_candidate_value(view->study, &c->values, i);
        if (value)
            set_text(settings, view->study->knobs[i].full_name, value->label);
    }
    set_text(object, "candidate", c->text);
    json_object_set_new(object, "settings", settings);
    set_text(object, "fate", fate_names[c->fate]);
    set_text(object, "verdict", verdict_facts(c->verdict)->name);
    set_int(object, "trial", c->trial->number);
    set_int(object, "round", c->round);
    set_real(object, "fitness", c->fitness);
    set_text(object, "why", c->why);
    json_object_set_new(object, "pareto_front", json_boolean(c->on_front));
    return object;
}

static json_t *evidence_json(const struct store_trial *trial)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trial->evidence_count; i++) {
        json_t *object = json_object();
        set_text(object, "service", trial->evidence[i].service);
        set_text(object, "kind", trial->evidence[i].kind);
        set_text(object, "text", trial->evidence[i].text);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *readings_json(const struct store_trial *trial)
{
    json_t *list = json_array();
    for (size_t i = 0; i < trial->reading_count; i++) {
        const struct store_reading *r = &trial->readings[i];
        json_t *object = json_object();
        set_text(object, "phase", r->phase);
        set_text(object, "service", r->service);
        set_text(object, "device", r->device);
        set_text(object, "name", r->name);
        set_real(object, "value", r->value);
        set_text(object, "words", r->words);
        set_text(object, "source", r->source);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *trial_json(const struct report_view *view, const struct report_trial *t)
{
    const struct store_trial *trial = t->trial;
    json_t *object = json_object(), *values = json_object();
    for (size_t i = 0; i < view->measure_count; i++)
        if (!isnan(t->told[i].value))
            set_real(values, view->measures[i].name, t->told[i].value);
    set_int(object, "number", trial->number);
    set_text(object, "candidate", trial->candidate);
    set_text(object, "purpose", trial->purpose);
    set_int(object, "round", trial->round);
    set_int(object, "repeat", trial->repeat);
    json_object_set_new(object, "retry_of",
                        trial->retry_of ? json_integer(trial->retry_of) : json_null());
    set_text(object, "verdict", trial->verdict);
    set_text(object, "service", trial->service);
    set_text(object, "summary", trial->summary);
    set_text(object, "bound", trial->bound);
    json_object_set_new(object, "evidence", evidence_json(trial));
    set_real(object, "fitness", trial->fitness);
    set_real(object, "duration_s", trial->duration_s);
    set_real(object, "window_s", trial->window_s);
    set_real(object, "contention_ratio", trial->contention_ratio);
    set_real(object, "lateness_p99_s", trial->lateness_p99_s);
    json_object_set_new(object, "workers",
                        trial->workers ? json_integer(trial->workers) : json_null());
    set_real(object, "stall_p99_s", trial->stall_p99_s);
    set_real(object, "stall_max_s", trial->stall_max_s);
    json_object_set_new(object, "cold", json_boolean(trial->cold));
    json_object_set_new(object, "values", values);
    if (trial->reading_count)
        json_object_set_new(object, "readings", readings_json(trial));
    return object;
}

json_t *report_machine_json(const struct report_view *view)
{
    const struct store_study *s = &view->stored;
    json_t *object = json_object();
    set_text(object, "device", s->device_id);
    set_text(object, "name", s->device_name);
    set_text(object, "versions", s->device_versions);
    json_object_set_new(object, "cores", s->cores > 0 ? json_integer(s->cores) : json_null());
    set_real(object, "memory_bytes", s->memory_bytes);
    return object;
}

static json_t *study_json(const struct report_view *view)
{
    json_t *object = json_object();
    set_text(object, "name", view->study->name);
    set_text(object, "path", view->stored.path);
    set_text(object, "sha256", view->stored.digest);
    set_text(object, "spica_version", view->stored.spica_version);
    AUTO(buf_done) struct buf seed = BUF_INIT(32);
    buf_addf(&seed, "%llu", (unsigned long long)view->stored.seed); /* may exceed JSON's integers */
    set_text(object, "seed", buf_text(&seed));
    return object;
}

static json_t *verdicts_json(const struct report_view *view)
{
    json_t *object = json_object();
    for (int v = 0; v < VERDICT_COUNT_; v++)
        if (view->verdict_counts[v])
            set_int(object, verdict_facts((enum verdict)v)->name, (int64_t)view->verdict_counts[v]);
    return object;
}

static void set_lists(json_t *root, const struct report_view *view)
{
    json_t *sides = json_array(), *candidates = json_array(), *trials = json_array();
    json_t *unknowns = json_array();
    for (size_t i = 0; i < view->side_count; i++)
        json_array_append_new(sides, side_json(view, &view->sides[i]));
    for (size_t i = 0; i < view->candidate_count; i++)
        json_array_append_new(candidates, candidate_json(view, view->ranked[i]));
    for (size_t i = 0; i < view->trial_count; i++)
        json_array_append_new(trials, trial_json(view, &view->trials[i]));
    for (size_t i = 0; i < view->unknown_count; i++)
        json_array_append_new(unknowns, json_pack("{s:o, s:o}", "what",
                                                  json_text_or_null(view->unknowns[i].what), "why",
                                                  json_text_or_null(view->unknowns[i].why)));
    json_object_set_new(root, "final", sides);
    json_object_set_new(root, "candidates", candidates);
    json_object_set_new(root, "trials", trials);
    json_object_set_new(root, "unknown", unknowns);
}

json_t *report_json(const struct report_view *view)
{
    json_t *root = json_object();
    AUTO(buf_done) struct buf headline = BUF_INIT(65536);
    report_add_headline(&headline, TEXT_TERMINAL, view);
    set_int(root, "format", 1);
    json_object_set_new(root, "study", study_json(view));
    json_object_set_new(root, "machine", report_machine_json(view));
    set_text(root, "outcome", outcome_names[view->outcome]);
    set_text(root, "headline", buf_text(&headline));
    set_text(root, "reason", view->reason);
    set_text(root, "statement", view->statement);
    set_text(root, "winner", view->winner ? view->winner->candidate->text : NULL);
    set_text(root, "baseline", view->baseline ? view->baseline->candidate->text : NULL);
    set_real(root, "confidence", view->confidence);
    json_object_set_new(root, "fitness_difference",
                        json_pack("{s:o, s:o, s:o}", "value",
                                  json_real_or_null(view->fitness_difference), "low",
                                  json_real_or_null(view->fitness_difference_low), "high",
                                  json_real_or_null(view->fitness_difference_high)));
    json_object_set_new(root, "verdicts", verdicts_json(view));
    set_real(root, "worst_contention_ratio", view->worst_contention);
    set_real(root, "worst_lateness_p99_s", view->worst_lateness_s);
    set_int(root, "requests", view->requests);
    set_lists(root, view);
    json_object_set_new(root, "capacity", report_capacities_json(view));
    report_set_device_json(root, view);
    return root;
}
