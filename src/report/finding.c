/* Requirements as counts, windows that were cut or not steady, and the clips that cost the most
 * words. A word error rate is one number; which sentences are behind it tells whether a model fails
 * or a transcript is wrong. Texts are outside text: bounded and escaped here.
 *
 * Clips of the final's runs are added up and stand by their errors each time they were heard: one
 * that was asked more often is not worse for it. */
#include "report/finding.h"

#include "report/markdown.h"
#include "report/words.h"

#include <inttypes.h>
#include <string.h>

static const enum text_target MD = TEXT_MARKDOWN;
enum { UTTERANCES_MAX = 64, WORST = 5 };

static void add_counts(struct buf *buf, const struct store_utterance *u)
{
    buf_addf(buf,
             "%" PRId64 " of %" PRId64 " words wrong (%" PRId64 " other, %" PRId64
             " left out, %" PRId64 " too many)",
             store_utterance_errors(u), u->words, u->substitutions, u->deletions, u->insertions);
    if (u->heard > 1)
        buf_addf(buf, " in %" PRId64 " times", u->heard);
}

void report_print_findings(const struct trial_sheet *sheet)
{
    const struct store_trial *t = sheet->trial;
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    if (t->requirement_count)
        fputs("\nrequirements on requests, at 95 %\n", sheet->out);
    for (size_t i = 0; i < t->requirement_count; i++) {
        const struct store_requirement *r = &t->requirements[i];
        buf_clear(&text);
        bool words = strcmp(r->of, "words") == 0;
        buf_addf(&text, "%s: %" PRId64 " of %" PRId64 " %s %s, %.3g %% may be", r->text, r->over,
                 r->requests, r->of, words ? "wrong" : "over", 100 * r->allowed);
        if (r->worth < (double)r->requests - 0.5)
            buf_addf(&text, "; %s alike, they are worth %.0f",
                     words ? "those of a clip are" : "neighbours are", r->worth);
        report_print_field(sheet, r->answer, buf_text(&text));
    }
    if (t->utterance_count)
        fputs("\nheard worst\n", sheet->out);
    for (size_t i = 0; i < t->utterance_count; i++) {
        const struct store_utterance *u = &t->utterances[i];
        buf_clear(&text);
        buf_addf(&text, "%s, clip %" PRId64 ": ", u->service, u->item + 1);
        add_counts(&text, u);
        report_print_field(sheet, "clip", buf_text(&text));
        report_print_field(sheet, "said", u->reference);
        report_print_field(sheet, "heard",
                           u->hypothesis && *u->hypothesis ? u->hypothesis : "(nothing)");
    }
}

static const struct report_side *told_side(const struct report_view *view)
{
    return view->winner ? view->winner : view->baseline;
}

void report_add_steadiness(struct buf *buf, const struct report_view *view)
{
    static const struct {
        const char *kind, *words;
    } kinds[] = {{"not steady", "Not steady"}, {"warm-up", "Warm-up"}};
    const struct report_side *side = told_side(view);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t i = 0; side && i < side->run_count; i++)
            for (size_t e = 0; e < side->runs[i]->evidence_count; e++) {
                const struct store_evidence *evidence = &side->runs[i]->evidence[e];
                if (!evidence->kind || strcmp(evidence->kind, kinds[k].kind) != 0)
                    continue;
                buf_addf(buf, "- %s, trial %" PRId64 ", ", kinds[k].words, side->runs[i]->number);
                report_add_text(buf, MD, evidence->service ? evidence->service : "");
                buf_add(buf, ": ");
                report_add_text(buf, MD, evidence->text ? evidence->text : "");
                buf_add(buf, ".\n");
            }
}

/* All runs' worst clips, added up by clip. */
static size_t merge_utterances(const struct report_side *side, struct store_utterance *ret_list)
{
    size_t count = 0;
    for (size_t i = 0; i < side->run_count; i++)
        for (size_t k = 0; k < side->runs[i]->utterance_count; k++) {
            const struct store_utterance *u = &side->runs[i]->utterances[k];
            size_t at = 0;
            while (at < count &&
                   (ret_list[at].item != u->item || strcmp(ret_list[at].service, u->service) != 0))
                at++;
            if (at == count && count < UTTERANCES_MAX) {
                ret_list[count++] = *u;
            } else if (at < count) {
                ret_list[at].heard += u->heard;
                ret_list[at].words += u->words;
                ret_list[at].substitutions += u->substitutions;
                ret_list[at].deletions += u->deletions;
                ret_list[at].insertions += u->insertions;
            }
        }
    return count;
}

static void add_utterance(struct buf *buf, const struct store_utterance *u)
{
    buf_add(buf, "- ");
    report_add_text(buf, MD, u->service);
    buf_addf(buf, ", clip %" PRId64 ": ", u->item + 1);
    add_counts(buf, u);
    buf_add(buf, "  \n  said: ");
    report_add_text(buf, MD, u->reference ? u->reference : "unknown");
    buf_add(buf, "  \n  heard: ");
    report_add_text(buf, MD, u->hypothesis && *u->hypothesis ? u->hypothesis : "(nothing)");
    buf_addc(buf, '\n');
}

void report_add_utterances(struct buf *buf, const struct report_view *view)
{
    const struct report_side *side = told_side(view);
    struct store_utterance list[UTTERANCES_MAX];
    size_t count = side ? merge_utterances(side, list) : 0;
    if (count == 0)
        return;
    buf_addf(buf,
             "## Heard worst\n\nOf the %s, all its runs of the final together; each run "
             "gives its %d worst clips.\n\n",
             side == view->winner ? "winner" : "baseline", WORST);
    for (size_t told = 0; told < WORST && told < count; told++) {
        size_t worst = told;
        for (size_t k = told + 1; k < count; k++)
            if (store_utterance_worse(&list[k], &list[worst]))
                worst = k;
        struct store_utterance held = list[told];
        list[told] = list[worst];
        list[worst] = held;
        add_utterance(buf, &list[told]);
    }
    buf_addc(buf, '\n');
}
