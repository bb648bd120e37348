/* Rules of the study file, from ticks to decisions: the words, the times, what is done and what is
 * withheld, and that the unknown is neither an alarm nor fine. */
#include "check.h"

#include "judged.h"

#include "base/auto.h"

#include <math.h>

#define SLOW                                                                                       \
    "  rules:\n"                                                                                   \
    "    - {name: slow speech, when: stt.latency.p95 > 300ms, for: 30s,\n"                         \
    "       until: stt.latency.p95 < 250ms, clear: 20s, cool_down: 5m, do: [notify, restart]}\n"
#define ACT "  act: {notify: {per_hour: 20}, restart: {per_hour: 2}}\n"
enum { NOTIFY = 1 << ACTION_NOTIFY, RESTART = 1 << ACTION_RESTART };

static void tells(void **state)
{
    (void)state;
    struct judged *j = judged_new(SLOW ACT);
    judged_set(j, "stt.latency.p50", 0.1); /* else "no data" would be told */
    judged_set(j, "llm.latency.p50", 0.1);
    judged_set(j, "stt.latency.p95", 0.2);
    judged_steps(j, 5);
    assert_int_equal(judged_state(j, "slow speech", NULL), STATE_FINE);
    judged_set_count(j, "stt.latency.p95", 0.412, 57);
    judged_steps(j, 30);
    char text[240];
    assert_int_equal(judged_state(j, "slow speech", text), STATE_PENDING);
    assert_string_equal(text,
                        "stt.latency.p95 412 ms of 57 requests > 300 ms, for 29.0 s of 30.0 s");
    assert_int_equal(judged_count(j, "slow speech"), 0);
    judged_step(j);
    const struct guard_decision *d = judged_only(j, "slow speech");
    assert_string_equal(d->text, "stt.latency.p95 412 ms of 57 requests > 300 ms for 30.0 s: slow "
                                 "speech; notify (1 of 20 this hour), restart (1 of 2 this hour); "
                                 "over when stt.latency.p95 < 250ms for 20.0 s");
    assert_int_equal(d->actions, NOTIFY | RESTART);
    assert_int_equal(d->withheld, 0);
    assert_int_equal(d->service, 0);
    assert_int_equal(d->from, STATE_PENDING);
    assert_int_equal(d->to, STATE_ALARM);
    /* between the two thresholds it stays an alarm */
    judged_clear(j);
    judged_set(j, "stt.latency.p95", 0.28);
    judged_steps(j, 20);
    assert_int_equal(judged_state(j, "slow speech", NULL), STATE_ALARM);
    judged_set(j, "stt.latency.p95", 0.2);
    judged_steps(j, 20);
    assert_int_equal(judged_state(j, "slow speech", text), STATE_CLEARING);
    assert_string_equal(text, "stt.latency.p95 200 ms of 100 requests (not stt.latency.p95 > "
                              "300ms), over for 19.0 s of 20.0 s");
    assert_int_equal(judged_count(j, "slow speech"), 0);
    judged_step(j);
    d = judged_only(j, "slow speech");
    assert_string_equal(d->text, "stt.latency.p95 200 ms of 100 requests (not stt.latency.p95 > "
                                 "300ms): slow speech is over after 41.0 s; notify (2 of 20 this "
                                 "hour)");
    assert_int_equal(d->to, STATE_FINE);
    judged_free(j);
}

/* One sample that does not hold, or that nobody knows, and the time begins anew. */
static void needs_no_break(void **state)
{
    static const double breaks[] = {0.1, NAN};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
        struct judged *j = judged_new(SLOW ACT);
        for (int n = 0; n < 5; n++) {
            judged_set(j, "stt.latency.p95", 0.4);
            judged_steps(j, 29);
            judged_set(j, "stt.latency.p95", breaks[i]);
            judged_step(j);
        }
        assert_int_equal(judged_count(j, "slow speech"), 0);
        judged_free(j);
    }
}

