/* Arithmetic on records: what was never stamped gives NaN, not a number. */
#include "load/record.h"

#include "check.h"

#include <math.h>

static struct load_record sample(void)
{
    return (struct load_record){
        .error = LOAD_OK,
        .intended_ns = 1000000000,
        .sent_ns = 1000250000,
        .first_token_ns = 1100000000,
        .done_ns = 1500000000,
    };
}

static void test_times(void **state)
{
    (void)state;
    struct load_record r = sample();
    assert_float_equal(load_latency_s(&r), 0.5, 1e-12);
    assert_float_equal(load_service_s(&r), 0.49975, 1e-12);
    assert_float_equal(load_ttft_s(&r), 0.1, 1e-12);
    assert_float_equal(load_lateness_s(&r), 0.00025, 1e-12);
}

static void test_unknown(void **state)
{
    (void)state;
    struct load_record r = sample();
    r.first_token_ns = -1;
    assert_true(isnan(load_ttft_s(&r)));
    r.held_back = true;
    assert_true(isnan(load_lateness_s(&r)));
    r = sample();
    r.sent_ns = -1;
    assert_true(isnan(load_lateness_s(&r)) && isnan(load_service_s(&r)));
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++) {
        r = sample();
        r.error = (enum load_error)e;
        CHECK_ROW(e, load_error_name(r.error), isnan(load_latency_s(&r)));
        CHECK_ROW(e, load_error_name(r.error), isnan(load_service_s(&r)));
    }
}

/* Ten events from 1.0 s on, 0.1 s apart, of which `kept` gaps are known. Before: what lay beyond
 * them counted in a bench and not in a study. */
static void test_share_inside(void **state)
{
    (void)state;
    enum { GAPS = 9 };
    int64_t gaps_ns[GAPS];
    static const struct {
        const char *name;
        uint32_t kept;
        double from_s, to_s, share;
    } rows[] = {
        {"whole", GAPS, 0, 3, 1},          {"its beginning", GAPS, 0, 1.25, 0.3},
        {"before it", GAPS, 0, 1, 0},      {"half known", 4, 1.45, 3, 0.45},
        {"of the rest", 4, 1.65, 3, 0.25}, {"none known", 0, 1.45, 3, 0.45},
    };
    for (size_t i = 0; i < GAPS; i++)
        gaps_ns[i] = 100000000;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct load_record r = sample();
        r.first_token_ns = 1000000000;
        r.last_token_ns = r.done_ns = 1900000000;
        r.gap_count = rows[i].kept;
        r.gaps_left_out = GAPS - rows[i].kept;
        double share =
            load_share_inside(&r, rows[i].kept ? gaps_ns : NULL, (int64_t)(rows[i].from_s * 1e9),
                              (int64_t)(rows[i].to_s * 1e9));
        CHECK_ROW(i, rows[i].name, fabs(share - rows[i].share) < 1e-9);
    }
    struct load_record silent = sample();
    silent.first_token_ns = -1;
    assert_true(load_share_inside(&silent, NULL, 0, 1500000001) == 1);
    assert_true(load_share_inside(&silent, NULL, 0, 1500000000) == 0);
}

static void test_names(void **state)
{
    (void)state;
    for (int e = 0; e < LOAD_ERROR_COUNT_; e++)
        assert_int_equal(load_error_from_name(load_error_name((enum load_error)e)), e);
    assert_int_equal(load_error_from_name("nothing"), -1);
    assert_string_equal(load_error_name(LOAD_ERROR_COUNT_), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_share_inside),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
