/* The file of a split: what is written comes back, what is none of ours is refused, what the study
 * file says newer begins anew. And orders: which may be given when, and the weights that follow. */
#include "guard/split_decide.h"

#include "base/file.h"
#include "base/text.h"

#include "check.h"
#include "split_sample.h"

#include <math.h>

static struct guard_split_kept some_kept(const struct spec_split *split)
{
    struct guard_split_kept kept;
    guard_split_kept_init(&kept, split, 1700000000000000);
    kept.state = SPLIT_RUNNING;
    kept.revision = 3;
    kept.arms[1].requests = 120;
    kept.arms[1].failed = 4;
    for (int i = 0; i < 116; i++)
        stats_sketch_add(kept.arms[1].latency, 0.1 + 0.001 * i);
    kept.arms[1].clips[5] = (struct stats_wer){
        .reference_words = 12, .hits = 11, .substitutions = 1, .hypothesis_words = 12};
    kept.arms[1].references = 2;
    kept.sums.blocks = 17;
    kept.sums.slower[1][2] = 1.0 / 3;
    kept.sums.threshold_s = 0.2;
    kept.sums.slow_spread[2].squares = 0.7;
    kept.sums.wrong_spread[1].pairs = 5;
    kept.pairs.pairs = 31;
    kept.pairs.worse[4] = 1.0 / 7;
    snprintf(kept.why, sizeof kept.why, "because of \"this\"");
    return kept;
}

static void test_what_is_written_comes_back(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "s.json");
    struct split_sample sample;
    split_sample_init(&sample);
    const struct spec_split *split = &sample.front.split;
    struct guard_split_kept kept = some_kept(split), again;
    struct err err = ERR_INIT;
    bool found = true;
    guard_split_kept_init(&again, split, 0);
    assert_true(guard_split_kept_read(path, split, &again, &found, &err));
    assert_false(found); /* there is none yet */
    assert_true(guard_split_kept_write(path, split, &kept, &err));
    assert_true(guard_split_kept_read(path, split, &again, &found, &err));
    assert_true(found);
    assert_int_equal(again.revision, 3);
    assert_string_equal(again.why, kept.why);
    assert_int_equal(again.arms[0].weight, 90);
    assert_int_equal(again.arms[1].failed, 4);
    assert_int_equal(stats_sketch_count(again.arms[1].latency), 116);
    assert_true(stats_sketch_quantile(again.arms[1].latency, 0.9) ==
                stats_sketch_quantile(kept.arms[1].latency, 0.9));
    assert_int_equal(again.arms[1].clips[5].substitutions, 1);
    assert_true(again.sums.slower[1][2] == 1.0 / 3);
    assert_true(isinf(again.sums.slower[0][0]));
    assert_true(again.sums.threshold_s == 0.2);
    assert_true(again.sums.slow_spread[2].squares == 0.7);
    assert_int_equal(again.sums.wrong_spread[1].pairs, 5);
    assert_int_equal(again.pairs.pairs, 31);
    assert_true(again.pairs.worse[4] == 1.0 / 7 && isinf(again.pairs.worse[0]));
    assert_false(again.pairs.harm || again.by_words);
    assert_int_equal(again.second, 1);
    guard_split_kept_done(&kept);
    guard_split_kept_done(&again);
    check_remove_folder(folder);
}

static void test_a_newer_word_in_the_study_file_begins_anew(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "s.json");
    struct split_sample sample;
    for (int row = 0; row < 5; row++) {
        split_sample_init(&sample);
        struct spec_split *split = &sample.front.split;
        struct guard_split_kept kept = some_kept(split);
        struct err err = ERR_INIT;
        bool found = true;
        assert_true(guard_split_kept_write(path, split, &kept, &err));
        if (row == 0)
            sample.arms[0].weight = 50, sample.arms[1].weight = 50;
        else if (row == 1)
            sample.arms[1].name = "other";
        else if (row == 2)
            split->harm_ratio = 0.2;
        else if (row == 3)
            split->quantile = 0.5;
        else
            split->count = 3;
        assert_true(guard_split_kept_read(path, split, &kept, &found, &err));
        CHECK_ROW(row, "begins anew", !found);
        guard_split_kept_done(&kept);
    }
    check_remove_folder(folder);
}

