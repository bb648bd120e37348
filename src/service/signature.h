/* Words in a service's log and what they mean. A signature is evidence, never the only evidence:
 * trial/judge.c joins it with exit status and readings. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum signature_cause {
    CAUSE_NONE = 0,
    CAUSE_OOM,       /* the device's or our own memory did not suffice */
    CAUSE_OOM_HOST,  /* killed by the kernel's OOM killer */
    CAUSE_REFUSED,   /* a setting was rejected */
    CAUSE_PORT_BUSY, /* could not bind */
    CAUSE_MISSING_LIBRARY,
    CAUSE_MISSING_WEIGHTS,
    CAUSE_BAD_WEIGHTS, /* there, but unreadable */
    CAUSE_CPU_FALLBACK,
    CAUSE_PARTIAL_OFFLOAD,
    CAUSE_START_RACE, /* a neighbour changed memory during sizing */
    CAUSE_DEVICE_LOST, /* or what should give it to a service fails: driver, container runtime */
    CAUSE_DISK_FULL,
    CAUSE_GENERIC, /* "failed to start": says that, not why */
    CAUSE_COUNT_
};

/* What such a failure says about other settings (study/bounds.h). */
enum signature_bound {
    BOUND_NONE = 0,
    BOUND_ABOVE, /* asked for more than is free: whoever asks for more fails too */
    BOUND_BELOW, /* its own share was too small: a smaller one fails too */
};

struct service_signature {
    const char *text; /* substring, case-insensitive, within one line */
    const char *also; /* second substring in the same line, or NULL */
    enum signature_cause cause;
    const char *meaning;  /* for people, one line */
    const char *versions; /* engine versions it was seen in, for the reader */
    /* Optional: does this line, which holds the texts, really say so? `after` follows `text`. */
    bool (*holds)(const char *after, size_t len);
    /* Optional: texts for people, the first one whose numbers are all there. "{WORDS}" stands for
     * the first number after WORDS in the line or the one after it, "{WORDS|2}" for the second,
     * "{<WORDS}" for the one after their last place before the line. */
    const char *hints[2];
    enum signature_bound bound;
};

struct signature_match {
    const struct service_signature *signature;
    size_t line_start, line_len; /* within the scanned text */
    char number[32];             /* first number in the line after the substring, "" if none */
    char
        flag[64]; /* CAUSE_REFUSED: first option ("--flash-attn") after the substring, "" if none */
    /* The numbers after the substring, or of the next line when there are none, as they stand there
     * and with their unit if they have one ("28.69 GiB"). Names ("cuda:0", "x86") are none. */
    char numbers[4][32];
    int number_count;
    char hint[160]; /* "asked 47.51 GiB, 28.69 GiB free", "" if there is none */
    /* CAUSE_OOM: what it was doing ("capturing CUDA graphs"), as far as the lines around tell; NULL
     * unknown. Static text. */
    const char *stage;
};

const char *signature_cause_name(enum signature_cause cause);

/* Scans a log (any bytes). A line that says why a program failed beats one that says where it runs
 * (CPU fallback, partial offload: such a program goes on), which beats a generic one, wherever they
 * stand; among lines of the same rank the first wins. Returns false when nothing matched. Tries
 * `own` (an engine's table, may be NULL) and then the table common to all programs. */
bool signature_scan(const struct service_signature *own, const char *log, size_t len,
                    struct signature_match *ret_match);
