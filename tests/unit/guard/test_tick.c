/* A tick written and read again is the same tick, bit for bit; what is broken is refused with its
 * column; what is of another version is read as far as it goes. */
#include "check.h"

#include "judged.h"

#include "base/auto.h"
#include "base/rng.h"

#include <math.h>

static size_t count_of(const struct judged *j)
{
    return j->study->guard->metric_count;
}

static void assert_same(const struct guard_value *a, const struct guard_value *b)
{
    assert_memory_equal(&a->number, &b->number, sizeof a->number);
    assert_ptr_equal(a->text, b->text);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->source, b->source);
}

static double draw_number(struct rng *rng)
{
    const uint64_t kind = rng_below(rng, 6);
    const double any = ldexp(rng_unit(rng), (int)rng_below(rng, 200) - 100);
    return kind == 0   ? 0
           : kind == 1 ? (double)rng_below(rng, 1000)
           : kind == 2 ? guard_tick_number(any)
           : kind == 3 ? -any
           : kind == 4 ? 85899345920.0
                       : any;
}

static void draw_tick(struct judged *j, struct rng *rng)
{
    static const char *const texts[] = {"", "a \"quote\" \\ and /", "größer 日本 🙂",
                                        "pid 7 ended, status 1"};
    const struct spec_guard *g = j->study->guard;
    for (size_t i = 0; i < count_of(j); i++) {
        const struct guard_metric_ref *ref = &g->metrics[i];
        const bool known = rng_below(rng, 3) > 0;
        const size_t words = ref->words && ref->words[0] ? 1 : 0;
        j->values[i] = (struct guard_value){.number = NAN};
        if (ref->words)
            j->values[i].text = known && words ? ref->words[0] : NULL;
        else if (known)
            j->values[i].number = draw_number(rng);
        if (!ref->words && rng_below(rng, 2)) {
            j->values[i].count = 1 + rng_below(rng, 100000);
            j->values[i].source = (enum guard_source)rng_below(rng, SOURCE_COUNT_);
        }
    }
    j->tick.wall_us = 1764000000000000 + (int64_t)rng_below(rng, 1000000000000);
    j->tick.mono_ns = (int64_t)rng_below(rng, 900000000000000000);
    j->tick.event_count = rng_below(rng, 5);
    j->tick.events_lost = (uint32_t)rng_below(rng, 3);
    j->tick.no_log = (uint32_t)rng_below(rng, 4);
    j->tick.no_kills = (uint32_t)rng_below(rng, 4);
    j->tick.no_kernel_log = rng_below(rng, 2) > 0;
    for (size_t i = 0; i < j->tick.event_count; i++) {
        struct guard_event *event = &j->tick.events[i];
        event->kind = (enum guard_event_kind)rng_below(rng, EVENT_COUNT_);
        event->service = (int)rng_below(rng, 3) - 1;
        snprintf(event->text, sizeof event->text, "%s", texts[rng_below(rng, ARRAY_LEN(texts))]);
    }
}

