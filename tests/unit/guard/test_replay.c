/* A recording judged again says what was said then, word for word. */
#include "check.h"

#include "guard/replay.h"
#include "judged.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"

#include <math.h>

static const char rules[] =
    "  rules:\n"
    "    - {name: slow, when: stt.latency.p95 > 300ms, for: 10s, until: stt.latency.p95 < 250ms,\n"
    "       do: [notify, restart]}\n"
    "    - {name: wrong, when: llm.errors > 5% and llm.rate > 1, for: 3s, clear: 9s}\n"
    "    - {name: away, when: stt.placement != gpu, do: notify}\n"
    "  act: {notify: {per_hour: 9}, restart: {per_hour: 6}}\n";

struct lines {
    char text[4000][600];
    size_t count;
    bool restart; /* the last one asks for one */
};

static void keep(void *context, const struct guard_decision *decision)
{
    struct lines *lines = context;
    assert_in_range(lines->count, 0, ARRAY_LEN(lines->text) - 1);
    lines->restart |= decision->actions >> ACTION_RESTART & 1;
    snprintf(lines->text[lines->count++], sizeof lines->text[0], "%lld %s %d %x %x %s",
             (long long)decision->wall_us, decision->rule, (int)decision->to, decision->actions,
             decision->withheld, decision->text);
}

/* A walk with troubles in it. */
static void walk(struct judged *j, struct rng *rng, int i)
{
    static const char *const placements[] = {"gpu", "gpu", "gpu", "cpu", "unproven", NULL};
    const double trouble = i / 300 % 3 == 1 ? 0.2 : 0;
    judged_set_count(j, "stt.latency.p95", 0.2 + trouble + 0.1 * rng_unit(rng),
                     10 + rng_below(rng, 30));
    judged_set(j, "stt.latency.p50", 0.1);
    judged_set(j, "llm.latency.p50", rng_below(rng, 3) ? 0.1 : NAN);
    judged_set(j, "llm.errors", rng_below(rng, 50) ? trouble : 0);
    judged_set(j, "llm.rate", 2 * rng_unit(rng) + 1);
    if (i % 50 == 0)
        judged_set_word(j, "stt.placement", placements[rng_below(rng, ARRAY_LEN(placements))]);
    if (rng_below(rng, 200) == 0)
        judged_event(j, (enum guard_event_kind)rng_below(rng, EVENT_COUNT_),
                     (int)rng_below(rng, 3) - 1, "something \"happened\"");
}

/* Judges live, and writes what it saw. */
static void live(struct judged *j, struct buf *recording, struct lines *lines, int ticks)
{
    const struct spec_guard *g = j->study->guard;
    struct rng rng = rng_init(21, "walk");
    int asked = 0;
    for (int i = 0; i < ticks; i++) {
        walk(j, &rng, i);
        j->tick.values = j->values;
        j->tick.mono_ns = (1000 + i) * NS_PER_S + (int64_t)rng_below(&rng, 1000000);
        j->tick.wall_us = 1764000000000000 + i * INT64_C(1000000);
        guard_tick_write(&j->tick, g->metrics, g->metric_count, recording);
        buf_addc(recording, '\n');
        guard_judge_step(j->judge, &j->tick, keep, lines);
        j->tick.event_count = j->tick.refusal_count = 0;
        if (lines->restart && asked++ % 3 < 2) { /* stopped by somebody's hand */
            guard_judge_refused(j->judge, ACTION_RESTART, 0);
            j->tick.refusals[j->tick.refusal_count++] =
                (struct guard_refusal){.action = ACTION_RESTART, .service = 0};
        }
        lines->restart = false;
    }
    assert_true(asked > 3); /* and most of them refused */
}

