/* Inside guard/: is production still what the study measured? Versions of the driver and of the
 * engines, what others hold on the devices, how much comes. Each is answered by itself: yes, no, or
 * nobody knows. */
#pragma once

#include "guard/watch.h"

struct guard_answer {
    double truth;   /* 1: it has changed, 0: it has not; NaN: not known */
    char text[220]; /* 1: what differs, with its numbers; NaN: what is not known; 0: "" */
};

/* ---- changed_study.c: what study.db has of the candidate that runs ---- */

struct guard_span { /* of the candidate's trials; NaN: not known */
    double low, high;
};
struct guard_studied {
    bool found;       /* there is a trial of it, else all below is unknown */
    char driver[256]; /* of the study's first device; "" unknown */
    struct {
        char version[128]; /* of the last trial; "" unknown */
        bool loaded;
        double rps;  /* that the study sent, or that was answered where a loop is closed; NaN */
        bool as_few; /* much less than that is another load too: not so of clients without pauses,
                      * who ask as fast as they are answered */
    } services[SPEC_SERVICES_MAX];
    /* Device memory of nobody in the study, and of its declared neighbours. */
    struct guard_span strangers[SPEC_DEVICES_MAX], neighbours[SPEC_DEVICES_MAX];
};
/* Of `candidate`; where it was not measured, of the study's winner. False: somebody holds the file
 * just now, *ret_studied is untouched; to be asked again. */
NODISCARD bool guard_studied_read(const struct spec_study *study, const char *folder,
                                  const struct spec_candidate *candidate,
                                  struct guard_studied *ret_studied);

/* ---- changed.c: the comparisons; pure ---- */

/* Of a program that is asked for its version: the service's, as its process has it now. */
struct guard_version {
    char text[128];        /* "" unknown, or it is not running */
    char name[64];         /* of the program's file: what runs */
    char studied_name[64]; /* and what the study ran; "" unknown */
};
/* `driver` NULL: the first device is not open. */
struct guard_answer guard_changed_versions(const struct spec_study *study,
                                           const struct guard_studied *studied, const char *driver,
                                           const struct guard_version *versions);

struct guard_others {             /* as they are now */
    double strangers, neighbours; /* bytes on a device; NaN unknown */
};
/* `others`: one for each device. `gone`: declared neighbours that do not run, in words; "" none;
 * NULL: nobody has looked. */
struct guard_answer guard_changed_neighbours(const struct spec_study *study,
                                             const struct guard_studied *studied,
                                             const struct guard_others *others, const char *gone);

enum { GUARD_ARRIVAL_SLOTS = 144 }; /* of ten minutes: a day */
struct guard_arrivals {             /* of one service; zeroed at first */
    struct {
        float sum, known_s; /* requests, and the time in which they were counted */
    } slots[GUARD_ARRIVAL_SLOTS];
    size_t count, at; /* slots that are full; the one that fills */
    int64_t slot_ns, last_ns;
};
/* The rate of this moment; NaN: not known. */
void guard_arrivals_add(struct guard_arrivals *arrivals, int64_t now_ns, double rps);
/* Of the busiest ten minutes of the last day, NaN: none are over yet. */
double guard_arrivals_busiest(const struct guard_arrivals *arrivals, bool *ret_whole_day);
/* `arrivals`: one for each service. */
struct guard_answer guard_changed_load(const struct spec_study *study,
                                       const struct guard_studied *studied,
                                       const struct guard_arrivals *arrivals);

/* ---- changed_watch.c: again and again ---- */
struct guard_changes;        /* opaque */
struct guard_changes_setup { /* all borrowed */
    const struct spec_study *study;
    const char *folder; /* NULL: there is no study */
    const struct spec_candidate *candidate;
    sd_event *event;
    const char *proc_root;
};
struct guard_changes *guard_changes_new(const struct guard_changes_setup *setup);
struct guard_changes *guard_changes_free(struct guard_changes *changes); /* returns NULL */
AUTO_FN(struct guard_changes, guard_changes_free)
/* Each tick. Programs are asked for their versions by children, one at a time: once they run, and
 * each hour. `rates`: what comes to each service now. An answer that has become yes is an event. */
void guard_changes_step(struct guard_changes *changes, int64_t now_ns,
                        const struct guard_subject *subjects, const struct guard_memory *memory,
                        const double *rates, struct guard_events *events);
const struct guard_answer *guard_changes_answer(const struct guard_changes *changes,
                                                enum guard_change change);
/* It was asked what this service runs, and its program can't be seen from here: a container has its
 * own files, another user's process may not be looked at. */
bool guard_changes_is_hidden(const struct guard_changes *changes, size_t service);
