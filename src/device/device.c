/* Devices by name, and the way to their kind.
 *
 * The kinds stand in one ordered table; the first that claims a name opens it. Names that mean a
 * GPU elsewhere are a table too: how it is named here tells more than "no such device", and a name
 * is never given to a kind that might measure something else under it ("cuda:0" counts in another
 * order than gpu0). Nothing above this file asks which kind a device is. */
#include "device/kind.h"

#include "base/text.h"

#include <assert.h>
#include <string.h>

const char *const device_placement_names[PLACEMENT_COUNT_] = {
    [PLACEMENT_UNPROVEN] = "unproven",
    [PLACEMENT_CPU] = "cpu",
    [PLACEMENT_PARTIAL] = "partial",
    [PLACEMENT_GPU] = "gpu",
};

/* The order matters only where two kinds could claim one name; none do so far. */
static const struct device_ops *const kinds[] = {
    &device_cpubox_ops,
    &device_gpu_ops,
};

/* Starts of names that mean a GPU, in words of other programs. */
static const char *const gpu_names[] = {"gpu", "GPU", "cuda", "nvidia"};

static bool refuse(const char *name, struct err *err)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(512);
    text_add_escaped(&shown, TEXT_TERMINAL, name, strlen(name), 64);
    for (size_t i = 0; i < ARRAY_LEN(gpu_names); i++) {
        if (text_starts_with(name, gpu_names[i]))
            return err_set(err, ERR_INPUT,
                           "there is no device \"%s\"; a GPU is named gpu0, gpu1, ... or by its "
                           "UUID (GPU-..., MIG-...)",
                           buf_text(&shown));
    }
    return err_set(err, ERR_INPUT, "there is no device \"%s\"; device: cpu works",
                   buf_text(&shown));
}

bool device_open(const char *name, const char *proc_root, struct device **ret_device,
                 struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct device_ops *ops = kinds[i];
        assert(ops->kind && ops->claims && ops->open && ops->close && ops->snapshot && ops->usage &&
               ops->prove);
        if (ops->claims(name))
            return ops->open(name, proc_root, ret_device, err) || err_wrap(err, "device %s", name);
    }
    return refuse(name, err);
}

struct device *device_close(struct device *device)
{
    if (device)
        device->ops->close(device);
    return NULL;
}

const struct device_facts *device_facts(const struct device *device)
{
    return &device->facts;
}

void device_snapshot(struct device *device, struct device_snapshot *ret_snapshot)
{
    device->ops->snapshot(device, ret_snapshot);
}

void device_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    device->ops->usage(device, root, ret_usage);
}

int64_t device_own_cpu_ns(const struct device *device)
{
    return device->ops->own_cpu_ns ? device->ops->own_cpu_ns(device) : 0;
}

void device_prove(struct device *device, const struct device_usage *before,
                  const struct device_usage *after, enum spec_on on, struct device_proof *ret_proof)
{
    device->ops->prove(device, before, after, on, ret_proof);
}

size_t device_holders(struct device *device, const pid_t *own_roots, size_t own_count,
                      int64_t since_wall_us, struct device_holder *ret_holders, size_t max)
{
    const struct device_ops *ops = device->ops;
    return ops->holders
               ? ops->holders(device, own_roots, own_count, since_wall_us, ret_holders, max)
               : 0;
}
