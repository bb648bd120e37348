/* What stays beside the services has to have room beside the winner: not what it happened to hold
 * while the winner was measured, but the most that it was seen to hold since the study began.
 *
 * A neighbour gives memory back by itself (Ollama unloads a model after five idle minutes), or its
 * worker dies while its front lives on. A large setting then starts, measures well, and does not
 * start on the next day. So each sample's free memory and the neighbours' own are added up: that is
 * the room which ours left, and the neighbours' most has to fit into it. The check is a sum of two
 * readings of one moment, so no judgement of why they shrank is needed.
 *
 * Rejected: stopping the study when they shrink. Settings that fit into what they left anyway are
 * as right as ever, and the rest is tried again when it may be back. Rejected as well: the least
 * free memory and the neighbours' memory of different moments, which is no room that ever was.
 *
 * The mirror: neighbours that grow while ours starts took what ours then lacks, as strangers do.
 * Memory that moves within the window makes it a window of two situations.
 *
 * A worker that is gone is harm where a second sign says so: many a front ends an idle one by plan.
 *
 * Invariant: unknown readings say nothing, and nothing here decides a verdict. */
#include "trial/beside.h"

#include "base/text.h"
#include "device/kernel_log.h"
#include "device/neighbour.h"
#include "trial/watch.h"

#include <math.h>

/* Beyond what caches of an engine come and go with. */
static const double MOVED_BYTES = 256 << 20;
/* Listed with so much, a process is one that works there. */
static const double WORKER_BYTES = 64 << 20;

static bool asked(const struct attempt *attempt, size_t d)
{
    return attempt->study->neighbour_count > 0 && attempt->watches[d].used;
}

static double later_most(double most, double bytes)
{
    return most >= bytes ? most : isnan(bytes) ? most : bytes;
}

static double later_least(double least, double bytes)
{
    return least <= bytes ? least : isnan(bytes) ? least : bytes;
}

/* Those of them that the driver lists with memory of their own. */
static void note_workers(struct attempt *attempt, size_t d, const struct device_ours *ours)
{
    struct beside *beside = &attempt->watches[d].beside;
    struct device_holder list[DEVICE_STRANGERS_MAX];
    size_t count =
        device_neighbours(attempt->runner->options.devices[d], ours, list, ARRAY_LEN(list));
    for (size_t i = 0; i < count && beside->worker_count < ARRAY_LEN(beside->workers); i++) {
        struct beside_worker *worker = &beside->workers[beside->worker_count];
        worker->bytes = reading_value(list[i].memory_bytes);
        if (worker->bytes > WORKER_BYTES && proc_read_stat("/proc", list[i].pid, &worker->stat) &&
            !proc_is_dead(&worker->stat))
            beside->worker_count++;
    }
}

void beside_begin(struct attempt *attempt, size_t d, const struct device_ours *ours,
                  const struct device_sample *sample)
{
    struct beside *beside = &attempt->watches[d].beside;
    double bytes = reading_value(sample->neighbour_bytes);
    *beside = (struct beside){.before_bytes = bytes,
                              .last_bytes = bytes,
                              .least_bytes = bytes,
                              .most_bytes = bytes,
                              .room_bytes = NAN,
                              .window_least_bytes = NAN,
                              .window_most_bytes = NAN};
    if (!asked(attempt, d))
        return;
    double *most = &attempt->runner->neighbours_most_bytes[d];
    *most = later_most(*most, bytes);
    note_workers(attempt, d, ours);
}

void beside_sample(struct attempt *attempt, size_t d, const struct device_sample *sample)
{
    struct beside *beside = &attempt->watches[d].beside;
    double bytes = reading_value(sample->neighbour_bytes);
    double *most = &attempt->runner->neighbours_most_bytes[d];
    if (!asked(attempt, d) || isnan(bytes))
        return;
    /* What strangers took meanwhile is none of ours. */
    double theirs =
        fmax(0, reading_value(sample->stranger_bytes) - attempt->watches[d].strangers_before_bytes);
    /* A process that ends leaves the list before its memory is free: that is no room of ours. */
    if (fabs(bytes - beside->last_bytes) <= WORKER_BYTES)
        beside->room_bytes =
            later_least(beside->room_bytes, bytes + theirs + reading_value(sample->free_bytes));
    beside->last_bytes = bytes;
    beside->least_bytes = later_least(beside->least_bytes, bytes);
    beside->most_bytes = later_most(beside->most_bytes, bytes);
    *most = later_most(*most, bytes);
    if (!attempt->in_window)
        return;
    beside->window_least_bytes = later_least(beside->window_least_bytes, bytes);
    beside->window_most_bytes = later_most(beside->window_most_bytes, bytes);
}

