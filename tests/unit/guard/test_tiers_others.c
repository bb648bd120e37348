/* Tiers that others have a hand on, or that nobody has: a study, a promotion, who holds the
 * results, and one that died. */
#include "tiers_stage.h"

#include "check.h"

#include "guard/policy_record.h"
#include "held.h"
#include "host/journal.h"
#include "store/store.h"
#include "study/study.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { START_S = 30 };

static void put_pause(const char *folder, bool done, bool alive)
{
    AUTO(free) struct host_journal *journal = calloc(1, sizeof *journal);
    AUTO(free) char *path = host_journal_path(folder);
    struct err err = ERR_INIT;
    assert_non_null(journal);
    journal->done = done;
    journal->scope = HOST_SYSTEM;
    journal->count = 1;
    snprintf(journal->study, sizeof journal->study, "night");
    snprintf(journal->folder, sizeof journal->folder, "%s", folder);
    snprintf(journal->units[0].name, sizeof journal->units[0].name, "b.service");
    journal->units[0].was_up = true;
    journal->units[0].start_within_ns = START_S * NS_PER_S;
    assert_true(host_process_read(getpid(), &journal->owner));
    if (!alive)
        journal->owner.start_ticks++; /* one that had this number before us */
    if (!host_journal_write(path, journal, &err))
        fail_msg("%s", err.text);
}

static size_t times(const struct world *w, const char *words)
{
    size_t count = 0;
    for (const char *at = strstr(w->told, words); at; at = strstr(at + 1, words))
        count++;
    return count;
}

/* Expected: what a study has stopped is left to it, and nothing else of that front is started; said
 * once. Before: it was started again, into the measurement. */
static void test_a_study_has_stopped_a_tier(void **state)
{
    (void)state;
    struct world w;
    char *folder = check_make_folder(), results[300];
    snprintf(results, sizeof results, "%s/s.spica", folder);
    world_begin_as(&w, two_fronts, results);
    total_bytes = 8000 * MIB;
    step(&w, 5);
    put_pause(results, false, true);
    w.now_ns -= NS_PER_S * 9 / 10; /* a tick of 100 ms */
    step(&w, 1);
    assert_true(the_units[0]->held && the_units[0]->paused);
    assert_true(the_units[1]->held && !the_units[1]->paused);
    assert_true(!the_units[2]->held && !the_units[2]->paused);
    wish_up(&w);
    step(&w, 100);
    assert_int_equal(the_units[0]->power, TIER_OFF);
    assert_int_equal(the_units[2]->power, TIER_ON); /* another front's */
    assert_int_equal(the_starts, 1);
    assert_int_equal(times(&w, "0 the study night has stopped base for a while: no tier is started "
                               "or stopped until that is over\n"),
                     1);
    assert_true(guard_tiers_records(w.tiers)->items[0].input.frozen ||
                guard_tiers_records(w.tiers)->items[1].input.frozen);
    put_pause(results, true, true);
    step(&w, 1);
    assert_int_equal(times(&w, "0 tiers are started and stopped again\n"), 1);
    char text[240];
    assert_true(guard_tiers_wish(w.tiers, 0, ACTION_TIER_UP, text, sizeof text));
    step(&w, 2);
    assert_int_equal(the_units[0]->power, TIER_STARTING);
    world_end(&w);
    check_remove_folder(folder);
}

/* Expected: what a person has drained is not used and not started, which is said once, until a
 * person says that it is ready. Before: guard took it as its own and had it ready again. */
static void test_a_person_has_drained_a_tier(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    total_bytes = 8000 * MIB;
    step(&w, 5);
    by_hand[0][0] = true;
    wish_up(&w);
    step(&w, 100);
    assert_int_equal(the_units[0]->power, TIER_OFF);
    assert_int_equal(the_units[2]->power, TIER_ON); /* another front's */
    assert_int_equal(times(&w, "0 base was drained by hand: neither used nor started until \"spica "
                               "proxy STUDY ready stt base\"\n"),
                     1);
    by_hand[0][0] = false;
    char text[240];
    assert_true(guard_tiers_wish(w.tiers, 0, ACTION_TIER_UP, text, sizeof text));
    step(&w, 20);
    assert_string_equal(the_tiers[0], "base");
    assert_int_equal(times(&w, "0 base is no longer drained by hand: it may be used\n"), 1);
    by_hand[0][0] = true; /* the one that takes requests */
    step(&w, 5);
    assert_string_equal(the_tiers[0], "tiny");
    assert_int_equal(times(&w, "0 base was drained by hand"), 2);
    world_end(&w);
}

