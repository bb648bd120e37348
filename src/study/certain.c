/* A trial is ok when its percentile was below the limit, which a sample of 30 requests can be by
 * luck. So the final's counts are added up and asked again as a bound on a share
 * (stats/requirement.h).
 *
 * What an undecided requirement does to the decision: nothing but to be said. Rejected: naming no
 * winner then. Where requests are few (a transcription of a minute, a p99) almost nothing would
 * ever win, and the baseline that stays instead is no more certain; a person who reads "1 of 120
 * over, 5 % may be: undecided" can decide whether to measure longer. A requirement that was missed
 * with certainty can't stand behind an ok in every block except where failed requests made it so;
 * it is named in the same place. What has no count is named as well, since silence reads as
 * certainty; but not what is about extremes and counts alone, which says of its runs what they
 * were. */
#include "study/certain.h"

#include "base/buf.h"
#include "spec/verdict.h"
#include "trial/capacity_rest.h"
#include "trial/finding.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { REQUIREMENTS_MAX = 256 };

static bool is_counted(const struct store_trial *trial, const char *candidate)
{
    return strcmp(trial->purpose, "final") == 0 &&
           strcmp(trial->verdict, verdict_facts(VERDICT_OK)->name) == 0 &&
           strcmp(trial->candidate, candidate) == 0;
}

struct pooled {
    struct store_requirement sum;
    size_t runs; /* that carry it */
};

static void add_run(struct pooled *list, size_t *count, const struct store_trial *trial)
{
    for (size_t k = 0; k < trial->requirement_count; k++) {
        const struct store_requirement *r = &trial->requirements[k];
        size_t at = 0;
        while (at < *count && strcmp(list[at].sum.text, r->text) != 0)
            at++;
        if (at == REQUIREMENTS_MAX)
            continue;
        if (at == *count)
            list[(*count)++] = (struct pooled){.sum = {.service = r->service,
                                                       .text = r->text,
                                                       .allowed = r->allowed,
                                                       .of = r->of ? r->of : "requests"}};
        list[at].runs++;
        list[at].sum.requests += r->requests;
        list[at].sum.over += r->over;
        list[at].sum.worth += r->worth; /* unknown in one run: unknown */
    }
}

/* Only what every run has counted: a final that an earlier version began has some counts in the
 * later runs alone. */
static size_t pool(const struct store_trial *trials, size_t count, const char *candidate,
                   struct store_requirement *ret_pooled)
{
    struct pooled list[REQUIREMENTS_MAX];
    size_t n = 0, runs = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_counted(&trials[i], candidate))
            continue;
        add_run(list, &n, &trials[i]);
        runs++;
    }
    for (size_t at = 0; at < n; at++) {
        struct store_requirement *r = &list[at].sum;
        if (list[at].runs < runs)
            continue;
        r->answer = finding_answer(r->allowed, r->requests, r->over, r->worth);
        ret_pooled[kept++] = *r;
    }
    return kept;
}

static void add_requirement(struct buf *text, const struct store_requirement *r)
{
    bool words = strcmp(r->of, "words") == 0;
    buf_addf(text, "%s%s (%s: %" PRId64 " of %" PRId64 " %s %s", text->len ? "; " : "", r->text,
             r->answer, r->over, r->requests, r->of, words ? "wrong" : "over");
    /* Else "none of 120 over" and yet undecided looks like a mistake. */
    if (!words && r->worth < 0.99 * (double)r->requests)
        buf_addf(text, ", alike beside each other and worth %.0f", r->worth);
    buf_addf(text, ", %.3g %% may be)", 100 * r->allowed);
}

/* Where half of the runs or more began with what had to be left out, the numbers are of a service
 * that has run for a while. */
static void add_cuts(struct buf *statement, const struct store_trial *trials, size_t count,
                     const char *candidate)
{
    size_t runs = 0, cut = 0;
    for (size_t i = 0; i < count; i++) {
        bool found = false, counted = is_counted(&trials[i], candidate);
        for (size_t e = 0; counted && e < trials[i].evidence_count; e++) {
            const char *kind = trials[i].evidence[e].kind;
            found = found || (kind && strcmp(kind, "warm-up") == 0);
        }
        runs += counted;
        cut += found;
    }
    if (cut > 0 && 2 * cut >= runs)
        buf_addf(statement,
                 " In %zu of %zu runs the beginning of the window was slower or faster than its "
                 "rest (warm-up in their evidence).",
                 cut, runs);
}

static bool is_of_the_runs_alone(const struct spec_study *study, const struct expr *expr)
{
    bool exact = true;
    for (size_t id = 0; id < study->metric_ref_count; id++)
        if (expr_uses(expr, id))
            exact = exact &&
                    capacity_is_exact(study->metric_refs[id].metric, study->metric_refs[id].stat);
    return exact;
}

/* Requirements that none of the counts is about. */
static void add_not_asked(struct buf *statement, const struct spec_study *study,
                          const struct store_requirement *pooled, size_t n)
{
    size_t told = 0;
    for (size_t k = 0; k < study->requirement_count; k++) {
        const struct expr *expr = study->requirements[k].expr;
        size_t at = 0;
        while (at < n && strcmp(pooled[at].text, expr_text(expr)) != 0)
            at++;
        if (at < n || is_of_the_runs_alone(study, expr))
            continue;
        buf_addf(statement, "%s%s", told++ ? "; " : " Not asked how sure: ", expr_text(expr));
    }
    buf_add(statement, told ? "." : "");
}

void study_add_requirements(json_t *decision, const struct spec_study *study,
                            const struct store_trial *trials, size_t count)
{
    const char *winner = json_get_text(decision, "winner");
    const char *candidate = winner ? winner : json_get_text(decision, "baseline");
    const char *outcome = json_get_text(decision, "outcome");
    json_t *list = json_array();
    json_object_set_new(decision, "requirements", list);
    if (!candidate || !outcome || strcmp(outcome, "infeasible") == 0)
        return;
    struct store_requirement pooled[REQUIREMENTS_MAX];
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    size_t n = pool(trials, count, candidate, pooled);
    for (size_t i = 0; i < n; i++) {
        const struct store_requirement *r = &pooled[i];
        json_t *object = json_object();
        json_object_set_new(object, "requirement", json_text_or_null(r->text));
        json_object_set_new(object, "answer", json_string(r->answer));
        json_object_set_new(object, "of", json_text_or_null(r->of));
        json_object_set_new(object, "requests", json_integer(r->requests));
        json_object_set_new(object, "over", json_integer(r->over));
        json_object_set_new(object, "allowed", json_real_or_null(r->allowed));
        json_object_set_new(object, "worth", json_real_or_null(r->worth));
        json_array_append_new(list, object);
        if (strcmp(r->answer, "met") != 0)
            add_requirement(&text, r);
    }
    const char *said = json_get_text(decision, "statement");
    if (!said)
        return;
    AUTO(buf_done) struct buf statement = BUF_INIT(1 << 17);
    buf_add(&statement, said);
    if (text.len)
        buf_addf(&statement, " Not certain at 95 %%, all runs of the final together: %s.",
                 buf_text(&text));
    size_t runs = 0;
    for (size_t i = 0; i < count; i++)
        runs += is_counted(&trials[i], candidate);
    if (runs)
        add_not_asked(&statement, study, pooled, n);
    add_cuts(&statement, trials, count, candidate);
    json_object_set_new(decision, "statement", json_text_or_null(buf_text(&statement)));
}
