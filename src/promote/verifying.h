/* Inside promote/: one verification under way. */
#pragma once

#include "device/device.h"
#include "load/corpus.h"
#include "promote/alive.h"
#include "promote/along.h"
#include "promote/verify.h"
#include "trial/live.h"

struct verifying_subject { /* one promoted service, or of a plan without its study one restarted
                              unit */
    int service;           /* -1: not known */
    const char *name;      /* for messages */
    const struct spec_production *production; /* NULL: not known */
    struct promote_alive alive;
    bool along; /* none of ours: it hangs on one that is restarted */
    bool asked; /* it is up and has a port */
    int64_t within_ns;
    const char *ready_path;
    struct spec_tls tls;
};

struct verifying {
    const struct promote_plan *plan;
    const struct spec_study *study; /* NULL: of a journal */
    bool load;
    void (*tell)(void *context, const struct promote_check *check);
    void *context;
    struct promote_checks *checks;
    bool failed;
    struct arena *arena;
    struct promote_managers managers;
    struct verifying_subject subjects[PROMOTE_STEPS_MAX + PROMOTE_ALONG_MAX];
    size_t subject_count;
    struct device *devices[SPEC_DEVICES_MAX];
    struct corpus *corpora;
    struct spec_candidate candidate;
    struct live *live;
    int64_t deadline_ns;
    bool timed_out;   /* it ended while services were asked; `down` says so */
    char down[400];   /* who stopped being what it was, found by fine() */
    int down_service; /* -1: of a unit that hangs on ours */
    struct err look_err;
};

/* ---- verify.c ---- */
enum verifying_need { MUST_BE_KNOWN, MAY_BE_UNKNOWN };
void verifying_add(struct verifying *v, enum promote_check_kind kind, int service,
                   enum promote_answer answer, enum verifying_need need, const char *format, ...)
    PRINTF_LIKE(6, 7);
/* Everybody that was seen up: are they still what they were? `context` is the verification. */
bool verifying_fine(void *context, size_t *ret_service);
/* The service is the one that fine() has found. */
void verifying_note_down(struct verifying *v);
/* Is it time to give up? */
bool verifying_is_over(const struct verifying *v, int64_t end_ns);

/* ---- verify_live.c ---- */
/* Opens what is needed to ask and to prove; who has been seen up and has a port is asked. */
NODISCARD bool verifying_open_live(struct verifying *v, struct err *err);
NODISCARD bool verifying_probe(struct verifying *v, struct verifying_subject *s, struct err *err);
NODISCARD bool verifying_load(struct verifying *v, struct err *err);
