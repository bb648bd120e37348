/* Inside guard/alarms*.c. */
#pragma once

#include "guard/alarms.h"

/* ---- alarms.c ---- */
/* The place of a figure in the study's refs; -1: there is none. Of a metric with sources, the best
 * of them. */
long guard_alarm_find_id(const struct spec_guard *guard, enum guard_metric metric, size_t index);

/* ---- alarms_seen.c ---- */
/* The figure that says whether what it needs is there; -1: none does. `service` -1: no service's.
 */
long guard_alarm_seen_by(const struct spec_guard *guard, const struct guard_alarm_kind *kind,
                         long service);
/* Sets `unseen`. Once a tick. */
void guard_alarm_see(struct guard_alarm *alarm, const struct guard_tick *tick);

/* ---- alarms_driver.c; of alarms of a device ---- */
bool guard_alarm_is_of_device(const struct guard_alarm *alarm, const char *text);
/* An Xid of its card: a fatal one is remembered. */
void guard_alarm_note_xid(struct guard_alarm *alarm, const char *text, int64_t now_ns);
/* The driver says of its card that nothing is to be done to it any more. */
void guard_alarm_note_recovery(struct guard_alarm *alarm);
/* Is no fatal Xid known, or is the card proven to compute since? Once a tick. */
bool guard_alarm_is_well_again(struct guard_alarm *alarm, const struct guard_tick *tick);
