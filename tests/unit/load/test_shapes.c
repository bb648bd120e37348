/* Shapes of a load: bursts, ramps and traces recover what was asked, lengths their distributions,
 * mixes their shares; two streams' draws are independent, and the same seed gives the same bytes.
 */
#include "load/ask.h"
#include "load/words.h"

#include "check.h"
#include "plan_of.h"

#include <ctype.h>
#include <math.h>

static struct load_plan plan_at(enum arrivals kind, double rate_rps)
{
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    plan.streams[0].arrivals = kind;
    plan.streams[0].rate_rps = rate_rps;
    return plan;
}

static struct spec_spread spread(enum spec_spread_kind kind, double low, double high)
{
    return (struct spec_spread){.kind = kind, .low = low, .high = high, .max = SPEC_TOKENS_MAX};
}

/* ---- times ---- */

static void test_bursts(void **state)
{
    (void)state;
    const int64_t cycle_ns = 10 * NS_PER_S, on_ns = 2 * NS_PER_S;
    struct load_plan plan = plan_at(ARRIVALS_BURSTS, 200);
    plan.streams[0].shape.on_ns = on_ns;
    plan.streams[0].shape.off_ns = cycle_ns - on_ns;
    plan.warmup_ns = 5 * NS_PER_S;
    plan.window_ns = 1000 * NS_PER_S;
    struct load_arrivals a = load_arrivals_init(&plan, 0);
    int64_t last_ns = -1;
    int total = 0, early = 0, first_halves = 0;
    for (int64_t at_ns = load_arrivals_next(&a); at_ns < plan.warmup_ns + plan.window_ns;
         at_ns = load_arrivals_next(&a)) {
        assert_true(at_ns > last_ns);
        last_ns = at_ns;
        if (at_ns < plan.warmup_ns) {
            early++;
            continue;
        }
        /* A burst begins with the window. */
        int64_t in_cycle_ns = (at_ns - plan.warmup_ns) % cycle_ns;
        assert_true(in_cycle_ns < on_ns);
        first_halves += in_cycle_ns < on_ns / 2;
        total++;
    }
    /* 5 s before the window lie in the middle of a silence: nothing is sent in the warm-up. */
    assert_int_equal(early, 0);
    /* 100 bursts of 400: Poisson with mean 40,000; four standard deviations. */
    assert_true(abs(total - 40000) < 800);
    assert_true(abs(2 * first_halves - total) < 800);
    assert_true(fabs(load_stream_rate_rps(&plan, 0) - 40) < 1e-9);
}

static void test_bursts_move_with_start(void **state)
{
    (void)state;
    struct load_plan plan = plan_at(ARRIVALS_BURSTS, 100);
    plan.streams[0].shape.on_ns = NS_PER_S;
    plan.streams[0].shape.off_ns = 3 * NS_PER_S;
    plan.streams[0].start_after_ns = 2 * NS_PER_S;
    plan.warmup_ns = 7 * NS_PER_S;
    plan.window_ns = 20 * NS_PER_S;
    struct load_arrivals a = load_arrivals_init(&plan, 0);
    for (int i = 0; i < 400; i++) {
        int64_t in_run_ns = 2 * NS_PER_S + load_arrivals_next(&a);
        /* A burst begins 2 s after the window does, and every 4 s before and after that. */
        assert_true((in_run_ns + 8 * NS_PER_S - 9 * NS_PER_S) % (4 * NS_PER_S) < NS_PER_S);
    }
}

