/* A sliding window as a ring of slots, each for a twelfth of the span.
 *
 * Slot number n covers [n length, (n + 1) length) of the steady clock and lies at n modulo the
 * ring's size. Whoever adds or reads first moves the ring on: slots that were passed over are
 * emptied, at most all of them once, however long the pause was.
 *
 * Rejected: keeping values with their times (a flood of requests decides how much memory that
 * takes); one sketch that forgets exponentially (its count means nothing to a person, and "of the
 * last minute" would be a lie); taking expired buckets off a running sum (saves time that nobody
 * misses and makes one wrong subtraction last for ever).
 *
 * Invariant: slots hold what came at [newest - 11, newest]; all others are empty. */
#include "guard/window.h"

#include "base/clock.h"
#include "stats/quantile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct stats_sketch *sketch; /* owned; NULL: no value ever came into it */
    uint64_t counts[GUARD_WINDOW_COUNTS];
};

struct guard_window {
    int64_t slot_ns, began_ns;
    int64_t newest; /* number of the slot under way */
    struct slot slots[GUARD_WINDOW_SLOTS];
};

static int64_t slot_number(const struct guard_window *window, int64_t now_ns)
{
    int64_t number = now_ns / window->slot_ns;
    return now_ns < 0 && now_ns % window->slot_ns != 0 ? number - 1 : number;
}

static struct slot *slot_at(struct guard_window *window, int64_t number)
{
    int64_t at = number % GUARD_WINDOW_SLOTS;
    return &window->slots[at < 0 ? at + GUARD_WINDOW_SLOTS : at];
}

static void slot_clear(struct slot *slot)
{
    if (slot->sketch && stats_sketch_count(slot->sketch) > 0)
        stats_sketch_clear(slot->sketch);
    memset(slot->counts, 0, sizeof slot->counts);
}

static void move_on(struct guard_window *window, int64_t now_ns)
{
    int64_t number = slot_number(window, now_ns);
    int64_t passed = number - window->newest;
    for (int64_t i = 1; i <= passed && i <= GUARD_WINDOW_SLOTS; i++)
        slot_clear(slot_at(window, window->newest + i));
    if (passed > 0)
        window->newest = number;
}

struct guard_window *guard_window_new(int64_t span_ns, int64_t began_ns)
{
    assert(span_ns > 0);
    struct guard_window *window = calloc(1, sizeof *window);
    if (!window)
        abort();
    window->slot_ns = span_ns >= GUARD_WINDOW_SLOTS ? span_ns / GUARD_WINDOW_SLOTS : 1;
    window->began_ns = began_ns;
    window->newest = slot_number(window, began_ns);
    return window;
}

struct guard_window *guard_window_free(struct guard_window *window)
{
    for (size_t i = 0; window && i < GUARD_WINDOW_SLOTS; i++)
        stats_sketch_free(window->slots[i].sketch);
    free(window);
    return NULL;
}

size_t guard_window_bytes_max(void)
{
    return sizeof(struct guard_window) + GUARD_WINDOW_SLOTS * stats_sketch_bytes();
}

void guard_window_add(struct guard_window *window, int64_t now_ns, double value, uint64_t times)
{
    move_on(window, now_ns);
    struct slot *slot = slot_at(window, window->newest);
    if (!slot->sketch)
        slot->sketch = stats_sketch_new();
    stats_sketch_add_many(slot->sketch, value, times);
}

void guard_window_count(struct guard_window *window, int64_t now_ns, size_t which, uint64_t more)
{
    assert(which < GUARD_WINDOW_COUNTS);
    move_on(window, now_ns);
    slot_at(window, window->newest)->counts[which] += more;
}

void guard_window_restart(struct guard_window *window, int64_t now_ns)
{
    for (size_t i = 0; i < GUARD_WINDOW_SLOTS; i++)
        slot_clear(&window->slots[i]);
    window->began_ns = now_ns;
    window->newest = slot_number(window, now_ns);
}

static struct stats_sketch *sum_of(const struct guard_window *window)
{
    struct stats_sketch *sum = stats_sketch_new();
    for (size_t i = 0; i < GUARD_WINDOW_SLOTS; i++)
        if (window->slots[i].sketch)
            stats_sketch_merge(sum, window->slots[i].sketch);
    return sum;
}

static double quantile_of(const struct stats_sketch *sum, double q)
{
    return stats_quantile_allowed(stats_sketch_count(sum), q) ? stats_sketch_quantile(sum, q) : NAN;
}

double guard_window_quantile(const struct guard_window *window, double q)
{
    AUTO(stats_sketch_free) struct stats_sketch *sum = sum_of(window);
    return quantile_of(sum, q);
}

void guard_window_read(struct guard_window *window, int64_t now_ns,
                       struct guard_window_reading *ret_reading)
{
    move_on(window, now_ns);
    struct guard_window_reading reading = {.p50 = NAN, .p95 = NAN, .p99 = NAN};
    bool any = false;
    for (size_t i = 0; i < GUARD_WINDOW_SLOTS; i++) {
        const struct slot *slot = &window->slots[i];
        any = any || (slot->sketch && stats_sketch_count(slot->sketch) > 0);
        for (size_t c = 0; c < GUARD_WINDOW_COUNTS; c++)
            reading.counts[c] += slot->counts[c];
    }
    if (any) { /* most windows are empty, and a sum costs ten times the look */
        AUTO(stats_sketch_free) struct stats_sketch *sum = sum_of(window);
        reading.values = stats_sketch_count(sum);
        reading.p50 = quantile_of(sum, 0.50);
        reading.p95 = quantile_of(sum, 0.95);
        reading.p99 = quantile_of(sum, 0.99);
    }
    int64_t oldest_ns = (window->newest - (GUARD_WINDOW_SLOTS - 1)) * window->slot_ns;
    int64_t since_ns = window->began_ns > oldest_ns ? window->began_ns : oldest_ns;
    reading.covered_s = now_ns > since_ns ? (double)(now_ns - since_ns) / NS_PER_S : 0;
    *ret_reading = reading;
}
