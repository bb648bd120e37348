/* Where did a service compute during its probe request?
 *
 * Two observations that can't both be wrong for one reason: who holds memory on the card (the
 * driver's list), and who kept its multiprocessors busy (the driver's samples). Listed is not
 * computing: a runtime can hold memory on a card while it infers on the CPU. CPU time is the
 * counter-evidence: a service that used none did not compute on the CPU, and one that used much
 * while the card was idle did.
 *
 *     listed   SM use          CPU time           placement
 *     yes      5 % or more     any                gpu
 *     yes      1 to 5 %        up to 1.5 cores *  gpu
 *     yes      1 to 5 %        more               unproven: contradicted
 *     yes      none            much               cpu
 *     yes      none            little             unproven
 *     no       (any)           any but none       cpu
 *     no       (any)           none               unproven
 *     unknown, or on another card, or nobody left unproven
 *     * for each process of the tree that is listed
 *
 * Both figures are sums over the tree, since each listed process may wait for the card with a core
 * of its own. A first request may set up on the CPU what the next one finds ready, so a
 * contradiction is one only when another request shows it as well: whoever asked has to ask again.
 *
 * A little SM use is what real servers show after a short request, beside one core that waits for
 * the card in a loop (115 proofs on an H100: at most 1.04 cores below 5 %). A runtime that leaves
 * the model on the CPU and sends the card some batches shows as little, beside all its threads (4.9
 * and 30 cores there). One whose CPU half is a single thread can't be told from a wait.
 *
 * A driver that tells no process's share leaves the whole card, whose figure is everybody's:
 *
 *     before   after    who else is listed   CPU time   SM use
 *     idle     rose     nobody               little     seen
 *     idle     rose     nobody               much       unknown: a runtime may do both
 *     idle     rose     somebody             any        unknown: it may be theirs
 *     busy     busy     any                  any        unknown
 *     any      idle     any                  any        none
 *
 * Of a MIG instance most drivers tell neither. What is left there is the tree's own memory: when it
 * was listed before the probe, grew during it, and hardly any CPU time went by, the request was
 * served there, and that is seen as work. Growth beside more CPU time is unknown: a first request
 * may set up what it then does not use. The whole card's figure is not told while MIG is on, and
 * would be that of every instance.
 *
 * The difference alone was rejected: a neighbour's next request rises like ours. One reading of an
 * idle card may show 90 % when it is first asked, so the device was asked before.
 *
 * Latency decides nothing here: a fast CPU and a slow card look alike. */
#include "device/gpu_placement.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

static const double sm_seen = 0.01;   /* the driver's smallest figure */
static const double sm_plenty = 0.05; /* no CPU time speaks against it */
static const double cpu_wait = 1.5;   /* cores of each listed process; more is no wait */
static const double idle_most = 0.05; /* of the card: below, nobody works on it */
static const double rise_seen = 0.05; /* of the card, over before */
static const double cpu_much = 0.5;   /* cores, over the probe */
static const int64_t cpu_much_ns = 500 * NS_PER_MS;
static const double cpu_little = 0.25; /* cores, over the probe: the CPU did not serve it */
static const double growth_seen = 1 << 20;

/* What the card's own numbers say about work during the probe. */
enum work { WORK_UNKNOWN, WORK_NONE, WORK_SEEN, WORK_CONTRADICTED };

static bool much_cpu(const struct gpu_sight *sight)
{
    return sight->cpu_ns >= cpu_much_ns &&
           (double)sight->cpu_ns >= cpu_much * (double)sight->span_ns;
}

/* So little work on the card that what the CPU did beside it may have been the request. */
static bool is_contradicted(const struct gpu_sight *sight)
{
    double waits_ns = cpu_wait * (double)sight->listed_count * (double)sight->span_ns;
    return sight->sm_ratio < sm_plenty && much_cpu(sight) && (double)sight->cpu_ns > waits_ns;
}

/* Nothing is told of an instance's SMs. */
static enum work work_of_instance(const struct gpu_sight *sight)
{
    const bool little_cpu = sight->cpu_ns >= 0 && sight->span_ns > 0 &&
                            (double)sight->cpu_ns <= cpu_little * (double)sight->span_ns;
    const bool grew = reading_value(sight->growth_bytes) >= growth_seen;
    return sight->instance && grew && little_cpu ? WORK_SEEN : WORK_UNKNOWN;
}

/* From the whole card's figures, of which ours is a part. */
static enum work work_of_card(const struct gpu_sight *sight)
{
    double before = reading_value(sight->busy_before), after = reading_value(sight->busy_after);
    if (isnan(before) || isnan(after))
        return work_of_instance(sight);
    if (after < idle_most)
        return WORK_NONE;
    bool rose = before < idle_most && after - before >= rise_seen;
    return rose && sight->others == 0 && !much_cpu(sight) ? WORK_SEEN : WORK_UNKNOWN;
}

static enum work work_of(const struct gpu_sight *sight)
{
    if (!sight->sampled)
        return work_of_card(sight);
    if (sight->sm_ratio < sm_seen)
        return WORK_NONE;
    return is_contradicted(sight) ? WORK_CONTRADICTED : WORK_SEEN;
}

