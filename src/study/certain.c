/* A trial is ok when its percentile was below the limit, which a sample of 30 requests can be by
 * luck. So the final's counts are added up and asked again as a bound on a share
 * (stats/requirement.h).
 *
 * What an undecided requirement does to the decision: nothing but to be said. Rejected: naming no
 * winner then. Where requests are few (a transcription of a minute, a p99) almost nothing would
 * ever win, and the baseline that stays instead is no more certain; a person who reads "1 of 120
 * over, 5 % may be: undecided" can decide whether to measure longer. A requirement that was missed
 * with certainty can't stand behind an ok in every block except where failed requests made it so;
 * it is named in the same place. */
#include "study/certain.h"

#include "base/buf.h"
#include "spec/verdict.h"
#include "trial/finding.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { REQUIREMENTS_MAX = 256 };

static size_t pool(const struct store_trial *trials, size_t count, const char *candidate,
                   struct store_requirement *ret_pooled)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(trials[i].purpose, "final") != 0 ||
            strcmp(trials[i].verdict, verdict_facts(VERDICT_OK)->name) != 0 ||
            strcmp(trials[i].candidate, candidate) != 0)
            continue;
        for (size_t k = 0; k < trials[i].requirement_count; k++) {
            const struct store_requirement *r = &trials[i].requirements[k];
            size_t at = 0;
            while (at < n && strcmp(ret_pooled[at].text, r->text) != 0)
                at++;
            if (at == REQUIREMENTS_MAX)
                continue;
            if (at == n)
                ret_pooled[n++] = (struct store_requirement){.service = r->service,
                                                             .text = r->text,
                                                             .allowed = r->allowed,
                                                             .of = r->of ? r->of : "requests"};
            ret_pooled[at].requests += r->requests;
            ret_pooled[at].over += r->over;
            ret_pooled[at].worth += r->worth; /* unknown in one run: unknown */
        }
    }
    for (size_t at = 0; at < n; at++)
        ret_pooled[at].answer = finding_answer(ret_pooled[at].allowed, ret_pooled[at].requests,
                                               ret_pooled[at].over, ret_pooled[at].worth);
    return n;
}

void study_add_requirements(json_t *decision, const struct store_trial *trials, size_t count)
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
            buf_addf(&text, "%s%s (%s: %" PRId64 " of %" PRId64 " %s, %.3g %% may be)",
                     text.len ? "; " : "", r->text, r->answer, r->over, r->requests,
                     strcmp(r->of, "words") == 0 ? "words wrong" : "requests over",
                     100 * r->allowed);
    }
    const char *said = json_get_text(decision, "statement");
    if (!text.len || !said)
        return;
    AUTO(buf_done) struct buf statement = BUF_INIT(1 << 17);
    buf_addf(&statement, "%s Not certain at 95 %%, all runs of the final together: %s.", said,
             buf_text(&text));
    json_object_set_new(decision, "statement", json_text_or_null(buf_text(&statement)));
}
