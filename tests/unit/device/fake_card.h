/* A driver of our own making: the fake library (tests/fakes/nvml) over a script that each test
 * writes, and the device opened on it. */
#pragma once

#include "device/device.h"

#include "fake_proc.h"

#define H100 "card GPU-11111111-2222 00000000:1B:00.0 81559 480 NVIDIA H100 80GB HBM3\n"

/* The script as it is from now on. */
static inline void fake_script(const char *root, const char *text)
{
    char path[512];
    fake_text(root, "nvml.script", text);
    snprintf(path, sizeof path, "%s/nvml.script", root);
    setenv("FAKE_NVML", path, 1);
}

/* Borrowed until the next call. */
static inline const char *fake_library(int generation)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/libfake-nvml-%d.so", FAKE_NVML_FOLDER, generation);
    return path;
}

/* A /proc in which this PID namespace is the machine's own, or one below it. */
static inline void fake_namespace(const char *root, const char *target)
{
    char path[512];
    fake_text(root, "self/ns/none", "");
    snprintf(path, sizeof path, "%s/self/ns/pid", root);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

static inline void fake_descriptor(const char *root, int pid, const char *target)
{
    char path[512];
    snprintf(path, sizeof path, "%d/fd/none", pid);
    fake_text(root, path, "");
    snprintf(path, sizeof path, "%s/%d/fd/7", root, pid);
    unlink(path);
    assert_int_equal(symlink(target, path), 0);
}

/* Keeper 7 with the server 8 below it, and 8's worker 9, which used `ticks` of CPU time. */
static inline void fake_server(const char *root, long long ticks)
{
    const struct fake_process tree[] = {
        {.pid = 7, .ppid = 1, .comm = "keeper", .start = 70},
        {.pid = 8, .ppid = 7, .comm = "server", .start = 80},
        {.pid = 9, .ppid = 8, .comm = "worker", .start = 90, .user = ticks},
    };
    for (size_t i = 0; i < sizeof tree / sizeof tree[0]; i++)
        fake_stat(root, &tree[i]);
    fake_children(root, 7, 7, "8 ");
    fake_children(root, 8, 8, "9 ");
    fake_children(root, 9, 9, "");
}

static inline struct device *fake_open(const char *name, const char *root, int generation)
{
    struct err err = ERR_INIT;
    struct device *device = NULL;
    setenv("SPICA_NVML_LIBRARY", fake_library(generation), 1);
    if (!device_open(name, root, &device, &err))
        fail_msg("%s", err.text);
    return device;
}
