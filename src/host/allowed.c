/* What systemd would let us do, asked without doing it.
 *
 * A restart is asked for in a mode that systemd refuses for every restart ("isolate"), which it
 * looks at after it has asked whether we may: the refusal says that we may. So the answer is
 * systemd's own, whatever decides behind it (root, a polkit rule with the unit's name in it, a
 * policy of the bus). Rejected: asking polkit, which tells nobody but root what becomes of a rule
 * that looks at the unit. A systemd that looked at the mode first would only say yes too early.
 *
 * A reload can't be asked for without one. Its action has no details, so polkit itself may be asked
 * about us.
 *
 * Invariant: nothing here changes anything, and what can't be asked is not allowed. */
#include "host/manager.h"

#include "host/quiet.h"

#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char polkit_name[] = "org.freedesktop.PolicyKit1";
static const char polkit_path[] = "/org/freedesktop/PolicyKit1/Authority";
static const char polkit_interface[] = "org.freedesktop.PolicyKit1.Authority";

static bool fail(const char *what, const char *reason, struct err *err)
{
    return err_set(err, ERR_DECLINED,
                   "%s: systemd does not let you (%.200s): run as root, or have a polkit rule for "
                   "it",
                   what, reason);
}

bool host_manager_may_restart(struct host_manager *manager, const char *unit, struct err *err)
{
    HOST_QUIET;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    char what[HOST_NAME_SIZE + 16];
    int r = sd_bus_call_method(host_manager_bus(manager), "org.freedesktop.systemd1",
                               "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                               "RestartUnit", &error, NULL, "ss", unit, "isolate");
    bool denied = host_manager_is_denied(error.name);
    snprintf(what, sizeof what, "restarting %s", unit);
    bool may = r < 0 && !denied;
    if (denied)
        fail(what, error.message ? error.message : "refused", err);
    else if (r >= 0)
        err_set(err, ERR_INTERNAL, "%s: systemd has taken a question for an order", what);
    sd_bus_error_free(&error);
    return may;
}

/* 1: yes. */
static int ask_polkit(sd_bus *bus, const char *action, sd_bus_error *error)
{
    sd_bus_message *reply = NULL;
    const char *us = NULL;
    int yes = 0;
    int r = sd_bus_get_unique_name(bus, &us);
    if (r >= 0)
        r = sd_bus_call_method(bus, polkit_name, polkit_path, polkit_interface,
                               "CheckAuthorization", error, &reply, "(sa{sv})sa{ss}us",
                               "system-bus-name", 1, "name", "s", us, action, 0, 0, "");
    if (r >= 0)
        r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
    if (r >= 0)
        r = sd_bus_message_read(reply, "b", &yes);
    sd_bus_message_unref(reply);
    return r < 0 ? r : yes;
}

bool host_manager_may_reload(struct host_manager *manager, enum host_scope scope, struct err *err)
{
    HOST_QUIET;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    if (scope == HOST_USER || geteuid() == 0)
        return true;
    int r = ask_polkit(host_manager_bus(manager), "org.freedesktop.systemd1.reload-daemon", &error);
    if (r <= 0)
        fail("having systemd read its files again",
             r == 0          ? "polkit says no"
             : error.message ? error.message
                             : strerror(-r),
             err);
    sd_bus_error_free(&error);
    return r > 0;
}