/* No data is not fine, no alarm, and is said once a window has passed. */
static void knows_nothing(void **state)
{
    (void)state;
    struct judged *j = judged_new(SLOW ACT);
    judged_set_count(j, "stt.latency.p95", 0.9, 19);
    judged_steps(j, 60);
    char text[240];
    assert_int_equal(judged_state(j, "slow speech", text), STATE_NO_DATA);
    assert_string_equal(text, "stt.latency.p95 stands on 19 of at least 20");
    assert_int_equal(judged_count(j, "slow speech"), 0);
    judged_steps(j, 600);
    const struct guard_decision *d = judged_only(j, "slow speech");
    assert_int_equal(d->to, STATE_NO_DATA);
    assert_int_equal(d->actions | d->withheld, 0);
    assert_string_equal(d->text, "stt.latency.p95 stands on 19 of at least 20 for 60.0 s: slow "
                                 "speech can't be judged; that is no sign of health");
    judged_clear(j);
    judged_set(j, "stt.latency.p95", 0.1);
    judged_steps(j, 3);
    assert_string_equal(judged_only(j, "slow speech")->text,
                        "stt.latency.p95 100 ms of 100 requests (not stt.latency.p95 > 300ms): "
                        "slow speech can be judged again, and is fine");
    judged_free(j);
}

/* An alarm of which nothing is known any more is none after a window, and is not over either. */
static void loses_sight(void **state)
{
    (void)state;
    struct judged *j = judged_new(SLOW ACT);
    judged_set(j, "stt.latency.p95", 0.4);
    judged_steps(j, 31);
    judged_clear(j);
    judged_set(j, "stt.latency.p95", NAN);
    judged_steps(j, 60);
    assert_int_equal(judged_state(j, "slow speech", NULL), STATE_ALARM);
    judged_step(j);
    const struct guard_decision *d = judged_only(j, "slow speech");
    assert_int_equal(d->from, STATE_ALARM);
    assert_int_equal(d->to, STATE_NO_DATA);
    judged_steps(j, 300);
    assert_int_equal(judged_count(j, "slow speech"), 1);
    judged_free(j);
}

static void does_only_what_is_named(void **state)
{
    (void)state;
    struct judged *j = judged_new(SLOW);
    judged_set(j, "stt.latency.p95", 0.4);
    judged_steps(j, 31);
    const struct guard_decision *d = judged_only(j, "slow speech");
    assert_int_equal(d->actions, 0);
    assert_int_equal(d->withheld, NOTIFY | RESTART);
    assert_string_equal(d->text, "stt.latency.p95 400 ms of 100 requests > 300 ms for 30.0 s: slow "
                                 "speech; notify withheld: not named under act, restart withheld: "
                                 "not named under act; over when stt.latency.p95 < 250ms for 20.0 "
                                 "s");
    judged_steps(j, 4000); /* said once */
    assert_int_equal(judged_count(j, "slow speech"), 1);
    judged_free(j);
}

/* A service that stays down: again after its back-off, which doubles, and never over the limit. */
static void backs_off(void **state)
{
    static const int64_t at_s[] = {0, 60, 180, 420, 900};
    (void)state;
    struct judged *j = judged_new("  rules: [{name: gone, when: stt.up == 0, do: restart}]\n"
                                  "  act: {restart: {per_hour: 100, back_off: 1m}}\n");
    const int64_t began_s = j->now_s;
    judged_set(j, "stt.up", 0);
    size_t found = 0;
    while (found < ARRAY_LEN(at_s)) {
        judged_clear(j);
        judged_step(j);
        for (size_t i = 0; i < j->told_count; i++)
            if (j->told[i].actions & RESTART)
                assert_int_equal(j->now_s - 1 - began_s, at_s[found++]);
    }
    judged_free(j);
}

