/* How much services can take, as the report tells it. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"
#include "store/capacity.h"

#include <stddef.h>

struct report_view;
struct report_candidate;

struct report_capacity { /* one search: of the last trial of its candidate that has any */
    const struct report_candidate *candidate;
    int64_t trial;
    const struct store_capacity *found;
    const struct store_capacity_point *points; /* in order of time */
    size_t point_count;
};

/* Of `side`'s candidate, or NULL: the first search for how many clients `service` can take. */
const struct report_capacity *report_capacity_clients(const struct report_view *view,
                                                      const struct report_candidate *candidate,
                                                      const char *service);
/* "20 clients, 21 are too many", "at least 64 clients, the most that was tried". Plain text of our
 * own: nothing in it needs escaping. */
void report_add_capacity(struct buf *buf, const struct store_capacity *found);
/* "20 clients", "18.2 /s". */
void report_add_level(struct buf *buf, const struct store_capacity *found, double level);

/* markdown_capacity.c; nothing unless it was measured. */
void report_add_capacities(struct buf *buf, const struct report_view *view);
/* figure_capacity.c: the n-th figure's file and drawing; false: there is none of that number. */
enum { REPORT_KNEES_MAX = 8, REPORT_KNEE_NAME = 64 };
bool report_knee_name(const struct report_view *view, size_t n, char ret_name[REPORT_KNEE_NAME]);
void report_add_knee_figure(struct buf *buf, const struct report_view *view, size_t n);
/* json_capacity.c; new references. */
json_t *report_capacity_json(const struct report_capacity *capacity);
json_t *report_capacities_json(const struct report_view *view);
