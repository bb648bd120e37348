/* Devices: the list under `device:`, and what services say of their own.
 *
 * Two ideas share the word and exclude each other. A list at the top are lanes: equals, on each of
 * which a whole trial can run. A service that names a device (or has a knob called `device`) is
 * spread over a box instead: one trial then needs all of them. Both at once would need a mapping
 * from lane to each service's device, which nobody could read in a report.
 *
 * `on` is one word for all candidates of a service, so a knob stays on one side: CPU or GPUs.
 *
 * Invariant: study->devices holds each name once, the list first, and every service's index and
 * every value of a `device` knob is among them. */
#include "spec/loader.h"

#include "base/text.h"

#include <string.h>

static bool is_cpu(const char *name)
{
    return strcmp(name, "cpu") == 0;
}

/* One way to write each: "gpu00" would be a second lane on the first card. */
static bool is_device(const char *name)
{
    if (text_starts_with(name, "gpu")) {
        size_t digits = strspn(name + 3, "0123456789");
        return digits > 0 && digits <= 3 && name[3 + digits] == '\0' &&
               (digits == 1 || name[3] != '0');
    }
    if (text_starts_with(name, "GPU-") || text_starts_with(name, "MIG-")) {
        size_t len = strspn(name + 4, "0123456789abcdefABCDEF-/");
        return len >= 8 && len <= 80 && name[4 + len] == '\0';
    }
    return is_cpu(name);
}

static bool check_name(struct spec_loader *l, struct spec_place place, const char *where,
                       const char *name)
{
    if (is_device(name))
        return true;
    return spec_fail(l, place, where,
                     "\"%s\" is no device: cpu, gpu0, gpu1, ... or a UUID (GPU-...)",
                     spec_quote(l, name));
}

/* Adds it unless it is there. */
static bool add_device(struct spec_loader *l, struct spec_place place, const char *where,
                       const char *name, size_t *ret_index)
{
    struct spec_study *study = l->study;
    size_t i = 0;
    while (i < study->device_count && strcmp(study->devices[i], name) != 0)
        i++;
    if (i == SPEC_DEVICES_MAX)
        return spec_fail(l, place, where, "%s: at most %d devices in a study", name,
                         SPEC_DEVICES_MAX);
    study->devices[i] = name;
    study->device_count += i == study->device_count;
    *ret_index = i;
    return true;
}

/* ---- the list ---- */

static bool load_one(struct spec_loader *l, const struct yaml_node *node)
{
    struct spec_study *study = l->study;
    struct spec_place place = spec_place_of(node);
    size_t known = study->device_count, index = 0;
    if (node->kind != YAML_SCALAR)
        return spec_fail(l, place, "device", "must be text, this is %s", spec_yaml_kind_name(node));
    if (spec_yaml_is_null(node) || node->text[0] == '\0')
        return spec_fail(l, place, "device", "is empty: give a value or leave the key out");
    if (!check_name(l, place, "device", node->text) ||
        !add_device(l, place, "device", node->text, &index))
        return false;
    if (index < known)
        return spec_fail(l, place, "device", "\"%s\" is given twice", node->text);
    if (is_cpu(study->devices[0]) != is_cpu(node->text))
        return spec_fail(l, place, "device",
                         "cpu and a GPU are no equals: devices in a list run the same trials");
    return true;
}

bool spec_load_devices(struct spec_loader *l, const struct yaml_node *node)
{
    struct spec_study *study = l->study;
    study->lane_count = 1;
    if (!node)
        return true; /* spec_place_services() finds the default */
    if (node->kind != YAML_LIST) {
        if (!load_one(l, node))
            return false;
    } else if (node->count == 0) {
        return spec_fail(l, spec_place_of(node), "device", "is an empty list: name a device");
    }
    for (const struct yaml_entry *e = node->first; node->kind == YAML_LIST && e; e = e->next)
        if (!load_one(l, e->value))
            return false;
    study->lane_count = study->device_count;
    study->device = study->devices[0];
    return true;
}

/* ---- services ---- */

static int find_device_knob(const struct spec_study *study, size_t service)
{
    for (size_t i = 0; i < study->knob_count; i++)
        if (study->knobs[i].service == service && strcmp(study->knobs[i].name, "device") == 0)
            return (int)i;
    return -1;
}

static bool load_knob_devices(struct spec_loader *l, const struct spec_knob *knob)
{
    size_t index = 0;
    for (size_t v = 0; v < knob->value_count; v++) {
        const struct spec_value *value = &knob->values[v];
        if (!check_name(l, value->place, knob->full_name, value->label))
            return false;
        if (is_cpu(value->label) != is_cpu(knob->values[0].label))
            return spec_fail(l, value->place, knob->full_name,
                             "cpu and a GPU in one knob: where it must compute (`on`) is one word "
                             "for all candidates; compare the two in two studies");
        if (!add_device(l, value->place, knob->full_name, value->label, &index))
            return false;
    }
    return true;
}

