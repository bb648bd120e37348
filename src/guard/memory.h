/* Inside guard/: the devices again and again: memory and whose it is, where it is going, is each
 * service listed there, is the driver well. And the pure part: a slope that a few odd values don't
 * turn. */
#pragma once

#include "device/sample.h"
#include "guard/watch_events.h"

/* ---- memory_slope.c ---- */

enum { GUARD_SLOPE_POINTS = 128 };
/* Bytes over time. Points are a second apart at first; when there is no more room every second one
 * is dropped and they are twice as far apart, up to five seconds; then the oldest leave: about ten
 * minutes. Zeroed at first. */
struct guard_slope {
    struct {
        double at_s, bytes;
    } points[GUARD_SLOPE_POINTS];
    size_t count;
    int64_t gap_ns, last_ns;
};
void guard_slope_add(struct guard_slope *slope, int64_t now_ns, double bytes); /* NaN: left out */
void guard_slope_clear(struct guard_slope *slope);

struct guard_growth {
    double bytes_per_s; /* the median of the slopes of all pairs (Theil 1950, Sen 1968); NaN: too
                         * few points, or over less than a minute */
    bool certain; /* it grows: the lower end of the slope's 95 % interval is above 0, and it does in
                   * each third of the time by itself; or both hold of the last minutes, which have
                   * left behind all that was held before */
};
void guard_slope_read(const struct guard_slope *slope, struct guard_growth *ret_growth);

/* ---- memory.c ---- */

enum guard_fault { FAULT_UNKNOWN, FAULT_NONE, FAULT_LOST, FAULT_XID, FAULT_MISMATCH, FAULT_COUNT_ };
extern const char *const guard_fault_names[FAULT_COUNT_]; /* NULL, "none", "lost", ... */

struct guard_device_view {
    double used_bytes, free_bytes, total_bytes; /* NaN unknown */
    double full_in_s;                           /* NaN: unknown, or it does not certainly grow */
    double busy_ratio;
    /* Held by processes that are neither services nor neighbours, and by declared neighbours, once
     * two samples agree; NaN: unknown, or it moves. */
    double stranger_bytes, neighbour_bytes;
    double throttled; /* 0, 1, NaN */
    char throttle_words[64];
    enum guard_fault fault;
    char fault_text[160];
};
struct guard_memory_view { /* of a service, on its device */
    double bytes, growth_bytes_per_s;
    enum device_listed listed;
    int64_t cpu_ns, cpu_at_ns; /* CPU time of its tree, and when that was read; 0: it was not, as
                                * of one that is listed */
};

struct guard_memory; /* opaque */
/* How long until a device that could not be opened is tried again: half a minute, but doubled up to
 * 16 minutes while the driver hangs, since each attempt makes a tick stand still for it. `before`:
 * the last such wait; 0: none. */
int64_t guard_memory_wait(int64_t before_ns, int64_t took_ns);
/* Opens what can be opened; a device that can't be is tried again (guard_memory_wait()). */
struct guard_memory *guard_memory_new(const struct spec_study *study, const char *proc_root);
struct guard_memory *guard_memory_free(struct guard_memory *memory); /* returns NULL */
AUTO_FN(struct guard_memory, guard_memory_free)
/* In the order of study->devices; entries change as devices are opened and lost. */
struct device *const *guard_memory_devices(const struct guard_memory *memory);

struct guard_memory_subject { /* of a service */
    pid_t root;               /* its tree is below this one; 0: not known */
    size_t device;            /* index: where it should be */
    bool another; /* another process than at the last step: what it held before says nothing */
};
/* Reads as often as its cost allows (half a percent of a core), at most once a call. */
void guard_memory_step(struct guard_memory *memory, int64_t now_ns,
                       const struct guard_memory_subject *subjects, struct guard_events *events);
const struct guard_device_view *guard_memory_device(const struct guard_memory *memory, size_t d);
const struct guard_memory_view *guard_memory_service(const struct guard_memory *memory, size_t i);
/* Names of declared neighbours that do not run, "a, b"; those that can't be seen are left out.
 * False: nobody has looked yet. */
bool guard_memory_add_gone(const struct guard_memory *memory, struct buf *buf);
/* Is the driver's library on this disk of another version than its module that runs? An upgrade
 * does so: what runs goes on, what is started fails. `ret_text`: which and which. `root`: "/" but
 * in tests. Where either is not there: false. */
bool guard_memory_mismatch(const char *root, char *ret_text, size_t size);
/* The kernel's log told of an error of the card at this address (EVENT_XID), or that nothing is to
 * be done to it any more (EVENT_XID_OVER). */
void guard_memory_note_xid(struct guard_memory *memory, const char *pci, int code,
                           const char *words, struct guard_events *events);
/* Is this such an event's text, of a card that is none of the study's? Where the address of one of
 * those is not known (it could never be opened) it is taken for that one. */
bool guard_memory_xid_is_nobodys(const char *text);
