/* systemd's manager over D-Bus.
 *
 * Rejected: running systemctl and reading what it prints; its words change with version and
 * language, and a job that it waits for can't be given up without guessing what became of it.
 *
 * A job is asked for, and its end comes as a signal (JobRemoved) that names the job. The signal may
 * be queued before the answer that tells us the job's name, but it is looked at only afterwards, in
 * sd_bus_process(); so nothing is missed. Invariant: whatever the manager does, we wait no longer
 * than we were told to. */
#include "host/manager.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "host/quiet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static const char service_name[] = "org.freedesktop.systemd1";
static const char manager_path[] = "/org/freedesktop/systemd1";
static const char manager_interface[] = "org.freedesktop.systemd1.Manager";

/* A reload of a machine with thousands of units, or with slow generators, takes its time. */
enum { CALL_WITHIN_US = 25 * 1000 * 1000, RELOAD_WITHIN_US = 180 * 1000 * 1000 };
enum { LOOK_EVERY_US = 200 * 1000 };

const char *const host_scope_names[HOST_SCOPE_COUNT_] = {
    [HOST_SYSTEM] = "system", [HOST_USER] = "user"};

static const struct {
    const char *method, *doing;
} verbs[HOST_VERB_COUNT_] = {
    [HOST_STOP] = {"StopUnit", "stopping"},
    [HOST_START] = {"StartUnit", "starting"},
    [HOST_RESTART] = {"RestartUnit", "restarting"},
    [HOST_RELOAD] = {"ReloadUnit", "reloading"},
};

struct host_manager {
    sd_bus *bus;       /* owned */
    sd_bus_slot *slot; /* owned: of the match for JobRemoved */
    char job[256];     /* object path of the job that is waited for, "" none */
    char result[64];   /* systemd's word for how it ended, "" not yet */
};

static void message_auto_(sd_bus_message **message)
{
    sd_bus_message_unref(*message);
}
#define AUTO_MESSAGE __attribute__((cleanup(message_auto_))) sd_bus_message
static void error_auto_(sd_bus_error *error)
{
    sd_bus_error_free(error);
}
#define AUTO_ERROR __attribute__((cleanup(error_auto_))) sd_bus_error

struct host_manager *host_manager_close(struct host_manager *manager)
{
    if (manager) {
        sd_bus_slot_unref(manager->slot);
        sd_bus_flush_close_unref(manager->bus);
        free(manager);
    }
    return NULL;
}

struct sd_bus *host_manager_bus(struct host_manager *manager)
{
    return manager->bus;
}

static int on_job_removed(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct host_manager *manager = context;
    const char *path = NULL, *unit = NULL, *result = NULL;
    uint32_t id = 0;
    (void)error;
    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 && manager->job[0] &&
        strcmp(path, manager->job) == 0)
        snprintf(manager->result, sizeof manager->result, "%s", result);
    return 0;
}

bool host_manager_is_denied(const char *error_name)
{
    return error_name && (strcmp(error_name, SD_BUS_ERROR_ACCESS_DENIED) == 0 ||
                          strcmp(error_name, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) == 0);
}

static bool bus_error(int negative, const sd_bus_error *error, struct err *err, const char *doing,
                      const char *unit)
{
    if (error && host_manager_is_denied(error->name))
        return err_set(err, ERR_INPUT,
                       "%s %s: not allowed (%s); run as root, or have a polkit rule for it; "
                       "units of your own need neither, where they are said to be a user's",
                       doing, unit, error->message ? error->message : "refused");
    return err_set(err, ERR_INTERNAL, "%s %s: %s", doing, unit,
                   error && error->message ? error->message : strerror(-negative));
}

