/* A stand-in for polkit: says yes to what its file names, and no to all else.
 *
 *   fake-polkit RULES LOG
 *
 * Each line of RULES is an action, or an action with a unit and a verb ("org...manage-units
 * llm.service restart"); it is read at every question. LOG gets a line for each question. It is
 * found by DBUS_SESSION_BUS_ADDRESS, and says "ready" on stdout once it may be asked. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

struct asked {
    const char *action, *unit, *verb;
};

static const char *rules_path, *log_path;

static bool is_allowed(const char *line)
{
    char rule[512];
    FILE *file = fopen(rules_path, "r");
    bool allowed = false;
    while (file && fgets(rule, sizeof rule, file)) {
        rule[strcspn(rule, "\n")] = '\0';
        allowed = allowed || strcmp(rule, line) == 0;
    }
    if (file)
        fclose(file);
    return allowed;
}

static int read_details(sd_bus_message *message, struct asked *asked)
{
    const char *key = NULL, *value = NULL;
    int r = sd_bus_message_enter_container(message, 'a', "{ss}");
    while (r >= 0 && sd_bus_message_read(message, "{ss}", &key, &value) > 0) {
        if (strcmp(key, "unit") == 0)
            asked->unit = value;
        if (strcmp(key, "verb") == 0)
            asked->verb = value;
    }
    return r;
}

static int on_check(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct asked asked = {0};
    char line[512];
    (void)context;
    (void)error;
    int r = sd_bus_message_skip(message, "(sa{sv})");
    if (r >= 0)
        r = sd_bus_message_read(message, "s", &asked.action);
    if (r >= 0)
        r = read_details(message, &asked);
    if (r < 0)
        return r;
    snprintf(line, sizeof line, "%s%s%s%s%s", asked.action, asked.unit ? " " : "",
             asked.unit ? asked.unit : "", asked.verb ? " " : "", asked.verb ? asked.verb : "");
    FILE *log = fopen(log_path, "a");
    if (log) {
        fprintf(log, "%s\n", line);
        fclose(log);
    }
    return sd_bus_reply_method_return(message, "(bba{ss})", is_allowed(line), 0, 0);
}

static const sd_bus_vtable table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
                  SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

int main(int argc, char **argv)
{
    sd_bus *bus = NULL;
    if (argc != 3)
        return 2;
    rules_path = argv[1];
    log_path = argv[2];
    int r = sd_bus_open_user(&bus);
    if (r >= 0)
        r = sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
                                     "org.freedesktop.PolicyKit1.Authority", table, NULL);
    if (r >= 0)
        r = sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0);
    if (r < 0) {
        fprintf(stderr, "fake-polkit: %s\n", strerror(-r));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    while (r >= 0) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    return 1;
}
