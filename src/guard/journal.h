/* Inside guard/: what logs say while they are written: the journal of the watched units and the
 * kernel's log, followed on the loop. Only lines that come from now on; at most so many a second.
 */
#pragma once

#include "guard/watch_events.h"

#include <systemd/sd-event.h>

struct guard_log_owner { /* whose lines are followed; borrowed as long as the journal is open */
    const struct spec_watch *watch; /* of a pid or a port no line can be told to be its own */
    const char *name;               /* as people know it: "stt", "stt's tier base" */
};

struct guard_log_hooks { /* called from the loop */
    void *context;
    /* A line of an owner's log, as it stands there (any bytes, no newline). */
    void (*service)(void *context, size_t owner, const char *line, size_t len);
    void (*kernel)(void *context, const char *line, size_t len);
    /* Lines were left out, since more came than may be read. At most once in ten seconds. */
    void (*flood)(void *context, const char *whose);
    /* It can't be read any more, said once, and then that it is read again. In words. */
    void (*lost)(void *context, const char *why);
    void (*found)(void *context, const char *what);
};

/* ---- journal.c ---- */
struct guard_journal; /* opaque */
/* The lines of `count` owners, and the kernel's where `kernel` asks for them. $SPICA_JOURNAL: a
 * folder of journal files in place of the machine's, for tests. ERR_MISSING: there is no journal
 * here, or none that we may read, or none of them has one. */
NODISCARD bool guard_journal_open(const struct guard_log_owner *owners, size_t count, bool kernel,
                                  sd_event *event, const struct guard_log_hooks *hooks,
                                  struct guard_journal **ret_journal, struct err *err);
struct guard_journal *guard_journal_free(struct guard_journal *journal); /* returns NULL */
/* What has come, without being woken: once a tick, since a folder that is rotated at the wrong
 * moment wakes nobody. */
void guard_journal_read(struct guard_journal *journal);
void guard_journal_read_at(struct guard_journal *journal, int64_t now_ns); /* for tests */
/* What of this owner's log can't be seen, in words; "": nothing that is known. Looks through the
 * journal, so it is asked once. */
void guard_journal_blind(const struct guard_journal *journal, size_t owner, char *ret_text,
                         size_t size);

/* Is a line of the kernel's in it? Who may read only a user's journal sees none. */
bool guard_journal_has_kernel(void);

/* ---- journal_whose.c: of the entry that is read ---- */
struct sd_journal;
/* How many alternatives were added to the filter, or a negative errno. */
int guard_journal_add_matches(struct sd_journal *journal, const struct spec_watch *watch);
/* Borrowed until the next call about this journal. */
bool guard_journal_field(struct sd_journal *journal, const char *name, const char **ret_value,
                         size_t *ret_len);
/* The owner that has written it, or that somebody who may has written about; -1: nobody's here. */
int guard_journal_whose(struct sd_journal *journal, const struct guard_log_owner *owners,
                        size_t count);
bool guard_journal_is_kernels(struct sd_journal *journal);

/* ---- journal_kernel.c ---- */
struct guard_kernel; /* opaque: /dev/kmsg */
/* $SPICA_KERNEL_LOG: a FIFO in its place, for tests. ERR_MISSING: it may not be read. */
NODISCARD bool guard_kernel_open(sd_event *event, const struct guard_log_hooks *hooks,
                                 struct guard_kernel **ret_kernel, struct err *err);
struct guard_kernel *guard_kernel_free(struct guard_kernel *kernel); /* returns NULL */

enum guard_kernel_kind { KERNEL_KILLED, KERNEL_XID };
struct guard_kernel_line {
    enum guard_kernel_kind kind;
    pid_t pid;       /* killed for memory; as the machine counts */
    char comm[64];   /* its name; "" */
    char group[256]; /* its memory cgroup; "" where this line does not say */
    char pci[32];    /* XID: the card, as the kernel writes it: "0000:44:00" */
    int code;
    char words[160];
};
/* A line of the kernel's log, with or without a head ("6,339,514,-;", "[ 12.3] "). False: it is
 * about something else. Bounded, no allocation. */
bool guard_kernel_parse(const char *line, size_t len, struct guard_kernel_line *ret_line);

/* ---- memory_cgroup.c ---- */
/* How often the kernel killed somebody in this group for memory, since it was made; -1: unknown.
 * `root`: "/sys/fs/cgroup". */
int64_t guard_cgroup_kills(const char *root, const char *group);
