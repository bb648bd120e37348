/* Samples of a device by whatever way its kind has, and the words for who is on it.
 *
 * A kind without a cheaper way is read tree by tree; what it can't tell of others stays unknown,
 * and nobody is called a stranger for it. */
#include "device/kind.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

/* Tree by tree: what a kind without a cheaper way does. */
static void sample_trees(struct device *device, const struct device_ours *ours,
                         struct device_sample *ret_sample)
{
    struct device_snapshot snapshot;
    device_snapshot(device, &snapshot);
    *ret_sample = (struct device_sample){
        .at_ns = snapshot.at_ns,
        .at_wall_us = clock_now_wall_us(),
        .used_bytes = snapshot.used_bytes,
        .free_bytes = snapshot.free_bytes,
        .neighbour_bytes = READING_NONE,
        .stranger_bytes = READING_NONE,
        .stranger_sm_ratio = NAN,
        .busy_ratio = snapshot.busy_ratio,
    };
    memcpy(ret_sample->fault, snapshot.fault, sizeof ret_sample->fault);
    for (size_t i = 0; i < ours->root_count && i < SPEC_SERVICES_MAX; i++) {
        struct device_usage usage;
        device_usage(device, ours->roots[i], &usage);
        ret_sample->tree_bytes[i] = usage.memory_bytes;
    }
}

void device_sample(struct device *device, const struct device_ours *ours,
                   struct device_sample *ret_sample)
{
    int64_t begin_ns = clock_cpu_ns();
    if (device->ops->sample)
        device->ops->sample(device, ours, ret_sample);
    else
        sample_trees(device, ours, ret_sample);
    ret_sample->cost_cpu_s = (double)(clock_cpu_ns() - begin_ns) / NS_PER_S;
}

size_t device_strangers(struct device *device, const struct device_ours *ours,
                        int64_t since_wall_us, struct device_holder *ret_holders, size_t max)
{
    return device->ops->strangers
               ? device->ops->strangers(device, ours, since_wall_us, ret_holders, max)
               : 0;
}

size_t device_neighbours(struct device *device, const struct device_ours *ours,
                         struct device_holder *ret_holders, size_t max)
{
    return device->ops->neighbours ? device->ops->neighbours(device, ours, ret_holders, max) : 0;
}

bool device_stranger_work(struct device *device, const struct device_ours *ours,
                          int64_t since_wall_us, double *ret_sm_ratio)
{
    return device->ops->stranger_work &&
           device->ops->stranger_work(device, ours, since_wall_us, ret_sm_ratio);
}

size_t device_state(struct device *device, struct device_state_reading *ret_readings, size_t max)
{
    return device->ops->state ? device->ops->state(device, ret_readings, max) : 0;
}

/* MiB whatever the size, as drivers and their tools count: two holders can be added up by eye. */
static void add_mib(struct buf *buf, const struct reading *bytes)
{
    double value = reading_value(*bytes);
    if (!isfinite(value)) {
        buf_add(buf, "memory unknown");
        return;
    }
    text_add_grouped(buf, llround(value / (1 << 20)));
    buf_add(buf, " MiB");
}

void device_holder_add_text(struct buf *buf, const struct device_holder *holder)
{
    const struct {
        const char *word, *text;
        size_t max;
    } who[] = {
        {"", holder->owner.unit, sizeof holder->owner.unit},
        {"container ", holder->owner.container, sizeof holder->owner.container},
        {"user ", holder->owner.user, sizeof holder->owner.user},
    };
    if (holder->pid == 0) {
        buf_add(buf, "processes that can't be seen from here (");
        add_mib(buf, &holder->memory_bytes);
        buf_addc(buf, ')');
        return;
    }
    size_t len = strnlen(holder->comm, sizeof holder->comm);
    if (len)
        text_add_escaped(buf, TEXT_TERMINAL, holder->comm, len, 32);
    else
        buf_add(buf, "a process that can't be seen from here");
    buf_addf(buf, " (pid %d, ", (int)holder->pid);
    for (size_t i = 0; i < ARRAY_LEN(who); i++)
        if (who[i].text[0])
            buf_addf(buf, "%s%.*s, ", who[i].word, (int)who[i].max, who[i].text);
    add_mib(buf, &holder->memory_bytes);
    buf_addc(buf, ')');
}
