/* A service's configuration as systemd has read it.
 *
 * Rejected: parsing unit files ourselves, or `systemctl cat`: what counts is what systemd made of
 * them (a drop-in of another folder, a specifier, a quote at the wrong place), and a second parser
 * would agree with our own writing rather than with systemd.
 *
 * Two things are not in what systemd tells. A `$` that stands for itself is doubled in a command
 * until the moment of its start, and EnvironmentFile= is read only then: what is in such a file
 * wins over Environment=, so it is looked at here. Invariant: no message holds a variable's value.
 */
#include "host/config.h"

#include "base/text.h"
#include "host/quiet.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <systemd/sd-bus.h>

static const char service_name[] = "org.freedesktop.systemd1";
static const char manager_path[] = "/org/freedesktop/systemd1";
static const char manager_interface[] = "org.freedesktop.systemd1.Manager";
static const char unit_interface[] = "org.freedesktop.systemd1.Unit";
static const char service_interface[] = "org.freedesktop.systemd1.Service";

enum { ENV_FILE_MAX = 1 << 20, COMMANDS_MAX = 64, ENV_FILES_MAX = 64 };

struct place {
    sd_bus *bus;
    const char *path;
    struct arena *arena;
};

static void message_auto_(sd_bus_message **message)
{
    sd_bus_message_unref(*message);
}
#define AUTO_MESSAGE __attribute__((cleanup(message_auto_))) sd_bus_message

static const char *get_text(const struct place *place, const char *interface, const char *name)
{
    AUTO(free) char *text = NULL;
    if (sd_bus_get_property_string(place->bus, service_name, place->path, interface, name, NULL,
                                   &text) < 0)
        return "";
    return arena_strdup(place->arena, text ? text : "");
}

/* Copied into the arena; the list that came is freed. */
static const char *const *take_list(struct arena *arena, char **list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    const char **copy = arena_array(arena, count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = arena_strdup(arena, list[i]);
        free(list[i]);
    }
    free(list);
    return copy;
}

static const char *const *get_list(const struct place *place, const char *interface,
                                   const char *name)
{
    char **list = NULL;
    if (sd_bus_get_property_strv(place->bus, service_name, place->path, interface, name, NULL,
                                 &list) < 0)
        list = NULL;
    return take_list(place->arena, list);
}

static void get_number(const struct place *place, const char *name, char type, void *ret_value)
{
    (void)sd_bus_get_property_trivial(place->bus, service_name, place->path, service_interface,
                                      name, NULL, type, ret_value);
}

static int read_command(sd_bus_message *reply, struct arena *arena, struct host_command *command)
{
    const char *program = NULL;
    char **argv = NULL;
    int r = sd_bus_message_enter_container(reply, 'r', "sasbttttuii");
    if (r > 0)
        r = sd_bus_message_read(reply, "s", &program);
    if (r > 0)
        r = sd_bus_message_read_strv(reply, &argv);
    if (r < 0 || !program)
        return r;
    command->program = arena_strdup(arena, program);
    command->argv = take_list(arena, argv);
    r = sd_bus_message_skip(reply, "bttttuii");
    return r >= 0 ? sd_bus_message_exit_container(reply) : r;
}

static void read_commands(const struct place *place, struct host_config *config)
{
    AUTO_MESSAGE *reply = NULL;
    struct host_command *commands = arena_array(place->arena, COMMANDS_MAX, sizeof *commands);
    if (sd_bus_get_property(place->bus, service_name, place->path, service_interface, "ExecStart",
                            NULL, &reply, "a(sasbttttuii)") < 0 ||
        sd_bus_message_enter_container(reply, 'a', "(sasbttttuii)") < 0)
        return;
    while (config->command_count < COMMANDS_MAX && sd_bus_message_at_end(reply, 0) == 0 &&
           read_command(reply, place->arena, &commands[config->command_count]) >= 0)
        config->command_count++;
    config->commands = commands;
}

static void read_env_files(const struct place *place, struct host_config *config)
{
    AUTO_MESSAGE *reply = NULL;
    struct host_env_file *files = arena_array(place->arena, ENV_FILES_MAX, sizeof *files);
    const char *path = NULL;
    int optional = 0;
    if (sd_bus_get_property(place->bus, service_name, place->path, service_interface,
                            "EnvironmentFiles", NULL, &reply, "a(sb)") < 0 ||
        sd_bus_message_enter_container(reply, 'a', "(sb)") < 0)
        return;
    while (config->env_file_count < ENV_FILES_MAX &&
           sd_bus_message_read(reply, "(sb)", &path, &optional) > 0)
        files[config->env_file_count++] =
            (struct host_env_file){arena_strdup(place->arena, path), optional};
    config->env_files = files;
}

