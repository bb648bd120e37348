/* The plan for a terminal.
 *
 * Nothing is cut: a person approves what stands there, so a line that is too long goes on in the
 * next one. Everything from files is escaped; secrets are hidden by the time they come here. */
#include "promote/show.h"

#include "base/text.h"
#include "promote/json.h"
#include "promote/secret.h"
#include "promote/surroundings.h"
#include "report/grid.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

enum { SHOWN_MAX = 32 << 20 };

struct shower {
    const struct promote_plan *plan;
    FILE *out;
    struct report_terminal terminal;
};

static size_t columns_of(const char *text, size_t len)
{
    AUTO(free) char *copy = strndup(text, len);
    return copy ? text_columns(copy) : len;
}

/* How many bytes of the text fit into so many columns; at least one character. */
static size_t fitting(const char *text, size_t columns)
{
    size_t len = 0;
    while (text[len]) {
        uint32_t code = 0;
        size_t next = text_utf8_next(text + len, strlen(text + len), &code);
        next = next ? next : 1;
        if (len && columns_of(text, len + next) > columns)
            break;
        len += next;
    }
    return len;
}

static void print_line(const struct shower *s, enum grid_paint paint, const char *line, size_t len)
{
    const size_t width = report_terminal_width(s->terminal);
    AUTO(buf_done) struct buf safe = BUF_INIT(SHOWN_MAX);
    text_add_escaped(&safe, TEXT_TERMINAL, line, len, len);
    const char *rest = buf_text(&safe);
    for (bool first = true; first || *rest; first = false) {
        AUTO(buf_done) struct buf part = BUF_INIT(SHOWN_MAX);
        size_t indent = first ? 0 : 6;
        size_t fits = fitting(rest, width > indent + 10 ? width - indent : 10);
        buf_addf(&part, "%*s%.*s", (int)indent, "", (int)fits, rest);
        report_print_painted(s->out, s->terminal, paint, buf_text(&part));
        fputc('\n', s->out);
        rest += fits;
    }
}

static void print_diff(const struct shower *s, const struct promote_step *step)
{
    AUTO(buf_done) struct buf diff = BUF_INIT(SHOWN_MAX);
    promote_step_add_diff(&diff, s->plan, step);
    for (const char *line = buf_text(&diff); *line;) {
        size_t len = strcspn(line, "\n");
        print_line(s,
                   line[0] == '+'   ? PAINT_GOOD
                   : line[0] == '-' ? PAINT_BAD
                   : line[0] == '@' ? PAINT_DIM
                                    : PAINT_NONE,
                   line, len);
        line += len + (line[len] == '\n');
    }
    if (diff.len == 0)
        fputs(step->before.mode != step->after.mode
                  ? "      only its mode changes\n"
                  : "      only a secret's quotes change, or bytes that are not shown\n",
              s->out);
}

/* ---- steps ---- */

static void add_words(struct buf *line, const struct promote_plan *plan, const char *const *words)
{
    for (size_t i = 0; words[i]; i++) {
        bool quote = !words[i][0] || strpbrk(words[i], " \t\"'\\$");
        buf_addf(line, "%s%s", i ? " " : "", quote ? "'" : "");
        promote_hide_word(i ? words[i - 1] : NULL, words[i], plan->secret_names, line);
        buf_add(line, quote ? "'" : "");
    }
}

static void add_down(struct buf *line, const struct promote_step *step)
{
    if (isnan(step->downtime_s)) {
        buf_add(line, ": down for an unknown time");
        return;
    }
    buf_add(line, ": down about ");
    text_add_duration(line, step->downtime_s);
}

static void add_ready(struct buf *line, const struct promote_step *step)
{
    if (step->port && step->was_up)
        buf_addf(line, "; ready when port %d answers%s%s%s", step->port,
                 step->ready_path ? " " : "", step->ready_path ? step->ready_path : "",
                 step->tls.given ? " over TLS" : "");
    if (step->within_ns && step->was_up) {
        buf_add(line, step->port ? " within " : "; within ");
        text_add_duration(line, (double)step->within_ns / 1e9);
    }
    if (step->dependents)
        buf_addf(line, "; restarted along with it: %s", step->dependents);
}

