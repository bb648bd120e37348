/* One unit's properties, read from systemd one by one.
 *
 * Rejected: GetAll of the service interface, some 300 properties of which twelve are wanted. What a
 * unit of another kind lacks (a socket has no memory, a timer no time to start) is simply unknown.
 *
 * Which units go down together with one is systemd's doing: those whose dependency on it propagates
 * a stop (unit-dependency-atom.c in systemd's source). */
#include "host/unit.h"

#include "base/clock.h"
#include "host/quiet.h"
#include "base/text.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static const char service_name[] = "org.freedesktop.systemd1";
static const char manager_path[] = "/org/freedesktop/systemd1";
static const char manager_interface[] = "org.freedesktop.systemd1.Manager";
static const char unit_interface[] = "org.freedesktop.systemd1.Unit";

/* How long we wait at least and at most for a job, and what is added to systemd's own limit. */
static const int64_t WITHIN_MIN_NS = 30 * NS_PER_S, WITHIN_MAX_NS = 1800 * NS_PER_S,
                     WITHIN_EXTRA_NS = 15 * NS_PER_S;

static const char *const stop_together[] = {"RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf",
                                            "PropagatesStopTo"};
static const char *const up_words[] = {"active", "reloading", "activating"};

struct place {
    sd_bus *bus;
    const char *path;      /* the unit's object */
    const char *interface; /* of its kind: "...Service" */
};

static void copy_text(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text ? text : "");
}

static void read_text(const struct place *place, const char *interface, const char *name, char *to,
                      size_t size)
{
    char *text = NULL;
    if (sd_bus_get_property_string(place->bus, service_name, place->path, interface, name, NULL,
                                   &text) < 0)
        text = NULL;
    copy_text(to, size, text);
    free(text);
}

static bool read_bool(const struct place *place, const char *name)
{
    int value = 0;
    return sd_bus_get_property_trivial(place->bus, service_name, place->path, unit_interface, name,
                                       NULL, 'b', &value) >= 0 &&
           value;
}

/* Without RemainAfterExit=, with which it stays up. */
static bool read_once(const struct place *place)
{
    char type[16];
    int remains = 0;
    read_text(place, place->interface, "Type", type, sizeof type);
    return strcmp(type, "oneshot") == 0 &&
           sd_bus_get_property_trivial(place->bus, service_name, place->path, place->interface,
                                       "RemainAfterExit", NULL, 'b', &remains) >= 0 &&
           !remains;
}

/* UINT64_MAX: unknown, or without limit. */
static uint64_t read_number(const struct place *place, const char *name)
{
    uint64_t value = UINT64_MAX;
    if (sd_bus_get_property_trivial(place->bus, service_name, place->path, place->interface, name,
                                    NULL, 't', &value) < 0)
        return UINT64_MAX;
    return value;
}

/* ExecMainCode is waitid's si_code, 0 while it runs. */
static int read_exit_status(const struct place *place)
{
    int32_t code = 0, status = -1;
    if (sd_bus_get_property_trivial(place->bus, service_name, place->path, place->interface,
                                    "ExecMainCode", NULL, 'i', &code) < 0 ||
        sd_bus_get_property_trivial(place->bus, service_name, place->path, place->interface,
                                    "ExecMainStatus", NULL, 'i', &status) < 0)
        return -1;
    return code == CLD_EXITED ? status : -1;
}

static int64_t within_of(uint64_t limit_us)
{
    if (limit_us > (uint64_t)(WITHIN_MAX_NS / NS_PER_US))
        return WITHIN_MAX_NS;
    int64_t ns = (int64_t)limit_us * NS_PER_US + WITHIN_EXTRA_NS;
    return ns < WITHIN_MIN_NS ? WITHIN_MIN_NS : ns;
}

static bool is_up(const char *active)
{
    return text_index(up_words, ARRAY_LEN(up_words), active) >= 0;
}

/* Owned; NULL when systemd has no such unit under any name. */
static char *find_path(sd_bus *bus, const char *name)
{
    sd_bus_message *reply = NULL;
    const char *path = NULL;
    char *copy = NULL;
    if (sd_bus_call_method(bus, service_name, manager_path, manager_interface, "LoadUnit", NULL,
                           &reply, "s", name) >= 0 &&
        sd_bus_message_read(reply, "o", &path) >= 0)
        copy = strdup(path);
    sd_bus_message_unref(reply);
    return copy;
}

static bool name_is_up(sd_bus *bus, const char *name)
{
    AUTO(free) char *path = find_path(bus, name);
    char active[16] = "";
    struct place place = {bus, path, NULL};
    if (path)
        read_text(&place, unit_interface, "ActiveState", active, sizeof active);
    return is_up(active);
}

/* Adds those of a property's units that are up. */
static void add_up(const struct place *place, const char *property, char *to, size_t size)
{
    char **names = NULL;
    if (sd_bus_get_property_strv(place->bus, service_name, place->path, unit_interface, property,
                                 NULL, &names) < 0)
        return;
    for (size_t i = 0; names && names[i]; i++) {
        size_t len = strlen(to);
        if (name_is_up(place->bus, names[i]))
            snprintf(to + len, size - len, "%s%s", len ? "," : "", names[i]);
        free(names[i]);
    }
    free(names);
}