static void goes_round(void **state)
{
    (void)state;
    struct judged *j = judged_new("");
    struct rng rng = rng_init(5, "tick");
    struct guard_value *again = calloc(count_of(j), sizeof *again);
    struct guard_tick *tick = calloc(1, sizeof *tick);
    assert_true(again && tick);
    j->tick.values = j->values;
    for (int n = 0; n < 300; n++) {
        AUTO(buf_done) struct buf line = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        draw_tick(j, &rng);
        guard_tick_write(&j->tick, j->study->guard->metrics, count_of(j), &line);
        assert_false(line.over);
        assert_null(strchr(buf_text(&line), '\n'));
        if (!guard_tick_read(buf_text(&line), line.len, j->study->guard->metrics, count_of(j),
                             again, tick, &err))
            fail_msg("%s in %s", err.text, buf_text(&line));
        for (size_t i = 0; i < count_of(j); i++) {
            if (isnan(j->values[i].number) && j->values[i].count == 0)
                j->values[i].source = SOURCE_NONE; /* unknown in every way: left out */
            assert_same(&again[i], &j->values[i]);
        }
        assert_int_equal(tick->wall_us, j->tick.wall_us);
        assert_int_equal(tick->mono_ns, j->tick.mono_ns);
        assert_int_equal(tick->events_lost, j->tick.events_lost);
        assert_int_equal(tick->no_log, j->tick.no_log);
        assert_int_equal(tick->no_kills, j->tick.no_kills);
        assert_int_equal(tick->no_kernel_log, j->tick.no_kernel_log);
        assert_int_equal(tick->event_count, j->tick.event_count);
        for (size_t i = 0; i < tick->event_count; i++) {
            assert_int_equal(tick->events[i].kind, j->tick.events[i].kind);
            assert_int_equal(tick->events[i].service, j->tick.events[i].service);
            assert_string_equal(tick->events[i].text, j->tick.events[i].text);
        }
    }
    free(again);
    free(tick);
    judged_free(j);
}

static void looks_so(void **state)
{
    (void)state;
    struct judged *j = judged_new("");
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    judged_set_count(j, "stt.latency.p95", 0.21, 57);
    judged_set_count(j, "stt.errors", NAN, 3);
    judged_set_word(j, "stt.placement", "gpu");
    judged_set(j, "gpu0.memory.free", 1 << 30);
    judged_event(j, EVENT_DOWN, 0, "w.service failed");
    j->tick.values = j->values;
    j->tick.wall_us = 1764000000000042;
    j->tick.mono_ns = 12345678901234;
    guard_tick_write(&j->tick, j->study->guard->metrics, count_of(j), &line);
    assert_string_equal(buf_text(&line),
                        "{\"t\":1764000000.000042,\"m\":12345678901234,\"v\":{\"stt.latency.p95\":"
                        "[0.21,57,\"requests\"],\"stt.errors\":[null,3,\"requests\"],"
                        "\"stt.placement\":\"gpu\",\"gpu0.memory.free\":1073741824},\"e\":[{\"k\":"
                        "\"down\",\"s\":\"stt\",\"x\":\"w.service failed\"}]}");
    judged_free(j);
}

static const struct {
    const char *line, *error;
} bad[] = {
    {"", "column 1: a tick begins with \"{\""},
    {"[]", "column 1: a tick begins with \"{\""},
    {"{", "column 2: text in quotes is expected"},
    {"{}", "column 2: text in quotes is expected"},
    {"{\"t\":1}", "column 8: a tick needs \"t\" and \"m\""},
    {"{\"t\":1,\"m\":1", "column 13: the end of the tick is expected"},
    {"{\"t\":1,\"m\":1}x", "column 14: the end of the tick is expected"},
    {"{\"t\":1,\"m\":-1}", "column 12: a whole number is expected"},
    {"{\"t\":1,\"m\":1.5}", "column 13: a whole number is expected"},
    {"{\"t\":1,\"m\":12345678901234567890}", "column 30: a whole number is expected"},
    {"{\"t\":1e300,\"m\":1}", "column 11: a time since 1970 is expected"},
    {"{\"t\":-64.5,\"m\":1}", "column 11: a time since 1970 is expected"},
    {"{\"t\":\"a\",\"m\":1}", "column 6: a number is expected"},
    {"{\"t\":1,\"m\":1,\"v\":[]}", "column 18: \"{\" is expected"},
    {"{\"t\":1,\"m\":1,\"v\":{\"stt.up\":1e999}}", "column 33: a number is out of range"},
    {"{\"t\":1,\"m\":1,\"v\":{\"stt.up\":[1,2}}", "column 32: \"]\" is expected"},
    {"{\"t\":1,\"m\":1,\"v\":{\"stt.up\":nul}}", "column 28: a number is expected"},
    {"{\"t\":1,\"m\":1,\"v\":{\"stt.up", "column 26: a text has no end"},
    {"{\"t\":1,\"m\":1,\"e\":{}}", "column 18: \"[\" is expected"},
    {"{\"t\":1,\"m\":1,\"z\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}",
     "column 34: nested too deeply"},
};