bool host_manager_open(enum host_scope scope, struct host_manager **ret_manager, struct err *err)
{
    HOST_QUIET;
    struct host_manager *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(host_manager_close) struct host_manager *manager = made;
    AUTO_ERROR error = SD_BUS_ERROR_NULL;
    int r =
        scope == HOST_USER ? sd_bus_open_user(&manager->bus) : sd_bus_open_system(&manager->bus);
    if (r >= 0)
        r = sd_bus_set_method_call_timeout(manager->bus, CALL_WITHIN_US);
    if (r >= 0)
        r = sd_bus_match_signal(manager->bus, &manager->slot, service_name, manager_path,
                                manager_interface, "JobRemoved", on_job_removed, manager);
    /* Without it systemd sends no signals. */
    if (r >= 0)
        r = sd_bus_call_method(manager->bus, service_name, manager_path, manager_interface,
                               "Subscribe", &error, NULL, "");
    if (r < 0)
        return err_set(err, ERR_MISSING, "no systemd answers for %s units (%s)",
                       host_scope_names[scope], error.message ? error.message : strerror(-r));
    *ret_manager = TAKE(manager);
    return true;
}

static void expect_job(struct host_manager *manager, const char *path)
{
    snprintf(manager->job, sizeof manager->job, "%s", path);
    manager->result[0] = '\0';
}

