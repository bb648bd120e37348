/* Sentences first ("B is slower by 8 ms to 14 ms"), because that is what was asked; the table with
 * every measure after them, for whoever wants to see what was not asked.
 *
 * The bounds in milliseconds are those of the ratio times A's level, never an interval of their
 * own: two intervals of one thing sooner or later contradict each other. A side that failed is told
 * by its verdict; there is no number for it. */
#include "report/compare.h"

#include "base/file.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { NAME_COLUMNS = 26, VALUE_COLUMNS = 11, CHANGE_COLUMNS = 28, TEXT_MAX = 1 << 20 };

static char letter(size_t side)
{
    return (char)('A' + side);
}

static void add_outside(struct buf *buf, enum text_target target, const char *text)
{
    text_add_escaped(buf, target, text, strlen(text), 400);
}

/* ---- numbers ---- */

/* In percent of a ratio, in points of a difference of shares. */
static void add_percent(struct buf *buf, const struct compare_row *row, double value)
{
    double percent = 100 * (row->is_ratio ? value - 1 : value);
    buf_addf(buf, "%.*f", fabs(percent) < 9.95 ? 1 : 0, fabs(percent) < 0.05 ? 0 : percent);
}

static const char *percent_unit(const struct compare_row *row)
{
    return row->is_ratio ? "%" : "points";
}

static bool has_interval(const struct compare_row *row)
{
    return row->effect.interval.low <= row->effect.interval.high;
}

/* "-1.2 to 3.4 %" */
static void add_range(struct buf *buf, const struct compare_row *row)
{
    add_percent(buf, row, row->effect.interval.low);
    buf_add(buf, " to ");
    add_percent(buf, row, row->effect.interval.high);
    buf_addf(buf, " %s", percent_unit(row));
}

/* 1: the other side's is certainly more, -1: less. */
static int direction(const struct compare_row *row)
{
    return stats_effect_certain(&row->effect, row->is_ratio ? 1 : 0);
}

/* "8 ms to 14 ms (6 % to 11 %)", the smaller first; of something whose direction is certain. */
static void add_amount(struct buf *buf, const struct compare_row *row, int sign)
{
    enum metric_unit unit = metric_facts(row->metric)->unit;
    const struct stats_interval *i = &row->effect.interval;
    double small = sign > 0 ? row->low : -row->high, large = sign > 0 ? row->high : -row->low;
    if (row->is_ratio) {
        metric_add_value(buf, unit, small);
        buf_add(buf, " to ");
        metric_add_value(buf, unit, large);
        double near = sign > 0 ? i->low - 1 : 1 - i->high,
               far = sign > 0 ? i->high - 1 : 1 - i->low;
        buf_addf(buf, " (%.2g %% to %.2g %%)", 100 * near, 100 * far);
    } else {
        buf_addf(buf, "%.2g to %.2g points", 100 * small, 100 * large);
    }
}

static const char *comparative(const struct compare_row *row, int sign)
{
    enum metric_unit unit = metric_facts(row->metric)->unit;
    if (unit == UNIT_SECONDS || row->metric == METRIC_RTF)
        return sign > 0 ? "slower" : "faster";
    return sign > 0 ? "higher" : "lower";
}

/* ---- sentences ---- */

static void add_sentence(struct buf *buf, const struct study_comparison *c,
                         const struct compare_pair *pair, const struct compare_row *row)
{
    int sign = direction(row);
    double tolerance = 100 * c->tolerance;
    const char *of = percent_unit(row);
    switch (row->answer) {
    case COMPARE_BETTER:
    case COMPARE_WORSE:
        buf_addf(buf, "%c is %s by ", letter(pair->other), comparative(row, sign));
        add_amount(buf, row, sign);
        buf_addf(buf, ", %s", row->name);
        return;
    case COMPARE_SAME:
        buf_addf(buf, "no difference beyond %.3g %s, %s (%c against A: ", tolerance, of, row->name,
                 letter(pair->other));
        add_range(buf, row);
        buf_addc(buf, ')');
        return;
    case COMPARE_UNKNOWN:
        buf_addf(buf, "unknown, %s: %s", row->name, row->unknown);
        return;
    case COMPARE_OPEN:
    case COMPARE_ANSWER_COUNT_:
        break;
    }
    if (sign != 0) {
        buf_addf(buf, "%c is %s by ", letter(pair->other), comparative(row, sign));
        add_amount(buf, row, sign);
        buf_addf(buf, ", %s; whether by more than %.3g %s is open", row->name, tolerance, of);
    } else if (has_interval(row)) {
        buf_addf(buf, "not certain, %s (%c against A: ", row->name, letter(pair->other));
        add_range(buf, row);
        buf_addc(buf, ')');
    } else {
        buf_addf(buf, "not certain, %s: too few blocks", row->name);
    }
}

