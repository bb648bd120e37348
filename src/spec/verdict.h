/* How a trial ended. A verdict is data about a candidate, with evidence; it is never an `err`.
 * Only VERDICT_OK and VERDICT_SLOW carry a fitness. */
#pragma once

#include <stdbool.h>

enum verdict {
    VERDICT_OK,                 /* measured, every requirement met */
    VERDICT_SLOW,               /* measured, a requirement failed */
    VERDICT_OOM_START,          /* out of memory before it was ready */
    VERDICT_OOM_LOAD,           /* out of memory at the first request or under load */
    VERDICT_OOM_HOST,           /* the kernel (or a memory limit) killed it for host memory */
    VERDICT_NEIGHBOUR_HARMED,   /* a declared neighbour died or changed through us */
    VERDICT_NO_ROOM,            /* would not fit beside what declared neighbours have held */
    VERDICT_CPU_FALLBACK,       /* should compute on the GPU, computed on the CPU */
    VERDICT_PARTIAL_OFFLOAD,    /* a part of the model computed on the CPU */
    VERDICT_PLACEMENT_UNPROVEN, /* where it computed could not be proven */
    VERDICT_CRASHED_START,      /* ended by itself before it was ready */
    VERDICT_CRASHED_LOAD,       /* ended by itself at the first request or under load */
    VERDICT_HUNG,               /* alive, answers nothing */
    VERDICT_NOT_READY,          /* not ready before its deadline */
    VERDICT_REFUSED,            /* the engine rejected or silently changed the setting */
    VERDICT_BAD_ANSWERS,        /* wrong or empty output, or WER over the limit */
    VERDICT_ERRORS,             /* requests failed */
    VERDICT_CONTENDED,          /* something outside the trial used the device */
    VERDICT_DEVICE_DIRTY,       /* the device was not clean before the start */
    VERDICT_LEAK,               /* processes or memory did not come back */
    VERDICT_INSTRUMENT,         /* our own lateness was over the bound */
    VERDICT_ENV_FAULT,          /* driver, library or surroundings broken */
    VERDICT_STOPPED,            /* we were asked to stop */
    VERDICT_COUNT_
};

struct verdict_facts {
    const char *name;    /* as stored and shown: "oom_start" */
    const char *meaning; /* one line for legends and help */
    bool has_fitness;    /* ok and slow */
    bool retried;        /* says nothing about the candidate: tried again before it is believed */
};

const struct verdict_facts *verdict_facts(enum verdict verdict); /* never NULL */
int verdict_from_name(const char *name);                         /* enum verdict, or -1 */
