/* What systemd says of a unit, without ever waiting for it.
 *
 * host/ asks and waits, up to 25 s for a manager that does not answer: right for a promotion, not
 * for a loop that has a watchdog. So the same properties are asked for here by calls whose answers
 * come on the loop, one connection for each manager, opened again when it broke. GetAll was
 * rejected: for a service systemd reads a dozen files of its cgroup for it, every time.
 *
 * Signals (PropertiesChanged) were rejected as the only source: they are lost with a connection,
 * and a poll is needed all the same. Invariant: a callback never outlives its unit; its slots are
 * freed with it. */
#include "guard/find.h"

#include "base/clock.h"
#include "host/manager.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static const char service_name[] = "org.freedesktop.systemd1";
static const int64_t REOPEN_AFTER_NS = 5 * NS_PER_S;
static const uint64_t ANSWER_WITHIN_US = 5 * 1000 * 1000;

struct manager {
    sd_bus *bus; /* owned; NULL: not open */
    int64_t tried_ns;
};

struct guard_managers {
    sd_event *event; /* borrowed */
    struct manager of[HOST_SCOPE_COUNT_];
};

enum property {
    PROPERTY_ACTIVE,
    PROPERTY_SUB,
    PROPERTY_RESULT,
    PROPERTY_PID,
    PROPERTY_RESTARTS,
    PROPERTY_COUNT_
};

static const struct {
    const char *interface, *name;
    char type;
} properties[PROPERTY_COUNT_] = {
    [PROPERTY_ACTIVE] = {"org.freedesktop.systemd1.Unit", "ActiveState", 's'},
    [PROPERTY_SUB] = {"org.freedesktop.systemd1.Unit", "SubState", 's'},
    [PROPERTY_RESULT] = {"org.freedesktop.systemd1.Service", "Result", 's'},
    [PROPERTY_PID] = {"org.freedesktop.systemd1.Service", "MainPID", 'u'},
    [PROPERTY_RESTARTS] = {"org.freedesktop.systemd1.Service", "NRestarts", 'u'},
};

struct question {
    struct guard_unit *unit;
    enum property property;
    sd_bus_slot *slot; /* owned; NULL: not asked */
};

struct guard_unit {
    struct guard_managers *managers; /* borrowed */
    enum host_scope scope;
    char *path; /* object path; owned */
    struct question questions[PROPERTY_COUNT_];
    size_t awaited;
    bool failed;
    struct guard_unit_state next, state;
    sd_bus_slot *job;  /* owned: an answer to a start or stop is awaited */
    bool denied;       /* it was for want of a right, so nothing was begun */
    char refused[160]; /* what systemd said to the last one; "" it is done, or under way */
};

struct guard_managers *guard_managers_new(sd_event *event)
{
    struct guard_managers *managers = calloc(1, sizeof *managers);
    if (!managers)
        abort();
    managers->event = event;
    return managers;
}

static void drop(struct manager *manager)
{
    if (manager->bus) {
        sd_bus_detach_event(manager->bus);
        manager->bus = sd_bus_close_unref(manager->bus);
    }
}

struct guard_managers *guard_managers_free(struct guard_managers *managers)
{
    if (managers) {
        for (int s = 0; s < HOST_SCOPE_COUNT_; s++)
            drop(&managers->of[s]);
        free(managers);
    }
    return NULL;
}

/* NULL: systemd can't be reached now. */
static sd_bus *bus_of(struct guard_managers *managers, enum host_scope scope, int64_t now_ns)
{
    struct manager *manager = &managers->of[scope];
    if (manager->bus && sd_bus_is_open(manager->bus) > 0)
        return manager->bus;
    if (manager->tried_ns && now_ns - manager->tried_ns < REOPEN_AFTER_NS)
        return NULL;
    manager->tried_ns = now_ns;
    drop(manager);
    int r =
        scope == HOST_USER ? sd_bus_open_user(&manager->bus) : sd_bus_open_system(&manager->bus);
    if (r >= 0)
        r = sd_bus_set_method_call_timeout(manager->bus, ANSWER_WITHIN_US);
    if (r >= 0)
        r = sd_bus_attach_event(manager->bus, managers->event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0) {
        drop(manager);
        return NULL;
    }
    return manager->bus;
}

struct guard_unit *guard_unit_new(struct guard_managers *managers, const char *name, bool user)
{
    struct guard_unit *unit = calloc(1, sizeof *unit);
    if (!unit || sd_bus_path_encode("/org/freedesktop/systemd1/unit", name, &unit->path) < 0)
        abort();
    unit->managers = managers;
    unit->scope = user ? HOST_USER : HOST_SYSTEM;
    for (int p = 0; p < PROPERTY_COUNT_; p++)
        unit->questions[p] = (struct question){.unit = unit, .property = (enum property)p};
    return unit;
}

