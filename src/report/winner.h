/* JSON pieces shared by report.json and winner.json. All return new references. */
#pragma once

#include "report/view.h"

json_t *report_winner_json(const struct report_view *view);
json_t *report_number_json(const struct report_measure *measure,
                           const struct report_number *number);
json_t *report_machine_json(const struct report_view *view);
