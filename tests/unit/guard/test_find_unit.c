/* What systemd says to a start or a stop: a manager of our own at the end of a socket says it. */
#include "guard/find.h"

#include "base/clock.h"

#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

struct said {
    const char *name, *message;
};

static char *folder;  /* of one row, with its bus */
static pid_t manager; /* 0: none runs */

static int on_call(sd_bus_message *message, void *context, sd_bus_error *error)
{
    const struct said *said = context;
    (void)error;
    if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus", "Hello"))
        return sd_bus_reply_method_return(message, "s", ":1.1");
    if (!sd_bus_message_is_method_call(message, "org.freedesktop.systemd1.Unit", NULL))
        return 0;
    if (said->name)
        return sd_bus_reply_method_errorf(message, said->name, "%s", said->message);
    return sd_bus_reply_method_return(message, "o", "/org/freedesktop/systemd1/job/1");
}

/* Answers until it is killed, or nobody is there. */
static void answer(int listening, const struct said *said)
{
    sd_bus *bus = NULL;
    int fd = accept(listening, NULL, NULL), r = 0;
    if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
        sd_bus_set_server(bus, 1, SD_ID128_MAKE(1, 2, 3, 4, 5, 6, 7, 8, 9, a, b, c, d, e, f, 0)) <
            0 ||
        sd_bus_add_filter(bus, NULL, on_call, (void *)said) < 0 || sd_bus_start(bus) < 0)
        _exit(1);
    while (r >= 0) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    _exit(0);
}

/* A manager that says that, on the system's bus. */
static void begin(const struct said *said)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    char address[sizeof where.sun_path + 16];
    folder = check_make_folder();
    assert_true(snprintf(where.sun_path, sizeof where.sun_path, "%s/bus", folder) <
                (int)sizeof where.sun_path);
    snprintf(address, sizeof address, "unix:path=%s", where.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&where, sizeof where), 0);
    assert_int_equal(listen(fd, 1), 0);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    manager = fork();
    assert_true(manager >= 0);
    if (manager == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        answer(fd, said);
    }
    close(fd);
}

/* After each row; after one that failed, as teardown. */
static int end(void **state)
{
    (void)state;
    if (manager > 0) {
        kill(manager, SIGKILL);
        waitpid(manager, NULL, 0);
    }
    if (folder)
        check_remove_folder(folder);
    manager = 0;
    folder = NULL;
    return 0;
}

static void test_what_is_not_allowed_is_known_as_that(void **state)
{
    static const struct {
        const char *name;
        struct said said;
        const char *refused;
        bool denied;
    } rows[] = {
        {"polkit would ask somebody",
         {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, "Interactive authentication required."},
         "not allowed by systemd (Interactive authentication required.): it needs root, or a "
         "polkit "
         "rule for the unit",
         true},
        {"polkit, or the bus, says no",
         {SD_BUS_ERROR_ACCESS_DENIED, "Permission denied"},
         "not allowed by systemd (Permission denied): it needs root, or a polkit rule for the unit",
         true},
        {"another reason",
         {"org.freedesktop.systemd1.NoSuchUnit", "Unit a.service not found."},
         "Unit a.service not found.",
         false},
        {"it is begun", {NULL, NULL}, "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(&rows[i].said);
        sd_event *event = NULL;
        assert_true(sd_event_new(&event) >= 0);
        struct guard_managers *managers = guard_managers_new(event);
        struct guard_unit *unit = guard_unit_new(managers, "a.service", false);
        assert_true(guard_unit_job(unit, HOST_STOP, clock_now_ns()));
        CHECK_ROW(i, rows[i].name, !guard_unit_refused(unit)[0] && !guard_unit_is_denied(unit));
        /* The answer, or the silence that a job under way is. */
        for (int turn = 0; turn < 100 && !guard_unit_refused(unit)[0]; turn++)
            assert_true(sd_event_run(event, rows[i].said.name ? 1000 * 1000 : 2000) >= 0);
        CHECK_ROW(i, rows[i].name, strcmp(guard_unit_refused(unit), rows[i].refused) == 0);
        CHECK_ROW(i, rows[i].name, guard_unit_is_denied(unit) == rows[i].denied);
        /* The next one is another question. */
        assert_true(guard_unit_job(unit, HOST_STOP, clock_now_ns()));
        CHECK_ROW(i, rows[i].name, !guard_unit_refused(unit)[0] && !guard_unit_is_denied(unit));
        guard_unit_free(unit);
        guard_managers_free(managers);
        sd_event_unref(event);
        (void)end(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_is_not_allowed_is_known_as_that, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
