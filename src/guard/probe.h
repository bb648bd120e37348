/* Inside guard/: one gentle real request to each service, again and again, and where it was
 * computed. Each is sent by a load worker, a process of its own: a server that hangs delays nobody
 * here. */
#pragma once

#include "device/device.h"
#include "load/record.h"
#include "spec/guard.h"
#include "spec/space.h"

#include <systemd/sd-event.h>

struct guard_probe { /* one request, over */
    bool ours;       /* our own part failed: nothing is known of the service; `words` says why */
    enum load_error error;
    int http_status; /* 0: none came */
    bool hung;       /* no answer within its deadline */
    bool listed;     /* on its device by the driver, when it had just been answered */
    int64_t sent_ns;
    double latency_s, first_s; /* NaN unless answered */
    struct device_proof proof; /* unproven where nothing could be proven, or need not be */
    char words[160];           /* what came in place of an answer; "" */
};

struct guard_prober_setup {
    const struct spec_study *study;         /* borrowed, as all here */
    const struct spec_candidate *candidate; /* what requests are made from */
    const char *folder;                     /* of the study's results */
    struct device *const *devices;          /* as in guard/memory.h */
    sd_event *event;
    int burst; /* so many one after the other, at first; 0: one */
    void (*done)(void *context, size_t service, const struct guard_probe *probe);
    void *context;
};

struct guard_prober; /* opaque */
/* Loads some clips or prompts for each service, not the whole corpus. ERR_INPUT names what is
 * missing: then there are no probes, all else goes on. */
NODISCARD bool guard_prober_new(const struct guard_prober_setup *setup,
                                struct guard_prober **ret_prober, struct err *err);
struct guard_prober *guard_prober_free(struct guard_prober *prober); /* ends those under way */
AUTO_FN(struct guard_prober, guard_prober_free)

struct guard_probe_subject {
    bool up;      /* only who is up is asked */
    bool another; /* another process than at the last step: ask it at once */
    pid_t root;   /* its tree is below this one; 0: nothing can be proven */
    size_t device;
};
/* When the next probe is due after one that was due at `due_ns` and is sent at `now_ns`: as many
 * whole periods later as put it after now. */
int64_t guard_probe_next(int64_t due_ns, int64_t now_ns, int64_t every_ns);
/* Sends what is due. One request at a time to each service. */
void guard_prober_step(struct guard_prober *prober, int64_t now_ns,
                       const struct guard_probe_subject *subjects);
/* How long the request under way to service `i` has waited; 0: there is none. */
int64_t guard_prober_waits_ns(const struct guard_prober *prober, size_t i, int64_t now_ns);
/* Is service `i` asked at all? It has a port, a rate, and a request. */
bool guard_prober_asks(const struct guard_prober *prober, size_t i);
