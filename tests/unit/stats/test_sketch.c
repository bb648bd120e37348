/* The sketch beside exact quantiles, its limits, and that a whole is the sum of its parts. */
#include "stats/sketch.h"

#include "base/rng.h"
#include "stats/quantile.h"

#include "check.h"

#include <math.h>

enum { VALUES = 20000 };

static const double quantiles[] = {0,    0.001, 0.01, 0.05, 0.25,  0.5,
                                   0.75, 0.9,   0.95, 0.99, 0.999, 1};

static double draw_uniform(struct rng *rng)
{
    return 1e-3 + rng_unit(rng);
}
static double draw_exponential(struct rng *rng)
{
    return 1e-6 + rng_exponential(rng, 0.3);
}
static double draw_wide(struct rng *rng) /* over all that it can hold */
{
    return 1e-6 * pow(10, 11 * rng_unit(rng));
}
static double draw_ticks(struct rng *rng)
{
    return 1e-3 * (double)(1 + rng_below(rng, 5));
}
static double draw_one(struct rng *rng)
{
    (void)rng;
    return 0.0425;
}

static const struct {
    const char *name;
    double (*draw)(struct rng *rng);
} shapes[] = {
    {"uniform", draw_uniform}, {"exponential", draw_exponential}, {"eleven decades", draw_wide},
    {"ticks", draw_ticks},     {"all the same", draw_one},
};

static void draw(size_t shape, double *values, size_t n)
{
    struct rng rng = rng_init(5, shapes[shape].name);
    for (size_t i = 0; i < n; i++)
        values[i] = shapes[shape].draw(&rng);
}

static void test_quantiles_are_within_the_bound(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 10, 99, VALUES};
    static double values[VALUES];
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
            draw(s, values, sizes[k]);
            for (size_t i = 0; i < sizes[k]; i++)
                stats_sketch_add(sketch, values[i]);
            stats_sort(values, sizes[k]);
            for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
                double exact = stats_quantile(values, sizes[k], quantiles[q]);
                double found = stats_sketch_quantile(sketch, quantiles[q]);
                CHECK_ROW(s, shapes[s].name, fabs(found - exact) <= STATS_SKETCH_ERROR * exact);
            }
        }
    }
}

static void assert_same(const struct stats_sketch *a, const struct stats_sketch *b)
{
    assert_int_equal(stats_sketch_count(a), stats_sketch_count(b));
    for (size_t i = 0; i < stats_sketch_buckets(); i++)
        assert_int_equal(stats_sketch_bucket(a, i, NULL), stats_sketch_bucket(b, i, NULL));
}

static void test_merging_equals_the_whole(void **state)
{
    (void)state;
    static double values[VALUES];
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        AUTO(stats_sketch_free) struct stats_sketch *whole = stats_sketch_new();
        AUTO(stats_sketch_free) struct stats_sketch *sum = stats_sketch_new();
        struct stats_sketch *parts[3];
        for (size_t p = 0; p < 3; p++)
            parts[p] = stats_sketch_new();
        draw(s, values, VALUES);
        for (size_t i = 0; i < VALUES; i++) {
            stats_sketch_add(whole, values[i]);
            stats_sketch_add(parts[i * i % 3], values[VALUES - 1 - i]); /* another order too */
        }
        for (size_t p = 0; p < 3; p++) {
            stats_sketch_merge(sum, parts[p]);
            stats_sketch_free(parts[p]);
        }
        assert_same(whole, sum);
        for (size_t q = 0; q < ARRAY_LEN(quantiles); q++)
            CHECK_ROW(s, shapes[s].name,
                      stats_sketch_quantile(whole, quantiles[q]) ==
                          stats_sketch_quantile(sum, quantiles[q]));
    }
}

static void test_a_value_stands_for_its_bucket(void **state)
{
    (void)state;
    AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
    AUTO(stats_sketch_free) struct stats_sketch *again = stats_sketch_new();
    double value = NAN, before = 0;
    for (size_t i = 0; i < stats_sketch_buckets(); i++) {
        stats_sketch_bucket(sketch, i, &value);
        assert_true(value > before);
        stats_sketch_clear(again);
        stats_sketch_add_many(again, value, 7);
        assert_int_equal(stats_sketch_bucket(again, i, NULL), 7);
        assert_int_equal(stats_sketch_clamped(again), 0);
        before = value;
    }
}

static void test_what_is_out_of_range_is_clamped_and_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double value;
        bool clamped;
        double shown;
    } rows[] = {
        {"the least", STATS_SKETCH_LEAST, false, STATS_SKETCH_LEAST},
        {"below", 1e-9, true, STATS_SKETCH_LEAST},
        {"zero", 0, true, STATS_SKETCH_LEAST},
        {"negative", -5, true, STATS_SKETCH_LEAST},
        {"the greatest", STATS_SKETCH_GREATEST, false, STATS_SKETCH_GREATEST},
        {"above", 1e9, true, STATS_SKETCH_GREATEST},
        {"infinite", INFINITY, true, STATS_SKETCH_GREATEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
        stats_sketch_add(sketch, rows[i].value);
        CHECK_ROW(i, rows[i].name, stats_sketch_count(sketch) == 1);
        CHECK_ROW(i, rows[i].name, stats_sketch_clamped(sketch) == (rows[i].clamped ? 1 : 0));
        double found = stats_sketch_quantile(sketch, 0.5);
        CHECK_ROW(i, rows[i].name, fabs(found / rows[i].shown - 1) <= STATS_SKETCH_ERROR);
    }
}

static void test_nothing_is_unknown(void **state)
{
    (void)state;
    AUTO(stats_sketch_free) struct stats_sketch *sketch = stats_sketch_new();
    stats_sketch_add(sketch, NAN);
    assert_int_equal(stats_sketch_count(sketch), 0);
    assert_true(isnan(stats_sketch_quantile(sketch, 0.5)));
    stats_sketch_add_many(sketch, 0.1, 3);
    assert_true(isnan(stats_sketch_quantile(sketch, NAN)));
    assert_true(isnan(stats_sketch_quantile(sketch, 1.1)));
    assert_true(isnan(stats_sketch_rank(sketch, 3)));
    assert_false(isnan(stats_sketch_rank(sketch, 2)));
    stats_sketch_clear(sketch);
    assert_int_equal(stats_sketch_count(sketch), 0);
    assert_true(isnan(stats_sketch_quantile(sketch, 0.5)));
    assert_true(stats_sketch_bytes() <= 10 * 1024 + 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_are_within_the_bound),
        cmocka_unit_test(test_merging_equals_the_whole),
        cmocka_unit_test(test_a_value_stands_for_its_bucket),
        cmocka_unit_test(test_what_is_out_of_range_is_clamped_and_told),
        cmocka_unit_test(test_nothing_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