void beside_window_begin(struct attempt *attempt, size_t d)
{
    struct beside *beside = &attempt->watches[d].beside;
    beside->window_least_bytes = beside->window_most_bytes = NAN;
}

static const char *words_of(struct attempt *attempt, double bytes)
{
    AUTO(buf_done) struct buf text = BUF_INIT(64);
    text_add_bytes(&text, bytes);
    return arena_strdup(attempt->arena, buf_text(&text));
}

void beside_window_end(struct attempt *attempt, size_t d)
{
    const struct beside *beside = &attempt->watches[d].beside;
    double moved = beside->window_most_bytes - beside->window_least_bytes;
    if (!asked(attempt, d) || !(moved > MOVED_BYTES) || attempt->facts.device_contention)
        return;
    attempt->facts.device_contention =
        arena_printf(attempt->arena, "declared neighbours on %s changed their memory by %s",
                     attempt->study->devices[d], words_of(attempt, moved));
}

static void note_growth(struct attempt *attempt, size_t d)
{
    const struct beside *beside = &attempt->watches[d].beside;
    double grown = beside->most_bytes - beside->before_bytes;
    if (!(grown > MOVED_BYTES) || attempt->facts.others_grew)
        return;
    attempt->facts.others_grew =
        arena_printf(attempt->arena, "declared neighbours on %s took %s meanwhile",
                     attempt->study->devices[d], words_of(attempt, grown));
}

static void note_room(struct attempt *attempt, size_t d)
{
    const struct beside *beside = &attempt->watches[d].beside;
    double most = attempt->runner->neighbours_most_bytes[d];
    double lacking = most - beside->room_bytes;
    if (!(lacking > MOVED_BYTES) || attempt->facts.no_room)
        return;
    attempt->facts.no_room = arena_printf(
        attempt->arena,
        "beside the %s that declared neighbours on %s have held since the study began (%s at the "
        "least in this trial), %s would have been lacking",
        words_of(attempt, most), attempt->study->devices[d], words_of(attempt, beside->least_bytes),
        words_of(attempt, lacking));
}

/* What makes a worker's end our doing and not its front's own plan; NULL: nothing does. A card that
 * strangers have filled is none that we did. */
static const char *sign_of_harm(struct attempt *attempt, size_t d, pid_t pid, bool strangers_grew)
{
    double least = attempt->watches[d].least_free_bytes;
    if (device_kernel_killed(pid))
        return "killed by the kernel for memory";
    if (!(least < MOVED_BYTES) || strangers_grew)
        return NULL;
    return arena_printf(attempt->arena, "%s free at the least", words_of(attempt, least));
}

/* Their fronts are looked at by trial.c; these are the processes that hold the memory. One that is
 * followed by another with as much is a worker that was replaced, as some fronts do by plan. */
static void note_gone(struct attempt *attempt, size_t d, bool strangers_grew, struct buf *harmed,
                      struct buf *left)
{
    const struct beside *beside = &attempt->watches[d].beside;
    for (size_t i = 0; i < beside->worker_count; i++) {
        const struct beside_worker *worker = &beside->workers[i];
        bool missed = beside->least_bytes < beside->before_bytes - worker->bytes / 2;
        if (!missed || device_neighbour_lives("/proc", &worker->stat))
            continue;
        const char *sign = sign_of_harm(attempt, d, worker->stat.pid, strangers_grew);
        struct buf *text = sign ? harmed : left;
        buf_addf(text, "%sneighbour process %d (%s, ", text->len ? ", " : "", (int)worker->stat.pid,
                 worker->stat.comm);
        text_add_bytes(text, worker->bytes);
        buf_addf(text, " on %s%s%s)", attempt->study->devices[d], sign ? ", " : "",
                 sign ? sign : "");
    }
}

void beside_end(struct attempt *attempt)
{
    AUTO(buf_done) struct buf harmed = BUF_INIT(1024);
    AUTO(buf_done) struct buf left = BUF_INIT(1024);
    const bool strangers_grew = attempt->facts.others_grew; /* nobody else's growth is in it yet */
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        const struct beside *beside = &attempt->watches[d].beside;
        if (!asked(attempt, d) || isnan(beside->before_bytes))
            continue;
        note_growth(attempt, d);
        note_room(attempt, d);
        note_gone(attempt, d, strangers_grew, &harmed, &left);
        watch_note_device(attempt, d, "neighbours, most", beside->most_bytes);
        watch_note_device(attempt, d, "left to neighbours", beside->room_bytes);
    }
    if (harmed.len && !attempt->facts.harmed)
        attempt->facts.harmed = arena_strdup(attempt->arena, buf_text(&harmed));
    if (left.len)
        attempt->facts.neighbour_left = arena_strdup(attempt->arena, buf_text(&left));
}
