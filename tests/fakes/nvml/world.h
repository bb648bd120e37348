/* The cards that the fake library shows, read from a script at each call. README.md says the
 * script's lines. */
#ifndef FAKE_NVML_WORLD_H
#define FAKE_NVML_WORLD_H

#include <stdbool.h>

#define CARDS 16
#define ENTRIES 64
#define FAILS 32

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
        any_age;
    unsigned addressing;
    unsigned long long throttle, ecc_corrected, ecc_uncorrected;
    int lost;   /* the code that everything about this card answers, 0: none */
    int parent; /* of a MIG instance; -1 for a card */
};

struct fail {
    char function[64];
    int code;
};

struct world {
    char driver[80], library[80];
    int cuda;
    struct card cards[CARDS];
    int card_count;
    struct fail fails[FAILS];
    int fail_count;
};

/* The world as it is now; valid until the next call. */
const struct world *world_now(void);
/* The code that a function is told to answer with, 0 when it does its work. */
int world_fail(const struct world *world, const char *function);

#endif