static void test_what_is_none_of_ours_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to; /* in a good file */
    } rows[] = {
        {"another format", "\"spica split\"", "\"something\""},
        {"another version", "\"version\":1", "\"version\":9"},
        {"no such state", "\"running\"", "\"flying\""},
        {"a negative count", "\"requests\":120", "\"requests\":-1"},
        {"weights over 100", "\"weight\":90", "\"weight\":95"},
        {"a text for a number", "\"blocks\":17", "\"blocks\":\"17\""},
        {"a clip that can't be", "[5,12", "[99,12"},
        {"pairs without a count", "\"pairs\":31", "\"pairs\":-31"},
        {"sums without numbers", "\"slower\":[", "\"slower\":[[],"},
    };
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "s.json");
    struct split_sample sample;
    split_sample_init(&sample);
    const struct spec_split *split = &sample.front.split;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guard_split_kept kept = some_kept(split);
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 20), bad = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        bool found = false;
        assert_true(guard_split_kept_write(path, split, &kept, &err));
        assert_true(buf_read_file(&text, path, &err));
        const char *at = strstr(buf_text(&text), rows[i].from);
        CHECK_ROW(i, rows[i].name, at != NULL);
        buf_addf(&bad, "%.*s%s%s", (int)(at - buf_text(&text)), buf_text(&text), rows[i].to,
                 at + strlen(rows[i].from));
        assert_true(file_write_atomic(path, buf_text(&bad), bad.len, &err));
        CHECK_ROW(i, rows[i].name, !guard_split_kept_read(path, split, &kept, &found, &err));
        CHECK_ROW(i, rows[i].name, err.code == ERR_INPUT);
        CHECK_ROW(i, rows[i].name, kept.revision == 3); /* as it was */
        guard_split_kept_done(&kept);
    }
    check_remove_folder(folder);
}

static void test_orders(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum guard_split_state before;
        int weight; /* of the second arm */
        bool harm, no_harm, anyway;
        enum guard_split_order order;
        bool done;
        enum guard_split_state after;
        int weight_after;
    } rows[] = {
        {"a step up", SPLIT_RUNNING, 10, false, true, false, SPLIT_ADVANCE, true, SPLIT_RUNNING,
         25},
        {"from between", SPLIT_RUNNING, 33, false, true, false, SPLIT_ADVANCE, true, SPLIT_RUNNING,
         50},
        {"the last", SPLIT_RUNNING, 50, false, true, false, SPLIT_ADVANCE, true, SPLIT_FULL, 100},
        {"not certain", SPLIT_RUNNING, 10, false, false, false, SPLIT_ADVANCE, false, SPLIT_RUNNING,
         10},
        {"not certain, anyway", SPLIT_RUNNING, 10, false, false, true, SPLIT_ADVANCE, true,
         SPLIT_RUNNING, 25},
        {"harm", SPLIT_RUNNING, 10, true, false, false, SPLIT_ADVANCE, false, SPLIT_RUNNING, 10},
        {"all have it", SPLIT_FULL, 100, false, true, true, SPLIT_ADVANCE, false, SPLIT_FULL, 100},
        {"stopped", SPLIT_STOPPED, 0, true, false, false, SPLIT_ADVANCE, false, SPLIT_STOPPED, 0},
        {"stopped, anyway", SPLIT_STOPPED, 0, true, false, true, SPLIT_ADVANCE, true, SPLIT_RUNNING,
         10},
        {"stop", SPLIT_RUNNING, 25, true, false, false, SPLIT_STOP, true, SPLIT_STOPPED, 0},
        {"abort", SPLIT_RUNNING, 25, false, false, false, SPLIT_ABORT, true, SPLIT_ABORTED, 0},
        {"abort of all", SPLIT_FULL, 100, false, true, false, SPLIT_ABORT, true, SPLIT_ABORTED, 0},
        {"abort again", SPLIT_ABORTED, 0, false, false, false, SPLIT_ABORT, false, SPLIT_ABORTED,
         0},
    };
    struct split_sample sample;
    split_sample_init(&sample);
    const struct spec_split *split = &sample.front.split;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct guard_split_kept kept = some_kept(split);
        struct err err = ERR_INIT;
        kept.state = rows[i].before;
        kept.arms[1].weight = rows[i].weight;
        kept.arms[0].weight = 100 - rows[i].weight;
        kept.sums.harm = rows[i].harm;
        kept.sums.no_harm = rows[i].no_harm;
        bool done = guard_split_order(&kept, split, rows[i].order, rows[i].anyway, "why", 5, &err);
        CHECK_ROW(i, rows[i].name, done == rows[i].done);
        CHECK_ROW(i, rows[i].name, done || err.code == ERR_DECLINED);
        CHECK_ROW(i, rows[i].name, kept.state == rows[i].after);
        CHECK_ROW(i, rows[i].name, kept.arms[1].weight == rows[i].weight_after);
        CHECK_ROW(i, rows[i].name, kept.arms[0].weight == 100 - rows[i].weight_after);
        CHECK_ROW(i, rows[i].name, kept.revision == (done ? 4u : 3u));
        /* New weights are another load: what was fine is to be shown again. */
        CHECK_ROW(i, rows[i].name,
                  !done || rows[i].order != SPLIT_ADVANCE ||
                      (!kept.sums.no_harm && !kept.sums.harm && kept.arms[1].requests == 0));
        guard_split_kept_done(&kept);
    }
}

