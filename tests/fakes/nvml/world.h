/* The cards that the fake library shows, read from a script, or from a world folder, at each call.
 * README.md says the script's lines and the folder's files. */
#ifndef FAKE_NVML_WORLD_H
#define FAKE_NVML_WORLD_H

#include <stdbool.h>

#define CARDS 16
#define ENTRIES 64
#define FAILS 32
#define MAPS 16

struct entry {
    unsigned pid, kinds; /* 1 compute, 2 graphics, 4 MPS */
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};

struct sample {
    unsigned pid, percent;
    double age_s;
};

struct card {
    char uuid[96], name[96], trace[512];
    unsigned domain, bus, slot;
    long long total_mib, reserved_mib, used_mib, free_mib; /* -1: summed up */
    struct entry entries[ENTRIES];
    unsigned entry_count;
    struct sample samples[ENTRIES];
    unsigned sample_count;
    bool no_samples; /* "Not Found" */
    unsigned busy, sm_mhz, memory_mhz, celsius, milliwatt, limit_milliwatt, mode, mig, accounting,
        any_age, no_list, forget_s;
    unsigned addressing;
    unsigned long long throttle, ecc_corrected, ecc_uncorrected;
    long long unlisted_mib;                /* in use, but listed to nobody */
    unsigned map_from[MAPS], map_to[MAPS]; /* a trace's pids and today's */
    unsigned map_count;
    int lost;   /* the code that everything about this card answers, 0: none */
    int parent; /* of a MIG instance; -1 for a card */
};

struct fail {
    char function[64];
    int code;
};

enum { WORLD_LOST = 15 };

struct world {
    char driver[80], library[80];
    int cuda;
    struct card cards[CARDS];
    int card_count;
    struct fail fails[FAILS];
    int fail_count;
};

/* The world as it is now; valid until the next call. $FAKE_NVML_WORLD names a folder, else
 * $FAKE_NVML a script. */
const struct world *world_now(void);
/* The code that a function is told to answer with, 0 when it does its work. */
int world_fail(const struct world *world, const char *function);
/* In use by whomever, without the driver's own; and what is left. */
unsigned long long world_used_bytes(const struct card *card);
unsigned long long world_free_bytes(const struct card *card);
/* When a living process began (clock ticks since boot), 0 when it is gone or a zombie. */
unsigned long long world_process_start(int pid);

#endif
