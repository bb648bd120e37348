/* What a split does where it can't do as usual: after a damaged file, on a full disk, at 100 %, and
 * with arms that hear differently. */
#include "split_world.h"

#include "guard/split_inside.h"
#include "guard/split_words.h"

#include <signal.h>
#include <sys/resource.h>

/* What HAProxy had last goes on, never more: its own state says so. */
static void test_weights_after_damage(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int second;
    } rows[] = {
        {"as HAProxy had them",
         "{\"fronts\":{\"llm\":{\"weights\":{\"now\":80,\"next\":20},\"file\":{\"now\":50,\"next\":"
         "50}}}}",
         20},
        {"the study file's are others now",
         "{\"fronts\":{\"llm\":{\"weights\":{\"now\":80,\"next\":20},\"file\":{\"now\":90,\"next\":"
         "10}}}}",
         0},
        {"never set", "{}", 0},
        {"damaged too", "{", 0},
        {"none", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        struct err err = ERR_INIT;
        struct guard_status_split status;
        char path[512];
        world_begin(&world);
        world.sample.guard.proxy.given = true;
        world.sample.guard.proxy.folder = world.folder;
        assert_true(proxy_open(&world.sample.study, &world.setup.proxy, &err));
        snprintf(path, sizeof path, "%s/state.json", world.folder);
        if (rows[i].text)
            assert_true(file_write_atomic(path, rows[i].text, strlen(rows[i].text), &err));
        AUTO(free) char *kept = guard_split_path(world.folder, &world.sample.study, 0);
        assert_true(file_write_atomic(kept, "{", 1, &err));
        struct guard_split *split = open_split(&world);
        guard_split_status(split, &status);
        CHECK_ROW(i, rows[i].name, status.arms[1].weight == rows[i].second);
        CHECK_ROW(i, rows[i].name, status.arms[0].weight == 100 - rows[i].second);
        guard_split_free(split);
        proxy_close(world.setup.proxy);
        check_remove_folder(world.folder);
    }
}

static bool step_fails(struct world *world, struct guard_split *split)
{
    struct err err = ERR_INIT;
    world->now_ns += NS_PER_S;
    return !guard_split_step(split, world->now_ns, world->now_ns / 1000, &err);
}

static void add(struct guard_split *split, int server, double total_s)
{
    const struct proxy_request request = {
        .server = server, .end = PROXY_OK, .status = 200, .total_s = total_s};
    guard_split_add(split, &request);
}

/* A limit on the size of files stands for a disk that takes nothing. Expected: the arm is stopped
 * all the same, once, and the file is written when it can be. Before: it was not stopped. */
static void test_a_full_disk_does_not_keep_an_arm(void **state)
{
    (void)state;
    struct world world;
    struct guard_status_split status;
    struct rlimit limit;
    int failed = 0;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 400, 1);
    step(&world, split);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (int i = 0; i < 3000; i++) {
        add(split, i % 2, i % 2 ? 1 + 0.001 * (i % 7) : 0.1 + 0.001 * (i % 7));
        if (i % 40 == 39)
            failed += step_fails(&world, split);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(failed, 1); /* said once */
    assert_int_equal(world.told, 1);
    assert_non_null(strstr(world.last, "split stopped, all to now: not kept yet ("));
    guard_split_status(split, &status);
    assert_int_equal(status.arms[1].weight, 0);
    struct guard_split_kept kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_RUNNING);
    guard_split_kept_done(&kept);
    for (int i = 0; i < 6; i++)
        step(&world, split);
    assert_int_equal(world.told, 2);
    assert_non_null(strstr(world.last, "is kept now"));
    kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_STOPPED);
    assert_int_equal(kept.revision, 1);
    guard_split_kept_done(&kept);
    guard_split_free(split);
    check_remove_folder(world.folder);
}

/* To 100 % by a person, after so many requests to both. */
static struct guard_split *open_full(struct world *world, int before)
{
    struct err err = ERR_INIT;
    world_begin(world);
    struct guard_split *split = open_split(world);
    feed(world, split, before, 1);
    for (int i = 0; i < 6; i++)
        step(world, split);
    struct guard_split_kept kept = on_disk(world);
    AUTO(free) char *path = guard_split_path(world->folder, &world->sample.study, 0);
    assert_true(
        guard_split_order(&kept, &world->sample.front.split, SPLIT_ADVANCE, true, "anna", 7, &err));
    assert_int_equal(kept.state, SPLIT_FULL);
    assert_true(guard_split_kept_write(path, &world->sample.front.split, &kept, &err));
    guard_split_kept_done(&kept);
    for (int i = 0; i < 6; i++)
        step(world, split);
    world->told = 0;
    return split;
}

