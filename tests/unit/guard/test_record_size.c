/* How long a recording lasts: measured where there is one, else from a tick in which all is known.
 */
#include "guard/record_size.h"

#include "check.h"

#include "guard/record.h"
#include "judged.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"

#include <math.h>

#define MIB 1048576.0

static void is_measured(void **state)
{
    (void)state;
    struct judged *j = judged_new("  record: 8MiB\n  every: 500ms\n");
    char *folder = check_make_folder();
    char study[256];
    struct err err = ERR_INIT;
    struct guard_events events = {0};
    struct guard_record_size size;
    struct guard_record *record = NULL;
    const struct spec_guard *g = j->study->guard;
    snprintf(study, sizeof study, "%s/x.spica", folder);

    guard_record_size(j->study, study, &size);
    const double most = size.tick_bytes;
    assert_int_equal(size.ticks, 0);
    assert_true(fabs(size.most_s - 8 * MIB / most / 2) < 1e-6);
    assert_true(size.least_s == size.most_s / 2);
    assert_true(guard_record_day_bytes(j->study, &size) == 2 * most * 2 * 86400);

    assert_true(guard_record_open(study, g->record_bytes, &record, &err));
    judged_set_count(j, "stt.latency.p95", 0.25, 100);
    judged_set(j, "llm.up", 1);
    j->tick.values = j->values;
    j->tick.mono_ns = 1000 * NS_PER_S;
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    guard_tick_write(&j->tick, g->metrics, g->metric_count, &line);
    /* A few say nothing; many are more than is looked at, and the first is then cut. */
    static const struct {
        int ticks;
        bool measured;
    } rows[] = {{5, false}, {95, true}, {5000, true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int k = 0; k < rows[i].ticks; k++)
            guard_record_add(record, &j->tick, g->metrics, g->metric_count, &events);
        guard_record_size(j->study, study, &size);
        CHECK_ROW(i, "measured", (size.ticks > 0) == rows[i].measured);
        CHECK_ROW(i, "its lines",
                  size.tick_bytes == (rows[i].measured ? (double)line.len + 1 : most));
        CHECK_ROW(i, "never more than said", size.tick_bytes <= most);
    }
    guard_record_close(record);
    check_remove_folder(folder);
    judged_free(j);
}

static void nothing_is_recorded(void **state)
{
    (void)state;
    struct judged *j = judged_new("  record: 0B\n");
    struct guard_record_size size;
    guard_record_size(j->study, "/nowhere/x.spica", &size);
    assert_true(isnan(size.least_s) && isnan(size.most_s));
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_measured),
        cmocka_unit_test(nothing_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
