/* A split on a terminal and as JSON: every figure with its interval, the verdict with its numbers,
 * and what it can't say. Both come from one place, guard/split_decide.h. */
#include "cli/split_show.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "guard/split_reference.h"
#include "guard/split_words.h"
#include "report/grid.h"

#include <math.h>
#include <string.h>

static const double STALE_S = 20; /* guard keeps the file every 5 s */

static const struct spec_front *front_of(const struct cli_split_view *view)
{
    return &view->study->guard->fronts[view->front];
}

static const char *service_of(const struct cli_split_view *view)
{
    return view->study->services[front_of(view)->service].name;
}

/* ---- words ---- */

static const char *time_cell(struct arena *arena, double seconds, struct stats_interval i)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (isnan(seconds))
        return "-";
    text_add_duration(&text, seconds);
    if (!isnan(i.low) && !isnan(i.high)) {
        buf_add(&text, " [");
        text_add_duration(&text, i.low);
        buf_add(&text, ", ");
        text_add_duration(&text, i.high);
        buf_add(&text, "]");
    }
    return arena_strdup(arena, buf_text(&text));
}

static const char *share_cell(struct arena *arena, double ratio, struct stats_interval i)
{
    if (isnan(ratio))
        return "-";
    if (isnan(i.low) || isnan(i.high))
        return arena_printf(arena, "%.1f %%", 100 * ratio);
    return arena_printf(arena, "%.1f %% [%.1f, %.1f]", 100 * ratio, 100 * i.low, 100 * i.high);
}

static const char *count_cell(struct arena *arena, uint64_t count)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    text_add_grouped(&text, (int64_t)count);
    return arena_strdup(arena, buf_text(&text));
}

static void add_sticky(const struct cli_split_view *view, struct buf *buf)
{
    const struct spec_split *split = &front_of(view)->split;
    if (split->sticky_header || split->sticky_cookie)
        buf_addf(buf,
                 "clients stay with their arm by %s %s: one client's requests are alike, so the "
                 "verdict stands on fewer of them than were counted",
                 split->sticky_header ? "header" : "cookie",
                 split->sticky_header ? split->sticky_header : split->sticky_cookie);
    else
        buf_add(buf, "each request is assigned by itself");
}

static void add_state(const struct cli_split_view *view, struct buf *buf)
{
    char since[32];
    buf_addf(buf, "%s", guard_split_state_names[view->kept->state]);
    if (view->found)
        buf_addf(buf, " since %s: %s",
                 clock_format_wall(view->kept->since_wall_us, since, sizeof since),
                 view->kept->why);
    else
        buf_add(buf, ": nothing was counted yet; spica guard does that");
    if (view->found && view->age_s > STALE_S) {
        buf_add(buf, "; counted until ");
        text_add_duration(buf, view->age_s);
        buf_add(buf, " ago: guard does not run, HAProxy goes on with these weights");
    }
}

/* Where guard has never said why: what the study file says. */
static void add_words(const struct cli_split_view *view, struct buf *buf)
{
    const struct stats_interval d = guard_split_wer_difference(view->kept);
    const struct spec_guard *guard = view->study->guard;
    struct guard_split_kept kept = *view->kept;
    const char *missing = guard_reference_missing(
        view->study, view->front, guard->watches[guard->fronts[view->front].service].probe_rps);
    if (missing && !kept.no_words[0])
        snprintf(kept.no_words, sizeof kept.no_words, "%s", missing);
    guard_split_add_words(&kept, &d, buf);
    guard_split_add_words_evidence(&kept, &front_of(view)->split, buf);
}

/* ---- the terminal ---- */

static void print_line(FILE *out, struct report_terminal terminal, const char *head,
                       const struct buf *text)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(65536);
    if (text->len == 0)
        return;
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(text), text->len, 8000);
    fprintf(out, "  %-9s ", head);
    report_print_wrapped(out, terminal, buf_text(&safe), 12, 12);
}

static void print_arms(const struct cli_split_view *view, FILE *out,
                       struct report_terminal terminal)
{
    static const char *const titles[] = {"arm", "weight", "requests", "errors",
                                         "p50", "p95",    "p99",      "wer"};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {
        .arena = arena, .column_count = ARRAY_LEN(titles), .right = {[1] = true, [2] = true}};
    struct grid_row *head = report_grid_add(&grid);
    for (size_t i = 0; i < ARRAY_LEN(titles); i++)
        head->cells[i] = titles[i];
    head->paint = PAINT_DIM;
    for (size_t i = 0; i < view->kept->arm_count; i++) {
        const struct guard_split_arm *arm = &view->kept->arms[i];
        struct guard_split_figures f = guard_split_figures(arm);
        struct grid_row *row = report_grid_add(&grid);
        row->cells[0] = arm->name;
        row->cells[1] = arena_printf(arena, "%d %%", arm->weight);
        row->cells[2] = count_cell(arena, arm->requests);
        row->cells[3] = share_cell(arena, f.error_ratio, f.error_interval);
        row->cells[4] = time_cell(arena, f.p50_s, f.p50_interval);
        row->cells[5] = time_cell(arena, f.p95_s, f.p95_interval);
        row->cells[6] = time_cell(arena, f.p99_s, f.p99_interval);
        row->cells[7] = share_cell(arena, f.wer_ratio, guard_split_wer_interval(arm));
        if (view->live && i < view->live->server_count && !view->live->servers[i].usable)
            row->below[0] = "HAProxy finds it down";
        else if (view->live && i < view->live->server_count &&
                 view->live->servers[i].weight != arm->weight)
            row->below[0] =
                arena_printf(arena, "HAProxy has %d %% now", view->live->servers[i].weight);
    }
    report_grid_print(&grid, out, terminal, 2);
}