static void test_ramp(void **state)
{
    (void)state;
    static const struct {
        double from, to;
    } rows[] = {{10, 90}, {90, 10}, {0, 100}, {50, 50.001}, {100, 0}};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct load_plan plan = plan_at(ARRIVALS_RAMP, fmax(rows[r].from, rows[r].to));
        plan.streams[0].shape.ramp_from_rps = rows[r].from;
        plan.streams[0].shape.ramp_to_rps = rows[r].to;
        plan.warmup_ns = 100 * NS_PER_S;
        plan.window_ns = 1000 * NS_PER_S;
        struct load_arrivals a = load_arrivals_init(&plan, 0);
        double counts[11] = {0}; /* the warm-up, then tenths of the window */
        int64_t last_ns = -1;
        for (int64_t at_ns = load_arrivals_next(&a); at_ns < 1100 * NS_PER_S;
             at_ns = load_arrivals_next(&a)) {
            CHECK_ROW(r, "in order", at_ns >= last_ns);
            counts[at_ns / (100 * NS_PER_S)]++;
            last_ns = at_ns;
        }
        for (int i = 0; i < 11; i++) {
            double middle = i == 0 ? 0 : (i - 0.5) / 10;
            double wanted = 100 * (rows[r].from + middle * (rows[r].to - rows[r].from));
            CHECK_ROW(r, "the ramp's integral", fabs(counts[i] - wanted) < 4.5 * sqrt(wanted) + 1);
        }
    }
}

static void test_trace_times_are_exact(void **state)
{
    (void)state;
    static struct corpus_request entries[] = {
        {.at_ns = 0, .clip = CORPUS_NO_ITEM, .prompt = CORPUS_NO_ITEM, .prompt_tokens = 10},
        {.at_ns = 1234567, .clip = CORPUS_NO_ITEM, .prompt = CORPUS_NO_ITEM, .output_tokens = 3},
        {.at_ns = 4000000000, .clip = CORPUS_NO_ITEM, .prompt = 0},
    };
    struct corpus corpus = PROMPTS({.prompt = "a"});
    corpus.trace = entries;
    corpus.trace_count = ARRAY_LEN(entries);
    struct load_plan plan = plan_at(ARRIVALS_TRACE, 0);
    plan.streams[0].corpus = &corpus;
    for (int speed = 1; speed <= 2; speed++) {
        plan.streams[0].shape.speed = speed;
        struct load_arrivals a = load_arrivals_init(&plan, 0);
        for (int64_t pass = 0; pass < 3; pass++)
            for (size_t i = 0; i < ARRAY_LEN(entries); i++)
                assert_int_equal(load_arrivals_next(&a),
                                 (6000000000 * pass + entries[i].at_ns) / speed);
    }
    struct load_picker picker = load_picker_init(&plan, 0);
    struct load_ask ask = load_ask_draw(&picker, 0, 0);
    assert_true(ask.made && ask.prompt_tokens == 10 && ask.output_tokens == 0);
    ask = load_ask_draw(&picker, 4, 0); /* the second, in the second pass */
    assert_true(!ask.made && ask.item == 0 && ask.output_tokens == 3);
    load_picker_done(&picker);
}

/* ---- lengths ---- */

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void test_lengths(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static const struct {
        enum spec_spread_kind kind;
        double low, high, p5, p50, p95; /* expected, from the distributions' own formulas */
    } rows[] = {
        {SPREAD_FIXED, 77, 77, 77, 77, 77},
        {SPREAD_UNIFORM, 100, 300, 110, 200, 290},
        {SPREAD_EXPONENTIAL, 1000, 0, 51.3, 693.1, 2995.7},
        {SPREAD_LOGNORMAL, 400, 1600, 100, 400, 1600},
    };
    static int lengths[COUNT];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        const struct corpus none = {0};
        struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
        plan.streams[0].corpus = &none;
        plan.streams[0].shape.prompt_tokens = spread(rows[r].kind, rows[r].low, rows[r].high);
        struct load_picker picker = load_picker_init(&plan, 0);
        for (int i = 0; i < COUNT; i++)
            lengths[i] = load_ask_draw(&picker, (uint64_t)i, 0).prompt_tokens;
        load_picker_done(&picker);
        qsort(lengths, COUNT, sizeof *lengths, compare);
        CHECK_ROW(r, "p5", fabs(lengths[COUNT / 20] - rows[r].p5) <= 0.07 * rows[r].p5);
        CHECK_ROW(r, "p50", fabs(lengths[COUNT / 2] - rows[r].p50) <= 0.04 * rows[r].p50);
        CHECK_ROW(r, "p95", fabs(lengths[COUNT * 19 / 20] - rows[r].p95) <= 0.05 * rows[r].p95);
    }
}