static void feed_alone(struct world *world, struct guard_split *split, int requests,
                       double slowdown, enum proxy_end end)
{
    for (int i = 0; i < requests; i++) {
        double u = rng_unit(&world->rng);
        struct proxy_request request = {.server = 1, .end = i % 3 ? PROXY_OK : end};
        request.total_s = 0.1 * exp(0.4 * stats_normal_quantile(u > 0 ? u : 0x1p-54)) * slowdown;
        guard_split_add(split, &request);
        if (i % 40 == 39)
            step(world, split);
    }
    for (int i = 0; i < 6; i++)
        step(world, split);
}

/* At 100 % the first arm's stored quantile is what the second is held to. Before: nothing was. */
static void test_alone_it_is_held_to_what_the_first_was(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double slowdown;
        enum proxy_end end; /* of every third */
        int told;
        enum guard_event_kind kind;
        enum guard_split_state state;
        const char *text;
    } rows[] = {
        {"as good", 1, PROXY_OK, 0, 0, SPLIT_FULL, "next alone, held to what now was"},
        {"slower", 1.5, PROXY_OK, 1, EVENT_ARM_DOUBT, SPLIT_FULL, "it is slower"},
        {"very slow", 4, PROXY_OK, 1, EVENT_ACTED, SPLIT_STOPPED, "harm: it is slow"},
        {"fails", 1, PROXY_SERVER_ERROR, 1, EVENT_ACTED, SPLIT_STOPPED, "it fails more often"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        struct guard_status_split status;
        struct guard_split *split = open_full(&world, 2000);
        feed_alone(&world, split, 4000, 1, PROXY_OK); /* harm that comes late */
        CHECK_ROW(i, rows[i].name, world.told == 0);
        feed_alone(&world, split, 2000, rows[i].slowdown, rows[i].end);
        guard_split_status(split, &status);
        CHECK_ROW(i, status.text, strstr(status.text, rows[i].text) != NULL);
        CHECK_ROW(i, world.last, (world.told > 0) == (rows[i].told > 0));
        if (rows[i].state == SPLIT_STOPPED)
            CHECK_ROW(i, status.verdict, strcmp(status.verdict, "harm") == 0);
        else if (rows[i].told)
            CHECK_ROW(i, world.last, world.kind == rows[i].kind);
        guard_split_free(split);
        struct guard_split_kept kept = on_disk(&world);
        CHECK_ROW(i, rows[i].name, kept.state == rows[i].state);
        CHECK_ROW(i, rows[i].name, kept.arms[1].weight == (rows[i].state == SPLIT_FULL ? 100 : 0));
        guard_split_kept_done(&kept);
        check_remove_folder(world.folder);
    }
}

static void test_alone_with_nothing_to_hold_it_to(void **state)
{
    (void)state;
    struct world world;
    struct guard_status_split status;
    struct guard_split *split = open_full(&world, 20);
    feed_alone(&world, split, 1000, 5, PROXY_SERVER_ERROR);
    guard_split_status(split, &status);
    assert_non_null(strstr(status.text, "not tested: next gets everything"));
    assert_int_equal(world.told, 0);
    assert_string_equal(status.verdict, "undecided");
    guard_split_free(split);
    check_remove_folder(world.folder);
}

static void hear(struct guard_split *split, size_t arm, size_t clips, uint64_t wrong)
{
    for (size_t i = 0; i < clips; i++) {
        const struct stats_wer heard = {.reference_words = 10,
                                        .hypothesis_words = 10,
                                        .hits = 10 - wrong,
                                        .substitutions = wrong};
        stats_wer_pool(&split->kept.arms[arm].clips[i], &heard);
        split->kept.arms[arm].references++;
    }
}

/* Before there is evidence enough word errors stop nothing, but they are no secret either. */
static void test_word_errors_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t clips;
        uint64_t wrong;
        bool doubt;
        const char *words;
    } rows[] = {
        {"rubbish", 8, 6, true, "next less now: [+60.0, +60.0] points: it hears worse"},
        {"alike", 8, 0, false, "no difference these clips could show"},
        {"too few", 3, 6, false, "too few clips were heard by both"},
        {"none", 0, 0, false, "its load has no corpus"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        struct guard_status_split status;
        world_begin(&world);
        struct guard_split *split = open_split(&world);
        if (rows[i].clips > 0)
            split->kept.no_words[0] = '\0';
        hear(split, 0, rows[i].clips, 0);
        hear(split, 1, rows[i].clips, rows[i].wrong);
        step(&world, split);
        guard_split_status(split, &status);
        CHECK_ROW(i, status.words, strstr(status.words, rows[i].words) != NULL);
        CHECK_ROW(i, rows[i].name, (world.told == 1) == rows[i].doubt);
        step(&world, split);
        CHECK_ROW(i, rows[i].name, (world.told == 1) == rows[i].doubt);
        if (rows[i].doubt) {
            assert_int_equal(world.kind, EVENT_ARM_DOUBT);
            split->kept.arms[1].weight = 0; /* stopped, or aborted */
            step(&world, split);
            assert_int_equal(world.kind, EVENT_ARM_SOUND);
        }
        guard_split_free(split);
        check_remove_folder(world.folder);
    }
}