static char *write_file(const struct buf *bytes)
{
    char *path = strdup("/tmp/spica-replay-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, buf_text(bytes), bytes->len), bytes->len);
    close(fd);
    return path;
}

static bool replay(const struct judged *j, const struct buf *bytes, struct lines *ret_lines,
                   struct guard_replay_result *ret_result, struct err *err)
{
    AUTO(free) char *path = write_file(bytes);
    const struct guard_replay_options how = {
        .study = j->study, .path = path, .tell = keep, .context = ret_lines};
    bool ok = guard_replay(&how, NULL, ret_result, err);
    unlink(path);
    return ok;
}

static void as_live(void **state)
{
    (void)state;
    struct judged *j = judged_new(rules);
    AUTO(buf_done) struct buf recording = BUF_INIT(64 << 20);
    AUTO(free) struct lines *then = calloc(1, sizeof *then), *now = calloc(1, sizeof *now);
    struct guard_replay_result result;
    struct err err = ERR_INIT;
    live(j, &recording, then, 4000);
    if (!replay(j, &recording, now, &result, &err))
        fail_msg("%s", err.text);
    assert_int_equal(result.ticks, 4000);
    assert_int_equal(result.decisions, then->count);
    assert_true(then->count > 30);
    assert_int_equal(now->count, then->count);
    for (size_t i = 0; i < now->count; i++)
        assert_string_equal(now->text[i], then->text[i]);
    judged_free(j);
}

/* Where guard began anew, judging does: an alarm that stood is found again, not remembered. */
static void begins_anew(void **state)
{
    static const char *const between[] = {GUARD_TICK_BEGINS "\n", "{\"t\":1,\"m\":1000000000}\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(between); i++) {
        struct judged *j = judged_new(rules);
        AUTO(buf_done) struct buf recording = BUF_INIT(1 << 20);
        AUTO(free) struct lines *lines = calloc(1, sizeof *lines);
        struct guard_replay_result result;
        for (int n = 0; n < 2; n++) {
            for (int t = 10; t < 25; t++)
                buf_addf(&recording,
                         "{\"t\":%d,\"m\":%d000000000,\"v\":{\"stt.latency.p95\":[0.9,50]}}\n", t,
                         t);
            buf_add(&recording, n ? "" : between[i]);
        }
        assert_true(replay(j, &recording, lines, &result, NULL));
        assert_int_equal(result.alarms, 2);
        assert_int_equal(result.span_ns, 28 * NS_PER_S + (i == 1 ? 9 * NS_PER_S : 0));
        judged_free(j);
    }
}

static void says_where(void **state)
{
    static const struct {
        const char *text, *error; /* behind the path */
    } rows[] = {
        {"", NULL},
        {"\n\n", NULL},
        {"{\"t\":1,\"m\":1}\n{\"t\":2,\"m", NULL}, /* cut off by a kill */
        {"{\"t\":1,\"m\":1}\n\nnonsense\n", ":3: column 1: a tick begins with \"{\""},
    };
    (void)state;
    struct judged *j = judged_new(rules);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf bytes = BUF_INIT(4096);
        AUTO(free) struct lines *lines = calloc(1, sizeof *lines);
        struct guard_replay_result result;
        struct err err = ERR_INIT;
        buf_add(&bytes, rows[i].text);
        bool ok = replay(j, &bytes, lines, &result, &err);
        CHECK_ROW(i, rows[i].text, ok == !rows[i].error);
        if (!ok)
            CHECK_ROW_TEXT(i, rows[i].text, strchr(err.text, ':'), rows[i].error);
    }
    judged_free(j);
}

static void bounds_a_line(void **state)
{
    (void)state;
    struct judged *j = judged_new(rules);
    AUTO(buf_done) struct buf bytes = BUF_INIT(8 << 20);
    AUTO(free) struct lines *lines = calloc(1, sizeof *lines);
    AUTO(free) char *blanks = malloc(3 << 20);
    struct guard_replay_result result;
    struct err err = ERR_INIT;
    assert_true(lines && blanks);
    memset(blanks, ' ', 3 << 20);
    assert_true(buf_append(&bytes, blanks, 3 << 20));
    assert_false(replay(j, &bytes, lines, &result, &err));
    assert_non_null(strstr(err.text, ":1: a line of over 1 MiB: this is no recording"));
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_live),
        cmocka_unit_test(begins_anew),
        cmocka_unit_test(says_where),
        cmocka_unit_test(bounds_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
