/* How much each setting can take, as the study's trials found it. */
#include "check.h"

#include "guard/watch_candidate.h"

#include "store/read.h"

#include <math.h>

static struct spec_value models[] = {{.label = "base"}, {.label = "tiny"}};
static struct spec_value threads[] = {{.label = "1"}, {.label = "2"}};
static struct spec_knob knobs[] = {
    {.name = "model", .full_name = "stt.model", .service = 0, .values = models, .value_count = 2},
    {.name = "threads",
     .full_name = "llm.threads",
     .service = 1,
     .values = threads,
     .value_count = 2},
};
static struct spec_service services[] = {{.name = "stt", .device_knob = -1},
                                         {.name = "llm", .device_knob = -1}};
static struct spec_study study = {
    .services = services, .service_count = 2, .knobs = knobs, .knob_count = 2};

#define BASE1 "stt.model=base llm.threads=1"
#define BASE2 "stt.model=base llm.threads=2"
#define TINY2 "stt.model=tiny llm.threads=2"
#define RATE "rate", "latency", true, "found"
#define ALONE "rate", "latency", false, "found"
#define CLIENTS "concurrency", "latency", true, "found"

/* Before: the last trial of that setting, whatever it was. */
static void test_the_least_of_the_good(void **state)
{
    (void)state;
    const struct store_capacity found[] = {
        {"stt", RATE, 20, 40},                                   /* 0 */
        {"stt", RATE, 12, 14},                                   /* 1 */
        {"stt", RATE, 30, 40},                                   /* 2 */
        {"stt", CLIENTS, 3, 4},                                  /* 3 */
        {"stt", ALONE, 5, 6},                                    /* 4 */
        {"stt", "rate", "latency", true, "least", NAN, 1},       /* 5 */
        {"stt", "rate", "latency", true, "disturbed", NAN, NAN}, /* 6 */
        {"llm", RATE, 1, 2},                                     /* 7 */
    };
    static const struct {
        const char *name;
        struct {
            const char *candidate, *verdict;
            int found;
        } trials[4];
        const char *wanted;
        bool others_too;
        double top;
        bool rate;
    } rows[] = {
        {"none", {{BASE2, "ok", 0}}, BASE1, true, NAN, false},
        {"of any neighbours", {{BASE2, "ok", 0}}, BASE1, false, 20, true},
        {"the least",
         {{BASE1, "ok", 0}, {BASE1, "ok", 1}, {BASE1, "ok", 2}},
         BASE1,
         true,
         12,
         true},
        {"slow is measured", {{BASE1, "ok", 2}, {BASE1, "slow", 0}}, BASE1, true, 20, true},
        {"a bad one", {{BASE1, "ok", 2}, {BASE1, "contended", 1}}, BASE1, true, 30, true},
        {"another's model", {{BASE2, "ok", 2}, {TINY2, "ok", 1}}, BASE2, true, 30, true},
        {"a rate before clients", {{BASE1, "ok", 2}, {BASE1, "ok", 3}}, BASE1, true, 30, true},
        {"clients alone", {{BASE1, "ok", 3}}, BASE1, true, 3, false},
        {"beside before alone", {{BASE1, "ok", 4}, {BASE1, "ok", 3}}, BASE1, true, 3, false},
        {"not even the smallest", {{BASE1, "ok", 5}, {BASE1, "ok", 2}}, BASE1, true, 0, true},
        {"disturbed", {{BASE1, "ok", 6}, {BASE1, "ok", 2}}, BASE1, true, 30, true},
        {"disturbed alone", {{BASE1, "ok", 6}}, BASE1, true, NAN, false},
        {"another service's", {{BASE1, "ok", 7}}, BASE1, true, NAN, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_trial trials[4] = {{0}};
        struct spec_candidate wanted;
        size_t count = 0;
        for (; count < 4 && rows[i].trials[count].candidate; count++)
            trials[count] = (struct store_trial){.candidate = rows[i].trials[count].candidate,
                                                 .verdict = rows[i].trials[count].verdict,
                                                 .capacities = &found[rows[i].trials[count].found],
                                                 .capacity_count = 1};
        assert_true(spec_candidate_parse(&study, rows[i].wanted, &wanted, NULL));
        const struct guard_capacity least =
            guard_capacity_least(&study, 0, &wanted, rows[i].others_too, trials, count);
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].top) ? isnan(least.top) : least.top == rows[i].top);
        CHECK_ROW(i, rows[i].name, isnan(rows[i].top) || least.rate == rows[i].rate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_of_the_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