static enum placement place(const struct gpu_sight *sight)
{
    enum work work = work_of(sight);
    if (sight->processes == 0 || sight->listed == DEVICE_LISTED_UNKNOWN)
        return PLACEMENT_UNPROVEN;
    if (sight->listed == DEVICE_LISTED_NO)
        return !sight->elsewhere[0] && sight->cpu_ns > 0 ? PLACEMENT_CPU : PLACEMENT_UNPROVEN;
    if (work == WORK_SEEN)
        return PLACEMENT_GPU;
    return work == WORK_NONE && much_cpu(sight) ? PLACEMENT_CPU : PLACEMENT_UNPROVEN;
}

/* "its process is", "none of its 3 processes is", "2 of its 3 processes are". */
static void say_who(const struct gpu_sight *sight, struct buf *text)
{
    if (sight->processes == 1)
        buf_addf(text, "its process is%s", sight->listed == DEVICE_LISTED_YES ? "" : " not");
    else if (sight->listed == DEVICE_LISTED_YES)
        buf_addf(text, "%zu of its %d processes %s", sight->listed_count, sight->processes,
                 sight->listed_count == 1 ? "is" : "are");
    else
        buf_addf(text, "none of its %d processes is", sight->processes);
}

static void say_hidden(const struct gpu_sight *sight, struct buf *text)
{
    buf_addf(text, "%s's process list can't be matched from here (%zu of %zu entries hidden)",
             sight->card, sight->hidden, sight->others);
    if (reading_value(sight->hidden_growth) > 0) {
        buf_add(text, "; its memory in use grew by ");
        text_add_bytes(text, sight->hidden_growth.value);
        buf_add(text, ", unattributed");
    }
}

static void say_listed(const struct gpu_sight *sight, struct buf *text)
{
    if (sight->processes == 0) {
        buf_add(text, "none of its processes lives");
        return;
    }
    if (sight->listed == DEVICE_LISTED_UNKNOWN) {
        say_hidden(sight, text);
        return;
    }
    say_who(sight, text);
    buf_addf(text, " listed on %s", sight->card);
    if (sight->listed == DEVICE_LISTED_NO && sight->elsewhere[0]) {
        buf_addf(text, ", but on %s", sight->elsewhere);
    } else if (sight->listed == DEVICE_LISTED_NO) {
        buf_addf(text, " (%zu other%s)", sight->others, sight->others == 1 ? " is" : "s are");
    } else if (sight->memory_bytes.state == READING_KNOWN) {
        buf_add(text, ", holding ");
        text_add_bytes(text, sight->memory_bytes.value);
    } else {
        buf_add(text, ", holding memory that the driver does not tell");
    }
}

static void say_nothing_told(const struct gpu_sight *sight, struct buf *text)
{
    if (!sight->instance) {
        buf_add(text, "the driver tells nothing about SM use");
        return;
    }
    buf_add(text, "this driver tells no SM use of a MIG instance");
    if (!(reading_value(sight->growth_bytes) >= growth_seen))
        return;
    buf_add(text, "; its memory there grew by ");
    text_add_bytes(text, sight->growth_bytes.value);
    buf_add(text, " in the probe request");
}

static void say_work(const struct gpu_sight *sight, struct buf *text)
{
    double before = reading_value(sight->busy_before), after = reading_value(sight->busy_after);
    if (sight->sampled && sight->sm_ratio >= sm_seen)
        buf_addf(text, "it used up to %.0f %% of the SMs during the probe request",
                 100 * sight->sm_ratio);
    else if (sight->sampled)
        buf_add(text, "the driver saw no SM use by it during the probe request");
    else if (isnan(before) || isnan(after))
        say_nothing_told(sight, text);
    else
        buf_addf(text,
                 "the card went from %.0f to %.0f %% busy in the probe request (no figure per "
                 "process%s)",
                 100 * before, 100 * after, sight->others ? "; others are listed" : "");
    if (sight->cpu_ns >= 0)
        buf_addf(text, "; CPU time %lld of %lld ms", (long long)(sight->cpu_ns / NS_PER_MS),
                 (long long)(sight->span_ns / NS_PER_MS));
    if (work_of(sight) == WORK_CONTRADICTED)
        buf_add(text, ", which so little work on the card does not explain");
}

void gpu_placement_judge(const struct gpu_sight *sight, struct device_proof *ret_proof)
{
    struct device_proof proof = {.placement = place(sight)};
    proof.contradicted =
        proof.placement == PLACEMENT_UNPROVEN && work_of(sight) == WORK_CONTRADICTED;
    AUTO(buf_done) struct buf listed = BUF_INIT(sizeof proof.evidence[0] - 1);
    AUTO(buf_done) struct buf work = BUF_INIT(sizeof proof.evidence[1] - 1);
    say_listed(sight, &listed);
    say_work(sight, &work);
    memcpy(proof.evidence[0], buf_text(&listed), listed.len + 1);
    memcpy(proof.evidence[1], buf_text(&work), work.len + 1);
    *ret_proof = proof;
}
