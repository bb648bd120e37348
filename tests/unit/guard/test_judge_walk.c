/* The judge under drawn histories of everything at once: figures that tremble, vanish and come
 * back, events of every kind. Whatever comes, it does what is allowed and no more, tells an alarm
 * only of what it knows, and does the same again. */
#include "check.h"

#include "judged.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/rng.h"

#include <math.h>

enum { STEPS = 20000, KEPT_MAX = 4096, HOUR_S = 3600 };

static const char rules[] =
    "  window: 20s\n"
    "  rules:\n"
    "    - {name: too slow, when: stt.latency.p95 > 300ms, for: 7s, until: stt.latency.p95 < "
    "250ms,\n"
    "       clear: 5s, cool_down: 30s, do: [notify, restart, tier-down]}\n"
    "    - {name: wrong, when: llm.errors > 5%, for: 3s, do: [restart, rollback, restudy]}\n"
    "    - {name: gone, when: stt.up == 0 or llm.up == 0, cool_down: 0s, do: notify}\n"
    "  act: {notify: {per_hour: 30}, restart: {per_hour: 5, back_off: 90s}, tier-down: {per_hour: "
    "9}}\n"
    "  fronts: {stt: {port: 9, tiers: {base: {port: 1}, tiny: {port: 2, unit: t}}}}\n";

static double maybe(struct rng *rng, double value)
{
    return rng_below(rng, 40) == 0 ? NAN : value;
}

/* Regimes of some minutes each; within them everything trembles. */
static void draw(struct judged *j, struct rng *rng, int step)
{
    static const char *const words[] = {"gpu", "cpu", "unproven", NULL};
    static const char *const faults[] = {"none", "lost", "xid", NULL};
    const int regime = step / 150 % 5;
    judged_set_count(j, "stt.latency.p95",
                     maybe(rng, 0.2 + 0.12 * rng_unit(rng) + (regime == 1 ? 0.15 : 0)),
                     15 + rng_below(rng, 40));
    judged_set(j, "llm.errors", maybe(rng, regime == 2 ? 0.1 * rng_unit(rng) : 0));
    judged_set(j, "stt.up", maybe(rng, regime == 3 && rng_below(rng, 9) ? 0 : 1));
    judged_set(j, "llm.up", maybe(rng, 1));
    judged_set(j, "stt.latency.p50", regime == 4 ? NAN : maybe(rng, 0.1));
    if (rng_below(rng, 30) == 0) {
        judged_set_word(j, "stt.placement", words[rng_below(rng, ARRAY_LEN(words))]);
        judged_set_word(j, "gpu0.fault",
                        regime == 4 ? faults[rng_below(rng, ARRAY_LEN(faults))] : "none");
    }
    if (rng_below(rng, 60) == 0)
        judged_event(j, (enum guard_event_kind)rng_below(rng, EVENT_COUNT_),
                     (int)rng_below(rng, 3) - 1, "gpu0: Xid (PCI:0000:01:00): 31");
}

struct book {
    int64_t at_s[ACTION_COUNT_][KEPT_MAX];
    size_t count[ACTION_COUNT_];
    int64_t restart_s[2], over_s, alarm_s;
};

static void check_actions(const struct judged *j, const struct guard_decision *d, struct book *book)
{
    const struct spec_guard *g = j->study->guard;
    const int64_t now_s = j->now_s;
    assert_int_equal(d->actions & d->withheld, 0);
    for (int i = 0; i < ACTION_COUNT_; i++) {
        if (!(d->actions >> i & 1))
            continue;
        const size_t n = book->count[i]++;
        assert_true(g->limits[i].allowed);
        assert_true(n < KEPT_MAX);
        book->at_s[i][n] = now_s;
        if (n >= (size_t)g->limits[i].per_hour)
            assert_true(now_s - book->at_s[i][n - (size_t)g->limits[i].per_hour] >= HOUR_S);
    }
    if (d->actions >> ACTION_RESTART & 1) {
        assert_in_range(d->service, 0, 1);
        if (book->restart_s[d->service] > 0)
            assert_true(now_s - book->restart_s[d->service] >= 90);
        book->restart_s[d->service] = now_s;
    }
}

