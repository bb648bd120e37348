/* In which order production is changed.
 *
 * Services: those that will need least memory, compared with now, first, so that who takes finds
 * what was given; but a unit that systemd starts after another's (After=) is changed after it,
 * since what it needs is then up as it will stay. The study's `order:` is a person's word and wins
 * over both. Only what the units say of each other directly counts: an order through a unit that is
 * not in the plan binds none of ours while that one is up.
 *
 * Steps: all files, then one reload of each systemd, then what takes services down. A file that
 * can't be written (a disk that is full) and a setting that systemd reads differently are found
 * while every service still runs as before, and a unit that is restarted along with another comes
 * up with its own new files. Rejected: one service whole after the other. Less would be written
 * when one fails half way, but the last one's fault is found after the first one's restart; files
 * are put back without taking anything down. A service that ends meanwhile and is started again by
 * systemd runs with its new files early; an undo sees that by its process's age. */
#include "promote/draft.h"

#include "promote/world.h"

#include <math.h>
#include <string.h>

static bool has_unit(const struct spec_production *p)
{
    return p->unit && (p->kind == PRODUCTION_UNIT || p->kind == PRODUCTION_ENV_FILE);
}

static size_t by_memory(const struct promote_draft *draft, size_t *order)
{
    const struct spec_study *study = draft->context.plan->study;
    double more[SPEC_SERVICES_MAX] = {0};
    size_t count = 0;
    for (size_t i = 0; i < study->service_count; i++) {
        const char *name = study->services[i].name;
        if (study->production[i].kind == PRODUCTION_NONE)
            continue;
        more[i] = promote_peak_bytes(draft->then, name) - promote_peak_bytes(draft->now, name);
        if (isnan(more[i]))
            more[i] = 0;
        size_t at = count++;
        for (; at > 0 && more[order[at - 1]] > more[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return count;
}

/* ---- what systemd says of them ---- */

struct needs {
    const char *names[SPEC_SERVICES_MAX];          /* the unit's own; NULL: it has none */
    const char *const *after[SPEC_SERVICES_MAX];   /* NULL: unknown */
    bool of[SPEC_SERVICES_MAX][SPEC_SERVICES_MAX]; /* the first is changed after the second */
};

static bool is_named(const char *const *list, const char *name)
{
    for (size_t i = 0; list && list[i]; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* A unit that is not there is told when its service is planned. */
static bool read_units(struct promote_context *context, struct needs *needs, struct err *err)
{
    const struct spec_study *study = context->plan->study;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_production *p = &study->production[i];
        if (!has_unit(p))
            continue;
        if (!promote_service_unit(context, i, err))
            return false;
        const struct host_config *config = context->configs[i];
        if (!config->found)
            continue;
        needs->names[i] = config->name ? config->name : p->unit;
        needs->after[i] = config->after;
    }
    return true;
}

static void note_after(struct promote_context *context, size_t service, const char *other)
{
    const char **after = &context->after[service];
    *after = *after ? arena_printf(context->plan->arena, "%s, %s", *after, other) : other;
}

static void find_needs(struct promote_context *context, struct needs *needs)
{
    const struct spec_study *study = context->plan->study;
    for (size_t i = 0; i < study->service_count; i++)
        for (size_t k = 0; k < study->service_count; k++) {
            if (i == k || !needs->names[i] || !needs->names[k] ||
                study->production[i].user != study->production[k].user ||
                !is_named(needs->after[i], needs->names[k]))
                continue;
            needs->of[i][k] = true;
            note_after(context, i, needs->names[k]);
        }
}

/* Does the one at `i` wait for another of the rest? */
static bool waits(const struct needs *needs, const size_t *rest, size_t count, size_t i)
{
    for (size_t k = 0; k < count; k++)
        if (needs->of[rest[i]][rest[k]])
            return true;
    return false;
}

/* Each place gets the first of the rest that waits for none of them, so that the order given is
 * kept where nothing forbids it. In a circle, which systemd breaks somewhere, it is kept too. */
static void put_after(const struct needs *needs, size_t *order, size_t count)
{
    for (size_t place = 0; place < count; place++) {
        size_t found = place;
        while (found < count && waits(needs, order + place, count - place, found - place))
            found++;
        if (found == count)
            found = place;
        const size_t service = order[found];
        memmove(order + place + 1, order + place, (found - place) * sizeof *order);
        order[place] = service;
    }
}

bool promote_order(struct promote_draft *draft, size_t *ret_order, size_t *ret_count,
                   struct err *err)
{
    const struct spec_promotion *p = &draft->context.plan->study->promotion;
    struct needs needs = {0};
    for (size_t i = 0; i < p->order_count; i++)
        ret_order[i] = p->order[i];
    *ret_count = p->order_count;
    if (p->order_count)
        return true;
    if (!read_units(&draft->context, &needs, err))
        return false;
    find_needs(&draft->context, &needs);
    *ret_count = by_memory(draft, ret_order);
    put_after(&needs, ret_order, *ret_count);
    return true;
}

/* ---- steps ---- */

void promote_arrange(struct promote_plan *plan, size_t from)
{
    struct promote_step *rest = arena_array(plan->arena, plan->step_count - from + 1, sizeof *rest);
    bool reloads[HOST_SCOPE_COUNT_] = {false};
    size_t count = from, left = 0;
    for (size_t i = from; i < plan->step_count; i++)
        rest[left++] = plan->steps[i];
    for (size_t i = 0; i < left; i++)
        if (rest[i].kind == PROMOTE_FILE)
            plan->steps[count++] = rest[i];
    for (size_t i = 0; i < left; i++)
        if (rest[i].kind == PROMOTE_RELOAD && !reloads[rest[i].scope]) {
            reloads[rest[i].scope] = true;
            rest[i].service = -1; /* of all of them */
            plan->steps[count++] = rest[i];
        }
    for (size_t i = 0; i < left; i++)
        if (rest[i].kind != PROMOTE_FILE && rest[i].kind != PROMOTE_RELOAD)
            plan->steps[count++] = rest[i];
    plan->step_count = count;
}
