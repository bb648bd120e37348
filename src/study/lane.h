/* Inside study/: a lane is a process that runs trials on one device, as it is told, and stores each
 * itself. Both sides are one program (a fork), so what they say to each other are plain structs of
 * fixed size over a SOCK_SEQPACKET socket: one packet, one struct, nothing to parse. */
#pragma once

#include "study/loop.h"

enum { LANE_TEXT_SIZE = 4096 };

/* What a lane is told. Run a trial; and, when it has been measured, what comes after it: the lane
 * stops what that does not keep, then stores. The socket's end means: stop everything and end. */
struct lane_order {
    enum lane_order_kind { LANE_RUN, LANE_KEEP, LANE_KEEP_NOTHING } kind;
    enum lane_purpose { LANE_BASELINE, LANE_EXPLORE, LANE_FINAL, LANE_PURPOSE_COUNT_ } purpose;
    struct trial_request request; /* without the text of its purpose */
};

/* What a lane tells. After LANE_FAILED it stops everything and ends. */
struct lane_news {
    enum lane_news_kind { LANE_READY, LANE_PROGRESS, LANE_MEASURED, LANE_STORED, LANE_FAILED } kind;
    int64_t number;
    struct trial_progress progress; /* without the name of its service, which is this: */
    int service;                    /* index, -1 none */
    struct err err;                 /* of LANE_FAILED */
    /* LANE_MEASURED: the verdict before the stop; what the plan needs of it to look ahead. Texts
     * that don't fit are left out: a wrong guess costs a restart, no more. */
    enum verdict verdict;
    double fitness, duration_s;
    char ruled_out[LANE_TEXT_SIZE], bound[16], about[128]; /* "" NULL */
};

const char *study_lane_purpose_name(enum lane_purpose purpose);
enum lane_purpose study_lane_purpose(const char *name);

/* In the lane's own process, just forked by `parent`: works until the socket ends. Never returns.
 */
_Noreturn void study_lane_main(const struct study_loop *loop, size_t index, int socket_fd,
                               pid_t parent);