static void keeps_to_the_hour(void **state)
{
    (void)state;
    struct judged *j = judged_new("  rules: [{name: gone, when: stt.up == 0, do: restart}]\n"
                                  "  act: {restart: {per_hour: 2, back_off: 1m}}\n");
    int64_t times[64];
    size_t count = 0;
    judged_set(j, "stt.up", 0);
    for (int n = 0; n < 20000; n++) {
        judged_clear(j);
        judged_step(j);
        for (size_t i = 0; i < j->told_count; i++)
            if (j->told[i].actions & RESTART)
                times[count++] = j->now_s;
    }
    assert_in_range(count, 4, 12);
    for (size_t i = 2; i < count; i++)
        assert_true(times[i] - times[i - 2] >= 3600);
    judged_free(j);
}

/* After it was over, an alarm is told at once and acted upon only after its cool-down. */
static void cools_down(void **state)
{
    (void)state;
    struct judged *j =
        judged_new("  rules: [{name: gone, when: llm.up == 0, cool_down: 5m, do: notify}]\n" ACT);
    judged_set(j, "llm.up", 0);
    judged_steps(j, 2);
    judged_set(j, "llm.up", 1);
    judged_steps(j, 2);
    judged_clear(j);
    judged_set(j, "llm.up", 0);
    judged_steps(j, 2);
    const struct guard_decision *d = judged_only(j, "gone");
    assert_int_equal(d->actions, 0);
    assert_int_equal(d->withheld, NOTIFY);
    assert_non_null(strstr(d->text, "notify withheld: cools down for another 4 min 58 s"));
    judged_clear(j);
    judged_steps(j, 400);
    d = judged_only(j, "gone");
    assert_int_equal(d->from, STATE_ALARM);
    assert_int_equal(d->to, STATE_ALARM);
    assert_int_equal(d->actions, NOTIFY);
    judged_free(j);
}

