/* Memory that only looks free.
 *
 * A neighbour that restarts gives its memory back for a minute and then wants it again. A tier
 * started in that minute would make it fail: so what others held within the last five minutes is
 * theirs. And one that grows goes on for the next seconds as it did in the last ones.
 *
 * On a CPU box neither is counted: what processes held there and gave back is nobody's, and
 * MemAvailable moves with caches.
 *
 * What others hold is what all hold less what our own tiers do, and these are two looks: ours are
 * asked every two seconds, and memory goes some time after its process. So where much has moved,
 * ours are asked anew in the next step and nothing is learned before; and while one of ours comes
 * up or ends, nothing is at all. Counted as others', a tier's own 20 GiB would evict the next one.
 * What is owed by then stays so meanwhile, and what was given back in just that step is owed at
 * once: others hold no more than what is in use and is not surely ours.
 *
 * Rejected: watching the declared neighbours alone. The game or the training run that was started
 * by hand is declared by nobody. */
#include "guard/tier_memory.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

static const int64_t SPAN_NS = 10 * NS_PER_S;
static const double MOVED_BYTES = 256.0 * 1024 * 1024;

static double most_bytes(const struct tier_memory *memory, int64_t now_ns)
{
    double most = 0;
    for (size_t i = 0; i < memory->span_count && i < TIER_MEMORY_SPANS; i++)
        if (now_ns - memory->spans[i].began_ns <= TIER_MEMORY_SPANS * SPAN_NS)
            most = fmax(most, memory->spans[i].most_bytes);
    return most;
}

void tier_memory_note(struct tier_memory *memory, double others_bytes, int64_t now_ns)
{
    size_t last = (memory->span_count + TIER_MEMORY_SPANS - 1) % TIER_MEMORY_SPANS;
    bool first = memory->span_count == 0;
    if (isnan(others_bytes))
        return;
    if (first || now_ns - memory->spans[last].began_ns >= SPAN_NS) {
        last = memory->span_count++ % TIER_MEMORY_SPANS;
        memory->spans[last].began_ns = now_ns;
        memory->spans[last].most_bytes = 0;
    }
    memory->spans[last].most_bytes = fmax(memory->spans[last].most_bytes, others_bytes);
    /* Growth over the last looks goes on for as long. */
    const size_t looks = sizeof memory->others_bytes / sizeof *memory->others_bytes;
    double before = first ? others_bytes : memory->others_bytes[looks - 1];
    double growth = others_bytes - before;
    memmove(memory->others_bytes + 1, memory->others_bytes,
            (looks - 1) * sizeof *memory->others_bytes);
    memory->others_bytes[0] = others_bytes;
    for (size_t i = 1; i < looks && first; i++)
        memory->others_bytes[i] = others_bytes;
    memory->growth_bytes = fmax(growth, 0);
    memory->owed_bytes = fmax(most_bytes(memory, now_ns) - others_bytes, memory->growth_bytes);
}

/* Nothing is learned in this step: what is owed at least, by what was known before. Growth is over
 * the last looks, so it says nothing once they are old. */
static void keep(struct tier_memory *memory, double used_bytes, struct tier_memory_ours ours,
                 int64_t now_ns)
{
    if (isnan(ours.bytes))
        memory->growth_bytes = 0;
    memory->owed_bytes =
        fmax(most_bytes(memory, now_ns) - (used_bytes - ours.least_bytes), memory->growth_bytes);
}

void tier_memory_see(struct tier_memory *memory, double used_bytes, struct tier_memory_ours ours,
                     int64_t now_ns)
{
    const bool moves = fabs(used_bytes - memory->used_bytes) > MOVED_BYTES;
    if (isnan(ours.bytes) || (moves && !memory->moved))
        keep(memory, used_bytes, ours, now_ns);
    else /* ours are of this step, then */
        tier_memory_note(memory, used_bytes - ours.bytes, now_ns);
    memory->moved = moves;
    if (!isnan(used_bytes))
        memory->used_bytes = used_bytes;
}

void tier_memory_step(struct tier_memory *memory, struct device *device,
                      struct tier_memory_ours ours, int64_t now_ns)
{
    struct device_snapshot snapshot;
    memory->free_bytes = NAN;
    memory->owed_bytes = 0;
    if (!device)
        return;
    device_snapshot(device, &snapshot);
    memory->free_bytes = snapshot.fault[0] ? NAN : reading_value(snapshot.free_bytes);
    if (device_facts(device)->cores == 0)
        tier_memory_see(memory, reading_value(snapshot.used_bytes), ours, now_ns);
}
