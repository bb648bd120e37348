/* A comparison as JSON: what the event "compared" keeps, --json prints and compare.json holds. One
 * place, so that the three can't disagree. Everything in base units; null is unknown. */
#include "study/compare.h"

#include <math.h>

const char *study_compare_answer_name(enum compare_answer answer)
{
    static const char *const names[COMPARE_ANSWER_COUNT_] = {
        [COMPARE_OPEN] = "open",   [COMPARE_SAME] = "same",       [COMPARE_BETTER] = "better",
        [COMPARE_WORSE] = "worse", [COMPARE_UNKNOWN] = "unknown",
    };
    return names[answer];
}

const char *study_compare_end_name(enum compare_end end)
{
    static const char *const names[COMPARE_END_COUNT_] = {
        [COMPARE_GOES_ON] = "goes on", [COMPARE_DECIDED] = "decided", [COMPARE_FAILED] = "failed",
        [COMPARE_BLOCKS] = "blocks",   [COMPARE_TIME] = "time",
    };
    return names[end];
}

static json_t *side_json(const struct compare_side *side)
{
    json_t *object = json_object();
    json_object_set_new(object, "given", json_text_or_null(side->given));
    json_object_set_new(object, "candidate", json_text_or_null(side->text));
    json_object_set_new(object, "completed_from", json_text_or_null(side->completed));
    json_object_set_new(object, "runs", json_integer((json_int_t)side->runs));
    json_object_set_new(object, "slow", json_integer((json_int_t)side->slow));
    json_object_set_new(object, "disturbed", json_integer((json_int_t)side->disturbed));
    json_object_set_new(object, "failed", json_text_or_null(side->failed));
    json_object_set_new(object, "failed_trial",
                        side->failed ? json_integer(side->failed_trial) : json_null());
    json_object_set_new(object, "failed_why", json_text_or_null(side->failed_why));
    return object;
}

static json_t *interval_json(double value, double low, double high)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_real_or_null(value), "low",
                     json_real_or_null(low), "high", json_real_or_null(high));
}

static json_t *row_json(const struct compare_row *row)
{
    const struct stats_effect *e = &row->effect;
    json_t *object = json_object();
    json_object_set_new(object, "metric", json_text_or_null(row->name));
    json_object_set_new(object, "judged", json_boolean(row->judged));
    json_object_set_new(object, "answer", json_string(study_compare_answer_name(row->answer)));
    json_object_set_new(object, "unknown", json_text_or_null(row->unknown));
    json_object_set_new(object, "blocks", json_integer((json_int_t)e->blocks));
    json_object_set_new(object, "a", json_real_or_null(row->first));
    json_object_set_new(object, "b", json_real_or_null(row->other));
    json_object_set_new(object, "difference",
                        interval_json(row->other - row->first, row->low, row->high));
    json_object_set_new(object, "ratio",
                        row->is_ratio
                            ? interval_json(e->estimate, e->interval.low, e->interval.high)
                            : json_null());
    return object;
}

json_t *study_comparison_json(const struct study_comparison *c)
{
    json_t *object = json_object(), *sides = json_array(), *pairs = json_array();
    for (size_t i = 0; i < c->side_count; i++)
        json_array_append_new(sides, side_json(&c->sides[i]));
    for (size_t p = 0; p < c->pair_count; p++) {
        json_t *rows = json_array();
        for (size_t i = 0; i < c->pairs[p].row_count; i++)
            json_array_append_new(rows, row_json(&c->pairs[p].rows[i]));
        json_array_append_new(pairs, json_pack("{s:i, s:i, s:o}", "a", 0, "b",
                                               (int)c->pairs[p].other, "metrics", rows));
    }
    json_object_set_new(object, "comparison", json_integer(c->number));
    json_object_set_new(object, "end", json_string(study_compare_end_name(c->end)));
    json_object_set_new(object, "over_tolerance", json_boolean(c->over));
    json_object_set_new(object, "blocks", json_integer((json_int_t)c->blocks));
    json_object_set_new(object, "looked_after", json_integer((json_int_t)c->looked));
    json_object_set_new(object, "blocks_at_most", json_integer((json_int_t)c->blocks_most));
    json_object_set_new(object, "error", json_real(c->error));
    json_object_set_new(object, "tolerance", json_real(c->tolerance));
    json_object_set_new(object, "window_s", json_real(c->window_s));
    json_object_set_new(object, "judged", json_integer((json_int_t)c->judged));
    json_object_set_new(object, "sides", sides);
    json_object_set_new(object, "pairs", pairs);
    return object;
}
