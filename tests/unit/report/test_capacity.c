/* How much a service can take, in words: nobody must read "at least" as an answer. */
#include "report/capacity.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *of, *end;
        double low, high;
        bool unsure;
        const char *text;
    } rows[] = {
        {"concurrency", "found", 20, 21, false, "20 clients; 21 clients are too many"},
        {"concurrency", "found", 1, 2, true,
         "1 client; 2 clients are too many (not certain at 95 %)"},
        {"rate", "found", 18.2, 19, false, "18.2 /s; 19 /s is too much"},
        {"concurrency", "most", 64, NAN, false, "at least 64 clients, the most that was tried"},
        {"concurrency", "least", NAN, 1, false, "not even 1 client"},
        {"rate", "own limit", 383, 400, false,
         "at least 383 /s; at 400 /s we could not follow ourselves"},
        {"concurrency", "ended", 4, 8, false, "4 clients; it did not survive 8 clients"},
        {"concurrency", "ended", NAN, 1, false, "not even 1 client, which it did not survive"},
        {"concurrency", "disturbed", 4, NAN, false,
         "at least 4 clients; what comes next could not be measured"},
        {"concurrency", "disturbed", NAN, NAN, false, "unknown"},
        {"concurrency", "budget", 16, 24, false,
         "at least 16 clients, less than 24 clients; its time was over"},
        {"concurrency", "budget", 16, NAN, false, "at least 16 clients"},
        {"rate", "of a newer version", 2, 3, false, "at least 2 /s; the search was not finished"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1024);
        const struct store_capacity found = {.of = rows[i].of,
                                             .end = rows[i].end,
                                             .low = rows[i].low,
                                             .high = rows[i].high,
                                             .unsure = rows[i].unsure};
        report_add_capacity(&text, &found);
        CHECK_ROW_TEXT(i, rows[i].end, buf_text(&text), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