static int64_t read_us(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The monotonic clock stands still in sleep, and how much of all sleep was after the stamp is not
 * known: the truth lies between the two. */
int64_t host_stamp_wall_us(int64_t stamp_wall_us, int64_t stamp_monotonic_us,
                           const struct host_clocks *now)
{
    const int64_t slack_us = 1000000;
    int64_t earliest_us = now->wall_us - now->boot_us + stamp_monotonic_us;
    int64_t latest_us = now->wall_us - now->monotonic_us + stamp_monotonic_us;
    if (stamp_wall_us <= 0 || stamp_monotonic_us <= 0 ||
        (stamp_wall_us >= earliest_us - slack_us && stamp_wall_us <= latest_us + slack_us))
        return stamp_wall_us;
    return earliest_us > 0 ? earliest_us : stamp_wall_us;
}

static int64_t read_started(const struct place *place)
{
    const struct host_clocks now = {read_us(CLOCK_REALTIME), read_us(CLOCK_MONOTONIC),
                                    read_us(CLOCK_BOOTTIME)};
    uint64_t wall_us = 0, monotonic_us = 0;
    get_number(place, "ExecMainStartTimestamp", 't', &wall_us);
    get_number(place, "ExecMainStartTimestampMonotonic", 't', &monotonic_us);
    return host_stamp_wall_us((int64_t)wall_us, (int64_t)monotonic_us, &now);
}

static void read_config(const struct place *place, struct host_config *config)
{
    uint32_t pid = 0;
    int stale = 0;
    config->fragment = get_text(place, unit_interface, "FragmentPath");
    config->source = get_text(place, unit_interface, "SourcePath");
    config->drop_ins = get_list(place, unit_interface, "DropInPaths");
    config->after = get_list(place, unit_interface, "After");
    config->active = get_text(place, unit_interface, "ActiveState");
    config->sub = get_text(place, unit_interface, "SubState");
    config->environment = get_list(place, service_interface, "Environment");
    config->unset = get_list(place, service_interface, "UnsetEnvironment");
    config->folder = get_text(place, service_interface, "WorkingDirectory");
    config->folder += config->folder[0] == '!'; /* "may be missing" */
    config->user = get_text(place, service_interface, "User");
    config->result = get_text(place, service_interface, "Result");
    read_commands(place, config);
    read_env_files(place, config);
    get_number(place, "MainPID", 'u', &pid);
    get_number(place, "NRestarts", 'u', &config->restarts);
    (void)sd_bus_get_property_trivial(place->bus, service_name, place->path, unit_interface,
                                      "NeedDaemonReload", NULL, 'b', &stale);
    config->need_reload = stale != 0;
    config->main_pid = (pid_t)pid;
    config->started_wall_us = read_started(place);
}

bool host_config_read(struct host_manager *manager, struct arena *arena, const char *name,
                      struct host_config *ret_config, struct err *err)
{
    HOST_QUIET;
    AUTO_MESSAGE *reply = NULL;
    struct host_config config = {0};
    struct place place = {host_manager_bus(manager), NULL, arena};
    char full[HOST_NAME_SIZE];
    int len = snprintf(full, sizeof full, "%s%s", name, strchr(name, '.') ? "" : ".service");
    if (len < 0 || (size_t)len >= sizeof full)
        return err_set(err, ERR_INPUT, "%.40s...: too long for a unit's name", name);
    int r = sd_bus_call_method(place.bus, service_name, manager_path, manager_interface, "LoadUnit",
                               NULL, &reply, "s", full);
    /* A name that can't be a unit's is answered with an error: no such unit. */
    if (r >= 0 && sd_bus_message_read(reply, "o", &place.path) > 0) {
        config.load_state = get_text(&place, unit_interface, "LoadState");
        config.found = config.load_state[0] && strcmp(config.load_state, "not-found") != 0;
    } else if (r == -ECONNRESET || r == -ENOTCONN || r == -ETIMEDOUT) {
        return err_set(err, ERR_INTERNAL, "asking systemd of %s: %s", full, strerror(-r));
    }
    if (config.found) {
        config.name = get_text(&place, unit_interface, "Id");
        read_config(&place, &config);
    }
    *ret_config = config;
    return true;
}

const char *host_result_words(const char *result)
{
    static const struct {
        const char *result, *words;
    } known[] = {
        {"oom-kill", ", the kernel has killed it for want of memory"},
        {"start-limit-hit", ", it was started too often within a short time"},
        {"watchdog", ", it stopped telling systemd that it lives"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(result, known[i].result) == 0)
            return known[i].words;
    return "";
}

/* The last that sets `name` (of that length), or NULL. */
static const char *find_variable(const char *const *list, const char *name, size_t len)
{
    const char *found = NULL;
    for (size_t i = 0; list && list[i]; i++)
        if (strncmp(list[i], name, len) == 0 && (list[i][len] == '=' || !list[i][len]))
            found = list[i];
    return found;
}

/* The last line of an environment file that sets the variable: its value as written, borrowed. */
static const char *line_of(const char *text, const char *name, size_t len, size_t *ret_size)
{
    const char *found = NULL;
    for (const char *line = text; *line;) {
        size_t size = strcspn(line, "\n");
        size_t blank = strspn(line, " \t");
        const char *at = line + blank;
        if (blank < size && strncmp(at, name, len) == 0 && at[len] == '=') {
            found = at + len + 1;
            *ret_size = (size_t)(line + size - found);
        }
        line += size + (line[size] == '\n');
    }
    return found;
}

/* Quotes around the whole are systemd's; nothing finer is needed to see whether it is the same. */
static bool same_value(const char *written, size_t size, const char *value)
{
    while (size > 0 && (written[size - 1] == ' ' || written[size - 1] == '\t'))
        size--;
    if (size >= 2 && (*written == '"' || *written == '\'') && written[size - 1] == *written) {
        written++;
        size -= 2;
    }
    return strlen(value) == size && memcmp(written, value, size) == 0;
}

/* One that can't be read (by us) is not judged. */
static bool check_env_files(const struct host_config *config, const char *variable, size_t len,
                            struct err *err)
{
    for (size_t i = 0; i < config->env_file_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(ENV_FILE_MAX);
        struct err ignored = ERR_INIT;
        size_t size = 0;
        if (!buf_read_file(&text, config->env_files[i].path, &ignored))
            continue;
        const char *written = line_of(buf_text(&text), variable, len, &size);
        if (written && (!variable[len] || !same_value(written, size, variable + len + 1)))
            return err_set(err, ERR_PROBLEM,
                           "%s: %s sets %.*s too, and an EnvironmentFile= wins over Environment=",
                           config->name, config->env_files[i].path, (int)len, variable);
    }
    return true;
}

static bool check_variable(const struct host_config *config, const char *variable, struct err *err)
{
    size_t len = strcspn(variable, "=");
    const char *is = find_variable(config->environment, variable, len);
    bool unset = find_variable(config->unset, variable, len) != NULL;
    if (!variable[len]) {
        if (is && !unset)
            return err_set(err, ERR_PROBLEM, "%s: %s is still set", config->name, variable);
        return unset || check_env_files(config, variable, len, err);
    }
    if (!is || unset || strcmp(is, variable) != 0)
        return err_set(err, ERR_PROBLEM, "%s: systemd has read %.*s %s", config->name, (int)len,
                       variable, !is || unset ? "as not set" : "as another value");
    return check_env_files(config, variable, len, err);
}

/* systemd's word, in which a `$` for itself is doubled; a single one stands for a variable. */
static bool same_word(const char *systemd, const char *word)
{
    while (*systemd && *word) {
        if (*systemd == '$' && *++systemd != '$')
            return false;
        if (*systemd++ != *word++)
            return false;
    }
    return !*systemd && !*word;
}

static bool check_command(const struct host_config *config, const char *const *argv,
                          struct err *err)
{
    if (config->command_count != 1)
        return err_set(err, ERR_PROBLEM, "%s: systemd has read %zu commands (ExecStart=), not one",
                       config->name, config->command_count);
    const char *const *is = config->commands[0].argv;
    size_t i = 0;
    while (is[i] && argv[i] && same_word(is[i], argv[i]))
        i++;
    if (!is[i] && !argv[i])
        return true;
    return err_set(err, ERR_PROBLEM,
                   "%s: systemd has read another command (ExecStart=): it differs at word %zu",
                   config->name, i + 1);
}

bool host_config_check(const struct host_config *config, const char *const *environment,
                       const char *const *argv, struct err *err)
{
    if (!config->found)
        return err_set(err, ERR_PROBLEM, "systemd no longer has the unit");
    if (strcmp(config->load_state, "loaded") != 0)
        return err_set(err, ERR_PROBLEM, "%s: systemd does not take its files (%s)", config->name,
                       config->load_state);
    for (size_t i = 0; environment && environment[i]; i++)
        if (!check_variable(config, environment[i], err))
            return false;
    return !argv || check_command(config, argv, err);
}
