/* How `spica split status` shows one split. */
#pragma once

#include "guard/split_decide.h"
#include "proxy/proxy.h"
#include "report/report.h"

#include <jansson.h>
#include <stdio.h>

struct cli_split_view { /* borrowed */
    const struct spec_study *study;
    size_t front;
    const struct guard_split_kept *kept;
    bool found;                     /* kept is of a file; false: nothing was counted yet */
    double age_s;                   /* of that file */
    const struct proxy_front *live; /* as HAProxy counts; NULL: it does not answer */
    const char *name;               /* of the study, as it is given on the command line */
};

void cli_split_print(const struct cli_split_view *view, FILE *out, struct report_terminal terminal);
json_t *cli_split_json(const struct cli_split_view *view); /* new reference */
