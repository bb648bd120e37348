/* winner.json: the shape that the experiment's old scripts read, with the evidence beside it.
 *
 * The old scripts wrote 999 for what they could not measure. Here it is null, and "reasons" says
 * why under the same key. Without a winner the file is written all the same and says so, because a
 * file left over from yesterday would be believed. */
#include "report/winner.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

static void set_null(json_t *object, json_t *reasons, const char *key, const char *why)
{
    json_object_set_new(object, key, json_null());
    json_object_set_new(reasons, key, json_text_or_null(why));
}

/* A plain number as a number; everything else ("512MiB", "int8") as it is written. */
static json_t *value_json(const char *label)
{
    int64_t whole = 0;
    double real = 0;
    if (text_to_i64(label, &whole))
        return json_integer(whole);
    return text_to_double(label, &real) ? json_real(real) : json_text_or_null(label);
}

static json_t *settings_json(const struct report_view *view, const struct report_candidate *c)
{
    json_t *object = json_object();
    for (size_t i = 0; c->parsed && i < view->study->knob_count; i++) {
        const struct spec_value *value = spec_candidate_value(view->study, &c->values, i);
        if (value)
            json_object_set_new(object, view->study->knobs[i].full_name, value_json(value->label));
    }
    return object;
}

/* End-to-end p50 of the first loaded service of a role. */
static void set_latency(json_t *object, json_t *reasons, const char *key,
                        const struct report_view *view, const struct report_side *side,
                        enum spec_role role)
{
    for (size_t i = 0; i < view->measure_count; i++) {
        const struct report_measure *m = &view->measures[i];
        if (m->service == REPORT_ALL_SERVICES || m->metric != METRIC_LATENCY ||
            m->stat != STAT_P50 || view->study->services[m->service].role != role)
            continue;
        const struct report_number *number = &side->shared[i];
        if (isnan(number->value))
            set_null(object, reasons, key, number->unknown);
        else
            json_object_set_new(object, key, json_real(1000 * number->value));
        return;
    }
    set_null(object, reasons, key,
             role == ROLE_STT ? "no loaded service has the role stt"
                              : "no loaded service has the role llm");
}

static bool is_oom(enum verdict verdict)
{
    return verdict == VERDICT_OOM_START || verdict == VERDICT_OOM_LOAD ||
           verdict == VERDICT_OOM_HOST;
}

/* Deaths by memory: of one candidate, or of the whole study (NULL). */
static int64_t count_oom(const struct report_view *view, const struct report_candidate *candidate)
{
    int64_t count = 0;
    for (size_t i = 0; i < view->trial_count; i++)
        count += is_oom(view->trials[i].verdict) &&
                 (!candidate || view->trials[i].candidate == candidate);
    return count;
}

/* What the old scripts called so is the LLM server's share of the card. Without such a knob it is
 * the share of the windows in which the card was busy. `meaning` says which of the two it is. */
static void set_utilization(json_t *root, json_t *reasons, const struct report_view *view,
                            const struct report_side *side)
{
    const struct spec_study *study = view->study;
    const struct report_candidate *c = side ? side->candidate : NULL;
    for (size_t i = 0; c && c->parsed && i < study->knob_count; i++) {
        const struct spec_value *value = spec_candidate_value(study, &c->values, i);
        if (strcmp(study->knobs[i].name, "gpu_memory_utilization") != 0 || !value)
            continue;
        AUTO(buf_done) struct buf meaning = BUF_INIT(1024);
        buf_addf(&meaning, "%s: the share of the card's memory", study->knobs[i].full_name);
        json_object_set_new(root, "gpu_utilization", value_json(value->label));
        json_object_set_new(root, "gpu_utilization_is", json_text_or_null(buf_text(&meaning)));
        return;
    }
    if (side && side->card_count > 0 && !isnan(side->cards[0].gauges[GAUGE_BUSY].mean)) {
        json_object_set_new(root, "gpu_utilization",
                            json_real(side->cards[0].gauges[GAUGE_BUSY].mean));
        json_object_set_new(root, "gpu_utilization_is",
                            json_string("the share of the windows in which the card was busy"));
        return;
    }
    set_null(root, reasons, "gpu_utilization",
             spec_study_on_gpu(view->study) ? "not measured" : "the study ran on the CPU");
}

/* Clients of the first service of the role llm that was asked for them, else of any. */
static const struct report_capacity *find_clients(const struct report_view *view,
                                                  const struct report_side *side)
{
    const struct spec_study *study = view->study;
    const struct report_capacity *found = NULL;
    for (int pass = 0; pass < 2 && !found; pass++)
        for (size_t i = 0; i < study->service_count && !found; i++)
            if (pass == 1 || study->services[i].role == ROLE_LLM)
                found = report_capacity_clients(view, side->candidate, study->services[i].name);
    return found;
}