void cli_split_print(const struct cli_split_view *view, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf state = BUF_INIT(8192), verdict = BUF_INIT(8192);
    AUTO(buf_done) struct buf words = BUF_INIT(8192), stick = BUF_INIT(8192);
    AUTO(buf_done) struct buf next = BUF_INIT(8192), live = BUF_INIT(8192);
    const struct spec_split *split = &front_of(view)->split;
    add_state(view, &state);
    guard_split_add_verdict(view->kept, split, &verdict);
    add_words(view, &words);
    add_sticky(view, &stick);
    guard_split_add_next(view->kept, split, view->name, &next);
    if (!view->live)
        buf_add(&live, "does not answer: the weights are those that it gets");
    fprintf(out, "%s\n", service_of(view));
    print_line(out, terminal, "split", &state);
    print_arms(view, out, terminal);
    print_line(out, terminal, "verdict", &verdict);
    print_line(out, terminal, "words", &words);
    print_line(out, terminal, "stick", &stick);
    print_line(out, terminal, "HAProxy", &live);
    print_line(out, terminal, "next", &next);
}

/* ---- JSON ---- */

static json_t *interval_json(double value, struct stats_interval i)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_real_or_null(value), "low",
                     json_real_or_null(i.low), "high", json_real_or_null(i.high));
}

static json_t *arm_json(const struct cli_split_view *view, size_t i)
{
    const struct guard_split_arm *arm = &view->kept->arms[i];
    const struct guard_split_figures f = guard_split_figures(arm);
    const struct proxy_server *live =
        view->live && i < view->live->server_count ? &view->live->servers[i] : NULL;
    return json_pack(
        "{s:s, s:i, s:b, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o, s:o}", "name",
        arm->name, "weight", arm->weight, "shadow", front_of(view)->split.arms[i].shadow,
        "requests", (json_int_t)arm->requests, "errors", (json_int_t)arm->failed, "left",
        (json_int_t)arm->left, "error_ratio", interval_json(f.error_ratio, f.error_interval),
        "p50_s", interval_json(f.p50_s, f.p50_interval), "p95_s",
        interval_json(f.p95_s, f.p95_interval), "p99_s", interval_json(f.p99_s, f.p99_interval),
        "wer", interval_json(f.wer_ratio, guard_split_wer_interval(arm)), "references",
        (json_int_t)arm->references, "references_failed", (json_int_t)arm->references_failed,
        "usable", live ? json_boolean(live->usable) : json_null(), "haproxy_weight",
        live ? json_integer(live->weight) : json_null());
}

json_t *cli_split_json(const struct cli_split_view *view)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192), next = BUF_INIT(8192), stick = BUF_INIT(8192);
    AUTO(buf_done) struct buf said = BUF_INIT(8192);
    const struct guard_split_kept *kept = view->kept;
    const struct spec_split *split = &front_of(view)->split;
    const struct stats_anytime_answer answer = guard_split_answer(kept, split);
    const struct stats_interval words = guard_split_wer_difference(kept);
    const struct stats_anytime_pairs_options pairs = guard_split_pairs_options(split);
    json_t *arms = json_array();
    for (size_t i = 0; i < kept->arm_count; i++)
        json_array_append_new(arms, arm_json(view, i));
    guard_split_add_verdict(kept, split, &text);
    guard_split_add_next(kept, split, view->name, &next);
    add_sticky(view, &stick);
    add_words(view, &said);
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:{s:f, s:f, s:f, s:b, s:f, s:f, s:b}, s:{s:f, s:f, "
        "s:f}, s:o, s:o, "
        "s:o, s:o, s:o, s:b}",
        "service", service_of(view), "state", guard_split_state_names[kept->state], "since_wall_s",
        view->found ? json_real((double)kept->since_wall_us / 1e6) : json_null(), "age_s",
        json_real_or_null(view->age_s), "why", json_text_or_null(kept->why), "verdict",
        stats_anytime_verdict_names[guard_split_verdict(kept, split)], "text",
        json_text_or_null(buf_text(&text)), "evidence", "harm", answer.harm, "no_harm",
        answer.no_harm, "needed", answer.needed, "by_errors", answer.by_errors, "words",
        stats_anytime_pairs_evidence(&kept->pairs), "words_needed",
        stats_anytime_pairs_needed(&pairs), "by_words", kept->by_words, "asked", "harm_ratio",
        split->harm_ratio, "error", split->error, "quantile", split->quantile, "arms", arms,
        "wer_difference", interval_json(NAN, words), "words", json_text_or_null(buf_text(&said)),
        "stick", json_text_or_null(buf_text(&stick)), "next", json_text_or_null(buf_text(&next)),
        "haproxy", view->live != NULL);
}