static void add_failure(struct buf *buf, enum text_target target, const struct study_comparison *c,
                        size_t side)
{
    const struct compare_side *s = &c->sides[side];
    buf_addf(buf, "%c failed: %s in trial %" PRId64, letter(side), s->failed, s->failed_trial);
    if (s->failed_why) {
        buf_add(buf, ": ");
        add_outside(buf, target, s->failed_why);
    }
}

static void add_end(struct buf *buf, const struct study_comparison *c)
{
    static const char *const words[COMPARE_END_COUNT_] = {
        [COMPARE_GOES_ON] = "not over",
        [COMPARE_DECIDED] = "decided",
        [COMPARE_FAILED] = "ended by a failure, which has no number to go on with",
        [COMPARE_BLOCKS] = "as many as were allowed (more: --blocks)",
        [COMPARE_TIME] = "the time was up (more: --time)",
    };
    buf_addf(buf, "%zu block%s of cold starts, %s.", c->blocks, c->blocks == 1 ? "" : "s",
             words[c->end]);
    if (c->looked > 0)
        buf_addf(buf, " Numbers as of the look after %zu.", c->looked);
    buf_addf(buf,
             " Any of the %zu judged answers is false in at most %.3g %% of comparisons; the other "
             "intervals leave the truth out as often each for itself.",
             c->judged, 100 * c->error);
}

/* ---- terminal ---- */

static void pad(struct buf *buf, size_t start, size_t columns)
{
    do {
        buf_addc(buf, ' ');
    } while (!buf->over && text_columns(buf_text(buf) + start) < columns);
}

static void add_side_words(struct buf *buf, enum text_target target, const struct compare_side *s)
{
    if (s->completed)
        buf_addf(buf, " (what was not typed is the %s's)", s->completed);
    else if (strcmp(s->given, s->text) != 0) {
        buf_add(buf, " (");
        add_outside(buf, target, s->given);
        buf_addc(buf, ')');
    }
    buf_addf(buf, ": %zu run%s", s->runs, s->runs == 1 ? "" : "s");
    if (s->slow)
        buf_addf(buf, ", %zu missed a requirement", s->slow);
    if (s->disturbed)
        buf_addf(buf, ", %zu disturbed", s->disturbed);
}

static void add_change(struct buf *buf, const struct compare_row *row)
{
    if (isnan(row->effect.estimate)) {
        buf_add(buf, "unknown");
        return;
    }
    add_percent(buf, row, row->effect.estimate);
    buf_addf(buf, " %s", percent_unit(row));
    if (!has_interval(row))
        return;
    buf_add(buf, " [");
    add_percent(buf, row, row->effect.interval.low);
    buf_add(buf, ", ");
    add_percent(buf, row, row->effect.interval.high);
    buf_addc(buf, ']');
}

static void print_pair(FILE *out, const struct compare_pair *pair)
{
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    pad(&text, 0, NAME_COLUMNS);
    size_t at = text.len;
    buf_addc(&text, 'A');
    pad(&text, at, VALUE_COLUMNS);
    at = text.len;
    buf_addc(&text, letter(pair->other));
    pad(&text, at, VALUE_COLUMNS);
    buf_addf(&text, "%c against A\n", letter(pair->other));
    for (size_t i = 0; i < pair->row_count; i++) {
        const struct compare_row *row = &pair->rows[i];
        enum metric_unit unit = metric_facts(row->metric)->unit;
        if (row->effect.blocks == 0)
            continue; /* judged ones have their sentence */
        at = text.len;
        buf_add(&text, row->name);
        pad(&text, at, NAME_COLUMNS);
        at = text.len;
        metric_add_value(&text, unit, row->first);
        pad(&text, at, VALUE_COLUMNS);
        at = text.len;
        metric_add_value(&text, unit, row->other);
        pad(&text, at, VALUE_COLUMNS);
        at = text.len;
        add_change(&text, row);
        pad(&text, at, CHANGE_COLUMNS);
        buf_addf(&text, "%s\n", row->judged ? study_compare_answer_name(row->answer) : "");
    }
    fprintf(out, "\n%s", buf_text(&text));
}

void report_print_comparison(const struct study_comparison *c, FILE *out,
                             struct report_terminal terminal)
{
    (void)terminal;
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    for (size_t i = 0; i < c->side_count; i++) {
        buf_addf(&text, "%c  ", letter(i));
        add_outside(&text, TEXT_TERMINAL, c->sides[i].text);
        add_side_words(&text, TEXT_TERMINAL, &c->sides[i]);
        buf_addc(&text, '\n');
    }
    buf_addc(&text, '\n');
    for (size_t i = 0; i < c->side_count; i++) {
        if (!c->sides[i].failed)
            continue;
        add_failure(&text, TEXT_TERMINAL, c, i);
        buf_addc(&text, '\n');
    }
    for (size_t p = 0; p < c->pair_count; p++) {
        const struct compare_pair *pair = &c->pairs[p];
        for (size_t i = 0; i < pair->row_count; i++) {
            if (!pair->rows[i].judged || c->looked == 0)
                continue;
            add_sentence(&text, c, pair, &pair->rows[i]);
            buf_addc(&text, '\n');
        }
    }
    fputs(buf_text(&text), out);
    for (size_t p = 0; p < c->pair_count && c->looked > 0; p++)
        print_pair(out, &c->pairs[p]);
    buf_clear(&text);
    add_end(&text, c);
    fprintf(out, "%s%s\n", c->looked > 0 ? "\n" : "", buf_text(&text));
}

