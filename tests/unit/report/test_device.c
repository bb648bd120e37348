/* What a view says of a GPU study: cards, services kept up, what a bound left out, latencies from
 * the wrong place; and reasons in words. */
#include "check.h"

#include "report/view.h"
#include "report/winner.h"
#include "report/words.h"
#include "sample.h"
#include "sample_gpu.h"

#include <math.h>

struct fixture {
    char *folder;
    struct arena *arena;
    struct report_view *view;
};

static struct fixture build(enum sample_story story)
{
    struct fixture f = {.folder = check_make_folder(), .arena = arena_new()};
    struct sample_options options = {.story = story};
    struct err err = ERR_INIT;
    AUTO(store_close) struct store *store = NULL;
    AUTO(free) char *path = NULL;
    assert_true(asprintf(&path, "%s/study.db", f.folder) > 0);
    if (!store_open(path, STORE_CREATE, &store, &err) || !sample_fill(store, &options, &err) ||
        !report_view_build(store, sample_catalog(), f.arena, &f.view, &err))
        fail_msg("%s", err.text);
    return f;
}

static void end(struct fixture *f)
{
    arena_free(f->arena);
    check_remove_folder(f->folder);
}

static void reads_cards_over_the_runs(void **state)
{
    (void)state;
    struct fixture f = build(SAMPLE_GPU);
    const struct report_side *winner = f.view->winner;
    assert_int_equal(winner->card_count, 1);
    const struct report_card *card = &winner->cards[0];
    assert_string_equal(card->device, "gpu0");
    assert_int_equal(card->gauges[GAUGE_FREE_LEAST].runs, 4);
    /* 79.6 less 22 of the neighbour, 0.3 x 79.6 of the llm and 0.9 of Whisper. */
    assert_true(fabs(card->gauges[GAUGE_FREE_LEAST].low / 1073741824.0 - 32.82) < 0.001);
    assert_true(fabs(card->gauges[GAUGE_BUSY].mean - 0.61) < 1e-9);
    assert_int_equal(card->throttle_known, 4);
    assert_int_equal(card->throttled, 1);
    assert_string_equal(card->throttle, "power cap");
    assert_int_equal(card->noted, 3);
    assert_string_equal(card->notes, "MPS is on: one client's fatal fault ends every client");
    end(&f);
    f = build(SAMPLE_WINNER);
    assert_int_equal(f.view->winner->card_count, 0); /* a CPU box has none */
    assert_int_equal(f.view->bound_count, 0);
    assert_int_equal(f.view->fallback_count, 0);
    assert_null(f.view->crowd);
    end(&f);
}

static void counts_what_was_not_run(void **state)
{
    (void)state;
    struct fixture f = build(SAMPLE_GPU);
    assert_int_equal(f.view->bound_count, 2);
    /* Share 0.2 with any Whisper but the one that was tried. */
    assert_int_equal(f.view->bounds[0].trial->number, 5);
    assert_int_equal(f.view->bounds[0].count, 3);
    /* The same Whisper beside 0.9. */
    assert_int_equal(f.view->bounds[1].trial->number, 6);
    assert_int_equal(f.view->bounds[1].count, 1);
    const struct report_kept *llm = &f.view->kept[1];
    assert_string_equal(llm->service, "llm");
    assert_int_equal(llm->times, 1);
    assert_int_equal(llm->unknown, 0);
    assert_true(fabs(llm->saved_s - 1.2) < 1e-9); /* the start of trial 2 */
    assert_int_equal(f.view->kept[0].times, 0);
    end(&f);
}

static void sets_the_wrong_place_beside_the_right_one(void **state)
{
    (void)state;
    struct fixture f = build(SAMPLE_GPU);
    assert_int_equal(f.view->fallback_count, 1);
    const struct report_fallback *fallback = &f.view->fallbacks[0];
    assert_int_equal(fallback->trial->number, 7);
    assert_non_null(fallback->twin);
    assert_string_equal(fallback->twin->candidate,
                        "stt.model=tiny.en stt.visible=first llm.gpu_memory_utilization=0.5");
    assert_string_equal(fallback->twin_changes, "stt.visible=first");
    assert_string_equal(fallback->twin_metric->mode, "alone"); /* as it was loaded itself */
    for (size_t i = 0; i < f.view->trial_count; i++)
        if (f.view->trials[i].trial == fallback->trial)
            assert_true(isnan(f.view->trials[i].trial->fitness));
    end(&f);
}

