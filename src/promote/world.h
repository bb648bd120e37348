/* What a plan asks of the machine: systemd, devices, versions. A table, so that a plan can be made
 * and tested where none of them is. Nothing behind it changes anything. */
#pragma once

#include "device/device.h"
#include "host/config.h"
#include "host/unit.h"
#include "promote/process.h"
#include "promote/target.h"
#include "service/launch.h"

struct promote_world {
    const void *data; /* the table's own */
    /* As host_unit_read() and host_config_read(); `found` false when there is no such unit. */
    bool (*unit)(struct promote_context *context, enum host_scope scope, const char *name,
                 struct host_unit *ret_unit, struct host_config *ret_config, struct err *err);
    /* As host_unit_list(), for "did you mean". NULL: not asked. */
    bool (*names)(struct promote_context *context, enum host_scope scope,
                  const char *const **ret_names, size_t *ret_count, struct err *err);
    bool (*device)(struct promote_context *context, const char *name,
                   struct device_facts *ret_facts, struct err *err);
    /* As service_version_read(). */
    char *(*version)(struct promote_context *context, const struct service_launch *launch);
    /* As promote_process_has(), of the unit's main process. */
    enum promote_has (*process)(struct promote_context *context, const struct host_config *config,
                                const char *const *variables, const char *const *exec);
    /* Where drop-ins of that scope are written: the folder that holds "NAME.service.d". NULL: none
     * is known. In the plan's arena. */
    const char *(*unit_folder)(struct promote_context *context, enum host_scope scope);
};

extern const struct promote_world promote_this_machine;
