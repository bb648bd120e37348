/* What was stopped on purpose is put aside; what ended by itself is down. */
#include "check.h"

#include "guard/watch_aside.h"
#include "judged.h"

#include "base/auto.h"
#include "base/clock.h"
#include "host/journal.h"

#include <string.h>
#include <unistd.h>

/* ---- a tier's power ---- */

static void test_steps(void **state)
{
    static const struct {
        const char *name;
        enum guard_tier_power powers[8];
        size_t count;
        enum guard_aside_tier at_end;
    } rows[] = {
        {"off since guard began", {TIER_OFF}, 1, ASIDE_STOPPED},
        {"on", {TIER_OFF, TIER_ON}, 2, ASIDE_NO},
        {"it ended by itself", {TIER_ON, TIER_OFF}, 2, ASIDE_NO},
        {"guard drains it", {TIER_ON, TIER_DRAINING}, 2, ASIDE_YES},
        {"stopped by guard", {TIER_ON, TIER_DRAINING, TIER_STOPPING, TIER_OFF}, 4, ASIDE_YES},
        {"it could not be stopped", {TIER_DRAINING, TIER_STOPPING, TIER_ON}, 3, ASIDE_NO},
        {"it takes requests again", {TIER_ON, TIER_DRAINING, TIER_ON}, 3, ASIDE_NO},
        {"started again", {TIER_STOPPING, TIER_OFF, TIER_STARTING}, 3, ASIDE_YES},
        {"and warm", {TIER_OFF, TIER_STARTING, TIER_WARMING}, 3, ASIDE_YES},
        {"and on", {TIER_OFF, TIER_STARTING, TIER_WARMING, TIER_ON}, 4, ASIDE_NO},
        {"it did not come", {TIER_OFF, TIER_STARTING, TIER_FAILED}, 3, ASIDE_NO},
        {"nor again", {TIER_STARTING, TIER_FAILED, TIER_STARTING, TIER_WARMING}, 4, ASIDE_NO},
        {"restarted by somebody", {TIER_ON, TIER_WARMING}, 2, ASIDE_NO},
        {"ended, and is started", {TIER_ON, TIER_OFF, TIER_STARTING}, 3, ASIDE_NO},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum guard_aside_tier aside = ASIDE_STOPPED;
        for (size_t k = 0; k < rows[i].count; k++)
            aside = guard_aside_step(aside, rows[i].powers[k]);
        CHECK_ROW(i, rows[i].name, aside == rows[i].at_end);
    }
}

/* ---- which tier is watched ---- */

#define TIERS(units)                                                                               \
    "  fronts: {stt: {port: 8078, keep: \"p95 < 300ms\", tiers: {base: {" units                    \
    "port: 8000, values: {model: base}}, tiny: {port: 8102, values: {model: tiny}}}}}\n"

