/* How long a recording lasts.
 *
 * Its bound is in bytes, and what a person wants to know is whether yesterday evening is still
 * there. Ticks differ tenfold between one service that is probed and four behind HAProxy with their
 * engines' own figures, so a table in a manual would be wrong for nearly everybody: the last lines
 * of the recording are measured. Before there are any, a tick is made in which everything is known,
 * which says how long it lasts at the least.
 *
 * Rejected: a bound in hours. A disk fills up by bytes. */
#include "guard/record_size.h"

#include "base/clock.h"
#include "guard/policy_record.h"
#include "guard/record.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOOK_BYTES = 256 << 10, LEAST_TICKS = 10, LINE_MAX_BYTES = 1 << 20 };
static const double DAY_S = 86400;

/* ---- measured ---- */

static size_t read_end(const char *path, char *bytes, size_t size)
{
    struct stat stat_;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = 0;
    if (fd >= 0 && fstat(fd, &stat_) == 0 && S_ISREG(stat_.st_mode)) {
        const off_t from = stat_.st_size > (off_t)size ? stat_.st_size - (off_t)size : 0;
        got = pread(fd, bytes, size, from);
    }
    if (fd >= 0)
        close(fd);
    return got > 0 ? (size_t)got : 0;
}

/* Of whole lines; the first one may begin before what was read. */
static void measure(const char *folder, struct guard_record_size *size)
{
    static const char tick[] = "{\"t\":";
    AUTO(free) char *path = guard_record_path(folder);
    AUTO(free) char *bytes = malloc(LOOK_BYTES);
    if (!bytes)
        abort();
    const size_t len = read_end(path, bytes, LOOK_BYTES);
    const char *at = bytes, *end = bytes + len;
    double sum = 0;
    if (len == LOOK_BYTES) {
        const char *first = memchr(at, '\n', len);
        at = first ? first + 1 : end;
    }
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            break;
        if ((size_t)(stop - at) > sizeof tick && memcmp(at, tick, sizeof tick - 1) == 0) {
            sum += (double)(stop + 1 - at);
            size->ticks++;
        }
        at = stop + 1;
    }
    if (size->ticks >= LEAST_TICKS)
        size->tick_bytes = sum / (double)size->ticks;
    else
        size->ticks = 0;
}

/* ---- at the most ---- */

static void fill_records(const struct spec_study *study, struct policy_records *records)
{
    static const double some = 1234567; /* no six digits say it */
    records->study = study;
    for (size_t f = 0; f < study->guard->front_count; f++) {
        if (!policy_front_chooses(&study->guard->fronts[f]))
            continue;
        struct policy_record *record = &records->items[records->count++];
        *record = (struct policy_record){.front = f,
                                         .input = {.rate_rps = some,
                                                   .rate_low_rps = some,
                                                   .rate_high_rps = some,
                                                   .free_bytes = some,
                                                   .owed_bytes = some}};
        for (size_t t = 0; t < study->guard->fronts[f].tier_count; t++)
            record->input.tiers[t] = (struct policy_seen){.power = POWER_ON,
                                                          .usable = true,
                                                          .held_bytes = some,
                                                          .in_flight = 10,
                                                          .pinned_ratio = some,
                                                          .answers = 100,
                                                          .over = 10,
                                                          .latency_s = some,
                                                          .mean_rps = some,
                                                          .most_rps = some};
        policy_input_round(&record->input, study->guard->fronts[f].tier_count);
    }
}

static double most_bytes(const struct spec_study *study)
{
    const struct spec_guard *g = study->guard;
    AUTO(free) struct guard_value *values = calloc(g->metric_count + 1, sizeof *values);
    AUTO(free) struct policy_records *records = calloc(1, sizeof *records);
    AUTO(buf_done) struct buf line = BUF_INIT(LINE_MAX_BYTES);
    if (!values || !records)
        abort();
    for (size_t i = 0; i < g->metric_count; i++) {
        const struct guard_metric_ref *ref = &g->metrics[i];
        const bool counted = guard_metric_infos[ref->metric].sources;
        values[i] = (struct guard_value){.number = 0.123456,
                                         .text = ref->words ? ref->words[0] : NULL,
                                         .count = counted ? 1000 : 0,
                                         .source = counted ? SOURCE_REQUESTS : SOURCE_NONE};
    }
    fill_records(study, records);
    const struct guard_tick tick = {.wall_us = INT64_C(1700000000000000),
                                    .mono_ns = INT64_C(1000000000000000),
                                    .values = values,
                                    .tiers = records};
    guard_tick_write(&tick, g->metrics, g->metric_count, &line);
    return (double)line.len + 1;
}

void guard_record_size(const struct spec_study *study, const char *folder,
                       struct guard_record_size *ret_size)
{
    const struct spec_guard *g = study->guard;
    *ret_size = (struct guard_record_size){.least_s = NAN, .most_s = NAN};
    measure(folder, ret_size);
    if (ret_size->ticks == 0)
        ret_size->tick_bytes = most_bytes(study);
    if (g->record_bytes <= 0)
        return;
    ret_size->most_s =
        (double)g->record_bytes / ret_size->tick_bytes * (double)g->every_ns / NS_PER_S;
    ret_size->least_s = ret_size->most_s / 2;
}

double guard_record_day_bytes(const struct spec_study *study, const struct guard_record_size *size)
{
    return 2 * size->tick_bytes * DAY_S * NS_PER_S / (double)study->guard->every_ns;
}