static void compare(struct guard_split *split, int pairs, double second)
{
    const struct stats_anytime_pairs_options options = guard_split_pairs_options(split->split);
    for (int i = 0; i < pairs; i++)
        stats_anytime_pairs_add(&split->kept.pairs, &options, 0, second);
}

/* Expected: more word errors stop the arm once they are certain by the test of pairs and seen over
 * several clips. Before: they stopped nothing. */
static void test_word_errors_stop_the_arm(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t clips;
        uint64_t wrong;
        int pairs;
        bool full, dry_run, stopped;
    } rows[] = {
        {"rubbish", 8, 6, 40, false, false, true},
        {"rubbish, too few pairs", 8, 6, 3, false, false, false},
        {"rubbish, of three clips", 3, 6, 40, false, false, false},
        {"alike", 8, 0, 400, false, false, false},
        {"rubbish at 100 %", 8, 6, 40, true, false, true},
        {"rubbish, a dry run", 8, 6, 40, false, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world world;
        struct guard_status_split status;
        struct guard_split *split;
        if (rows[i].full) {
            split = open_full(&world, 2000);
        } else {
            world_begin(&world);
            world.setup.dry_run = rows[i].dry_run;
            split = open_split(&world);
        }
        split->kept.no_words[0] = '\0';
        hear(split, 0, rows[i].clips, 0);
        hear(split, 1, rows[i].clips, rows[i].wrong);
        compare(split, rows[i].pairs, (double)rows[i].wrong / 10);
        step(&world, split);
        guard_split_status(split, &status);
        const bool harm = rows[i].stopped || rows[i].dry_run;
        CHECK_ROW(i, rows[i].name, (status.arms[1].weight == 0) == rows[i].stopped);
        CHECK_ROW(i, status.verdict, (strcmp(status.verdict, "harm") == 0) == harm);
        CHECK_ROW(i, status.words, strstr(status.words, " of 200 needed, ") != NULL);
        if (harm)
            CHECK_ROW(i, world.last,
                      strstr(world.last, "harm: next makes more word errors than now on the same "
                                         "clips") != NULL);
        step(&world, split);
        guard_split_free(split);
        struct guard_split_kept kept = on_disk(&world);
        CHECK_ROW(i, rows[i].name, (kept.state == SPLIT_STOPPED) == rows[i].stopped);
        CHECK_ROW(i, rows[i].name, kept.by_words == rows[i].stopped && !kept.alone.harm);
        CHECK_ROW(i, rows[i].name, kept.pairs.pairs == (uint64_t)rows[i].pairs);
        guard_split_kept_done(&kept);
        check_remove_folder(world.folder);
    }
}

/* A person who begins anew begins with nothing against the arm: it may be another one by now. */
static void test_begun_anew_it_has_said_nothing(void **state)
{
    (void)state;
    struct world world;
    struct err err = ERR_INIT;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    hear(split, 0, 8, 0);
    hear(split, 1, 8, 6);
    compare(split, 40, 0.6);
    step(&world, split);
    guard_split_free(split);
    struct guard_split_kept kept = on_disk(&world);
    assert_true(kept.state == SPLIT_STOPPED && kept.by_words && guard_split_words_harm(&kept));
    const struct spec_split *of = &world.sample.front.split;
    assert_false(guard_split_order(&kept, of, SPLIT_ADVANCE, false, "anna", 7, &err));
    assert_true(guard_split_order(&kept, of, SPLIT_ADVANCE, true, "anna", 7, &err));
    assert_true(kept.state == SPLIT_RUNNING && !kept.by_words && kept.pairs.pairs == 0);
    assert_int_equal(guard_split_verdict(&kept, of), ANYTIME_UNDECIDED);
    assert_true(isnan(guard_split_wer(&kept.arms[1])));
    guard_split_kept_done(&kept);
    check_remove_folder(world.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_after_damage),
        cmocka_unit_test(test_a_full_disk_does_not_keep_an_arm),
        cmocka_unit_test(test_alone_it_is_held_to_what_the_first_was),
        cmocka_unit_test(test_alone_with_nothing_to_hold_it_to),
        cmocka_unit_test(test_word_errors_are_told),
        cmocka_unit_test(test_word_errors_stop_the_arm),
        cmocka_unit_test(test_begun_anew_it_has_said_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