/* Until the expected job has a result. */
static bool wait_job(struct host_manager *manager, const char *doing, const char *unit,
                     int64_t within_ns, enum host_heed heed, struct err *err)
{
    int64_t end_ns = clock_now_ns() + within_ns;
    while (!manager->result[0]) {
        int r = sd_bus_process(manager->bus, NULL);
        if (r > 0)
            continue;
        if (r == 0 && heed == HOST_HEED_CANCEL && cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while %s %s", doing, unit);
        if (r == 0 && clock_now_ns() >= end_ns)
            return err_set(err, ERR_INTERNAL, "%s %s: not done within %lld s", doing, unit,
                           (long long)(within_ns / NS_PER_S));
        if (r == 0)
            r = sd_bus_wait(manager->bus, LOOK_EVERY_US);
        if (r < 0 && r != -EINTR)
            return bus_error(r, NULL, err, doing, unit);
    }
    if (strcmp(manager->result, "done") == 0 || strcmp(manager->result, "skipped") == 0)
        return true;
    return err_set(err, ERR_INTERNAL, "%s %s: systemd says \"%s\"", doing, unit, manager->result);
}

static bool ask_job(struct host_manager *manager, enum host_verb verb, const char *unit,
                    struct err *err)
{
    HOST_QUIET;
    AUTO_ERROR error = SD_BUS_ERROR_NULL;
    AUTO_MESSAGE *reply = NULL;
    const char *path = NULL;
    int r = sd_bus_call_method(manager->bus, service_name, manager_path, manager_interface,
                               verbs[verb].method, &error, &reply, "ss", unit, "replace");
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return bus_error(r, &error, err, verbs[verb].doing, unit);
    expect_job(manager, path);
    return true;
}

bool host_manager_job(struct host_manager *manager, enum host_verb verb, const char *unit,
                      int64_t within_ns, enum host_heed heed, struct err *err)
{
    return ask_job(manager, verb, unit, err) &&
           wait_job(manager, verbs[verb].doing, unit, within_ns, heed, err);
}

bool host_manager_reload(struct host_manager *manager, struct err *err)
{
    HOST_QUIET;
    AUTO_ERROR error = SD_BUS_ERROR_NULL;
    AUTO_MESSAGE *call = NULL;
    int r = sd_bus_message_new_method_call(manager->bus, &call, service_name, manager_path,
                                           manager_interface, "Reload");
    if (r >= 0)
        r = sd_bus_call(manager->bus, call, RELOAD_WITHIN_US, &error, NULL);
    return r >= 0 || bus_error(r, &error, err, "reloading", "systemd's files");
}

void host_manager_forgive(struct host_manager *manager, const char *unit)
{
    HOST_QUIET;
    (void)sd_bus_call_method(manager->bus, service_name, manager_path, manager_interface,
                             "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int append_strings(sd_bus_message *message, const char *name, const char *const *strings)
{
    int r = sd_bus_message_open_container(message, 'r', "sv");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", name);
    if (r >= 0)
        r = sd_bus_message_open_container(message, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_append_strv(message, (char **)strings);
    if (r >= 0)
        r = sd_bus_message_close_container(message);
    return r >= 0 ? sd_bus_message_close_container(message) : r;
}

/* ExecStartEx: an array of one command: program, argv, flags. Paths are ours and may hold a `$`. */
static int append_command(sd_bus_message *message, const char *const *argv)
{
    static const char *const flags[] = {"no-env-expand", NULL};
    int r = sd_bus_message_open_container(message, 'r', "sv");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", "ExecStartEx");
    if (r >= 0)
        r = sd_bus_message_open_container(message, 'v', "a(sasas)");
    if (r >= 0)
        r = sd_bus_message_open_container(message, 'a', "(sasas)");
    if (r >= 0)
        r = sd_bus_message_open_container(message, 'r', "sasas");
    if (r >= 0)
        r = sd_bus_message_append(message, "s", argv[0]);
    if (r >= 0)
        r = sd_bus_message_append_strv(message, (char **)argv);
    if (r >= 0)
        r = sd_bus_message_append_strv(message, (char **)flags);
    for (int i = 0; i < 4 && r >= 0; i++)
        r = sd_bus_message_close_container(message);
    return r;
}

static int append_unit(sd_bus_message *message, const struct host_transient *unit)
{
    uint64_t ready_us = (uint64_t)(unit->ready_within_ns / NS_PER_US);
    int r = sd_bus_message_append(message, "ss", unit->name, "fail");
    if (r >= 0)
        r = sd_bus_message_open_container(message, 'a', "(sv)");
    /* on-abnormal: a SIGKILL is made up for; its own "could not" and a shutdown's SIGTERM are not.
     */
    if (r >= 0)
        r = sd_bus_message_append(message, "(sv)(sv)(sv)(sv)(sv)", "Description", "s",
                                  unit->description, "Type", "s", unit->once ? "exec" : "notify",
                                  "Restart", "s", unit->once ? "no" : "on-abnormal", "CollectMode",
                                  "s", unit->once ? "inactive" : "inactive-or-failed",
                                  "TimeoutStartUSec", "t", ready_us);
    if (r >= 0 && unit->run_within_ns > 0)
        r = sd_bus_message_append(message, "(sv)", "RuntimeMaxUSec", "t",
                                  (uint64_t)(unit->run_within_ns / NS_PER_US));
    if (r >= 0 && unit->stop_within_ns > 0)
        r = sd_bus_message_append(message, "(sv)", "TimeoutStopUSec", "t",
                                  (uint64_t)(unit->stop_within_ns / NS_PER_US));
    if (r >= 0 && unit->environment && unit->environment[0])
        r = append_strings(message, "Environment", unit->environment);
    if (r >= 0)
        r = append_command(message, unit->argv);
    if (r >= 0)
        r = sd_bus_message_close_container(message);
    return r >= 0 ? sd_bus_message_append(message, "a(sa(sv))", 0) : r;
}

bool host_manager_transient(struct host_manager *manager, const struct host_transient *unit,
                            struct err *err)
{
    AUTO_ERROR error = SD_BUS_ERROR_NULL;
    AUTO_MESSAGE *call = NULL;
    AUTO_MESSAGE *reply = NULL;
    const char *path = NULL;
    int r = sd_bus_message_new_method_call(manager->bus, &call, service_name, manager_path,
                                           manager_interface, "StartTransientUnit");
    if (r >= 0)
        r = append_unit(call, unit);
    if (r >= 0) {
        HOST_QUIET;
        r = sd_bus_call(manager->bus, call, 0, &error, &reply);
    }
    if (r < 0 && sd_bus_error_has_name(&error, "org.freedesktop.systemd1.UnitExists"))
        return err_set(err, ERR_BUSY, "%s is there already", unit->name);
    if (r >= 0)
        r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return bus_error(r, &error, err, "starting", unit->name);
    expect_job(manager, path);
    return wait_job(manager, "starting", unit->name, unit->ready_within_ns + 5 * NS_PER_S,
                    HOST_IGNORE_CANCEL, err);
}
