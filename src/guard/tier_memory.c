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
 * ours are asked anew in the next step and nothing is concluded before; and while one of ours comes
 * up or ends, nothing is at all. Counted as others', a tier's own 20 GiB would evict the next one.
 *
 * Rejected: watching the declared neighbours alone. The game or the training run that was started
 * by hand is declared by nobody. */
#include "guard/tier_memory.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

static const int64_t SPAN_NS = 10 * NS_PER_S;
static const double MOVED_BYTES = 256.0 * 1024 * 1024;

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
    double most = 0;
    for (size_t i = 0; i < memory->span_count && i < TIER_MEMORY_SPANS; i++)
        if (now_ns - memory->spans[i].began_ns <= TIER_MEMORY_SPANS * SPAN_NS)
            most = fmax(most, memory->spans[i].most_bytes);
    /* Growth over the last looks goes on for as long. */
    const size_t looks = sizeof memory->others_bytes / sizeof *memory->others_bytes;
    double before = first ? others_bytes : memory->others_bytes[looks - 1];
    double growth = others_bytes - before;
    memmove(memory->others_bytes + 1, memory->others_bytes,
            (looks - 1) * sizeof *memory->others_bytes);
    memory->others_bytes[0] = others_bytes;
    for (size_t i = 1; i < looks && first; i++)
        memory->others_bytes[i] = others_bytes;
    memory->owed_bytes = fmax(most - others_bytes, fmax(growth, 0));
}

void tier_memory_see(struct tier_memory *memory, double used_bytes, double ours_bytes,
                     int64_t now_ns)
{
    const bool moves = fabs(used_bytes - memory->used_bytes) > MOVED_BYTES;
    if (!moves || memory->moved) /* ours are of this step, then */
        tier_memory_note(memory, used_bytes - ours_bytes, now_ns);
    memory->moved = moves;
    if (!isnan(used_bytes))
        memory->used_bytes = used_bytes;
}

void tier_memory_step(struct tier_memory *memory, struct device *device, double ours_bytes,
                      int64_t now_ns)
{
    struct device_snapshot snapshot;
    memory->free_bytes = NAN;
    memory->owed_bytes = 0;
    if (!device)
        return;
    device_snapshot(device, &snapshot);
    memory->free_bytes = snapshot.fault[0] ? NAN : reading_value(snapshot.free_bytes);
    if (device_facts(device)->cores == 0)
        tier_memory_see(memory, reading_value(snapshot.used_bytes), ours_bytes, now_ns);
}