/* "org.freedesktop.systemd1.Service" of "x.service". */
static void kind_interface(const char *name, char *ret, size_t size)
{
    const char *dot = strrchr(name, '.');
    snprintf(ret, size, "org.freedesktop.systemd1.%s", dot ? dot + 1 : "service");
    char *kind = ret + sizeof "org.freedesktop.systemd1." - 1;
    if (*kind >= 'a' && *kind <= 'z')
        *kind = (char)(*kind - 'a' + 'A');
}

static void read_facts(const struct place *place, struct host_unit *unit)
{
    char load[24];
    read_text(place, unit_interface, "LoadState", load, sizeof load);
    unit->found = load[0] && strcmp(load, "not-found") != 0;
    read_text(place, unit_interface, "Description", unit->description, sizeof unit->description);
    read_text(place, unit_interface, "ActiveState", unit->active, sizeof unit->active);
    read_text(place, unit_interface, "SubState", unit->sub, sizeof unit->sub);
    read_text(place, unit_interface, "UnitFileState", unit->at_boot, sizeof unit->at_boot);
    read_text(place, place->interface, "ControlGroup", unit->group, sizeof unit->group);
    unit->up = is_up(unit->active);
    unit->can_start = read_bool(place, "CanStart") && strcmp(load, "loaded") == 0;
    unit->can_stop = read_bool(place, "CanStop");
    unit->transient = read_bool(place, "Transient");
    unit->once = read_once(place);
    unit->exit_status = read_exit_status(place);
    uint64_t memory = read_number(place, "MemoryCurrent");
    unit->memory_bytes =
        memory == UINT64_MAX ? READING_NONE : reading_known(READING_FROM_CGROUP, (double)memory);
    unit->start_within_ns = within_of(read_number(place, "TimeoutStartUSec"));
    unit->stop_within_ns = within_of(read_number(place, "TimeoutStopUSec"));
    add_up(place, "TriggeredBy", unit->triggers, sizeof unit->triggers);
    for (size_t i = 0; i < ARRAY_LEN(stop_together); i++)
        add_up(place, stop_together[i], unit->dependents, sizeof unit->dependents);
}

bool host_unit_read(struct host_manager *manager, const char *name, struct host_unit *ret_unit,
                    struct err *err)
{
    HOST_QUIET;
    char full[HOST_NAME_SIZE], interface[HOST_NAME_SIZE + 32];
    struct host_unit unit = {0};
    int len = snprintf(full, sizeof full, "%s%s", name, strchr(name, '.') ? "" : ".service");
    if (len < 0 || (size_t)len >= sizeof full)
        return err_set(err, ERR_INPUT, "%.40s...: too long for a unit's name", name);
    AUTO(free) char *path = find_path(host_manager_bus(manager), full);
    struct place place = {host_manager_bus(manager), path, interface};
    if (path)
        read_text(&place, unit_interface, "Id", unit.name, sizeof unit.name);
    if (unit.name[0]) {
        kind_interface(unit.name, interface, sizeof interface);
        read_facts(&place, &unit);
    } else {
        copy_text(unit.name, sizeof unit.name, full);
        unit.exit_status = -1;
        unit.memory_bytes = READING_NONE;
    }
    *ret_unit = unit;
    return true;
}

enum { NAMES_MAX = 20000 };

struct names {
    const char **list;
    size_t count;
};

static void add_name(struct names *names, struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (names->count < NAMES_MAX)
        names->list[names->count++] = arena_strdup(arena, slash ? slash + 1 : path);
}

static int read_units(sd_bus_message *reply, struct names *names, struct arena *arena)
{
    const char *name = NULL;
    int r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
    for (; r > 0;) {
        r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, NULL, NULL, NULL, NULL, NULL,
                                NULL, NULL, NULL);
        if (r > 0)
            add_name(names, arena, name);
    }
    return r;
}

static int read_files(sd_bus_message *reply, struct names *names, struct arena *arena)
{
    const char *path = NULL, *state = NULL;
    int r = sd_bus_message_enter_container(reply, 'a', "(ss)");
    for (; r > 0;) {
        r = sd_bus_message_read(reply, "(ss)", &path, &state);
        if (r > 0)
            add_name(names, arena, path);
    }
    return r;
}

bool host_unit_list(struct host_manager *manager, struct arena *arena,
                    const char *const **ret_names, size_t *ret_count, struct err *err)
{
    HOST_QUIET;
    static const struct {
        const char *method;
        int (*read)(sd_bus_message *reply, struct names *names, struct arena *arena);
    } lists[] = {{"ListUnits", read_units}, {"ListUnitFiles", read_files}};
    struct names names = {arena_array(arena, NAMES_MAX, sizeof *names.list), 0};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        sd_bus_message *reply = NULL;
        int r = sd_bus_call_method(host_manager_bus(manager), service_name, manager_path,
                                   manager_interface, lists[i].method, NULL, &reply, "");
        if (r >= 0)
            r = lists[i].read(reply, &names, arena);
        sd_bus_message_unref(reply);
        if (r < 0)
            return err_set(err, ERR_INTERNAL, "listing units: %s", strerror(-r));
    }
    *ret_names = names.list;
    *ret_count = names.count;
    return true;
}