/* Of "slow": its own times, and that what it stands on is known. */
static void check_slow(const struct judged *j, const struct guard_decision *d, struct book *book)
{
    const struct spec_guard *g = j->study->guard;
    const struct guard_value *p95 =
        &j->values[guard_metric_find(g->metrics, g->metric_count, "stt.latency.p95")];
    if (d->to == STATE_ALARM) {
        assert_true(p95->number > 0.3 && p95->count >= 20);
        if (d->from != STATE_ALARM && book->alarm_s > 0)
            assert_true(j->now_s - book->alarm_s >= 7 + 5);
        if (d->from != STATE_ALARM)
            book->alarm_s = j->now_s;
        if (d->actions && book->over_s > 0)
            assert_true(j->now_s - book->over_s >= 30); /* its cool-down */
    } else {
        if (d->to == STATE_FINE && d->from == STATE_CLEARING)
            assert_true(p95->number < 0.25 && p95->count >= 20);
        if (d->from == STATE_ALARM || d->from == STATE_CLEARING)
            book->over_s = j->now_s;
    }
}

static void keeps_its_word(void **state)
{
    (void)state;
    struct judged *j = judged_new(rules);
    AUTO(free) struct book *book = calloc(1, sizeof *book);
    struct rng rng = rng_init(77, "walk");
    assert_non_null(book);
    for (int i = 0; i < STEPS; i++) {
        draw(j, &rng, i);
        judged_clear(j);
        judged_step(j);
        assert_in_range(j->told_count, 0, JUDGED_MAX - 1);
        for (size_t k = 0; k < j->told_count; k++) {
            const struct guard_decision *d = &j->told[k];
            check_actions(j, d, book);
            assert_true(d->text[0] && !strchr(d->text, '\n'));
            if (strcmp(d->rule, "too slow") == 0)
                check_slow(j, d, book);
        }
    }
    assert_true(book->count[ACTION_RESTART] >= 5 && book->count[ACTION_TIER_DOWN] >= 9);
    assert_true(book->count[ACTION_NOTIFY] > 60 && book->alarm_s > 0);
    assert_int_equal(book->count[ACTION_ROLLBACK] + book->count[ACTION_RESTUDY], 0);
    judged_free(j);
}

static void does_the_same_again(void **state)
{
    (void)state;
    struct judged *a = judged_new(rules), *b = judged_new(rules);
    struct rng one = rng_init(5, "again"), two = rng_init(5, "again");
    for (int i = 0; i < 4000; i++) {
        draw(a, &one, i);
        draw(b, &two, i);
        judged_clear(a);
        judged_clear(b);
        judged_step(a);
        judged_step(b);
        assert_int_equal(a->told_count, b->told_count);
        for (size_t k = 0; k < a->told_count; k++) {
            assert_string_equal(a->told[k].text, b->told[k].text);
            assert_int_equal(a->told[k].actions, b->told[k].actions);
        }
    }
    judged_free(a);
    judged_free(b);
}

/* Nothing but unknowns: no alarm, nothing fine, nothing done. */
static void knows_nothing(void **state)
{
    (void)state;
    struct judged *j = judged_new(rules);
    struct guard_standing standing;
    for (int i = 0; i < 2000; i++) {
        judged_clear(j);
        judged_step(j);
        for (size_t k = 0; k < j->told_count; k++)
            if (strcmp(j->told[k].rule, "no data") != 0)
                assert_true(j->told[k].to == STATE_NO_DATA && j->told[k].actions == 0);
    }
    for (size_t i = 0; i < j->study->guard->rule_count; i++) {
        guard_judge_standing(j->judge, i, &standing);
        assert_int_equal(standing.state, STATE_NO_DATA);
    }
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_its_word),
        cmocka_unit_test(does_the_same_again),
        cmocka_unit_test(knows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