/* It was killed: the restorer has its time, and then nobody comes. */
static void test_the_study_is_gone(void **state)
{
    (void)state;
    struct world w;
    char *folder = check_make_folder(), results[300];
    snprintf(results, sizeof results, "%s/s.spica", folder);
    put_pause(results, false, false);
    world_begin_as(&w, two_fronts, results);
    step(&w, START_S);
    assert_true(the_units[0]->held && the_units[0]->paused);
    step(&w, 3);
    assert_true(!the_units[0]->held && !the_units[0]->paused);
    world_end(&w);
    check_remove_folder(folder);
}

static void test_a_promotion_is_under_way(void **state)
{
    (void)state;
    struct world w;
    go_up(&w); /* memory is missing */
    guard_tiers_promoting(w.tiers, true);
    step(&w, 50);
    assert_int_equal(the_drains, 0);
    assert_true(the_units[0]->held && the_units[3]->held && !the_units[0]->paused);
    assert_int_equal(times(&w, "1 a promotion is under way: no tier is started or stopped until "
                               "that is over\n"),
                     1);
    guard_tiers_promoting(w.tiers, false);
    step(&w, 1);
    assert_int_equal(the_drains, 1);
    world_end(&w);
}

/* Expected: one that is to run always and has died is an alarm of its service, unless `watch:`
 * names it; one that may be off is none. Before: a line. */
static void test_one_that_died(void **state)
{
    (void)state;
    static const struct {
        const char *name, *guard;
        size_t unit;
        bool told;
    } rows[] = {{"resident", two_fronts, 1, true},
                {"not resident", two_fronts, 0, false},
                {"watched", watched, 1, false},
                {"another service's", watched, 3, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        world_begin_as(&w, rows[i].guard, NULL);
        the_units[rows[i].unit]->death = DEATH_SEEN;
        step(&w, 60);
        CHECK_ROW(i, rows[i].name, w.kinds[EVENT_ARM_DOUBT] == 0);
        step(&w, 60);
        CHECK_ROW(i, rows[i].name, w.kinds[EVENT_ARM_DOUBT] == rows[i].told);
        CHECK_ROW(i, w.told,
                  !rows[i].told ||
                      strstr(w.told, rows[i].unit == 1
                                         ? "0 tiny is down and does not come back: t.service is "
                                           "failed, or restarts again and again\n"
                                         : "1 tiny is down and does not come back: d.service is "
                                           "failed, or restarts again and again\n"));
        the_units[rows[i].unit]->death = DEATH_NONE;
        step(&w, 5);
        CHECK_ROW(i, rows[i].name, w.kinds[EVENT_ARM_SOUND] == rows[i].told);
        world_end(&w);
    }
}

/* Expected: what could not be read at first is read once it can be; who waits makes nothing before.
 * Before: "no measurements", for good. */
static void test_results_that_somebody_holds(void **state)
{
    (void)state;
    struct world w;
    struct store *store = NULL;
    struct err err = ERR_INIT;
    char *folder = check_make_folder();
    AUTO(free) char *path = study_store_path(folder);
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    store_close(store);
    sqlite3 *holder = check_hold_database(path);
    world_begin_as(&w, two_fronts, folder);
    assert_false(guard_tiers_are_read(w.tiers));
    w.options.waits = true;
    assert_null(guard_tiers_new(&w.options));
    step(&w, 3);
    assert_non_null(strstr(w.told, "no measurements: "));
    w.running.index[0] = 1;
    assert_false(guard_tiers_follow(w.tiers, &w.running));
    assert_int_equal(the_followed.index[0], 0);
    w.told[0] = '\0';
    step(&w, 3);
    assert_string_equal(w.told, ""); /* what is known stays */
    sqlite3_close(holder);
    assert_true(guard_tiers_follow(w.tiers, &w.running));
    assert_true(guard_tiers_are_read(w.tiers));
    assert_int_equal(the_followed.index[0], 1);
    step(&w, 3);
    assert_non_null(strstr(w.told, "not measured"));
    assert_null(strstr(w.told, "no measurements: "));
    the_count = 0; /* others' units */
    struct guard_tiers *waited = guard_tiers_new(&w.options);
    assert_true(waited && guard_tiers_are_read(waited));
    guard_tiers_free(waited);
    world_end(&w);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_study_has_stopped_a_tier),
        cmocka_unit_test(test_a_person_has_drained_a_tier),
        cmocka_unit_test(test_the_study_is_gone),
        cmocka_unit_test(test_a_promotion_is_under_way),
        cmocka_unit_test(test_one_that_died),
        cmocka_unit_test(test_results_that_somebody_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
