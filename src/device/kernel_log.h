/* What the kernel says about processes it killed for memory, and about GPUs that failed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Does the kernel's ring buffer say that it killed `pid` for memory? False as well when the buffer
 * may not be read (no CAP_SYSLOG): it is evidence for, never against. */
bool device_kernel_killed(pid_t pid);
/* The same over a given text; for tests. */
bool device_kernel_log_names(const char *log, size_t len, pid_t pid);

/* The newest error that the NVIDIA driver logged for the card at `pci` ("00000000:44:00.0"): "Xid
 * 79, GPU has fallen off the bus." False without one, or without the right to read. */
bool device_kernel_xid(const char *pci, char *ret_text, size_t size);
bool device_kernel_log_xid(const char *log, size_t len, const char *pci, char *ret_text,
                           size_t size);

/* Numbers that mean a broken card, link or driver, whatever the program did. */
bool device_kernel_xid_is_fatal(int64_t number);
/* Do the words of that number say that nothing is to be done to the card any more? Then it is no
 * error, whatever the number means. */
bool device_kernel_xid_is_over(int64_t number, const char *words, size_t len);
/* Is that number the driver's own demand for a reset or a reboot? It takes that back itself. */
bool device_kernel_xid_demands(int64_t number);
/* The time stamp of the log's newest line, in its own seconds; -1: it has none; NaN: no right. */
double device_kernel_mark(void);
double device_kernel_log_mark(const char *log, size_t len);
/* As device_kernel_xid(): the newest fatal one after that mark. None is after NaN. The text ends
 * with a zero. */
bool device_kernel_fatal(const char *pci, double after_s, char *ret_text, size_t size);
bool device_kernel_log_fatal(const char *log, size_t len, const char *pci, double after_s,
                             char *ret_text, size_t size);