static void set_capacity(json_t *root, json_t *reasons, const struct report_view *view,
                         const struct report_side *side)
{
    static const char key[] = "concurrent_capacity";
    const struct report_capacity *c = side ? find_clients(view, side) : NULL;
    if (!c) {
        set_null(root, reasons, key,
                 view->study->capacity_count ? "how many clients fit was not measured"
                                             : "capacity was not part of this study");
        return;
    }
    AUTO(buf_done) struct buf meaning = BUF_INIT(1024);
    buf_addf(&meaning, "%s: ", c->found->service);
    report_add_capacity(&meaning, c->found);
    /* That not even one client fits was seen; a search that ended before is no zero. */
    bool none = isnan(c->found->low) && c->found->high == 1;
    if (isnan(c->found->low) && !none)
        set_null(root, reasons, key, buf_text(&meaning));
    else
        json_object_set_new(root, key, json_integer(none ? 0 : (json_int_t)c->found->low));
    json_object_set_new(root, "concurrent_capacity_is", json_text_or_null(buf_text(&meaning)));
}

static json_t *metrics_json(const struct report_view *view, const struct report_side *side)
{
    json_t *object = json_object();
    for (size_t i = 0; i < view->measure_count; i++)
        json_object_set_new(object, view->measures[i].name,
                            report_number_json(&view->measures[i], &side->shared[i]));
    return object;
}

static json_t *study_evidence(const struct report_view *view)
{
    json_t *object = json_object();
    json_object_set_new(object, "study_sha256", json_text_or_null(view->stored.digest));
    json_object_set_new(object, "spica_version", json_text_or_null(view->stored.spica_version));
    json_object_set_new(object, "machine", report_machine_json(view));
    json_object_set_new(object, "confidence", json_real(view->confidence));
    json_object_set_new(object, "statement", json_text_or_null(view->statement));
    json_object_set_new(object, "reason", json_text_or_null(view->reason));
    return object;
}

static json_t *baseline_json(const struct report_view *view)
{
    const struct report_side *side = view->baseline;
    if (!side)
        return json_null();
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:I, s:o}", "params", settings_json(view, side->candidate), "fitness",
        json_real_or_null(side->fitness), "metrics", metrics_json(view, side), "repeats",
        (json_int_t)side->run_count, "eliminated", json_text_or_null(side->eliminated));
    if (spec_study_on_gpu(view->study)) {
        json_object_set_new(object, "placement", report_placement_json(side));
        json_object_set_new(object, "cards", report_cards_json(side));
    }
    return object;
}

static void set_winner(json_t *root, json_t *reasons, const struct report_view *view,
                       const struct report_side *side)
{
    json_t *best = json_object(), *runs = json_array(), *evidence = study_evidence(view);
    set_latency(best, reasons, "stt_latency_ms", view, side, ROLE_STT);
    set_latency(best, reasons, "llm_latency_ms", view, side, ROLE_LLM);
    json_object_set_new(root, "best_params", settings_json(view, side->candidate));
    json_object_set_new(root, "best_metrics", best);
    json_object_set_new(root, "fitness", json_real_or_null(side->fitness));
    json_object_set_new(root, "oom_events", json_integer(count_oom(view, side->candidate)));
    json_object_set_new(root, "metrics", metrics_json(view, side));
    for (size_t i = 0; i < side->run_count; i++)
        json_array_append_new(runs, json_integer(side->runs[i]->number));
    json_object_set_new(evidence, "verdict",
                        json_text_or_null(verdict_facts(side->candidate->verdict)->name));
    json_object_set_new(evidence, "placement", report_placement_json(side));
    if (spec_study_on_gpu(view->study)) {
        json_object_set_new(evidence, "cards", report_cards_json(side));
        json_object_set_new(evidence, "oom_events_of_study", json_integer(count_oom(view, NULL)));
    }
    json_object_set_new(evidence, "repeats", json_integer((json_int_t)side->run_count));
    json_object_set_new(evidence, "trials", runs);
    json_object_set_new(evidence, "fitness_min", json_real_or_null(side->fitness_low));
    json_object_set_new(evidence, "fitness_max", json_real_or_null(side->fitness_high));
    json_object_set_new(root, "evidence", evidence);
}

json_t *report_winner_json(const struct report_view *view)
{
    static const char *const why[REPORT_OUTCOME_COUNT_] = {
        [REPORT_UNFINISHED] = "the study is not finished",
        [REPORT_INFEASIBLE] = "no candidate met every requirement",
    };
    json_t *root = json_object(), *reasons = json_object();
    /* When what runs today stays the best, its parameters are the best parameters. */
    const struct report_side *side =
        view->outcome == REPORT_BASELINE_BEST ? view->baseline : view->winner;
    json_object_set_new(root, "experiment", json_text_or_null(view->study->name));
    json_object_set_new(root, "winner", json_boolean(view->outcome == REPORT_WINNER));
    if (side) {
        set_winner(root, reasons, view, side);
    } else {
        static const char *const keys[] = {"best_params", "best_metrics", "fitness", "oom_events",
                                           "metrics"};
        const char *reason = why[view->outcome] ? why[view->outcome] : "nothing was measured";
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            set_null(root, reasons, keys[i], reason);
        json_object_set_new(root, "evidence", study_evidence(view));
    }
    json_object_set_new(root, "baseline", baseline_json(view));
    set_utilization(root, reasons, view, side);
    set_capacity(root, reasons, view, side);
    json_object_set_new(root, "reasons", reasons);
    return root;
}
