/* Inside device/ only: what every kind of device has, and the kinds there are. A kind puts a struct
 * device first in its own struct; device.c opens, asks and closes through the ops alone. */
#pragma once

#include "device/device.h"

struct device {
    const struct device_ops *ops;
    struct device_facts facts;
};

extern const struct device_ops device_cpubox_ops;
