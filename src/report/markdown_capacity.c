/* The part of report.md about how much the services can take: the answers of all who were asked,
 * then each level that was looked at, for the winner (or whoever stands first). */
#include "report/markdown.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>

static const enum text_target MD = TEXT_MARKDOWN;

static const char *who(const struct report_view *view, const struct report_capacity *c)
{
    if (view->winner && c->candidate == view->winner->candidate)
        return "winner";
    if (view->baseline && c->candidate == view->baseline->candidate)
        return "baseline";
    return NULL;
}

static void add_who(struct buf *buf, const struct report_view *view,
                    const struct report_capacity *c)
{
    if (who(view, c))
        buf_add(buf, who(view, c));
    else
        report_add_code(buf, MD, *c->candidate->text ? c->candidate->text : "(no knobs)");
}

static void add_answers(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "| | service | can take | what broke first | memory then |\n"
                 "|---|---|---|---|--:|\n");
    for (size_t i = 0; i < view->capacity_count && i < REPORT_ROWS_MAX; i++) {
        const struct report_capacity *c = &view->capacities[i];
        buf_add(buf, "| ");
        add_who(buf, view, c);
        buf_add(buf, " | ");
        report_add_text(buf, MD, c->found->service);
        buf_add(buf, c->found->beside ? "" : ", alone");
        buf_add(buf, " | ");
        report_add_capacity(buf, c->found);
        buf_add(buf, " | ");
        report_add_text(buf, MD, c->found->broke ? c->found->broke : "nothing");
        buf_add(buf, " | ");
        metric_add_value(buf, UNIT_BYTES, c->found->memory_bytes);
        buf_add(buf, " |\n");
    }
    buf_addc(buf, '\n');
}

static void add_time(struct buf *buf, double value, double low, double high)
{
    if (isnan(value)) {
        buf_add(buf, "-");
        return;
    }
    metric_add_value(buf, UNIT_SECONDS, value);
    if (isnan(low) || isnan(high))
        return;
    buf_add(buf, " (");
    metric_add_value(buf, UNIT_SECONDS, low);
    buf_add(buf, " to ");
    metric_add_value(buf, UNIT_SECONDS, high);
    buf_addc(buf, ')');
}

static void add_points(struct buf *buf, const struct report_capacity *c)
{
    buf_addf(buf,
             "| level | verdict | requests | %s p50 | %s p95 | answered | good | looked at |\n"
             "|--:|---|--:|--:|--:|--:|--:|--:|\n",
             c->found->metric, c->found->metric);
    for (size_t i = 0; i < c->point_count && i < REPORT_ROWS_MAX; i++) {
        const struct store_capacity_point *p = &c->points[i];
        buf_add(buf, "| ");
        report_add_level(buf, c->found, p->level);
        buf_addf(buf, " | %s | %" PRId64, p->outcome, p->requests);
        if (p->failed)
            buf_addf(buf, ", %" PRId64 " failed", p->failed);
        buf_add(buf, " | ");
        add_time(buf, p->p50, p->p50_low, p->p50_high);
        buf_add(buf, " | ");
        add_time(buf, p->p95, p->p95_low, p->p95_high);
        buf_add(buf, " | ");
        metric_add_value(buf, UNIT_PER_SECOND, p->answered_rps);
        buf_add(buf, " | ");
        metric_add_value(buf, UNIT_PER_SECOND, p->good_rps);
        buf_addf(buf, " | %.1f s%s |\n", p->window_s, p->early ? ", decided early" : "");
    }
    buf_addc(buf, '\n');
}

void report_add_capacities(struct buf *buf, const struct report_view *view)
{
    char figure[REPORT_KNEE_NAME];
    if (view->capacity_count == 0)
        return;
    buf_add(buf, "## How much the services can take\n\n"
                 "The largest load at which what is required still holds, searched by doubling and "
                 "halving in one run of each; both ends of an answer were seen twice. \"Good\" are "
                 "answers that keep every promise that is about one request.\n\n");
    add_answers(buf, view);
    for (size_t i = 0; i < REPORT_KNEES_MAX && report_knee_name(view, i, figure); i++) {
        const struct report_capacity *c = &view->capacities[i];
        buf_addf(buf, "### Levels of ");
        report_add_text(buf, MD, c->found->service);
        buf_addf(buf, " (%s, %s)\n\n", c->found->of,
                 c->found->beside ? "the others keep their load" : "alone");
        buf_addf(buf, "![The knee](%s)\n\n", figure);
        add_points(buf, c);
    }
}