static void test_whose(void **state)
{
    static const struct {
        const char *name, *guard;
        bool found;
    } rows[] = {
        {"its unit", TIERS("unit: w.service, "), true},
        {"its unit, short", TIERS("unit: w, "), true},
        {"resident: not guard's to stop", TIERS("unit: w, resident: true, "), false},
        {"another's", TIERS("unit: w2.service, "), false},
        {"another manager's", TIERS("unit: w, user: true, "), false},
        {"no unit", TIERS(""), false},
        {"nothing is kept",
         "  fronts: {stt: {port: 8078, tiers: {base: {unit: w, port: 8000}, "
         "tiny: {port: 8102}}}}\n",
         false},
        {"no front", "  every: 1s\n", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judged *j = judged_new(rows[i].guard);
        const struct spec_tier *tier = guard_aside_tier_of(j->study, 0);
        CHECK_ROW(i, rows[i].name, (tier != NULL) == rows[i].found);
        CHECK_ROW(i, rows[i].name, !tier || strcmp(tier->name, "base") == 0);
        judged_free(j);
    }
}

/* ---- a look ---- */

static const struct spec_watch watch = {.kind = WATCH_UNIT, .unit = "w.service"};
enum { READY_S = 60, START_S = 30 };

static enum guard_presence look(struct guard_aside *aside, const char *folder, int64_t s,
                                enum guard_presence presence, bool stopped, char why[160])
{
    struct guard_life life = {
        .presence = presence, .stopped = stopped, .why = "w.service is inactive (dead)"};
    guard_aside_look(aside, &watch, folder, READY_S * NS_PER_S, s * NS_PER_S, &life);
    assert_true(life.aside == (life.presence == PRESENCE_UNKNOWN && presence != life.presence));
    memcpy(why, life.why, sizeof life.why);
    return life.presence;
}

static void test_looks(void **state)
{
    static const struct {
        enum guard_aside_tier tier;
        enum guard_presence presence;
        bool stopped, aside;
    } rows[] = {
        {ASIDE_NO, PRESENCE_DOWN, true, false},         {ASIDE_STOPPED, PRESENCE_DOWN, true, true},
        {ASIDE_STOPPED, PRESENCE_DOWN, false, false}, /* it failed */
        {ASIDE_STOPPED, PRESENCE_COMING, false, false}, {ASIDE_YES, PRESENCE_DOWN, true, true},
        {ASIDE_YES, PRESENCE_DOWN, false, true}, /* many servers end so when they are stopped */
        {ASIDE_YES, PRESENCE_COMING, false, true},      {ASIDE_YES, PRESENCE_UP, false, false},
        {ASIDE_YES, PRESENCE_UNKNOWN, false, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_aside aside = {.tier = rows[i].tier, .tier_name = "base"};
        char why[160];
        enum guard_presence seen = look(&aside, NULL, 1, rows[i].presence, rows[i].stopped, why);
        CHECK_ROW(i, why, seen == (rows[i].aside ? PRESENCE_UNKNOWN : rows[i].presence));
        CHECK_ROW(i, why, (strstr(why, "put aside, the tier base") != NULL) == rows[i].aside);
    }
}

/* ---- a study's pause ---- */

static void put_owned(const char *folder, const char *unit, enum host_scope scope, bool done,
                      bool alive)
{
    AUTO(free) struct host_journal *journal = calloc(1, sizeof *journal);
    AUTO(free) char *path = host_journal_path(folder);
    struct err err = ERR_INIT;
    assert_non_null(journal);
    journal->done = done;
    journal->scope = scope;
    journal->count = 1;
    snprintf(journal->study, sizeof journal->study, "night");
    snprintf(journal->folder, sizeof journal->folder, "%s", folder);
    snprintf(journal->units[0].name, sizeof journal->units[0].name, "%s", unit);
    journal->units[0].was_up = true;
    journal->units[0].start_within_ns = START_S * NS_PER_S;
    assert_true(host_process_read(getpid(), &journal->owner));
    if (!alive)
        journal->owner.start_ticks++; /* one that had this number before us */
    if (!host_journal_write(path, journal, &err))
        fail_msg("%s", err.text);
}

static void put_journal(const char *folder, const char *unit, enum host_scope scope, bool done)
{
    put_owned(folder, unit, scope, done, true);
}

static void test_paused(void **state)
{
    (void)state;
    char *folder = check_make_folder(), results[300], why[160];
    struct guard_aside aside = {0};
    snprintf(results, sizeof results, "%s/s.spica", folder);
    assert_int_equal(look(&aside, results, 1, PRESENCE_DOWN, true, why), PRESENCE_DOWN);
    put_journal(results, "other.service", HOST_SYSTEM, false);
    assert_int_equal(look(&aside, results, 3, PRESENCE_DOWN, true, why), PRESENCE_DOWN);
    put_journal(results, "w.service", HOST_USER, false);
    assert_int_equal(look(&aside, results, 5, PRESENCE_DOWN, true, why), PRESENCE_DOWN);
    put_journal(results, "w.service", HOST_SYSTEM, false);
    assert_int_equal(look(&aside, results, 7, PRESENCE_DOWN, true, why), PRESENCE_UNKNOWN);
    assert_non_null(strstr(why, "put aside by the study night: w.service is inactive"));
    assert_int_equal(look(&aside, results, 7200, PRESENCE_DOWN, false, why), PRESENCE_UNKNOWN);
    /* Started again; it loads its model. */
    put_journal(results, "w.service", HOST_SYSTEM, true);
    assert_int_equal(look(&aside, results, 7202, PRESENCE_DOWN, true, why), PRESENCE_UNKNOWN);
    assert_int_equal(look(&aside, results, 7220, PRESENCE_COMING, false, why), PRESENCE_UNKNOWN);
    assert_int_equal(look(&aside, results, 7221, PRESENCE_DOWN, false, why), PRESENCE_DOWN);
    assert_int_equal(look(&aside, results, 7300, PRESENCE_COMING, false, why), PRESENCE_COMING);
    assert_int_equal(look(&aside, results, 7301, PRESENCE_UP, false, why), PRESENCE_UP);
    assert_int_equal(look(&aside, results, 7302, PRESENCE_DOWN, true, why), PRESENCE_DOWN);
    check_remove_folder(folder);
}

/* Before: what a study had stopped was put aside for as long as its journal was there, by a study
 * that was killed, or whose unit did not come up again, for good. */
static void test_the_study_is_gone(void **state)
{
    static const struct {
        const char *name;
        int64_t s; /* since the study's end was seen */
        enum guard_presence presence;
        bool stopped, aside;
    } rows[] = {
        {"the restorer's turn", 0, PRESENCE_DOWN, true, true},
        {"it takes its time", START_S, PRESENCE_DOWN, true, true},
        {"nobody has started it", START_S + 1, PRESENCE_DOWN, true, false},
        {"it ended badly when it was stopped", 9, PRESENCE_DOWN, false, true},
        {"it has failed", 11, PRESENCE_DOWN, false, false},
        {"it loads", READY_S, PRESENCE_COMING, false, true},
        {"it does not come", READY_S + 1, PRESENCE_COMING, false, false},
        {"weeks later", 1814400, PRESENCE_DOWN, true, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder(), results[300], why[160];
        struct guard_aside aside = {0};
        snprintf(results, sizeof results, "%s/s.spica", folder);
        put_journal(results, "w.service", HOST_SYSTEM, false);
        assert_int_equal(look(&aside, results, 1, PRESENCE_DOWN, false, why), PRESENCE_UNKNOWN);
        put_owned(results, "w.service", HOST_SYSTEM, false, false);
        assert_int_equal(look(&aside, results, 100, PRESENCE_DOWN, true, why), PRESENCE_UNKNOWN);
        const enum guard_presence seen =
            look(&aside, results, 100 + rows[i].s, rows[i].presence, rows[i].stopped, why);
        CHECK_ROW(i, rows[i].name, seen == (rows[i].aside ? PRESENCE_UNKNOWN : rows[i].presence));
        /* Started by hand, it is nobody's that it ends again. */
        assert_int_equal(look(&aside, results, 1814401, PRESENCE_UP, false, why), PRESENCE_UP);
        assert_int_equal(look(&aside, results, 1814402, PRESENCE_DOWN, true, why), PRESENCE_DOWN);
        /* And the next study's pause is one. */
        put_journal(results, "w.service", HOST_SYSTEM, false);
        assert_int_equal(look(&aside, results, 1814404, PRESENCE_DOWN, true, why),
                         PRESENCE_UNKNOWN);
        check_remove_folder(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_whose),
        cmocka_unit_test(test_looks),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_the_study_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
