/* Inside guard/: memory of one device, as choosing tiers needs it: what is free, and how much of
 * that others are about to take. Pure but for device_snapshot(). */
#pragma once

#include "device/device.h"

enum { TIER_MEMORY_SPANS = 30 };
struct tier_memory {   /* of one device; zeroed at first */
    double free_bytes; /* NaN unknown */
    double owed_bytes; /* of that; 0: none is known */
    struct {
        int64_t began_ns;
        double most_bytes;      /* that others held in this span */
    } spans[TIER_MEMORY_SPANS]; /* ring of ten seconds each */
    size_t span_count;
    double others_bytes[4]; /* at the last looks, newest first; NaN */
    double growth_bytes;    /* over those, 0: none */
    double used_bytes;      /* by all, at the last step */
    bool moved;             /* that by much: what ours hold is to be asked anew in the next step */
};
struct tier_memory_ours { /* that the tiers on it hold */
    double bytes;         /* NaN: that is moving now, nothing is learned of others */
    double least_bytes;   /* of that, what is surely theirs; never NaN */
};
/* `device` NULL: unknown. */
void tier_memory_step(struct tier_memory *memory, struct device *device,
                      struct tier_memory_ours ours, int64_t now_ns);
/* Pure: all hold so much now, ours of that. */
void tier_memory_see(struct tier_memory *memory, double used_bytes, struct tier_memory_ours ours,
                     int64_t now_ns);
/* Pure: others hold so much now. */
void tier_memory_note(struct tier_memory *memory, double others_bytes, int64_t now_ns);
