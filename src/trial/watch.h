/* Inside trial/: the devices during a trial. See watch.c for what is read when, and why. */
#pragma once

#include "device/sample.h"
#include "trial/attempt.h"

/* Before anything is started: readings "before", and into facts who holds the devices. */
void watch_begin(struct attempt *attempt);
/* One reading of every device in use; sets when the next is due. */
void watch_sample(struct attempt *attempt);
/* All services are up and unasked: readings "start". */
void watch_note_idle(struct attempt *attempt);
/* Something is not up: one more reading, and is the device lost? */
void watch_note_failure(struct attempt *attempt);
/* Into facts, once all is over: did strangers or neighbours grow since the trial began? */
void watch_end(struct attempt *attempt);
/* Around a window; the end says into facts whether strangers disturbed it. Only a shared window's
 * readings make a trend. */
void watch_window_begin(struct attempt *attempt, bool shared);
void watch_window_end(struct attempt *attempt);
/* Clocks, temperature, power and the like, at the window's end. */
void watch_note_state(struct attempt *attempt);
/* A reading of one device in the phase "measure". */
void watch_note_device(struct attempt *attempt, size_t d, const char *name, double bytes);
/* A reading that is words, of one service. */
void watch_note_words(struct attempt *attempt, const char *phase, size_t service, const char *name,
                      const char *words);
void watch_note_value(struct attempt *attempt, const char *phase, size_t service, const char *name,
                      struct reading reading);
/* Growth of a service's memory over the window, bytes per second; NaN: fewer than three readings.
 */
double watch_growth(const struct attempt *attempt, size_t service);
/* After stops: waits until the devices' memory is back (within 64 MiB, at most 5 s). NULL, or who
 * knows what of it is missing, in `arena`. `ret_readings` has room for
 * twice SPEC_DEVICES_MAX. */
const char *watch_await_memory(struct trial_runner *runner, struct arena *arena,
                               struct store_reading *ret_readings, size_t *ret_count);