static void refuses(void **state)
{
    (void)state;
    struct judged *j = judged_new("");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        assert_false(guard_tick_read(bad[i].line, strlen(bad[i].line), j->study->guard->metrics,
                                     count_of(j), j->values, &j->tick, &err));
        CHECK_ROW_TEXT(i, bad[i].line, err.text, bad[i].error);
        assert_int_equal(err.code, ERR_INPUT);
    }
    judged_free(j);
}

/* Names, kinds, words and members that are not known here do no harm. */
static void reads_others(void **state)
{
    static const char line[] =
        " { \"m\" : 5 , \"t\" : 1.5, \"new\": {\"a\": [1, {\"b\": null}, true, \"\\\"\"]}, \"v\": {"
        "\"llm.up\": 1, \"stt.up\": 0, \"gone.up\": 1, \"stt.placement\": \"moon\", "
        "\"llm.placement\": 3, \"stt.latency.p95\": [2, 7, \"stars\", 5]}}";
    static const char good[] =
        "{\"m\":5,\"t\":1,\"v\":{\"llm.up\":1,\"gone.up\":{\"x\":[]},\"stt.up\":0,\"stt."
        "placement\":"
        "\"moon\",\"llm.placement\":3},\"e\":[{\"k\":\"flies\",\"x\":\"\"},{\"k\":\"down\",\"s\":"
        "\"gone\",\"x\":\"\"},{\"k\":\"up\",\"y\":[1],\"s\":\"llm\",\"x\":\"a\\nb\\u001b\\u0041\"}]"
        "}";
    (void)state;
    struct judged *j = judged_new("");
    const struct spec_guard *g = j->study->guard;
    struct err err = ERR_INIT;
    assert_false(guard_tick_read(line, strlen(line), g->metrics, g->metric_count, j->values,
                                 &j->tick, &err)); /* a list of four is none of ours */
    if (!guard_tick_read(good, strlen(good), g->metrics, g->metric_count, j->values, &j->tick,
                         NULL))
        fail_msg("refused");
    assert_true(j->values[guard_metric_find(g->metrics, g->metric_count, "llm.up")].number == 1);
    assert_true(j->values[guard_metric_find(g->metrics, g->metric_count, "stt.up")].number == 0);
    assert_null(j->values[guard_metric_find(g->metrics, g->metric_count, "stt.placement")].text);
    assert_int_equal(j->tick.event_count, 1);
    assert_int_equal(j->tick.events[0].kind, EVENT_UP);
    assert_int_equal(j->tick.events[0].service, 1);
    assert_string_equal(j->tick.events[0].text, "a b A");
    judged_free(j);
}

static void rounds(void **state)
{
    (void)state;
    assert_true(guard_tick_number(0.123456789) == 0.123457);
    assert_true(guard_tick_number(3) == 3);
    assert_true(isnan(guard_tick_number(NAN)) && isnan(guard_tick_number(INFINITY)));
    struct rng rng = rng_init(9, "rounds");
    for (int i = 0; i < 10000; i++) {
        const double once = guard_tick_number(ldexp(rng_unit(&rng), (int)rng_below(&rng, 80) - 40));
        assert_true(guard_tick_number(once) == once);
    }
    assert_true(guard_tick_begins(GUARD_TICK_BEGINS "\n", strlen(GUARD_TICK_BEGINS) + 1));
    assert_false(guard_tick_begins("{}", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_round),   cmocka_unit_test(looks_so), cmocka_unit_test(refuses),
        cmocka_unit_test(reads_others), cmocka_unit_test(rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
