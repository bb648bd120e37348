/* Numbers with units, both ways, at the edges where the unit or the rounding changes. */
#include "base/text.h"

#include "check.h"

#include <math.h>

struct reading {
    const char *text;
    int64_t value; /* -1: refused */
};

static void check_readings(const struct reading *rows, size_t count,
                           bool (*read)(const char *text, int64_t *ret_value))
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = 42;
        bool good = rows[i].value >= 0;
        CHECK_ROW(i, rows[i].text, read(rows[i].text, &value) == good);
        CHECK_ROW(i, rows[i].text, value == (good ? rows[i].value : 42));
    }
}

static void test_to_duration(void **state)
{
    (void)state;
    static const struct reading rows[] = {
        {"0", 0},
        {"0s", 0},
        {"7ns", 7},
        {"80us", 80000},
        {"250ms", 250000000},
        {"10s", 10000000000},
        {"10 s", 10000000000},
        {"1.5m", 90000000000},
        {"45m", 2700000000000},
        {"2h", 7200000000000},
        {"0.1s", 100000000},
        {"9223372036854775807ns", INT64_MAX},
        {"9223372036854775808ns", -1},
        {"9223372036854775807us", -1},
        {"2562048h", -1},
        {"9999999999999.5h", -1},
        {"10", -1},
        {"1.5", -1},
        {"-1s", -1},
        {"-0", -1},
        {"+1s", -1},
        {"1e3s", -1},
        {"s", -1},
        {".s", -1},
        {"", -1},
        {" 1s", -1},
        {"1s ", -1},
        {"1  s", -1},
        {"1.2.3s", -1},
        {"1S", -1},
        {"1min", -1},
        {"1h30m", -1},
        {"1d", -1},
        {"infs", -1},
        {"0x10s", -1},
        {"1111111111111111111111111111111111111111111111111111111111111111s", -1},
    };
    check_readings(rows, ARRAY_LEN(rows), text_to_duration_ns);
}

static void test_to_bytes(void **state)
{
    (void)state;
    static const struct reading rows[] = {
        {"1024B", 1024},
        {"0B", 0},
        {"2kB", 2000},
        {"200MB", 200000000},
        {"3GB", 3000000000},
        {"64KiB", 65536},
        {"512MiB", INT64_C(512) << 20},
        {"4GiB", INT64_C(4) << 30},
        {"4 GiB", INT64_C(4) << 30},
        {"1.5GiB", INT64_C(1536) << 20},
        {"8388607TiB", INT64_C(8388607) << 40},
        {"8388608TiB", -1},
        {"8388608.0TiB", -1},
        {"64k", -1},
        {"64K", -1},
        {"1KB", -1},
        {"1mib", -1},
        {"0", -1},
        {"1024", -1},
        {"-1B", -1},
        {"", -1},
        {"GiB", -1},
    };
    check_readings(rows, ARRAY_LEN(rows), text_to_bytes);
}

struct showing {
    double value;
    const char *text;
};

static void check_showings(const struct showing *rows, size_t count,
                           void (*add)(struct buf *buf, double value))
{
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        add(&buf, rows[i].value);
        CHECK_ROW_TEXT(i, rows[i].text, buf_text(&buf), rows[i].text);
    }
}

static void test_add_duration(void **state)
{
    (void)state;
    static const struct showing rows[] = {
        {NAN, "unknown"},         {INFINITY, "unknown"},  {0, "0 s"},
        {5e-9, "0.005 us"},       {1.24e-6, "1.24 us"},   {412e-6, "412 us"},
        {999.4e-6, "999 us"},     {999.6e-6, "1.00 ms"},  {1e-3, "1.00 ms"},
        {4.12e-3, "4.12 ms"},     {9.994e-3, "9.99 ms"},  {9.996e-3, "10.0 ms"},
        {0.188, "188 ms"},        {0.9994, "999 ms"},     {0.9996, "1.00 s"},
        {1.24, "1.24 s"},         {44.2, "44.2 s"},       {99.96, "100 s"},
        {118.6, "119 s"},         {119.6, "2 min 00 s"},  {200, "3 min 20 s"},
        {7199.4, "119 min 59 s"}, {7199.6, "2 h 00 min"}, {7500, "2 h 05 min"},
        {360000, "100 h 00 min"}, {-0.188, "-188 ms"},    {1e300, "1e+300 s"},
    };
    check_showings(rows, ARRAY_LEN(rows), text_add_duration);
}

static void test_add_bytes(void **state)
{
    (void)state;
    const double kib = 1024, mib = kib * 1024, gib = mib * 1024, tib = gib * 1024;
    const struct showing rows[] = {
        {NAN, "unknown"},         {-INFINITY, "unknown"},     {0, "0 B"},
        {512, "512 B"},           {10239, "10,239 B"},        {10240, "10.0 KiB"},
        {512 * kib, "512 KiB"},   {2260 * mib, "2,260 MiB"},  {43.1 * gib, "43.1 GiB"},
        {99.96 * gib, "100 GiB"}, {999.6 * gib, "1,000 GiB"}, {12345 * tib, "12,345 TiB"},
        {-512 * kib, "-512 KiB"}, {1e300, "9.09e+287 TiB"},
    };
    check_showings(rows, ARRAY_LEN(rows), text_add_bytes);
}

static void test_add_grouped(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {999, "999"},
        {1000, "1,000"},
        {-1000, "-1,000"},
        {-999, "-999"},
        {1234567, "1,234,567"},
        {INT64_MAX, "9,223,372,036,854,775,807"},
        {INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(100);
        text_add_grouped(&buf, rows[i].value);
        CHECK_ROW_TEXT(i, "grouped", buf_text(&buf), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_duration),  cmocka_unit_test(test_to_bytes),
        cmocka_unit_test(test_add_duration), cmocka_unit_test(test_add_bytes),
        cmocka_unit_test(test_add_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