void report_add_comparison_look(struct buf *buf, const struct study_comparison *c)
{
    buf_addf(buf, "%zu block%s:", c->blocks, c->blocks == 1 ? "" : "s");
    const char *between = " ";
    for (size_t i = 0; i < c->side_count; i++) {
        if (!c->sides[i].failed)
            continue;
        buf_addf(buf, "%s%c failed (%s)", between, letter(i), c->sides[i].failed);
        between = "; ";
    }
    if (c->looked == 0) {
        buf_addf(buf, "%sfirst look after 3", between);
        return;
    }
    for (size_t p = 0; p < c->pair_count; p++) {
        for (size_t i = 0; i < c->pairs[p].row_count; i++) {
            const struct compare_row *row = &c->pairs[p].rows[i];
            if (!row->judged)
                continue;
            buf_addf(buf, "%s%s %s", between, row->name, study_compare_answer_name(row->answer));
            between = "; ";
            if (!has_interval(row))
                continue;
            buf_add(buf, " (");
            add_range(buf, row);
            buf_addc(buf, ')');
        }
    }
}

/* ---- files ---- */

static void add_markdown_pair(struct buf *buf, const struct study_comparison *c,
                              const struct compare_pair *pair)
{
    char other = letter(pair->other);
    for (size_t i = 0; i < pair->row_count && c->looked > 0; i++) {
        if (!pair->rows[i].judged)
            continue;
        buf_add(buf, "- ");
        add_sentence(buf, c, pair, &pair->rows[i]);
        buf_add(buf, "\n");
    }
    buf_addf(buf, "\n| | A | %c | %c against A | blocks | |\n|---|---:|---:|---|---:|---|\n", other,
             other);
    for (size_t i = 0; i < pair->row_count; i++) {
        const struct compare_row *row = &pair->rows[i];
        enum metric_unit unit = metric_facts(row->metric)->unit;
        if (row->effect.blocks == 0 && !row->judged)
            continue;
        buf_addf(buf, "| %s | ", row->name);
        metric_add_value(buf, unit, row->first);
        buf_add(buf, " | ");
        metric_add_value(buf, unit, row->other);
        buf_add(buf, " | ");
        add_change(buf, row);
        buf_addf(buf, " | %zu | %s |\n", row->effect.blocks,
                 row->judged ? study_compare_answer_name(row->answer) : "");
    }
    buf_add(buf, "\n");
}

static void add_markdown(struct buf *buf, const struct study_comparison *c)
{
    buf_addf(buf, "# Comparison %" PRId64 "\n\n", c->number);
    for (size_t i = 0; i < c->side_count; i++) {
        buf_addf(buf, "- **%c** ", letter(i));
        add_outside(buf, TEXT_MARKDOWN, c->sides[i].text);
        add_side_words(buf, TEXT_MARKDOWN, &c->sides[i]);
        buf_add(buf, "\n");
    }
    buf_add(buf, "\n");
    for (size_t i = 0; i < c->side_count; i++) {
        if (!c->sides[i].failed)
            continue;
        buf_add(buf, "- **");
        add_failure(buf, TEXT_MARKDOWN, c, i);
        buf_add(buf, "**\n");
    }
    for (size_t p = 0; p < c->pair_count; p++)
        add_markdown_pair(buf, c, &c->pairs[p]);
    add_end(buf, c);
    buf_addf(buf, " Windows of %g s, each from a cold start, sides in an order drawn per block.\n",
             c->window_s);
}

bool report_write_comparison(const struct study_comparison *c, const char *folder, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX), name = BUF_INIT(64);
    buf_addf(&name, "compare-%" PRId64 ".md", c->number);
    AUTO(free) char *markdown = file_join(folder, buf_text(&name));
    buf_clear(&name);
    buf_addf(&name, "compare-%" PRId64 ".json", c->number);
    AUTO(free) char *data = file_join(folder, buf_text(&name));
    add_markdown(&text, c);
    AUTO_JSON json_t *json = study_comparison_json(c);
    if (!file_write_atomic(markdown, buf_text(&text), text.len, err) ||
        !json_write_file(json, data, err))
        return err_wrap(err, "writing the comparison");
    return true;
}
