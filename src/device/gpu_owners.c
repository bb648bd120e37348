/* Remembers whose the processes on a card are, and splits its memory accordingly.
 *
 * Telling a process's owner means reading the trees below our keepers, hundreds of files when a
 * server has hundreds of threads. The driver's list changes seldom, so a pid is looked up when it
 * appears, and all of them again every few seconds: a pid can be used again, and a process can
 * move. Looking up at every reading was rejected: ten times a second it cost 4 % of a core.
 *
 * Memory that is listed to nobody is real where a container sees no other container's processes.
 * It is what is in use beyond the listed, less what neighbours were declared to hold unseen; below
 * `noise` it is contexts and pages that every driver keeps. An old driver counts its own share into
 * what is in use: there the noise is larger. A card without memory of its own shows the machine's,
 * where this difference means nothing.
 *
 * Invariant: nobody's memory is counted as a stranger's when it may be ours: where a service of
 * ours lives, is not listed, and something is hidden, strangers are unknown. */
#include "device/gpu_owners.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/neighbour.h"

#include <string.h>

static const double idle_bytes = 64 << 20;      /* as gpu_tree.c: nobody uses the card */
static const double noise_bytes = 256 << 20;    /* contexts and driver pages beside the listed */
static const double noise_v1_bytes = 1LL << 30; /* with the driver's own share, up to 0.6 GiB */

const struct gpu_claim *gpu_owners_find(const struct gpu_owners *owners, pid_t pid)
{
    for (size_t i = 0; i < owners->count; i++) {
        if (owners->claims[i].pid == pid)
            return &owners->claims[i];
    }
    return NULL;
}

void gpu_owners_done(struct gpu_owners *owners)
{
    free(owners->claims);
    *owners = (struct gpu_owners){0};
}

static size_t root_total(const struct device_ours *ours)
{
    return ours->root_count < SPEC_SERVICES_MAX ? ours->root_count : SPEC_SERVICES_MAX;
}

static bool is_same(const struct gpu_owners *owners, const struct device_ours *ours)
{
    size_t count = root_total(ours);
    return owners->at_ns != 0 && owners->root_count == count &&
           owners->neighbours == ours->neighbours &&
           (count == 0 || memcmp(owners->roots, ours->roots, count * sizeof *ours->roots) == 0);
}

static bool all_known(const struct gpu_owners *owners, const struct nvml_process *list,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!gpu_owners_find(owners, list[i].pid))
            return false;
    }
    return true;
}

/* Of a process in no tree of ours. */
static enum gpu_owner owner_beside(const struct gpu_join *join, const struct device_ours *ours,
                                   const struct proc_stat *process)
{
    if (!process)
        return join->inner ? GPU_OWNER_HIDDEN : GPU_OWNER_STRANGER;
    if (text_starts_with(process->comm, "nvidia-cuda-mps"))
        return GPU_OWNER_NOBODY;
    return device_neighbour_owns(join->proc_root, process, ours->neighbours, ours->neighbour_count)
               ? GPU_OWNER_NEIGHBOUR
               : GPU_OWNER_STRANGER;
}

/* What was known of it before, when that is still the same process. One of ours that died is listed
 * until its memory is given back, even after its service was let go: that makes it no stranger. */
