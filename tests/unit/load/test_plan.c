/* The plan is a pure function of seed, salt, name and n: golden values, the mean rate, whole
 * passes. */
#include "load/plan.h"

#include "check.h"
#include "plan_of.h"

#include <math.h>

static struct load_plan plan_at(enum arrivals kind, double rate_rps)
{
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    plan.streams[0].arrivals = kind;
    plan.streams[0].rate_rps = rate_rps;
    return plan;
}

static void test_golden(void **state)
{
    (void)state;
    static const int64_t poisson[] = {3909003, 13335773, 34234597, 43813573, 56257665};
    static const int64_t constant[] = {3235524, 13235524, 23235524, 33235524, 43235524};
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 100);
    struct load_arrivals a = load_arrivals_init(&plan, 0);
    for (size_t i = 0; i < ARRAY_LEN(poisson); i++)
        assert_int_equal(load_arrivals_next(&a), poisson[i]);
    plan = plan_at(ARRIVALS_CONSTANT, 100);
    a = load_arrivals_init(&plan, 0);
    for (size_t i = 0; i < ARRAY_LEN(constant); i++)
        assert_int_equal(load_arrivals_next(&a), constant[i]);
}

static void test_differs(void **state)
{
    (void)state;
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 100);
    struct load_arrivals base = load_arrivals_init(&plan, 0);
    int64_t first_ns = load_arrivals_next(&base);
    struct load_plan seed = plan, salt = plan, name = plan;
    seed.seed++;
    salt.salt = "other";
    name.streams[0].name = "two";
    const struct load_plan *const others[] = {&seed, &salt, &name};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct load_arrivals other = load_arrivals_init(others[i], 0);
        assert_true(load_arrivals_next(&other) != first_ns);
    }
}

static void test_rates(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 250);
    struct load_arrivals a = load_arrivals_init(&plan, 0);
    double sum = 0, squares = 0;
    int64_t last_ns = 0;
    for (int i = 0; i < COUNT; i++) {
        int64_t at_ns = load_arrivals_next(&a);
        double gap = (double)(at_ns - last_ns);
        assert_true(gap >= 0);
        sum += gap;
        squares += gap * gap;
        last_ns = at_ns;
    }
    double mean = sum / COUNT, deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean - 4e6) < 4e6 * 0.01);      /* 4.5 standard errors */
    assert_true(fabs(deviation - 4e6) < 4e6 * 0.02); /* an exponential's mean and deviation agree */
    plan = plan_at(ARRIVALS_CONSTANT, 3);
    a = load_arrivals_init(&plan, 0);
    int64_t start_ns = load_arrivals_next(&a);
    assert_in_range(start_ns, 0, NS_PER_S / 3);
    for (int i = 1; i <= 3 * 86400; i++)
        last_ns = load_arrivals_next(&a);
    /* No drift: after a day's requests the last lies a day after the first, to the microsecond. */
    assert_true(llabs(last_ns - start_ns - 86400 * NS_PER_S) < 1000);
}

static void test_items(void **state)
{
    (void)state;
    enum { ITEMS = 7 };
    struct load_plan plan = plan_at(ARRIVALS_POISSON, 1);
    bool same_order = true;
    for (uint64_t pass = 0; pass < 5; pass++) {
        unsigned seen = 0;
        for (uint64_t i = 0; i < ITEMS; i++) {
            size_t item = load_item(&plan, 0, pass * ITEMS + i, ITEMS);
            assert_true(item < ITEMS);
            seen |= 1u << item;
            same_order &= item == load_item(&plan, 0, i, ITEMS);
        }
        assert_int_equal(seen, (1u << ITEMS) - 1);
    }
    assert_false(same_order);
    assert_int_equal(load_item(&plan, 0, 12345, 1), 0);
}

/* A key of the file is a rule of stats. */
static void test_words(void **state)
{
    (void)state;
    assert_int_equal(load_stream_of("x", &(struct spec_load){.words = WORDS_ENGLISH}).normaliser,
                     NORMALISER_ENGLISH);
    assert_int_equal(load_stream_of("x", &(struct spec_load){.words = WORDS_PLAIN}).normaliser,
                     NORMALISER_PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_golden), cmocka_unit_test(test_differs),
        cmocka_unit_test(test_rates), cmocka_unit_test(test_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