static void test_lengths_from_a_file_and_cut(void **state)
{
    (void)state;
    double values[] = {3, 30};
    const struct corpus corpus = {.output_lengths = {values, 2}};
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
    plan.streams[0].corpus = &corpus;
    plan.streams[0].shape.output_tokens = spread(SPREAD_FILE, 0, 0);
    plan.streams[0].shape.prompt_tokens = spread(SPREAD_LOGNORMAL, 100, 1000);
    plan.streams[0].shape.prompt_tokens.max = 150;
    struct load_picker picker = load_picker_init(&plan, 0);
    int threes = 0, cut = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct load_ask ask = load_ask_draw(&picker, i, 0);
        assert_true(ask.output_tokens == 3 || ask.output_tokens == 30);
        assert_in_range(ask.prompt_tokens, 1, 150);
        threes += ask.output_tokens == 3;
        cut += ask.prompt_tokens == 150;
    }
    assert_in_range(threes, 430, 570);
    assert_in_range(cut, 320, 460); /* P(z > 1.645 ln 1.5 / ln 10) = 0.386 */
    load_picker_done(&picker);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        int tokens, words;
    } rows[] = {{1, 1}, {2, 2}, {110, 100}, {1100, 1000}};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(buf_done) struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
        struct rng x = rng_init(1, "x"), y = rng_init(1, "x"), z = rng_init(1, "z");
        load_words_add(&a, &x, rows[r].tokens);
        load_words_add(&b, &y, rows[r].tokens);
        CHECK_ROW(r, "same draws, same text", strcmp(buf_text(&a), buf_text(&b)) == 0);
        int words = 1;
        for (const char *p = buf_text(&a); *p; p++) {
            CHECK_ROW(r, "plain text", isalpha((unsigned char)*p) || *p == ' ' || *p == '.');
            words += *p == ' ';
        }
        CHECK_ROW(r, "words", words == rows[r].words);
        CHECK_ROW(r, "ends a sentence",
                  a.data[a.len - 1] == '.' && isupper((unsigned char)*a.data));
        buf_clear(&b);
        load_words_add(&b, &z, rows[r].tokens);
        CHECK_ROW(r, "other draws, other text",
                  rows[r].tokens < 100 || strcmp(buf_text(&a), buf_text(&b)) != 0);
    }
}

/* ---- items ---- */

static void test_mix(void **state)
{
    (void)state;
    static struct corpus_prompt prompts[12];
    static struct corpus_class classes[] = {{0, 7, 2}, {7, 2, 1}, {9, 3, 3}};
    const struct corpus corpus = {
        .prompts = prompts, .prompt_count = 12, .classes = classes, .class_count = 3};
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
    plan.streams[0].corpus = &corpus;
    struct load_picker picker = load_picker_init(&plan, 0);
    int seen[12] = {0}, shares[3] = {0};
    for (uint64_t n = 0; n < 700; n++) {
        size_t item = load_ask_draw(&picker, n, 0).item;
        assert_true(item < 12);
        seen[item]++;
        shares[item < 7 ? 0 : item < 9 ? 1 : 2]++;
        if (n % 100 == 99) { /* exact in each pass of 100 */
            int passes = (int)(n / 100) + 1;
            assert_int_equal(shares[0], 33 * passes);
            assert_int_equal(shares[1], 17 * passes);
            assert_int_equal(shares[2], 50 * passes);
        }
    }
    /* Whole passes over each file: no item of one is ahead of another by more than one. */
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 1; i < classes[c].count; i++)
            assert_true(abs(seen[classes[c].first + i] - seen[classes[c].first]) <= 1);
    load_picker_done(&picker);
}