static void add_file(struct buf *line, const struct promote_step *step)
{
    buf_addf(line, "%s %s%s",
             !step->after.there    ? "remove"
             : !step->before.there ? "make"
                                   : "replace",
             step->path, step->makes_folder ? ", and its folder" : "");
    if (step->after.there && (!step->before.there || step->before.mode != step->after.mode))
        buf_addf(line, ", mode %04o", (unsigned)step->after.mode);
}

static void add_step(struct buf *line, const struct promote_plan *plan,
                     const struct promote_step *step)
{
    const char *service = promote_service_name(plan, step->service);
    if (service)
        buf_addf(line, "%s: ", service);
    switch (step->kind) {
    case PROMOTE_FILE:
        add_file(line, step);
        break;
    case PROMOTE_RELOAD:
        buf_addf(line, "have the %s's systemd read its files again",
                 step->scope == HOST_USER ? "user" : "system");
        break;
    case PROMOTE_RESTART:
        buf_addf(line, "%s %s", step->was_up ? "restart" : "leave down", step->unit);
        if (step->was_up)
            add_down(line, step);
        add_ready(line, step);
        break;
    default:
        buf_add(line, "run ");
        add_words(line, plan, step->run);
        if (step->kind != PROMOTE_HOOK)
            add_down(line, step);
        if (step->undo) {
            buf_add(line, "; undone by ");
            add_words(line, plan, step->undo);
        }
        if (step->verify) {
            buf_add(line, "; verified by ");
            add_words(line, plan, step->verify);
        }
    }
    if (step->why)
        buf_addf(line, " (%s)", step->why);
}

static void print_steps(const struct shower *s)
{
    for (size_t i = 0; i < s->plan->step_count; i++) {
        AUTO(buf_done) struct buf line = BUF_INIT(SHOWN_MAX), safe = BUF_INIT(SHOWN_MAX);
        buf_addf(&line, "%zu. ", i + 1);
        add_step(&line, s->plan, &s->plan->steps[i]);
        text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
        report_print_wrapped(s->out, s->terminal, buf_text(&safe), 0, i < 9 ? 3 : 4);
        if (s->plan->steps[i].kind == PROMOTE_FILE)
            print_diff(s, &s->plan->steps[i]);
    }
}

/* ---- what follows ---- */

static const char *value_text(struct arena *arena, int unit, double value)
{
    AUTO(buf_done) struct buf text = BUF_INIT(128);
    if (isnan(value))
        return "-";
    metric_add_value(&text, (enum metric_unit)unit, value);
    return arena_strdup(arena, buf_text(&text));
}

static const char *interval_text(struct arena *arena, const struct promote_expectation *e)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    const struct report_measure measure = {.unit = (enum metric_unit)e->unit};
    const struct report_number number = {.kind = (enum report_kind)e->kind,
                                         .runs = e->runs,
                                         .value = e->then,
                                         .low = e->then_low,
                                         .high = e->then_high};
    report_add_interval(&text, &measure, &number);
    return arena_strdup(arena, buf_text(&text));
}

static void print_expected(const struct shower *s)
{
    enum { BESIDE = 26 }; /* columns of a change that stands in its row */
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {
        .arena = arena, .column_count = 5, .right = {[1] = true, [2] = true}};
    struct grid_row *head = report_grid_add(&grid);
    static const char *const titles[] = {"expected", "now", "then", "", "change"};
    for (size_t i = 0; i < ARRAY_LEN(titles); i++)
        head->cells[i] = titles[i];
    head->paint = PAINT_DIM;
    for (size_t i = 0; i < s->plan->expectation_count; i++) {
        const struct promote_expectation *e = &s->plan->expectations[i];
        struct grid_row *row = report_grid_add(&grid);
        row->cells[0] = e->metric;
        row->cells[1] = value_text(arena, e->unit, e->now);
        row->cells[2] = value_text(arena, e->unit, e->then);
        row->cells[3] = interval_text(arena, e);
        if (text_columns(e->words) <= BESIDE)
            row->cells[4] = e->words;
        else
            row->below[0] = e->words;
    }
    fputc('\n', s->out);
    if (s->plan->expectation_count)
        report_grid_print(&grid, s->out, s->terminal, 0);
}