static void forget(struct guard_unit *unit)
{
    for (int p = 0; p < PROPERTY_COUNT_; p++)
        unit->questions[p].slot = sd_bus_slot_unref(unit->questions[p].slot);
    unit->awaited = 0;
}

struct guard_unit *guard_unit_free(struct guard_unit *unit)
{
    if (unit) {
        forget(unit);
        unit->job = sd_bus_slot_unref(unit->job);
        free(unit->path);
        free(unit);
    }
    return NULL;
}

static bool take(struct guard_unit_state *next, enum property property, sd_bus_message *message)
{
    const char type[2] = {properties[property].type, '\0'};
    const char *text = "";
    uint32_t number = 0;
    int r = type[0] == 's' ? sd_bus_message_read(message, "v", type, &text)
                           : sd_bus_message_read(message, "v", type, &number);
    if (r < 0)
        return false;
    switch (property) {
    case PROPERTY_ACTIVE:
        snprintf(next->active, sizeof next->active, "%s", text);
        break;
    case PROPERTY_SUB:
        snprintf(next->sub, sizeof next->sub, "%s", text);
        break;
    case PROPERTY_RESULT:
        snprintf(next->result, sizeof next->result, "%s", text);
        break;
    case PROPERTY_PID:
        next->main_pid = number;
        break;
    default:
        next->restarts = number;
    }
    return true;
}

static int on_answer(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct question *question = context;
    struct guard_unit *unit = question->unit;
    (void)error;
    if (sd_bus_message_is_method_error(message, NULL) ||
        !take(&unit->next, question->property, message))
        unit->failed = true;
    question->slot = sd_bus_slot_unref(question->slot);
    if (unit->awaited > 0)
        unit->awaited--;
    if (unit->awaited > 0)
        return 0;
    unit->next.known = !unit->failed;
    unit->next.at_ns = clock_now_ns();
    unit->state = unit->next;
    return 0;
}

void guard_unit_ask(struct guard_unit *unit, int64_t now_ns)
{
    if (unit->awaited > 0)
        return;
    sd_bus *bus = bus_of(unit->managers, unit->scope, now_ns);
    if (!bus) {
        unit->state.known = false;
        return;
    }
    unit->next = (struct guard_unit_state){0};
    unit->failed = false;
    for (int p = 0; p < PROPERTY_COUNT_; p++) {
        if (sd_bus_call_method_async(bus, &unit->questions[p].slot, service_name, unit->path,
                                     "org.freedesktop.DBus.Properties", "Get", on_answer,
                                     &unit->questions[p], "ss", properties[p].interface,
                                     properties[p].name) < 0) {
            forget(unit);
            unit->state.known = false;
            return;
        }
        unit->awaited++;
    }
}

const struct guard_unit_state *guard_unit_state(const struct guard_unit *unit)
{
    return &unit->state;
}

static int on_job(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct guard_unit *unit = context;
    const sd_bus_error *said = sd_bus_message_get_error(message);
    (void)error;
    unit->denied = said && host_manager_is_denied(said->name);
    if (unit->denied)
        snprintf(unit->refused, sizeof unit->refused,
                 "not allowed by systemd (%.60s): it needs root, or a polkit rule for the unit",
                 said->message ? said->message : said->name);
    else if (said)
        snprintf(unit->refused, sizeof unit->refused, "%.150s",
                 said->message ? said->message : said->name);
    unit->job = sd_bus_slot_unref(unit->job);
    return 0;
}

bool guard_unit_job(struct guard_unit *unit, enum host_verb verb, int64_t now_ns)
{
    static const char *const methods[HOST_VERB_COUNT_] = {
        [HOST_STOP] = "Stop", [HOST_START] = "Start", [HOST_RESTART] = "Restart"};
    static const char interface[] = "org.freedesktop.systemd1.Unit";
    sd_bus *bus = bus_of(unit->managers, unit->scope, now_ns);
    unit->job = sd_bus_slot_unref(unit->job);
    unit->refused[0] = '\0';
    unit->denied = false;
    /* One that failed over and over is else refused its next start. No answer is wanted. */
    if (bus && verb == HOST_START)
        (void)sd_bus_call_method_async(bus, NULL, service_name, unit->path, interface,
                                       "ResetFailed", NULL, NULL, "");
    if (bus && sd_bus_call_method_async(bus, &unit->job, service_name, unit->path, interface,
                                        methods[verb], on_job, unit, "s", "replace") >= 0)
        return true;
    snprintf(unit->refused, sizeof unit->refused, "systemd does not answer");
    return false;
}

const char *guard_unit_refused(const struct guard_unit *unit)
{
    return unit->refused;
}

bool guard_unit_is_denied(const struct guard_unit *unit)
{
    return unit->denied;
}
