/* This machine, asked. Connections to systemd are opened at the first question and kept until the
 * plan is made; devices are opened and closed again. */
#include "promote/world.h"

#include "promote/program.h"
#include "service/version.h"

#include <stdlib.h>

static bool open_manager(struct promote_context *context, enum host_scope scope, struct err *err)
{
    return context->managers[scope] || host_manager_open(scope, &context->managers[scope], err);
}

static bool read_unit(struct promote_context *context, enum host_scope scope, const char *name,
                      struct host_unit *ret_unit, struct host_config *ret_config, struct err *err)
{
    return open_manager(context, scope, err) &&
           host_unit_read(context->managers[scope], name, ret_unit, err) &&
           host_config_read(context->managers[scope], context->plan->arena, name, ret_config, err);
}

static bool list_units(struct promote_context *context, enum host_scope scope,
                       const char *const **ret_names, size_t *ret_count, struct err *err)
{
    return open_manager(context, scope, err) &&
           host_unit_list(context->managers[scope], context->plan->arena, ret_names, ret_count,
                          err);
}

static bool read_device(struct promote_context *context, const char *name,
                        struct device_facts *ret_facts, struct err *err)
{
    (void)context;
    AUTO(device_close) struct device *device = NULL;
    if (!device_open(name, "/proc", &device, err))
        return false;
    *ret_facts = *device_facts(device);
    return true;
}

/* Asking starts the program: as root only what root alone could have changed. */
static char *read_version(struct promote_context *context, const struct service_launch *launch)
{
    struct err err = ERR_INIT;
    struct buf why = BUF_INIT(1024);
    (void)context;
    if (geteuid() != 0 || promote_program_check(launch->program, &err))
        return service_version_read(launch);
    buf_addf(&why, "unknown: not asked, %s", err.text);
    return buf_take(&why);
}

static enum promote_has ask_process(struct promote_context *context,
                                    const struct host_config *config, const char *const *variables,
                                    const char *const *exec)
{
    char why[256];
    (void)context;
    return promote_process_has(config->main_pid,
                               config->command_count == 1 ? config->commands[0].program : NULL,
                               variables, exec, why, sizeof why);
}

static const char *find_folder(struct promote_context *context, enum host_scope scope)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (scope == HOST_SYSTEM)
        return "/etc/systemd/system";
    if (config && config[0] == '/')
        return arena_printf(context->plan->arena, "%s/systemd/user", config);
    return home && home[0] == '/'
               ? arena_printf(context->plan->arena, "%s/.config/systemd/user", home)
               : NULL;
}

const struct promote_world promote_this_machine = {
    .unit = read_unit,
    .names = list_units,
    .device = read_device,
    .version = read_version,
    .process = ask_process,
    .unit_folder = find_folder,
};
