/* A pid is named when the kernel killed just it. */
#include "device/kernel_log.h"

#include "check.h"

#include <math.h>

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *log;
        pid_t pid;
        bool named;
    } rows[] = {
        {"<3>[1.0] Out of memory: Killed process 4711 (llama) total-vm:1kB\n", 4711, true},
        {"x\n<3>[1.0] Memory cgroup out of memory: Killed process 4711 (a)\n", 4711, true},
        {"Out of memory: Killed process 4711 (llama)\n", 471, false},
        {"Out of memory: Killed process 4711 (llama)\n", 711, false},
        {"Out of memory: Killed process 47110 (llama)\n", 4711, false},
        {"Killed process 4711", 4711, false},
        {"", 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_ROW(i, rows[i].log,
                  device_kernel_log_names(rows[i].log, strlen(rows[i].log), rows[i].pid) ==
                      rows[i].named);
    /* May be refused here; must not claim that we were killed. */
    assert_false(device_kernel_killed(getpid()));
}

static void test_xid(void **state)
{
    (void)state;
    static const char log[] =
        "<4>[10.0] NVRM: Xid (PCI:0000:44:00): 31, pid=900, MMU Fault\n"
        "<4>[11.0] NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.\n"
        "<4>[12.0] NVRM: Xid (PCI:0000:9A:00): 13, Graphics Exception \x1b[2J\n";
    static const struct {
        const char *pci, *text; /* NULL: none */
    } rows[] = {
        {"00000000:44:00.0", "Xid 79, GPU has fallen off the bus."},
        {"00000000:9A:00.0", "Xid 13, Graphics Exception \\x1b[2J"},
        {"00000000:45:00.0", NULL},
        {"00000001:44:00.0", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128] = "";
        bool found = device_kernel_log_xid(log, sizeof log - 1, rows[i].pci, text, sizeof text);
        CHECK_ROW(i, rows[i].pci, found == (rows[i].text != NULL));
        CHECK_ROW_TEXT(i, rows[i].pci, text, rows[i].text ? rows[i].text : "");
    }
}

/* Only what is newer than the mark, and no program's own fault. */
static void test_fatal(void **state)
{
    (void)state;
    static const char log[] =
        "<4>[    9.500000] NVRM: Xid (PCI:0000:44:00): 79, of the day before\n"
        "<4>[   10.000000] NVRM: Xid (PCI:0000:44:00): 48, pid=900, DBE\n"
        "<4>[   11.000000][  T900] x\n"
        "<4>[   11.500000] NVRM: Xid (PCI:0000:44:00): 31, pid=900, MMU Fault\n"
        "<4>[   12.000000] NVRM: Xid (PCI:0000:9A:00): 95, Uncontained\n"
        "NVRM: Xid (PCI:0000:44:00): 64, of no time\n"
        "<4>[   13.000000] NVRM: Xid (PCI:0000:B1:00): 154, GPU recovery action changed from 0x1 "
        "(GPU Reset Required) to 0x0 (None)\n"
        "<4>[   13.500000] NVRM: Xid (PCI:0000:B1:00): 74, pid=900, NVLink: fatal error\n"
        "<4>[   14.000000] NVRM: Xid (PCI:0000:B2:00): 154, GPU recovery action changed from 0x0 "
        "(None) to 0x1 (GPU Reset Required)";
    static const struct {
        const char *name, *pci;
        double after_s;
        const char *text; /* NULL: none */
    } rows[] = {
        {"newer", "00000000:44:00.0", 9.6, "Xid 48, pid=900, DBE"},
        {"at the mark", "00000000:44:00.0", 10, NULL},
        {"a program's own", "00000000:44:00.0", 11, NULL},
        {"nothing was there", "00000000:9A:00.0", -1, "Xid 95, Uncontained"},
        {"the log was not to be read", "00000000:44:00.0", NAN, NULL},
        {"back to nothing; a link that recovers", "00000000:B1:00.0", 0, NULL},
        {"a last line without its end", "00000000:B2:00.0", 13.9,
         "Xid 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"},
        {"another card", "00000000:45:00.0", 0, NULL},
        {"no address", "", 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128] = "";
        bool found = device_kernel_log_fatal(log, sizeof log - 1, rows[i].pci, rows[i].after_s,
                                             text, sizeof text);
        CHECK_ROW(i, rows[i].name, found == (rows[i].text != NULL));
        CHECK_ROW_TEXT(i, rows[i].name, text, rows[i].text ? rows[i].text : "");
    }
    assert_true(device_kernel_log_mark(log, sizeof log - 1) == 14);
    assert_true(device_kernel_log_mark("x\n[y] z", 7) == -1);
    assert_true(device_kernel_log_mark("", 0) == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_xid),
                                       cmocka_unit_test(test_fatal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