static bool is_kept(const struct gpu_join *join, const struct gpu_claim *old,
                    const struct gpu_claim *now, const struct device_ours *ours)
{
    const bool gone = now->start_ticks < 0;
    if (!old || (!gone && now->start_ticks != old->start_ticks))
        return false;
    if (old->owner != GPU_OWNER_TREE)
        return old->owner == GPU_OWNER_NEIGHBOUR || old->owner == GPU_OWNER_NOBODY;
    bool ours_still = gone && !join->inner;
    for (size_t r = 0; r < root_total(ours); r++)
        ours_still |= ours->roots[r] == old->root;
    return ours_still;
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

/* The root in whose tree each entry is, by its place in `ours` from 1; 0: in none. */
static size_t *claim_trees(struct gpu_owners *owners, struct gpu_join *join,
                           const struct device_ours *ours, const struct nvml_process *list,
                           size_t count)
{
    size_t *place = zeroed(count, sizeof *place);
    AUTO(free) bool *members = zeroed(count, sizeof *members);
    for (size_t r = 0; r < root_total(ours); r++) {
        owners->roots[r] = ours->roots[r];
        owners->living[r] = gpu_tree_claim(join, ours->roots[r], list, count, members);
        for (size_t i = 0; i < count; i++) {
            if (members[i] && place[i] == 0)
                place[i] = r + 1;
        }
    }
    return place;
}

static void resolve(struct gpu_owners *owners, struct gpu_join *join,
                    const struct device_ours *ours, const struct nvml_process *list, size_t count)
{
    AUTO(free) size_t *place = claim_trees(owners, join, ours, list, count);
    struct gpu_claim *claims = zeroed(count, sizeof *claims);
    const bool same_neighbours = owners->neighbours == ours->neighbours;
    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat;
        const bool seen = gpu_tree_find(join, list[i].pid, &stat);
        const bool lives = seen && stat.state != 'Z' && stat.state != 'X';
        const struct gpu_claim *old = gpu_owners_find(owners, list[i].pid);
        claims[i] =
            (struct gpu_claim){list[i].pid, lives ? stat.start_ticks : -1, GPU_OWNER_STRANGER, 0};
        if (place[i]) {
            claims[i].owner = GPU_OWNER_TREE;
            claims[i].root = ours->roots[place[i] - 1];
        } else if (is_kept(join, old, &claims[i], ours) &&
                   (old->owner != GPU_OWNER_NEIGHBOUR || same_neighbours)) {
            claims[i] = *old;
        } else {
            claims[i].owner = owner_beside(join, ours, seen ? &stat : NULL);
        }
    }
    free(owners->claims);
    owners->claims = claims;
    owners->count = count;
    owners->root_count = root_total(ours);
    owners->neighbours = ours->neighbours;
    owners->at_ns = clock_now_ns();
}

void gpu_owners_update(struct gpu_owners *owners, struct gpu_join *join,
                       const struct device_ours *ours, const struct nvml_process *list,
                       size_t count, bool again)
{
    if (again || !is_same(owners, ours) || !all_known(owners, list, count)) {
        resolve(owners, join, ours, list, count);
        return;
    }
    /* Who left the list is forgotten: the same number is another process when it comes back. */
    size_t kept = 0;
    for (size_t c = 0; c < owners->count; c++) {
        bool listed = false;
        for (size_t i = 0; i < count; i++)
            listed |= list[i].pid == owners->claims[c].pid;
        if (listed)
            owners->claims[kept++] = owners->claims[c];
    }
    owners->count = kept;
}

struct reading gpu_owners_used(const struct nvml_memory *memory)
{
    double used = reading_value(memory->total_bytes) - reading_value(memory->free_bytes);
    if (memory->used_bytes.state == READING_KNOWN)
        return memory->used_bytes;
    return isnan(used) ? READING_NONE : reading_known(memory->total_bytes.source, used);
}

/* Sums of the list; NaN where an entry of that kind withholds its memory. */
struct sums {
    double owner[GPU_OWNER_NOBODY + 1], tree[SPEC_SERVICES_MAX], all;
    bool listed[SPEC_SERVICES_MAX];
    size_t hidden;
};

static void add_up(const struct gpu_owners *owners, const struct nvml_process *list, size_t count,
                   struct sums *sums)
{
    for (size_t i = 0; i < count; i++) {
        const struct gpu_claim *claim = gpu_owners_find(owners, list[i].pid);
        const double bytes = reading_value(list[i].memory_bytes);
        const enum gpu_owner owner = claim ? claim->owner : GPU_OWNER_HIDDEN;
        sums->owner[owner] += bytes;
        sums->all += bytes;
        sums->hidden += owner == GPU_OWNER_HIDDEN;
        for (size_t r = 0; r < owners->root_count && owner == GPU_OWNER_TREE; r++) {
            if (owners->roots[r] != claim->root)
                continue;
            sums->tree[r] += bytes;
            sums->listed[r] = true;
            break;
        }
    }
}