static void test_plain_items_are_unchanged(void **state)
{
    (void)state;
    const struct corpus corpus =
        PROMPTS({.prompt = "a"}, {.prompt = "b"}, {.prompt = "c"}, {.prompt = "d"});
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
    plan.streams[0].corpus = &corpus;
    struct load_picker picker = load_picker_init(&plan, 0);
    for (uint64_t n = 0; n < 40; n++)
        assert_int_equal(load_ask_draw(&picker, n, 0).item, load_item(&plan, 0, n, 4));
    load_picker_done(&picker);
}

static void test_prefixes_are_shared(void **state)
{
    (void)state;
    const struct corpus none = {0};
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
    plan.streams[0].corpus = &none;
    plan.streams[0].shape.prompt_tokens = spread(SPREAD_FIXED, 30, 30);
    plan.streams[0].shape.prefix_count = 3;
    plan.streams[0].shape.prefix_tokens = 20;
    struct load_picker picker = load_picker_init(&plan, 0);
    struct buf first[3] = {BUF_INIT(4096), BUF_INIT(4096), BUF_INIT(4096)};
    AUTO(buf_done) struct buf last = BUF_INIT(4096);
    int drawn[3] = {0};
    for (uint64_t n = 0; n < 300; n++) {
        AUTO(buf_done) struct buf prefix = BUF_INIT(4096), text = BUF_INIT(4096);
        struct load_ask ask = load_ask_draw(&picker, n, 0);
        assert_in_range(ask.prefix, 0, 2);
        load_ask_add_prefix(&picker, &ask, &prefix);
        load_ask_add_text(&picker, &ask, n, 0, &text);
        if (drawn[ask.prefix]++ == 0)
            buf_add(&first[ask.prefix], buf_text(&prefix));
        assert_string_equal(buf_text(&prefix), buf_text(&first[ask.prefix]));
        assert_string_not_equal(buf_text(&text), buf_text(&last)); /* nothing else is shared */
        buf_clear(&last);
        buf_add(&last, buf_text(&text));
    }
    assert_string_not_equal(buf_text(&first[0]), buf_text(&first[1]));
    assert_string_not_equal(buf_text(&first[1]), buf_text(&first[2]));
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(drawn[i], 70, 130);
        buf_done(&first[i]);
    }
    /* Later turns of a session go on from the first: no second prefix. */
    assert_int_equal(load_ask_draw(&picker, 0, 1).prefix, -1);
    load_picker_done(&picker);
}

/* Whoever measures a service again wants the same load, and no text that its cache still holds. */
static void test_other_words_of_the_same_lengths(void **state)
{
    (void)state;
    static const char *const salts[] = {NULL, "a", "b", "b"};
    enum { RUNS = ARRAY_LEN(salts), REQUESTS = 40 };
    const struct corpus none = {0};
    struct buf texts[RUNS] = {BUF_INIT(1 << 16), BUF_INIT(1 << 16), BUF_INIT(1 << 16),
                              BUF_INIT(1 << 16)};
    struct buf plans[RUNS] = {BUF_INIT(1 << 16), BUF_INIT(1 << 16), BUF_INIT(1 << 16),
                              BUF_INIT(1 << 16)};
    for (size_t i = 0; i < RUNS; i++) {
        struct load_plan plan = plan_at(ARRIVALS_POISSON, 10);
        plan.streams[0].corpus = &none;
        plan.streams[0].shape.prompt_tokens = spread(SPREAD_UNIFORM, 5, 30);
        plan.streams[0].shape.prefix_count = 2;
        plan.streams[0].shape.prefix_tokens = 20;
        plan.text_salt = salts[i];
        struct load_picker picker = load_picker_init(&plan, 0);
        for (uint64_t n = 0; n < REQUESTS; n++) {
            struct load_ask ask = load_ask_draw(&picker, n, 0);
            load_ask_add_prefix(&picker, &ask, &texts[i]);
            load_ask_add_text(&picker, &ask, n, 0, &texts[i]);
        }
        load_picker_done(&picker);
        load_plan_write(&plan, REQUESTS, &plans[i]);
    }
    for (size_t i = 0; i < RUNS; i++)
        for (size_t k = 0; k < i; k++) {
            assert_string_equal(buf_text(&plans[i]), buf_text(&plans[k]));
            bool same = strcmp(buf_text(&texts[i]), buf_text(&texts[k])) == 0;
            assert_int_equal(same, i == 3 && k == 2);
            /* Not even their beginnings. */
            assert_true(same || strncmp(buf_text(&texts[i]), buf_text(&texts[k]), 40) != 0);
        }
    for (size_t i = 0; i < RUNS; i++) {
        buf_done(&texts[i]);
        buf_done(&plans[i]);
    }
}

