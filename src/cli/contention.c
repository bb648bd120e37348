/* run --show-contention: what trials on one device would do to each other, as a table. */
#include "cli/contention.h"
#include "cli/command.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

enum { NAME_COLUMNS = 24, VALUE_COLUMNS = 31 };

static void add_range(struct buf *buf, enum metric_unit unit, const struct contention_value *v)
{
    metric_add_value(buf, unit, v->value);
    if (isnan(v->value) || isnan(v->low) || isnan(v->high))
        return;
    buf_add(buf, " (");
    metric_add_value(buf, unit, v->low);
    buf_add(buf, " to ");
    metric_add_value(buf, unit, v->high);
    buf_addc(buf, ')');
}

static void add_times(struct buf *buf, const struct contention_value *v)
{
    if (isnan(v->value)) {
        buf_add(buf, "unknown");
        return;
    }
    buf_addf(buf, "x %.3g", v->value);
    if (!isnan(v->low) && !isnan(v->high))
        buf_addf(buf, " (%.3g to %.3g)", v->low, v->high);
}

static void pad(struct buf *buf, size_t start, size_t columns)
{
    for (size_t used = text_columns(buf_text(buf) + start); used < columns; used++)
        buf_addc(buf, ' ');
}

static void print_row(FILE *out, const struct contention_row *row)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    buf_addf(&line, "%s %s %s", row->service, row->metric, row->stat);
    pad(&line, 0, NAME_COLUMNS);
    size_t at = line.len;
    add_range(&line, row->unit, &row->alone);
    pad(&line, at, VALUE_COLUMNS);
    at = line.len;
    buf_addc(&line, ' ');
    add_range(&line, row->unit, &row->crowded);
    pad(&line, at, VALUE_COLUMNS + 1);
    buf_addc(&line, ' ');
    add_times(&line, &row->ratio);
    fprintf(out, "%s\n", buf_text(&line));
}

static void print_escaped(FILE *out, const char *text)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(8192);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), 1000);
    fputs(buf_text(&safe), out);
}

static void print_table(FILE *out, const struct study_contention *c)
{
    fprintf(out, "%s on %s, alone and beside copies of itself; two windows of %g s each\n\n",
            c->candidate[0] ? c->candidate : "the candidate", c->device, c->window_s);
    fprintf(out, "%-*s%-*s %-*s %s\n", NAME_COLUMNS, "", VALUE_COLUMNS, "alone", VALUE_COLUMNS,
            "beside copies", "ratio");
    for (size_t i = 0; i < c->row_count; i++)
        print_row(out, &c->rows[i]);
    fputc('\n', out);
    for (size_t i = 0; i < c->service_count; i++) {
        const struct contention_service *s = &c->services[i];
        fprintf(out, "%s: %zu of %zu copies ran beside it%s", s->name, s->copies, c->copies,
                s->why_no_more ? "; " : "\n");
        if (!s->why_no_more)
            continue;
        print_escaped(out, s->why_no_more);
        fputc('\n', out);
    }
    for (size_t w = 0; w < CONTENTION_WINDOWS; w++) {
        const struct contention_window *window = &c->windows[w];
        if (strcmp(window->verdict, "ok") == 0)
            continue;
        fprintf(out, "window %zu (%s): %s%s", w + 1, window->crowded ? "beside copies" : "alone",
                window->verdict, window->summary && *window->summary ? ": " : "");
        if (window->summary)
            print_escaped(out, window->summary);
        fputc('\n', out);
    }
}

bool cli_show_contention(const struct study_options *options, const char *copies,
                         struct display *display, struct err *err)
{
    int64_t count = 0;
    if (copies && (!text_to_i64(copies, &count) || count < 1 || count > 1000))
        return err_set(err, ERR_INPUT, "--copies %s: a whole number from 1 on is needed", copies);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct study_contention result;
    bool ok = study_show_contention(options, (size_t)count, arena, &result, err);
    display_clear(display);
    if (ok)
        print_table(display->out, &result);
    return ok;
}