static void reads_contention(void **state)
{
    (void)state;
    struct fixture f = build(SAMPLE_GPU);
    assert_non_null(f.view->crowd);
    assert_int_equal(f.view->crowd->copies, 10);
    assert_int_equal(f.view->crowd->row_count, 2);
    assert_string_equal(f.view->crowd->rows[0].name, "stt latency p50");
    assert_true(fabs(f.view->crowd->rows[0].ratio.value - 22) < 1e-9);
    assert_true(isnan(f.view->crowd->rows[1].alone.value));
    end(&f);
}

static void says_why_in_numbers(void **state)
{
    (void)state;
    const struct spec_neighbour one = {.unit = "ollama.service"};
    const struct spec_neighbour two[] = {{.unit = "ollama.service"}, {.pid = 4711}};
    const struct store_reading held = {
        .phase = "before", .device = "gpu0", .name = "neighbours", .value = 2369781760};
    const struct {
        const char *summary, *hint;
        const struct spec_neighbour *neighbours;
        size_t neighbour_count;
        const char *expected;
    } rows[] = {
        {"llm: it ended", NULL, NULL, 0, "llm: it ended"},
        {"llm: it ended", "asked 55.4 GiB, 44.4 GiB free", NULL, 0,
         "llm: asked 55.4 GiB, 44.4 GiB free"},
        {"", "asked 55.4 GiB, 44.4 GiB free", &one, 1,
         "llm: asked 55.4 GiB, 44.4 GiB free beside ollama.service"},
        {"", "asked 55.4 GiB, 44.4 GiB free", two, 2,
         "llm: asked 55.4 GiB, 44.4 GiB free beside ollama.service, pid 4711"},
        {"", "needs 24,576 tokens of cache, has 18,304", &one, 1,
         "llm: needs 24,576 tokens of cache, has 18,304"},
        {"", "\033[2J\xff free", &one, 1, "llm: \\x1b[2J\\xff free beside ollama.service"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct spec_study study = {.neighbours = (struct spec_neighbour *)rows[i].neighbours,
                                         .neighbour_count = rows[i].neighbour_count};
        const struct store_evidence hint = {"llm", "hint", rows[i].hint};
        const struct store_trial trial = {.summary = rows[i].summary,
                                          .evidence = &hint,
                                          .evidence_count = rows[i].hint != NULL,
                                          .readings = &held,
                                          .reading_count = 1};
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        report_add_reason(&text, &study, &trial);
        assert_string_equal(buf_text(&text), rows[i].expected);
    }
}

static void names_neighbours(void **state)
{
    (void)state;
    struct spec_neighbour two[] = {{.unit = "ollama.service"}, {.command = "py\033thon"}};
    const struct {
        size_t count;
        double bytes;
        const char *expected;
    } rows[] = {{0, 1e9, ""},
                {1, 2260.0 * 1048576, "ollama.service 2,260 MiB (stays)"},
                {1, NAN, "ollama.service (stays)"},
                {2, 2260.0 * 1048576, "ollama.service, py\\x1bthon 2,260 MiB together (stay)"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct spec_study study = {.neighbours = two, .neighbour_count = rows[i].count};
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        report_add_neighbours(&text, &study, rows[i].bytes);
        assert_string_equal(buf_text(&text), rows[i].expected);
    }
}

static void keeps_the_old_shape_of_winner_json(void **state)
{
    (void)state;
    struct fixture f = build(SAMPLE_GPU);
    AUTO_JSON json_t *winner = report_winner_json(f.view);
    assert_true(fabs(json_get_real(winner, "gpu_utilization") - 0.3) < 1e-9);
    assert_non_null(strstr(json_get_text(winner, "gpu_utilization_is"), "gpu_memory_utilization"));
    assert_int_equal(json_get_int(winner, "oom_events", -1), 0);
    const json_t *evidence = json_object_get(winner, "evidence");
    assert_int_equal(json_get_int(evidence, "oom_events_of_study", -1), 2);
    assert_int_equal(json_array_size(json_object_get(evidence, "cards")), 1);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_cards_over_the_runs),
        cmocka_unit_test(counts_what_was_not_run),
        cmocka_unit_test(sets_the_wrong_place_beside_the_right_one),
        cmocka_unit_test(reads_contention),
        cmocka_unit_test(says_why_in_numbers),
        cmocka_unit_test(names_neighbours),
        cmocka_unit_test(keeps_the_old_shape_of_winner_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