static struct spec_place place_of_key(const struct spec_service_draft *draft, const char *key)
{
    const struct yaml_node *node = spec_yaml_get(draft->node, key);
    return node ? spec_place_of(node) : draft->service.place;
}

/* Its device, or those of its knob; without either the study's first. */
static bool load_service_device(struct spec_loader *l, const struct spec_service_draft *draft,
                                size_t service)
{
    struct spec_study *study = l->study;
    struct spec_service *s = &study->services[service];
    const char *where = arena_printf(l->arena, "%s.device", s->name);
    const struct spec_knob *knob = s->device_knob >= 0 ? &study->knobs[s->device_knob] : NULL;
    struct spec_place place = knob ? knob->place : place_of_key(draft, "device");
    if (!knob && !draft->device)
        return true;
    if (knob && draft->device)
        return spec_fail(l, place_of_key(draft, "device"), where,
                         "also a knob of this name: leave one of them out");
    if (study->lane_count > 1)
        return spec_fail(l, place, where,
                         "the study's `device` is a list: on each of them a whole trial runs, so "
                         "no service has a device of its own%s",
                         draft->device && is_cpu(draft->device) ? " (`on: cpu` is enough)" : "");
    if (knob)
        return load_knob_devices(l, knob);
    return check_name(l, place, where, draft->device) &&
           add_device(l, place, where, draft->device, &s->device);
}

/* A device knob with a condition leaves the study's own where it is not active. */
static bool needs_default(const struct spec_study *study, const struct spec_service_draft *drafts)
{
    for (size_t i = 0; i < study->service_count; i++) {
        int knob = study->services[i].device_knob;
        if (!drafts[i].device && (knob < 0 || study->knobs[knob].when))
            return true;
    }
    return false;
}

static bool load_on(struct spec_loader *l, const struct spec_service_draft *draft, size_t service)
{
    struct spec_study *study = l->study;
    struct spec_service *s = &study->services[service];
    const char *device = study->devices[s->device],
               *where = arena_printf(l->arena, "%s.on", s->name);
    if (s->device_knob >= 0)
        device = study->knobs[s->device_knob].values[0].label;
    s->on = draft->on >= 0 ? (enum spec_on)draft->on : is_cpu(device) ? ON_CPU : ON_GPU;
    if (s->on == ON_GPU && is_cpu(device))
        return spec_fail(l, place_of_key(draft, "on"), where,
                         "\"gpu\" needs a GPU as the %s device, which is cpu",
                         draft->device || s->device_knob >= 0 ? "service's" : "study's");
    if (s->device_knob < 0 || is_cpu(device))
        return true;
    if (s->on == ON_CPU)
        return spec_fail(l, place_of_key(draft, "on"), where,
                         "\"cpu\" and a knob that chooses a GPU: one of them");
    if (study->knobs[s->device_knob].when && is_cpu(study->devices[0]))
        return spec_fail(l, study->knobs[s->device_knob].place,
                         study->knobs[s->device_knob].full_name,
                         "without it the service is on the study's device, which is cpu, and with "
                         "it on a GPU: leave \"when\" out, or give the study a GPU");
    return true;
}

bool spec_place_services(struct spec_loader *l, const struct spec_service_draft *drafts)
{
    struct spec_study *study = l->study;
    size_t index = 0;
    for (size_t i = 0; i < study->service_count; i++)
        study->services[i].device_knob = find_device_knob(study, i);
    if (study->device_count == 0 && needs_default(study, drafts) &&
        !add_device(l, (struct spec_place){1, 1}, "device", "cpu", &index))
        return false;
    for (size_t i = 0; i < study->service_count; i++)
        if (!load_service_device(l, &drafts[i], i))
            return false;
    study->device = study->devices[0];
    for (size_t i = 0; i < study->service_count; i++)
        if (!load_on(l, &drafts[i], i))
            return false;
    return true;
}

/* A probe is a real request, and what that is `load` says: without one nothing can be proven. */
bool spec_check_proofs(struct spec_loader *l, const struct yaml_node *services)
{
    const struct spec_study *study = l->study;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        const struct yaml_node *on = spec_yaml_get(spec_yaml_get(services, s->name), "on");
        if (s->on != ON_GPU || s->load.given)
            continue;
        return spec_fail(l, on ? spec_place_of(on) : s->place,
                         arena_printf(l->arena, "%s.on", s->name),
                         "\"gpu\"%s needs a load for %s, without which nothing proves that it "
                         "computes there: give it one under `load`, or say `on: cpu`",
                         on ? "" : " (the default on a GPU)", s->name);
    }
    return true;
}
