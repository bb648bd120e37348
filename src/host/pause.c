/* Stopping named units and starting them again.
 *
 * Rejected: freezing them (SIGSTOP, the cgroup's freezer), which leaves their memory on the card;
 * and masking them, so that nothing could start one meanwhile: a mask that outlives us keeps
 * production down for good, which is worse than a disturbed trial.
 *
 * Units that start others (sockets, timers, paths) go first in both directions: stopped first, they
 * can't wake what is being stopped; and a socket can't be started once its service runs.
 *
 * Invariant: a unit is started only when the journal says that it was up and systemd says that it
 * is not. */
#include "host/pause.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const kinds[] = {".socket", ".timer", ".path", ".service", ".target"};
enum { SETTLE_MS = 1000 };

bool host_plan_has(const struct host_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->units[i].name, name) == 0)
            return true;
    return false;
}

size_t host_plan_up(const struct host_plan *plan)
{
    size_t up = 0;
    for (size_t i = 0; i < plan->count; i++)
        up += plan->units[i].up;
    return up;
}

static bool unknown_unit(struct host_manager *manager, enum host_scope scope, const char *name,
                         struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *const *names = NULL;
    size_t count = 0;
    if (!host_unit_list(manager, arena, &names, &count, err))
        return false;
    const char *nearest = text_nearest(names, count, name);
    return err_set(err, ERR_INPUT, "--pause: no %s unit %s%s%s%s", host_scope_names[scope], name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static bool known_kind(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && text_index(kinds, ARRAY_LEN(kinds), dot) >= 0;
}

/* What it is that forbids stopping this unit for a while, NULL nothing. */
static const char *obstacle(const struct host_unit *unit, const char *cgroups)
{
    if (!known_kind(unit->name))
        return "only services and what triggers them (socket, timer, path, target) can be paused";
    if (unit->up && unit->transient)
        return "it was made on the fly (systemd-run) and would be gone once stopped";
    if (unit->up && !unit->can_stop)
        return "it refuses to be stopped by hand";
    if (unit->up && !unit->can_start)
        return "it could not be started again (masked, or it refuses to be started by hand)";
    if (unit->up && host_group_holds(unit->group, cgroups))
        return "this very command runs in it";
    return NULL;
}

bool host_group_holds(const char *group, const char *cgroups)
{
    size_t len = strlen(group);
    if (len < 2)
        return false;
    for (const char *line = cgroups; *line;) {
        size_t size = strcspn(line, "\n");
        const char *path = memchr(line, ':', size);
        path = path ? memchr(path + 1, ':', (size_t)(line + size - path - 1)) : NULL;
        size_t left = path ? (size_t)(line + size - path - 1) : 0;
        if (path && left >= len && memcmp(path + 1, group, len) == 0 &&
            (left == len || path[1 + len] == '/'))
            return true;
        line += size + (line[size] == '\n');
    }
    return false;
}

static bool add_unit(struct host_manager *manager, const char *name, const char *cgroups,
                     struct host_plan *plan, struct err *err)
{
    struct host_unit unit;
    if (!host_unit_read(manager, name, &unit, err))
        return false;
    if (!unit.found)
        return unknown_unit(manager, plan->scope, unit.name, err);
    const char *why = obstacle(&unit, cgroups);
    if (why)
        return err_set(err, ERR_INPUT, "--pause %s: %s", unit.name, why);
    if (host_plan_has(plan, unit.name))
        return true;
    if (plan->count == HOST_UNITS_MAX)
        return err_set(err, ERR_INPUT, "--pause: at most %d units", HOST_UNITS_MAX);
    plan->units[plan->count++] = unit;
    return true;
}

/* Nothing that is not named may go down with what is. */
static bool check_dependents(const struct host_plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct host_unit *unit = &plan->units[i];
        for (const char *at = unit->dependents; unit->up && *at;) {
            size_t len = strcspn(at, ",");
            char name[HOST_NAME_SIZE];
            snprintf(name, sizeof name, "%.*s", (int)len, at);
            if (!host_plan_has(plan, name))
                return err_set(err, ERR_INPUT,
                               "--pause %s: systemd would stop %s with it, which is not named; "
                               "name it too, if it may be stopped",
                               unit->name, name);
            at += len + (at[len] == ',');
        }
    }
    return true;
}

static bool is_service(const struct host_unit *unit)
{
    return text_ends_with(unit->name, ".service") || text_ends_with(unit->name, ".target");
}

/* Triggers first, else as named. */
static void order(struct host_plan *plan)
{
    AUTO(free) struct host_unit *ordered = calloc(HOST_UNITS_MAX, sizeof *ordered);
    size_t count = 0;
    if (!ordered)
        abort();
    for (int services = 0; services < 2; services++)
        for (size_t i = 0; i < plan->count; i++)
            if (is_service(&plan->units[i]) == (services == 1))
                ordered[count++] = plan->units[i];
    memcpy(plan->units, ordered, count * sizeof *ordered);
}

bool host_plan_read(struct host_manager *manager, enum host_scope scope, const char *names,
                    struct host_plan *ret_plan, struct err *err)
{
    struct host_plan plan = {.scope = scope};
    AUTO(buf_done) struct buf cgroups = BUF_INIT(1 << 16);
    struct err ignored = ERR_INIT; /* a machine without control groups holds nobody in one */
    if (!buf_read_file(&cgroups, "/proc/self/cgroup", &ignored))
        buf_clear(&cgroups);
    for (const char *at = names; *at;) {
        at += strspn(at, ", ");
        size_t len = strcspn(at, ", ");
        AUTO(free) char *name = strndup(at, len);
        if (!name)
            abort();
        if (len > 0 && !add_unit(manager, name, buf_text(&cgroups), &plan, err))
            return false;
        at += len;
    }
    if (plan.count == 0)
        return err_set(err, ERR_INPUT, "--pause: no unit is named");
    if (!check_dependents(&plan, err))
        return false;
    order(&plan);
    *ret_plan = plan;
    return true;
}

bool host_pause(struct host_manager *manager, const struct host_plan *plan, struct err *err)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->units[i].up &&
            !host_manager_job(manager, HOST_STOP, plan->units[i].name,
                              plan->units[i].stop_within_ns, HOST_HEED_CANCEL, err))
            return false;
    return true;
}

