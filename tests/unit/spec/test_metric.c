/* Names lead to metrics and back, quantities are read with the right unit or refused with what is
 * allowed, and values print as people say them. Verdict names too: both are one-table modules. */
#include "base/buf.h"
#include "spec/metric.h"
#include "spec/verdict.h"

#include "check.h"

#include <math.h>

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < METRIC_COUNT_; i++) {
        assert_int_equal(metric_from_name(metric_facts(i)->name), i);
        assert_non_null(metric_facts(i)->meaning);
        assert_true(metric_facts(i)->source != 0);
    }
    for (int i = STAT_P50; i < STAT_COUNT_; i++)
        assert_int_equal(metric_stat_from_name(metric_stat_name(i)), i);
    assert_string_equal(metric_stat_name(STAT_VALUE), "");
    assert_int_equal(metric_from_name("latence"), -1);
    assert_int_equal(metric_from_name(NULL), -1);
    assert_int_equal(metric_stat_from_name(""), -1);
    assert_int_equal(metric_stat_from_name("p96"), -1);
    assert_true(metric_stat_quantile(STAT_P95) == 0.95);
    assert_true(isnan(metric_stat_quantile(STAT_MEAN)));
    assert_true(isnan(metric_stat_quantile(STAT_VALUE)));
}

static void test_verdicts(void **state)
{
    (void)state;
    for (int i = 0; i < VERDICT_COUNT_; i++) {
        assert_int_equal(verdict_from_name(verdict_facts(i)->name), i);
        assert_non_null(verdict_facts(i)->meaning);
        assert_true(verdict_facts(i)->has_fitness == (i == VERDICT_OK || i == VERDICT_SLOW));
        assert_true(verdict_facts(i)->retried ==
                    (i == VERDICT_CONTENDED || i == VERDICT_DEVICE_DIRTY ||
                     i == VERDICT_INSTRUMENT || i == VERDICT_ENV_FAULT));
    }
    assert_int_equal(verdict_from_name("fine"), -1);
    assert_int_equal(verdict_from_name(NULL), -1);
    assert_non_null(verdict_facts(VERDICT_COUNT_));
}

static void test_quantities(void **state)
{
    (void)state;
    static const struct {
        enum metric_unit unit;
        const char *text;
        double value; /* NaN: refused */
    } rows[] = {
        {UNIT_SECONDS, "500ms", 0.5},
        {UNIT_SECONDS, "1.5m", 90},
        {UNIT_SECONDS, "2s", 2},
        {UNIT_SECONDS, "500", NAN},
        {UNIT_SECONDS, "0", 0},
        {UNIT_SECONDS, "5%", NAN},
        {UNIT_SECONDS, "", NAN},
        {UNIT_SECONDS, "inf", NAN},
        {UNIT_RATIO, "5%", 0.05},
        {UNIT_RATIO, "7.5 %", 0.075},
        {UNIT_RATIO, "0.2", 0.2},
        {UNIT_RATIO, "%", NAN},
        {UNIT_RATIO, "nan", NAN},
        {UNIT_BYTES, "512MiB", 536870912.0},
        {UNIT_BYTES, "1GiB", 1073741824.0},
        {UNIT_BYTES, "64k", NAN},
        {UNIT_COUNT, "3", 3},
        {UNIT_COUNT, "3s", NAN},
        {UNIT_PER_SECOND, "3/s", 3},
        {UNIT_PER_SECOND, "3", 3},
        {UNIT_PER_SECOND, "90/min", 1.5},
        {UNIT_PER_SECOND, "3/h", NAN},
        {UNIT_BYTES_PER_SECOND, "60KiB/min", 1024},
        {UNIT_BYTES_PER_SECOND, "1.5 MiB/s", 1572864},
        {UNIT_BYTES_PER_SECOND, "3600B/h", 1},
        {UNIT_BYTES_PER_SECOND, "0", 0},
        {UNIT_BYTES_PER_SECOND, "12MiB", NAN},
        {UNIT_BYTES_PER_SECOND, "12/min", NAN},
        {UNIT_BYTES_PER_SECOND, "/min", NAN},
        {UNIT_BYTES_PER_SECOND, "3", NAN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        double value = -77;
        bool ok = metric_parse_quantity(rows[i].unit, rows[i].text, &value, &err);
        CHECK_ROW(i, rows[i].text, ok == !isnan(rows[i].value));
        CHECK_ROW(i, rows[i].text, ok ? fabs(value - rows[i].value) < 1e-12 : value == -77);
        CHECK_ROW(i, rows[i].text, ok != err_is_set(&err));
    }
    struct err err = ERR_INIT;
    double value = 0;
    assert_false(metric_parse_quantity(UNIT_SECONDS, "5\x1b[1m", &value, &err));
    assert_null(strchr(err.text, 0x1b));
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        enum metric_unit unit;
        double value;
        const char *text;
    } rows[] = {
        {UNIT_SECONDS, 0.118, "118 ms"},
        {UNIT_SECONDS, NAN, "unknown"},
        {UNIT_RATIO, 0.074, "7.4 %"},
        {UNIT_RATIO, 1, "100 %"},
        {UNIT_RATIO, 0, "0.0 %"},
        {UNIT_BYTES, 34.8 * 1073741824.0, "34.8 GiB"},
        {UNIT_PER_SECOND, 81.2, "81.2 /s"},
        {UNIT_PER_SECOND, 0, "0 /s"},
        {UNIT_PER_SECOND, 1234.5, "1,235 /s"},
        {UNIT_COUNT, 3, "3"},
        {UNIT_COUNT, 0, "0"},
        {UNIT_COUNT, 1.2345, "1.23"},
        {UNIT_COUNT, 12345, "12,345"},
        {UNIT_BYTES, NAN, "unknown"},
        {UNIT_BYTES_PER_SECOND, NAN, "unknown"},
        {UNIT_BYTES_PER_SECOND, 12 * 1048576.0 / 60, "12.0 MiB/min"},
        {UNIT_BYTES_PER_SECOND, -1048576.0, "-60.0 MiB/min"},
        {UNIT_BYTES_PER_SECOND, 0, "0 B/min"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        metric_add_value(&buf, rows[i].unit, rows[i].value);
        CHECK_ROW_TEXT(i, rows[i].text, buf_text(&buf), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_quantities),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
