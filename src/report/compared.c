/* Comparisons of the study's candidates, in the report: one line each, the whole of it being in
 * compare-N.md. They are the answers to questions that somebody asked besides the study's own, so
 * they stand apart and change nothing of what the study decided. Of each comparison the last event
 * counts; a damaged one is left out. */
#include "report/build.h"
#include "report/markdown.h"
#include "report/words.h"

#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const enum text_target MD = TEXT_MARKDOWN;

/* ---- reading ---- */

static void read_rows(struct report_compared *c, const json_t *pair, struct arena *arena)
{
    const json_t *rows = json_object_get(pair, "metrics");
    int64_t other = json_get_int(pair, "b", 0);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *ratio = json_object_get(row, "ratio");
        const char *metric = json_get_text(row, "metric"), *answer = json_get_text(row, "answer");
        if (!json_is_true(json_object_get(row, "judged")) || !metric || !answer || other < 1 ||
            (size_t)other >= c->side_count || c->row_count == REPORT_COMPARED_ROWS)
            continue;
        bool is_ratio = json_is_object(ratio);
        const json_t *range = is_ratio ? ratio : json_object_get(row, "difference");
        c->rows[c->row_count++] = (struct report_compared_row){
            .other = (size_t)other,
            .metric = arena_strdup(arena, metric),
            .answer = arena_strdup(arena, answer),
            .is_ratio = is_ratio,
            .low = json_get_real(range, "low"),
            .high = json_get_real(range, "high"),
        };
    }
}

static bool read_compared(const char *detail, struct report_compared *ret, struct arena *arena)
{
    AUTO_JSON json_t *json = detail ? json_loads(detail, 0, NULL) : NULL;
    const json_t *sides = json_object_get(json, "sides"), *pairs = json_object_get(json, "pairs");
    *ret = (struct report_compared){.number = json_get_int(json, "comparison", 0),
                                    .blocks = json_get_int(json, "blocks", 0),
                                    .tolerance = json_get_real(json, "tolerance")};
    for (size_t i = 0; i < json_array_size(sides) && i < REPORT_COMPARED_SIDES; i++) {
        const json_t *side = json_array_get(sides, i);
        const char *candidate = json_get_text(side, "candidate");
        if (!candidate)
            return false;
        ret->sides[ret->side_count++] = (struct report_compared_side){
            arena_strdup(arena, candidate), arena_strdup(arena, json_get_text(side, "failed"))};
    }
    for (size_t i = 0; i < json_array_size(pairs); i++)
        read_rows(ret, json_array_get(pairs, i), arena);
    return ret->number > 0 && ret->side_count >= 2;
}

void report_build_compared(struct report_builder *b, const struct store_event *events, size_t count)
{
    struct report_view *view = b->view;
    for (size_t i = 0; i < count; i++) {
        struct report_compared one;
        if (strcmp(events[i].kind, "compared") != 0 ||
            !read_compared(events[i].detail, &one, b->arena))
            continue;
        if (!view->compared)
            view->compared = arena_array(b->arena, count, sizeof *view->compared);
        size_t at = 0;
        while (at < view->compared_count && view->compared[at].number != one.number)
            at++;
        view->compared[at] = one;
        view->compared_count += at == view->compared_count;
    }
}

/* ---- writing ---- */

static void add_row(struct buf *buf, const struct report_compared_row *row)
{
    buf_addf(buf, "%c ", (char)('A' + row->other));
    report_add_text(buf, MD, row->metric);
    buf_addf(buf, " %s", row->answer);
    if (row->low <= row->high)
        buf_addf(buf, " (%.3g to %.3g %s)", 100 * (row->is_ratio ? row->low - 1 : row->low),
                 100 * (row->is_ratio ? row->high - 1 : row->high), row->is_ratio ? "%" : "points");
}

void report_add_compared(struct buf *buf, const struct report_view *view)
{
    if (view->compared_count == 0)
        return;
    buf_add(buf, "## Compared with each other\n\nAsked by `spica compare`, in cold starts of their "
                 "own, each against A.\n\n");
    for (size_t i = 0; i < view->compared_count; i++) {
        const struct report_compared *c = &view->compared[i];
        buf_addf(buf, "- compare-%" PRId64 ".md: ", c->number);
        for (size_t s = 0; s < c->side_count; s++) {
            buf_addf(buf, "%s%c ", s ? ", " : "", (char)('A' + s));
            report_add_code(buf, MD, c->sides[s].candidate);
            if (c->sides[s].failed) {
                buf_add(buf, " failed: ");
                report_add_text(buf, MD, c->sides[s].failed);
            }
        }
        for (size_t r = 0; r < c->row_count; r++) {
            buf_add(buf, r ? "; " : ". ");
            add_row(buf, &c->rows[r]);
        }
        buf_addf(buf, ". %" PRId64 " block%s; differences up to %.3g %% count as none.\n",
                 c->blocks, c->blocks == 1 ? "" : "s", 100 * c->tolerance);
    }
    buf_addc(buf, '\n');
}

json_t *report_compared_json(const struct report_view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->compared_count; i++) {
        const struct report_compared *c = &view->compared[i];
        json_t *sides = json_array(), *rows = json_array();
        for (size_t s = 0; s < c->side_count; s++)
            json_array_append_new(sides,
                                  json_pack("{s:o, s:o}", "candidate",
                                            json_text_or_null(c->sides[s].candidate), "failed",
                                            json_text_or_null(c->sides[s].failed)));
        for (size_t r = 0; r < c->row_count; r++) {
            const struct report_compared_row *row = &c->rows[r];
            json_array_append_new(
                rows,
                json_pack("{s:i, s:o, s:o, s:s, s:o, s:o}", "b", (int)row->other, "metric",
                          json_text_or_null(row->metric), "answer", json_text_or_null(row->answer),
                          "as", row->is_ratio ? "ratio" : "difference", "low",
                          json_real_or_null(row->low), "high", json_real_or_null(row->high)));
        }
        json_array_append_new(
            list, json_pack("{s:I, s:I, s:o, s:o, s:o}", "comparison", (json_int_t)c->number,
                            "blocks", (json_int_t)c->blocks, "tolerance",
                            json_real_or_null(c->tolerance), "sides", sides, "judged", rows));
    }
    return list;
}
