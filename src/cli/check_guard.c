/* `guard:` in words, from the study file (and the size of what was recorded, if anything was):
 * where each service is looked for, what a rule says with its times, and which actions are allowed.
 * Whoever reads it should find out here, and not in the night, that "restart" is named in a rule
 * and not under `act`. */
#include "cli/check_guard.h"

#include "base/text.h"
#include "guard/record_size.h"
#include "spec/guard.h"
#include "study/study.h"

#include <math.h>
#include <stdio.h>

static const double DAY_S = 86400;

static void print_line(const struct buf *line)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(1 << 20);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(line), line->len, line->len);
    printf("  %s\n", buf_text(&safe));
}

static void add_time(struct buf *line, const char *before, int64_t ns)
{
    buf_add(line, before);
    text_add_duration(line, (double)ns / 1e9);
}

static void print_watch(const struct spec_study *study, size_t i)
{
    AUTO(buf_done) struct buf line = BUF_INIT(8192);
    const struct spec_watch *w = &study->guard->watches[i];
    buf_addf(&line, "%s: ", study->services[i].name);
    switch (w->kind) {
    case WATCH_NOTHING:
        buf_add(&line, "its process is not watched");
        break;
    case WATCH_UNIT:
        buf_addf(&line, "%s%s", w->unit, w->user ? " (user)" : "");
        break;
    case WATCH_PID:
        buf_addf(&line, "pid %lld", (long long)w->pid);
        break;
    case WATCH_CONTAINER:
        buf_addf(&line, "container %s", w->container);
        break;
    case WATCH_PORT:
        buf_add(&line, "whoever listens");
        break;
    }
    if (w->port > 0)
        buf_addf(&line, ", port %d", w->port);
    if (w->probe_rps > 0)
        add_time(&line, ", a probe every ", (int64_t)(1e9 / w->probe_rps));
    if (w->kind != WATCH_NOTHING && w->probe_rps <= 0)
        buf_add(&line, ", not probed");
    print_line(&line);
}

static void print_rule(const struct spec_guard *g, const struct spec_guard_rule *rule)
{
    AUTO(buf_done) struct buf line = BUF_INIT(16384);
    buf_addf(&line, "%s: when %s", rule->name, expr_text(rule->when));
    if (rule->for_ns > 0)
        add_time(&line, " for ", rule->for_ns);
    if (rule->until)
        buf_addf(&line, ", until %s", expr_text(rule->until));
    buf_add(&line, rule->actions ? ": " : ": is said");
    for (int i = 0, n = 0; i < ACTION_COUNT_; i++)
        if (rule->actions >> i & 1)
            buf_addf(&line, "%s%s%s", n++ ? ", " : "", spec_action_names[i],
                     g->limits[i].allowed ? "" : " (not named under act: only said)");
    print_line(&line);
}

static void print_actions(const struct spec_guard *g)
{
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    int count = 0;
    buf_add(&line, "may do: ");
    for (int i = 0; i < ACTION_COUNT_; i++)
        if (g->limits[i].allowed)
            buf_addf(&line, "%s%s (%d an hour)", count++ ? ", " : "", spec_action_names[i],
                     g->limits[i].per_hour);
    if (count == 0)
        buf_add(&line, "nothing, \"act\" names no action");
    print_line(&line);
}

static void print_front(const struct spec_study *study, const struct spec_front *f)
{
    AUTO(buf_done) struct buf line = BUF_INIT(8192);
    buf_addf(&line, "%s behind HAProxy at %s:%d: ", study->services[f->service].name, f->address,
             f->port);
    for (size_t i = 0; i < f->tier_count; i++)
        buf_addf(&line, "%s%s (port %d%s)", i ? ", then " : "tier ", f->tiers[i].name,
                 f->tiers[i].port, f->tiers[i].resident ? "" : ", started when wanted");
    for (size_t i = 0; i < f->split.count; i++)
        buf_addf(&line, "%s%s (port %d, %d %%)", i ? ", " : "split between ", f->split.arms[i].name,
                 f->split.arms[i].port, f->split.arms[i].weight);
    if (!isnan(f->limit_s)) {
        buf_addf(&line, "; keeps p%.0f < ", f->quantile * 100);
        text_add_duration(&line, f->limit_s);
    }
    print_line(&line);
}

/* Whoever tries a rule on yesterday should know before that it is not there any more. */
static void print_record(const struct spec_study *study)
{
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    AUTO(free) char *folder = study_folder(study, NULL);
    struct guard_record_size size;
    guard_record_size(study, folder, &size);
    if (isnan(size.least_s))
        buf_add(&line, "recording: none, \"record\" is 0");
    else if (size.least_s >= DAY_S)
        return;
    else {
        buf_add(&line, "recording: ");
        text_add_bytes(&line, (double)study->guard->record_bytes);
        buf_add(&line, " keep the last ");
        text_add_duration(&line, size.least_s);
        buf_add(&line, " to ");
        text_add_duration(&line, size.most_s);
        buf_add(&line, size.ticks ? " (" : " at the least (");
        text_add_bytes(&line, size.tick_bytes);
        if (size.ticks)
            buf_addf(&line, " a tick, measured over the last %llu); a day at any time takes ",
                     (unsigned long long)size.ticks);
        else
            buf_add(&line, " a tick when every figure is known); a day at any time takes up to ");
        text_add_bytes(&line, guard_record_day_bytes(study, &size));
    }
    print_line(&line);
}

void cli_print_guard(const struct spec_study *study)
{
    const struct spec_guard *g = study->guard;
    if (!g)
        return;
    printf("\nGuard (what spica guard would watch, and may do):\n");
    for (size_t i = 0; i < study->service_count; i++)
        print_watch(study, i);
    for (size_t i = 0; i < g->front_count; i++)
        print_front(study, &g->fronts[i]);
    for (size_t i = 0; i < g->rule_count; i++)
        print_rule(g, &g->rules[i]);
    print_actions(g);
    print_record(study);
}