/* A healthy service would not come back. */
static void waits_for_the_driver(void **state)
{
    static const struct {
        const char *fault, *xid;
        bool withheld;
        const char *then; /* in the same tick */
    } rows[] = {
        {"lost", NULL, true},
        {"mismatch", NULL, true},
        {"none", NULL, false},
        {NULL, "NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.", true},
        {NULL, "NVRM: Xid (PCI:0000:44:00): 31, pid=7, MMU Fault", false},
        /* Before: the last one was believed, and those of the dying processes come after it. */
        {NULL, "gpu0 (0000:44:00): Xid 79: off the bus", true, "gpu0 (0000:44:00): Xid 31: pid=7"},
        {NULL, "gpu0 (0000:44:00): Xid 31: pid=7", true, "gpu0 (0000:44:00): Xid 79: off the bus"},
        {NULL, "gpu0 (0000:44:00): Xid 48", true, "gpu0 (0000:44:00): Xid 63"},
        {NULL, "gpu0 (0000:44:00): Xid 31", false, "gpu0 (0000:44:00): Xid 45"},
        /* Before: another card's was the first GPU's. */
        {NULL, "a card of no service here (0000:55:00): Xid 79: off the bus", false, NULL},
        {NULL, "gpu0 or a card of no service (0000:55:00): Xid 79: off the bus", true, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judged *j =
            judged_new("  rules: [{name: gone, when: stt.up == 0, do: restart}]\n" ACT);
        judged_set(j, "stt.up", 0);
        judged_set_word(j, "gpu0.fault", rows[i].fault);
        if (rows[i].xid)
            judged_event(j, EVENT_XID, -1, rows[i].xid);
        if (rows[i].then)
            judged_event(j, EVENT_XID, -1, rows[i].then);
        judged_step(j);
        const struct guard_decision *d = judged_only(j, "gone");
        CHECK_ROW(i, d->text, (d->withheld == RESTART) == rows[i].withheld);
        CHECK_ROW(i, d->text, (d->actions == RESTART) != rows[i].withheld);
        if (rows[i].withheld)
            CHECK_ROW(i, d->text, strstr(d->text, ": it would not come back") != NULL);
        judged_free(j);
    }
}

/* Nor would what was promoted: a rollback stops and starts it, whatever the rule is about. */
static void rolls_nothing_back_without_a_driver(void **state)
{
    static const struct {
        const char *rule, *fault;
        bool withheld;
    } rows[] = {
        {"  rules: [{name: gone, when: stt.up == 0, do: rollback}]\n", "lost", true},
        {"  rules: [{name: gone, when: stt.up == 0, do: rollback}]\n", "mismatch", true},
        {"  rules: [{name: gone, when: stt.up == 0, do: rollback}]\n", "none", false},
        {"  rules: [{name: gone, when: gpu0.memory.used > 1GiB, do: rollback}]\n", "lost", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        buf_addf(&text, "%s  act: {rollback: {per_hour: 1}}\n", rows[i].rule);
        struct judged *j = judged_new(buf_text(&text));
        judged_set(j, "stt.up", 0);
        if (i == 3)
            judged_set(j, "gpu0.memory.used", 2e9);
        judged_set_word(j, "gpu0.fault", rows[i].fault);
        judged_step(j);
        const struct guard_decision *d = judged_only(j, "gone");
        CHECK_ROW(i, d->text, (d->withheld == 1u << ACTION_ROLLBACK) == rows[i].withheld);
        CHECK_ROW(i, d->text, (d->actions == 1u << ACTION_ROLLBACK) != rows[i].withheld);
        judged_free(j);
    }
}

/* A tier's effect fills a window only later. */
static void steps_down_again(void **state)
{
    (void)state;
    struct judged *j = judged_new(
        "  rules: [{name: slow, when: stt.latency.p95 > 300ms, for: 5s, do: tier-down}]\n"
        "  act: {tier-down: }\n"
        "  fronts: {stt: {port: 8089, tiers: {base: {port: 1}, tiny: {port: 2}, c: {port: 3}}}}\n");
    int64_t times[16];
    size_t count = 0;
    judged_set(j, "stt.latency.p95", 0.4);
    for (int n = 0; n < 200; n++) {
        judged_clear(j);
        judged_step(j);
        for (size_t i = 0; i < j->told_count; i++)
            if (j->told[i].actions & (1u << ACTION_TIER_DOWN))
                times[count++] = j->now_s;
    }
    assert_int_equal(count, 4);
    for (size_t i = 1; i < count; i++)
        assert_int_equal(times[i] - times[i - 1], 60);
    judged_free(j);
}

/* Expressions of several figures show them all. */
static void says_all(void **state)
{
    (void)state;
    struct judged *j = judged_new(
        "  rules: [{name: tight, when: gpu0.memory.free < 1GiB and stt.growth > 1MiB/min}]\n");
    judged_set(j, "gpu0.memory.free", 512 << 20);
    judged_set(j, "stt.growth", 200000);
    judged_step(j);
    assert_string_equal(judged_only(j, "tight")->text,
                        "stt.growth 11.4 MiB/min, gpu0.memory.free 512 MiB (gpu0.memory.free < "
                        "1GiB and stt.growth > 1MiB/min): tight; no action is named; over when not "
                        "gpu0.memory.free < 1GiB and stt.growth > 1MiB/min");
    judged_free(j);
}

/* When all comes at once the gravest are told first, and get what is left of the hour's limit.
 * Before: the last of the built-in table was first, and told in the place of the file's own rule.
 */
static void test_gravest_first(void **state)
{
    (void)state;
    static const char *const order[] = {"gone", "down", "clock stepped", "neighbour changed"};
    struct judged *j = judged_new("  rules: [{name: gone, when: stt.up == 0, do: notify}]\n"
                                  "  act: {notify: {per_hour: 2}}\n");
    judged_set(j, "stt.up", 1);
    judged_steps(j, 5);
    judged_clear(j);
    judged_set(j, "stt.up", 0);
    judged_event(j, EVENT_NEIGHBOUR, -1, "ollama came");
    judged_event(j, EVENT_CLOCK_STEP, -1, "3600 s forward");
    judged_event(j, EVENT_DOWN, 0, "w.service failed");
    judged_step(j);
    assert_int_equal(j->told_count, ARRAY_LEN(order));
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        CHECK_ROW(i, j->told[i].rule, strcmp(j->told[i].rule, order[i]) == 0);
        CHECK_ROW(i, j->told[i].text, (j->told[i].actions == NOTIFY) == (i < 2));
        CHECK_ROW(i, j->told[i].text, j->told[i].severity == (i < 2 ? 2 : 1));
    }
    judged_free(j);
}

/* Before: two refusals used up the hour, and the back-off doubled with each. */
static void test_refused(void **state)
{
    (void)state;
    struct judged *j = judged_new("  rules: [{name: gone, when: stt.up == 0, do: restart}]\n"
                                  "  act: {restart: {per_hour: 2, back_off: 1m}}\n");
    judged_set(j, "stt.up", 0);
    for (int i = 0; i < 6; i++) {
        judged_clear(j);
        judged_step(j);
        assert_true(judged_only(j, "gone")->actions == RESTART);
        CHECK_ROW(i, judged_only(j, "gone")->text,
                  strstr(judged_only(j, "gone")->text, "restart (1 of 2 this hour)"));
        guard_judge_refused(j->judge, ACTION_RESTART, 0);
        judged_clear(j);
        judged_steps(j, 59);
        assert_int_equal(judged_count(j, "gone"), 0);
    }
    judged_free(j);
}

/* Before: it counted as the hour's one and was never asked for again, though the alarm stood. */
static void test_refused_rollback(void **state)
{
    (void)state;
    const uint32_t rollback = 1u << ACTION_ROLLBACK;
    struct judged *j = judged_new("  rules: [{name: other, when: llm.up == 0, do: rollback},\n"
                                  "          {name: gone, when: stt.up == 0, do: rollback}]\n"
                                  "  act: {rollback: {per_hour: 1}}\n");
    judged_set(j, "stt.up", 0);
    for (int i = 0; i < 4; i++) {
        judged_clear(j);
        judged_step(j);
        const struct guard_decision *d = judged_only(j, "gone");
        CHECK_ROW(i, d->text, d->actions == rollback);
        CHECK_ROW(i, d->text, strstr(d->text, "rollback (1 of 1 this hour)") != NULL);
        guard_judge_refused(j->judge, ACTION_ROLLBACK, -1);
        judged_clear(j);
        judged_steps(j, 59);
        assert_int_equal(judged_count(j, "gone"), 0);
    }
    judged_step(j); /* this one is done */
    judged_clear(j);
    judged_steps(j, 4000);
    assert_int_equal(judged_count(j, "gone"), 0);
    judged_set(j, "llm.up", 0); /* another's refusal is not this one's */
    judged_step(j);
    assert_int_equal(judged_only(j, "other")->actions, rollback);
    guard_judge_refused(j->judge, ACTION_ROLLBACK, -1);
    judged_steps(j, 100);
    assert_int_equal(judged_count(j, "gone"), 0);
    assert_int_equal(judged_count(j, "other"), 2);
    guard_judge_refused(j->judge, ACTION_ROLLBACK, -1);
    judged_set(j, "llm.up", 1); /* what is over is owed no more */
    judged_steps(j, 10);
    judged_clear(j);
    judged_steps(j, 4000);
    assert_int_equal(judged_count(j, "other"), 0);
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells),
        cmocka_unit_test(needs_no_break),
        cmocka_unit_test(knows_nothing),
        cmocka_unit_test(loses_sight),
        cmocka_unit_test(does_only_what_is_named),
        cmocka_unit_test(backs_off),
        cmocka_unit_test(keeps_to_the_hour),
        cmocka_unit_test(cools_down),
        cmocka_unit_test(waits_for_the_driver),
        cmocka_unit_test(rolls_nothing_back_without_a_driver),
        cmocka_unit_test(steps_down_again),
        cmocka_unit_test(says_all),
        cmocka_unit_test(test_gravest_first),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
