/* Inside doctor/ (and its tests): what was seen, before anything is concluded from it. Filled by
 * find.c and look.c, judged by cause.c, shown by show.c and json.c. */
#pragma once

#include "device/nvml.h"
#include "device/owner.h"
#include "device/proc.h"
#include "doctor/kinds.h"
#include "service/signature.h"

enum {
    DOCTOR_CARDS_MAX = 16,
    DOCTOR_MEMBERS_MAX = 64,
    DOCTOR_HOLDERS_MAX = 32,
    DOCTOR_SERVICES_MAX = 32,
    DOCTOR_PROBLEMS_MAX = 64,
};

/* A file of a process may be there, absent, or not for us to read: never guessed. */
enum doctor_seen { SEEN_NOT = 0 /* can't be known */, SEEN_NO, SEEN_YES };
extern const char *const doctor_seen_names[];

enum doctor_place {
    PLACE_UNKNOWN = 0,
    PLACE_IDLE,     /* no model loaded at the moment: it computes nowhere */
    PLACE_STARTING, /* not ready yet */
    PLACE_CPU,
    PLACE_PARTIAL, /* by its own word, some of the model is not on the GPU */
    PLACE_GPU,
    PLACE_COUNT_
};
extern const char *const doctor_place_names[PLACE_COUNT_];

struct doctor_service {
    const struct doctor_kind *kind;
    pid_t pid;
    char comm[PROC_COMM_SIZE];
    pid_t members[DOCTOR_MEMBERS_MAX]; /* its process tree, itself included */
    size_t member_count;
    struct device_owner owner;
    char *argv_text; /* owned: its arguments, each followed by a NUL */
    char **argv;     /* owned array into it, ends with NULL */
    size_t argc;
    char folder[256]; /* where it runs; "" unknown */
    char model[256];  /* "" unknown */
    char detail[64];  /* "share 0.50", or "" */
    enum doctor_asks asks;
    char asks_by[96]; /* what says so: "-ngl 0" */

    int port;                      /* 0: none known */
    enum doctor_seen listens;      /* is it seen to listen there? */
    bool other_network;            /* in a network namespace of its own: not asked */
    int health;                    /* HTTP status; 0: nothing answered; -1: not asked */
    int loaded;                    /* models it says it has loaded; -1: it does not say */
    double size_bytes, vram_bytes; /* of these, by its own word (Ollama); NaN */

    enum doctor_seen environ; /* could the environment be read? */
    bool visible_set;
    char visible[128]; /* CUDA_VISIBLE_DEVICES of the member where it is wrong, else of the first */
    bool nvidia_void;  /* NVIDIA_VISIBLE_DEVICES hides the cards from a container */
    char invocation[40];    /* its run, as systemd numbers them; "" */
    enum doctor_seen maps;  /* could its mappings be read? */
    unsigned libraries;     /* DOCTOR_LIB_... mapped by any member */
    char beside[160];       /* a CUDA part that lies beside its program, or "" */
    enum doctor_seen nodes; /* are the driver's device files there for it? */
    enum doctor_seen log;   /* could anything it printed be read? */
    bool log_of_run;        /* it is known to hold nothing of an earlier run */
    char log_from[192];     /* "/var/log/whisper.log", "journal of whisper.service" */
    enum signature_cause log_cause;
    char log_line[256]; /* the line that says why, or "" */

    enum doctor_seen listed[DOCTOR_CARDS_MAX]; /* by the driver, on that card */
    double card_bytes[DOCTOR_CARDS_MAX];       /* NaN unknown */
    double weights_bytes;                      /* of its model file; NaN */
    enum doctor_place place;
};

struct doctor_holder {
    pid_t pid; /* as the driver counts them */
    char comm[PROC_COMM_SIZE];
    struct device_owner owner;
    double bytes, sm_ratio; /* NaN unknown */
    int service;            /* -1: none of those found */
    bool orphan;            /* a worker of vLLM whose server is gone */
};

struct doctor_card {
    char name[16]; /* "gpu0"; "MIG" for an instance */
    struct nvml_identity identity;
    struct nvml_memory memory;
    struct nvml_state state;
    enum doctor_seen listable; /* does the driver list processes, and can all be told from here? */
    bool mps;                  /* a client of it is there */
    struct doctor_holder holders[DOCTOR_HOLDERS_MAX];
    size_t holder_count;
    char fault[160]; /* "" while it answers */
    char xid[160];   /* what the kernel logged last about it, or "" */
};

struct doctor_problem {
    int service, card; /* -1: of neither */
    char what[160], cause[320], fix[400];
    char after[240]; /* what memory would be left, or "" */
};

struct doctor_report {
    char driver[256];       /* versions; "" without */
    char driver_fault[512]; /* why there is none that can be used; "" */
    bool driver_broken;     /* one is there and fails: a problem, not a machine without a GPU */
    struct doctor_card cards[DOCTOR_CARDS_MAX];
    size_t card_count;
    struct doctor_service services[DOCTOR_SERVICES_MAX];
    size_t service_count;
    bool more_services; /* than fit */
    struct doctor_problem problems[DOCTOR_PROBLEMS_MAX];
    size_t problem_count;
};
