/* JSON pieces shared by report.json and winner.json. All return new references. */
#pragma once

#include "report/view.h"

json_t *report_winner_json(const struct report_view *view);
json_t *report_number_json(const struct report_measure *measure,
                           const struct report_number *number);
json_t *report_machine_json(const struct report_view *view);

/* json_device.c */
json_t *report_cards_json(const struct report_side *side);
json_t *report_placement_json(const struct report_side *side);
/* Members of report.json about what was left out, kept up, or ran in the wrong place. */
void report_set_device_json(json_t *root, const struct report_view *view);
