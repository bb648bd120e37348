/* The cards' first clean state, which outlives a run: what leaked in one run must not be what the
 * next one calls clean.
 *
 * It is the first reading that the store has of each card, from before the first trial on it: in
 * use, less what declared neighbours held. A study that goes on compares with that before it starts
 * anything, and a run that was told to stop compares once more when everything is down. To let the
 * next trial find out was rejected: it would be called a leak of a candidate that did nothing.
 *
 * Within a run each trial is compared by trial/watch.c, with a state that is at most NOTICED_BYTES
 * over this one. Cards are opened anew here: with lanes none is open in this process. */
#include "study/clean.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "device/sample.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

static const double NOTICED_BYTES = 64 << 20; /* as trial/watch.c */
static const int64_t BACK_WITHIN_NS = 5 * NS_PER_S, BACK_STEP_NS = NS_PER_S / 5;

static double first_reading(const struct store_trial *trial, const char *device, const char *name)
{
    for (size_t i = 0; i < trial->reading_count; i++) {
        const struct store_reading *r = &trial->readings[i];
        if (strcmp(r->phase, "before") == 0 && strcmp(r->name, name) == 0 && r->device &&
            strcmp(r->device, device) == 0)
            return r->value;
    }
    return NAN;
}

double study_clean_stored(const struct store_trial *trials, size_t count, const char *device)
{
    double bytes = NAN;
    for (size_t i = 0; i < count && isnan(bytes); i++)
        bytes = first_reading(&trials[i], device, "used") -
                first_reading(&trials[i], device, "neighbours");
    return bytes;
}

/* In use with nobody's name on it, beside the neighbours; NaN: unknown. */
static double read_unexplained(struct device *device, const struct device_ours *ours)
{
    struct device_sample sample;
    device_sample(device, ours, &sample);
    double rest = reading_value(sample.used_bytes) - reading_value(sample.neighbour_bytes);
    struct device_holder list[DEVICE_STRANGERS_MAX];
    size_t count = device_strangers(device, ours, 0, list, ARRAY_LEN(list));
    for (size_t i = 0; i < count; i++)
        if (list[i].pid != 0)
            rest -= reading_value(list[i].memory_bytes);
    return rest;
}

/* What is over the first clean state and stays so; NaN or <= NOTICED_BYTES: nothing. */
static double await_clean(const struct study_loop *loop, const char *name, double clean_bytes)
{
    const struct device_ours ours = {.neighbours = loop->study->neighbours,
                                     .neighbour_count = loop->study->neighbour_count};
    int64_t deadline_ns = clock_now_ns() + BACK_WITHIN_NS;
    AUTO(device_close) struct device *device = NULL;
    struct err ignored = ERR_INIT; /* a lost card is said by whoever needs it */
    if (!device_open(name, "/proc", &device, &ignored) || device_facts(device)->cores > 0)
        return NAN;
    for (;;) {
        double over = read_unexplained(device, &ours) - clean_bytes;
        if (!(over > NOTICED_BYTES) || clock_now_ns() >= deadline_ns ||
            cancel_level() == CANCEL_NOW)
            return over;
        nanosleep(&(struct timespec){.tv_nsec = BACK_STEP_NS}, NULL);
    }
}

bool study_clean_compare(const struct study_loop *loop, struct buf *ret_words, struct err *err)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (loop->history.count == 0)
        return true;
    if (!store_read_trials(loop->store, scratch, true, &trials, &count, err))
        return err_wrap(err, "reading what was clean");
    for (size_t d = 0; d < loop->study->device_count; d++) {
        const char *name = loop->study->devices[d];
        double clean_bytes = study_clean_stored(trials, count, name);
        double over = isnan(clean_bytes) ? NAN : await_clean(loop, name, clean_bytes);
        if (!(over > NOTICED_BYTES))
            continue;
        buf_addf(ret_words, "%s%s: ", ret_words->len ? "; " : "", name);
        text_add_bytes(ret_words, over);
        buf_add(ret_words, " more are in use than before the first trial, and no process that can "
                           "be seen holds them");
    }
    return true;
}