/* ---- the whole plan ---- */

static void make_rich_plan(struct load_plan *plan, const struct corpus *corpus)
{
    *plan = plan_at(ARRIVALS_BURSTS, 50);
    plan->window_ns = 20 * NS_PER_S;
    struct load_stream *s = &plan->streams[0];
    s->corpus = corpus;
    s->shape.on_ns = s->shape.off_ns = NS_PER_S;
    s->shape.prompt_tokens = spread(SPREAD_LOGNORMAL, 100, 500);
    s->shape.output_tokens = spread(SPREAD_UNIFORM, 10, 20);
    s->shape.turns = spread(SPREAD_UNIFORM, 2, 5);
    s->shape.think_ns = spread(SPREAD_EXPONENTIAL, 1e9, 0);
    s->shape.prefix_count = 4;
    s->shape.prefix_tokens = 16;
    plan->streams[1] = *s;
    plan->streams[1].name = "two";
    plan->stream_count = 2;
}

static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    const struct corpus none = {0};
    static struct load_plan plan, other;
    AUTO(buf_done) struct buf a = BUF_INIT(1 << 22), b = BUF_INIT(1 << 22), c = BUF_INIT(1 << 22);
    make_rich_plan(&plan, &none);
    make_rich_plan(&other, &none);
    load_plan_write(&plan, 100000, &a);
    load_plan_write(&other, 100000, &b);
    assert_true(a.len > 50000 && a.len == b.len);
    assert_memory_equal(a.data, b.data, a.len);
    other.salt = "another";
    load_plan_write(&other, 100000, &c);
    assert_false(c.len == a.len && memcmp(a.data, c.data, a.len) == 0);
    /* A stream's lines do not depend on its neighbours. */
    make_rich_plan(&other, &none);
    other.streams[0] = other.streams[1];
    other.stream_count = 1;
    buf_clear(&c);
    load_plan_write(&other, 100000, &c);
    assert_true(c.len < a.len);
    assert_memory_equal(a.data + a.len - c.len, c.data, c.len);
}

static void test_streams_are_independent(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    const struct corpus none = {0};
    static struct load_plan plan;
    make_rich_plan(&plan, &none);
    plan.streams[0].shape.prompt_tokens = plan.streams[1].shape.prompt_tokens =
        spread(SPREAD_UNIFORM, 1, 100000);
    struct load_picker one = load_picker_init(&plan, 0), two = load_picker_init(&plan, 1);
    double sum = 0;
    for (uint64_t n = 0; n < COUNT; n++) {
        double x = load_ask_draw(&one, n, 0).prompt_tokens / 100000.0 - 0.5;
        double y = load_ask_draw(&two, n, 0).prompt_tokens / 100000.0 - 0.5;
        sum += 12 * x * y;
    }
    /* The correlation of independent draws has a standard deviation of 1 / sqrt(n). */
    assert_true(fabs(sum / COUNT) < 4 / sqrt(COUNT));
    load_picker_done(&one);
    load_picker_done(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_bursts_move_with_start),
        cmocka_unit_test(test_ramp),
        cmocka_unit_test(test_trace_times_are_exact),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_lengths_from_a_file_and_cut),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_plain_items_are_unchanged),
        cmocka_unit_test(test_prefixes_are_shared),
        cmocka_unit_test(test_other_words_of_the_same_lengths),
        cmocka_unit_test(test_same_seed_same_bytes),
        cmocka_unit_test(test_streams_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
