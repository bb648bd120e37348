/* The part of report.md about trials that would disturb each other, when that was measured. */
#include "report/markdown.h"
#include "report/words.h"

#include <math.h>

static const enum text_target MD = TEXT_MARKDOWN;

static void add_value(struct buf *buf, enum metric_unit unit, const struct report_crowd_value *v)
{
    buf_addc(buf, ' ');
    metric_add_value(buf, unit, v->value);
    if (!isnan(v->value) && !isnan(v->low) && !isnan(v->high)) {
        buf_add(buf, " (");
        metric_add_value(buf, unit, v->low);
        buf_add(buf, " to ");
        metric_add_value(buf, unit, v->high);
        buf_addc(buf, ')');
    }
    buf_add(buf, " |");
}

static void add_ratio(struct buf *buf, const struct report_crowd_value *v)
{
    if (isnan(v->value)) {
        buf_add(buf, " unknown |\n");
        return;
    }
    buf_addf(buf, " %.3g times", v->value);
    if (!isnan(v->low) && !isnan(v->high))
        buf_addf(buf, " (%.3g to %.3g)", v->low, v->high);
    buf_add(buf, " |\n");
}

void report_add_crowd(struct buf *buf, const struct report_view *view)
{
    const struct report_crowd *crowd = view->crowd;
    if (!crowd)
        return;
    buf_add(buf, "## Why one trial at a time\n\nThe same candidate");
    if (crowd->candidate && *crowd->candidate) {
        buf_add(buf, " (");
        report_add_code(buf, MD, crowd->candidate);
        buf_addc(buf, ')');
    }
    buf_add(buf, " alone and with copies of its services beside it on ");
    report_add_text(buf, MD, crowd->device ? crowd->device : "the same device");
    buf_add(buf, ", each under the same load; two windows of ");
    text_add_duration(buf, crowd->window_s);
    buf_add(buf, " each.\n\n| | alone | beside copies | |\n|---|--:|--:|--:|\n");
    for (size_t i = 0; i < crowd->row_count; i++) {
        const struct report_crowd_row *row = &crowd->rows[i];
        buf_add(buf, "| ");
        report_add_text(buf, MD, row->name);
        buf_add(buf, " |");
        add_value(buf, row->unit, &row->alone);
        add_value(buf, row->unit, &row->crowded);
        add_ratio(buf, &row->ratio);
    }
    buf_addc(buf, '\n');
    for (size_t i = 0; i < crowd->service_count; i++) {
        const struct report_crowd_service *s = &crowd->services[i];
        buf_add(buf, "- ");
        report_add_text(buf, MD, s->name);
        buf_addf(buf, ": %lld of %lld copies ran beside it", (long long)s->copies,
                 (long long)crowd->copies);
        if (s->why) {
            buf_add(buf, "; ");
            report_add_text(buf, MD, s->why);
        }
        buf_add(buf, ".\n");
    }
    buf_addc(buf, '\n');
}
