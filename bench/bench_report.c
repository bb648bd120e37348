/* CPU seconds of one report over a large study: 2,000 trials and 1,000,000 request rows. Filling
 * the store is not counted, but the rows per second of it are told, because a trial's end waits for
 * them.
 *
 * usage: bench-report FOLDER         (study.db and the report's files are left in it) */
#include "sample.h"

#include "base/clock.h"
#include "base/file.h"
#include "report/report.h"
#include "store/read.h"

#include <inttypes.h>

enum { TRIALS = 2000, REQUESTS = 512 };

static const double REPORT_BAR_S = 3, ROWS_BAR = 200000;

static const char *judge(bool ok)
{
    return ok ? "ok" : "short";
}

static bool fill(const char *path, struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    /* One trial is the baseline, twelve are the final, the exploration takes the rest. */
    struct sample_options options = {
        .story = SAMPLE_WINNER, .trials = TRIALS - 13, .requests = REQUESTS};
    int64_t requests = 0, began_ns = clock_cpu_ns();
    if (!store_open(path, STORE_CREATE, &store, err) || !sample_fill(store, &options, err) ||
        !store_count_requests(store, &requests, err))
        return false;
    double rate = (double)requests / ((double)(clock_cpu_ns() - began_ns) / NS_PER_S);
    fprintf(stderr, "%" PRId64 " request rows\n", requests);
    printf("store_rows_per_s %.0f 1/s %.0f %s\n", rate, ROWS_BAR, judge(rate >= ROWS_BAR));
    return true;
}

static bool measure(const char *path, const char *folder, struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_view *view = NULL;
    int64_t began_ns = clock_cpu_ns();
    if (!store_open(path, STORE_READ, &store, err) ||
        !report_view_build(store, sample_catalog(), arena, &view, err))
        return false;
    int64_t built_ns = clock_cpu_ns();
    if (!report_write_all(view, folder, err))
        return false;
    double build_s = (double)(built_ns - began_ns) / NS_PER_S;
    double all_s = (double)(clock_cpu_ns() - began_ns) / NS_PER_S;
    printf("report_2000_trials_view %.2f s - -\n", build_s);
    printf("report_2000_trials %.2f s %.0f %s\n", all_s, REPORT_BAR_S, judge(all_s < REPORT_BAR_S));
    return true;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (argc != 2) {
        fprintf(stderr, "usage: bench-report FOLDER\n");
        return 2;
    }
    AUTO(free) char *path = file_join(argv[1], "study.db");
    if (file_exists(path))
        unlink(path);
    if (fill(path, &err) && measure(path, argv[1], &err))
        return 0;
    fprintf(stderr, "bench-report: %s\n", err.text);
    return 1;
}
