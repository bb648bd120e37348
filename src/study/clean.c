/* The cards' first clean state, which outlives a run: what leaked in one run must not be what the
 * next one calls clean.
 *
 * It is the first reading that the store has of each card, from before the first trial on it: in
 * use, less what declared neighbours held. A study that goes on compares with that before it starts
 * anything, and a run that was told to stop compares once more when everything is down. To let the
 * next trial find out was rejected: it would be called a leak of a candidate that did nothing.
 *
 * Days may lie between two runs, in which others come and drivers keep more for themselves. So a
 * study of which no trial is known to have leaked is held to what counts as noise beside the
 * listed (device/gpu_owners.c), and where a container hides other containers' processes, memory
 * that is listed to nobody is no leak of ours: the next trial says of it that the card is dirty.
 *
 * Within a run each trial is compared by trial/watch.c, with a state that is at most NOTICED_BYTES
 * over this one. Cards are opened anew here: with lanes none is open in this process. */
#include "study/clean.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "spec/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

static const double NOTICED_BYTES = 64 << 20; /* as trial/watch.c */
static const double NOISE_BYTES = 256 << 20;  /* as device/gpu_owners.c */
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

/* By the measure of study_clean_unexplained(): without strangers. Below the noise all of them were
 * listed; above it the trial was refused, and whose the memory was can't be told any more. */
static double first_unexplained(const struct store_trial *trial, const char *device)
{
    double strangers = first_reading(trial, device, "strangers");
    return first_reading(trial, device, "used") - first_reading(trial, device, "neighbours") -
           (strangers < NOISE_BYTES ? strangers : 0);
}

double study_clean_stored(const struct store_trial *trials, size_t count, const char *device)
{
    double bytes = NAN;
    for (size_t i = 0; i < count && isnan(bytes); i++)
        bytes = first_unexplained(&trials[i], device);
    return bytes;
}

struct study_clean_rule study_clean_rule(const struct store_trial *trials, size_t count,
                                         enum study_clean_when when, bool hides_processes)
{
    bool strict = when == CLEAN_STOPPED;
    for (size_t i = 0; i < count; i++)
        strict = strict || strcmp(trials[i].verdict, verdict_facts(VERDICT_LEAK)->name) == 0;
    return (struct study_clean_rule){strict ? NOTICED_BYTES : NOISE_BYTES,
                                     strict || !hides_processes};
}

double study_clean_unexplained(const struct device_sample *sample,
                               const struct device_holder *strangers, size_t count,
                               bool unlisted_counts)
{
    double rest = reading_value(sample->used_bytes) - reading_value(sample->neighbour_bytes);
    for (size_t i = 0; i < count; i++)
        if (strangers[i].pid != 0 || !unlisted_counts)
            rest -= reading_value(strangers[i].memory_bytes);
    return rest;
}

static double read_unexplained(struct device *device, const struct device_ours *ours,
                               bool unlisted_counts)
{
    struct device_sample sample;
    device_sample(device, ours, &sample);
    struct device_holder list[DEVICE_STRANGERS_MAX];
    size_t count = device_strangers(device, ours, 0, list, ARRAY_LEN(list));
    return study_clean_unexplained(&sample, list, count, unlisted_counts);
}

/* One card, and what the store knows of it. */
struct card {
    const char *name;
    const struct store_trial *trials;
    size_t count;
    enum study_clean_when when;
};

/* What is over the first clean state and stays so; NaN or 0: nothing that counts. */
static double await_clean(const struct study_loop *loop, const struct card *card)
{
    const struct device_ours ours = {.neighbours = loop->study->neighbours,
                                     .neighbour_count = loop->study->neighbour_count};
    double clean_bytes = study_clean_stored(card->trials, card->count, card->name);
    int64_t deadline_ns = clock_now_ns() + BACK_WITHIN_NS;
    AUTO(device_close) struct device *device = NULL;
    struct err ignored = ERR_INIT; /* a lost card is said by whoever needs it */
    if (isnan(clean_bytes) || !device_open(card->name, "/proc", &device, &ignored) ||
        device_facts(device)->cores > 0)
        return NAN;
    const struct study_clean_rule rule = study_clean_rule(card->trials, card->count, card->when,
                                                          device_facts(device)->hides_processes);
    for (;;) {
        double over = read_unexplained(device, &ours, rule.unlisted_counts) - clean_bytes;
        if (!(over > rule.bound_bytes))
            return 0;
        if (clock_now_ns() >= deadline_ns || cancel_level() == CANCEL_NOW)
            return over;
        nanosleep(&(struct timespec){.tv_nsec = BACK_STEP_NS}, NULL);
    }
}

bool study_clean_compare(const struct study_loop *loop, enum study_clean_when when,
                         struct buf *ret_words, struct err *err)
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
        double over = await_clean(loop, &(struct card){name, trials, count, when});
        if (!(over > 0))
            continue;
        buf_addf(ret_words, "%s%s: ", ret_words->len ? "; " : "", name);
        text_add_bytes(ret_words, over);
        buf_add(ret_words, " more are in use than before the first trial, and no process that can "
                           "be seen holds them");
    }
    return true;
}