static void note_failure(struct host_result *result, size_t i, const char *why)
{
    result->what[i] = HOST_FAILED;
    result->failed++;
    snprintf(result->why[i], sizeof result->why[i], "%.255s", why);
}

static void start_one(struct host_manager *manager, const struct host_journal_unit *unit,
                      struct host_result *result, size_t i)
{
    struct host_unit now;
    struct err err = ERR_INIT;
    result->what[i] = HOST_LEFT_DOWN;
    if (!unit->was_up)
        return;
    if (!host_unit_read(manager, unit->name, &now, &err)) {
        note_failure(result, i, err.text);
    } else if (!now.found) {
        result->what[i] = HOST_GONE;
    } else if (now.up) {
        result->what[i] = HOST_WAS_RUNNING;
    } else if (!host_manager_job(manager, HOST_START, unit->name, unit->start_within_ns,
                                 HOST_IGNORE_CANCEL, &err)) {
        note_failure(result, i, err.text);
    } else {
        result->what[i] = HOST_STARTED;
        result->started++;
    }
}

/* A simple service counts as started as soon as it is forked: one that can't run is seen only after
 * a moment. A one-shot that has done its work is "inactive" and fine. */
static void check_stayed(struct host_manager *manager, const struct host_journal *journal,
                         struct host_result *result)
{
    for (size_t i = 0; i < journal->count; i++) {
        struct host_unit now;
        struct err ignored = ERR_INIT;
        if (result->what[i] != HOST_STARTED ||
            !host_unit_read(manager, journal->units[i].name, &now, &ignored))
            continue;
        if (strcmp(now.active, "failed") == 0 || strcmp(now.sub, "auto-restart") == 0) {
            char why[256];
            snprintf(why, sizeof why, "it ended right after its start (%s, %s)", now.active,
                     now.sub);
            result->started--;
            note_failure(result, i, why);
        }
    }
}

bool host_restore(struct host_manager *manager, const struct host_journal *journal,
                  struct host_result *ret_result, struct err *err)
{
    struct host_result *result = ret_result;
    *result = (struct host_result){.count = journal->count};
    for (size_t i = 0; i < journal->count; i++)
        start_one(manager, &journal->units[i], result, i);
    if (result->started > 0) {
        struct timespec settle = {.tv_sec = SETTLE_MS / 1000};
        nanosleep(&settle, NULL);
        check_stayed(manager, journal, result);
    }
    if (result->failed == 0)
        return true;
    AUTO(buf_done) struct buf text = BUF_INIT(700);
    for (size_t i = 0; i < journal->count; i++)
        if (result->what[i] == HOST_FAILED)
            buf_addf(&text, "%s%s (%s)", text.len ? ", " : "", journal->units[i].name,
                     result->why[i]);
    return err_set(err, ERR_INTERNAL, "not started again: %s", buf_text(&text));
}