static void print_sums(const struct shower *s)
{
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    buf_add(&line, "Memory: ");
    text_add_bytes(&line, s->plan->memory_before_bytes);
    buf_add(&line, " now, ");
    text_add_bytes(&line, s->plan->memory_after_bytes);
    buf_add(&line, " then (the measured peaks of all services, added up).");
    fputc('\n', s->out);
    report_print_wrapped(s->out, s->terminal, buf_text(&line), 0, 2);
    buf_clear(&line);
    buf_add(&line, "Downtime: ");
    text_add_duration(&line, promote_plan_downtime_s(s->plan));
    buf_add(&line, " in all, one service after the other (their starts as measured).");
    report_print_wrapped(s->out, s->terminal, buf_text(&line), 0, 2);
}

/* How it is found to work or not, where commands run, after what. */
static void print_terms(const struct shower *s)
{
    AUTO(buf_done) struct buf line = BUF_INIT(SHOWN_MAX), safe = BUF_INIT(SHOWN_MAX);
    if (!s->plan->study)
        return;
    const struct spec_promotion *p = &s->plan->study->promotion;
    buf_add(&line, "Verified: ");
    text_add_duration(&line, (double)p->window_ns / 1e9);
    buf_addf(&line, " of requests at %.6g/s to each service, all of it within ", p->probe_rate_rps);
    text_add_duration(&line, (double)p->within_ns / 1e9);
    buf_addf(&line, "; commands run in %s.", s->plan->run_folder);
    for (size_t i = 0; s->plan->surroundings && s->plan->surroundings[i]; i++) {
        buf_add(&line, i ? ", " : " They are given (by digest): ");
        promote_surroundings_add(&line, s->plan->surroundings[i]);
    }
    if (s->plan->surroundings && s->plan->surroundings[0])
        buf_addc(&line, '.');
    if (s->plan->last_record)
        buf_addf(&line, " Recorded last: %s.", s->plan->last_record);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
    report_print_wrapped(s->out, s->terminal, buf_text(&safe), 0, 2);
}

/* What the plan rests on: other files of the same units, scripts. */
static void print_reads(const struct shower *s)
{
    AUTO(buf_done) struct buf line = BUF_INIT(SHOWN_MAX), safe = BUF_INIT(SHOWN_MAX);
    if (s->plan->witness_count == 0)
        return;
    buf_add(&line, "Read, left alone, and to be the same when it is done: ");
    for (size_t i = 0; i < s->plan->witness_count; i++)
        buf_addf(&line, "%s%s%s", i ? ", " : "", s->plan->witnesses[i].path,
                 s->plan->witnesses[i].digest[0] ? "" : " (not there)");
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
    report_print_wrapped(s->out, s->terminal, buf_text(&safe), 0, 2);
}

static void print_differences(const struct shower *s)
{
    if (s->plan->difference_count)
        fputs("\nNot as it was measured:\n", s->out);
    for (size_t i = 0; i < s->plan->difference_count; i++) {
        const struct promote_difference *d = &s->plan->differences[i];
        AUTO(buf_done) struct buf line = BUF_INIT(8192), safe = BUF_INIT(32768);
        buf_addf(&line, "%s: was %s, now %s (%s)", d->name, d->measured, d->found,
                 d->accepted ? "accepted" : "not accepted");
        text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
        fputs("  ", s->out);
        report_print_wrapped(s->out, s->terminal, buf_text(&safe), 2, 4);
    }
}

void promote_plan_show(const struct promote_plan *plan, FILE *out, struct report_terminal terminal)
{
    const struct shower s = {plan, out, terminal};
    AUTO(buf_done) struct buf line = BUF_INIT(SHOWN_MAX), safe = BUF_INIT(SHOWN_MAX);
    if (plan->nothing) {
        report_print_wrapped(out, terminal, plan->nothing, 0, 0);
        return;
    }
    buf_addf(&line, "%s: promote %s", plan->study ? plan->study->name : "", plan->winner_text);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
    report_print_wrapped(out, terminal, buf_text(&safe), 0, 2);
    if (promote_plan_is_empty(plan)) {
        fputs("Production is already so: nothing is to be done.\n", out);
        print_differences(&s);
        return;
    }
    fputc('\n', out);
    print_steps(&s);
    print_expected(&s);
    print_sums(&s);
    print_terms(&s);
    print_reads(&s);
    print_differences(&s);
    fprintf(out, "\nPlan %s\n", plan->id);
}