static struct reading told(double bytes)
{
    return isnan(bytes) ? READING_NONE : reading_known(READING_FROM_NVML, bytes);
}

static double unseen_of(const struct device_ours *ours)
{
    double bytes = 0;
    for (size_t n = 0; n < ours->neighbour_count; n++)
        bytes += (double)ours->neighbours[n].unseen_bytes;
    return bytes;
}

/* In use, beyond what is listed; NaN when that can't be told. */
static double beyond(const struct nvml_memory *memory, const struct sums *sums)
{
    double bytes = memory->unified ? NAN : reading_value(gpu_owners_used(memory)) - sums->all;
    return bytes < 0 ? 0 : bytes; /* two calls at two moments */
}

static void split_trees(const struct gpu_owners *owners, const struct sums *sums, bool hidden,
                        struct gpu_split *split)
{
    for (size_t r = 0; r < owners->root_count; r++) {
        bool may_hide = !sums->listed[r] && hidden && owners->living[r] > 0;
        split->tree_bytes[r] =
            owners->living[r] < 0 || may_hide ? READING_NONE : told(sums->tree[r]);
        split->blind |= may_hide;
    }
}

/* Who withholds its amount has the rest, as far as the others' is known. */
static double rest_of(const struct nvml_memory *memory, const struct sums *sums, double unseen)
{
    const double *of = sums->owner;
    double rest = reading_value(gpu_owners_used(memory)) - of[GPU_OWNER_TREE] -
                  of[GPU_OWNER_NEIGHBOUR] - of[GPU_OWNER_NOBODY] - unseen;
    return memory->unified ? NAN : rest < 0 ? 0 : rest;
}

void gpu_owners_split_nothing(struct gpu_split *ret_split)
{
    *ret_split = (struct gpu_split){.neighbour_bytes = READING_NONE,
                                    .stranger_bytes = READING_NONE,
                                    .unlisted_bytes = READING_NONE,
                                    .own_bytes = NAN};
    for (size_t r = 0; r < SPEC_SERVICES_MAX; r++)
        ret_split->tree_bytes[r] = READING_NONE;
}

void gpu_owners_split(const struct gpu_owners *owners, const struct device_ours *ours,
                      const struct nvml_process *list, size_t count,
                      const struct nvml_memory *memory, struct gpu_split *ret_split)
{
    struct gpu_split split;
    struct sums sums = {0};
    gpu_owners_split_nothing(&split);
    add_up(owners, list, count, &sums);
    const double unseen = unseen_of(ours), over = beyond(memory, &sums);
    const bool v2 = memory->used_bytes.state == READING_KNOWN;
    const bool empty_yet_used = count == 0 && v2 && over - unseen > idle_bytes;
    split.own_bytes = sums.owner[GPU_OWNER_TREE];
    split_trees(owners, &sums, sums.hidden > 0 || empty_yet_used, &split);
    split.neighbour_bytes =
        told(sums.owner[GPU_OWNER_NEIGHBOUR] + (over > 0 ? fmin(over, unseen) : 0));
    if (!split.blind) {
        double strangers = sums.owner[GPU_OWNER_STRANGER] + sums.owner[GPU_OWNER_HIDDEN];
        bool withheld = isnan(strangers);
        double more = over - unseen;
        /* Unlisted memory can't be told where a listed amount is withheld: it may be that one's. */
        split.stranger_bytes = told(withheld ? rest_of(memory, &sums, unseen) : strangers);
        bool asked = !memory->unified && !isnan(sums.all);
        split.unlisted_bytes = told(!asked                                       ? 0
                                    : more < (v2 ? noise_bytes : noise_v1_bytes) ? 0
                                                                                 : more);
    }
    *ret_split = split;
}