static void test_a_third_arm_gives_way_last(void **state)
{
    (void)state;
    struct split_sample sample;
    split_sample_init(&sample);
    struct spec_split *split = &sample.front.split;
    split->count = 3;
    sample.arms[0].weight = 70;
    sample.arms[2].weight = 20;
    static const int expected[][3] = {{55, 25, 20}, {30, 50, 20}, {0, 100, 0}, {100, 0, 0}};
    struct guard_split_kept kept;
    guard_split_kept_init(&kept, split, 0);
    for (size_t i = 0; i < 4; i++) {
        struct err err = ERR_INIT;
        assert_true(guard_split_order(&kept, split, i < 3 ? SPLIT_ADVANCE : SPLIT_ABORT, true, "",
                                      0, &err));
        for (size_t arm = 0; arm < 3; arm++)
            CHECK_ROW(i, sample.arms[arm].name, kept.arms[arm].weight == expected[i][arm]);
    }
    guard_split_kept_done(&kept);
}

static void test_words(void **state)
{
    (void)state;
    struct split_sample sample;
    split_sample_init(&sample);
    const struct spec_split *split = &sample.front.split;
    struct guard_split_kept kept = some_kept(split);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    guard_split_add_verdict(&kept, split, &text);
    assert_non_null(strstr(buf_text(&text), "undecided"));
    assert_non_null(strstr(buf_text(&text), "against it, 22.2 needed"));
    assert_non_null(strstr(buf_text(&text), "120 and 0 requests"));
    buf_clear(&text);
    kept.sums.harm = true;
    guard_split_add_verdict(&kept, split, &text);
    assert_true(text_starts_with(buf_text(&text),
                                 "harm: next is slower than now at p95 by more than 10 %"));
    for (int s = 0; s < SPLIT_STATE_COUNT_; s++) {
        buf_clear(&text);
        kept.state = (enum guard_split_state)s;
        guard_split_add_next(&kept, split, "sample", &text);
        assert_true(text.len > 0);
    }
    guard_split_kept_done(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_comes_back),
        cmocka_unit_test(test_a_newer_word_in_the_study_file_begins_anew),
        cmocka_unit_test(test_what_is_none_of_ours_is_refused),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_a_third_arm_gives_way_last),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
