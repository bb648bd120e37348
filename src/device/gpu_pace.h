/* Inside device/ only: how often a call of unknown cost may be made, so that it takes no more than
 * its share of a core, or of time where it blocks. Pure: the caller reads the clocks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct gpu_pace_rule {
    double share;     /* of a core, in the long run */
    int64_t least_ns; /* between two calls, however cheap; 0: none */
    int64_t most_ns;  /* then it is made whatever CPU time it costs; 0: never for that */
};

/* Zeroed at first. */
struct gpu_pace {
    double balance_ns; /* that may be spent now; below 0: spent ahead */
    int64_t at_ns;     /* when the balance was reckoned; 0: never */
    int64_t called_ns; /* the last call; 0: none yet */
    int64_t wall_ns;   /* how long it took */
};

bool gpu_pace_due(struct gpu_pace *pace, const struct gpu_pace_rule *rule, int64_t now_ns);
/* What the call took, of CPU time and altogether: the larger counts. */
void gpu_pace_paid(struct gpu_pace *pace, const struct gpu_pace_rule *rule, int64_t now_ns,
                   int64_t cpu_ns, int64_t wall_ns);
