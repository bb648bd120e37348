/* Numbers as a person writes them. Each returns false without touching the output when the text is
 * not wholly one number of its kind. */
#ifndef FAKES_UNITS_H
#define FAKES_UNITS_H

#include <stdbool.h>
#include <stdint.h>

bool units_parse_time(const char *text, int64_t *ret_ns);      /* 500us 20ms 2s 1m 1h, or 0 */
bool units_parse_bytes(const char *text, uint64_t *ret_bytes); /* 4096 64K 200M 1G */
bool units_parse_real(const char *text, double *ret_value);
bool units_parse_count(const char *text, long *ret_value);  /* 0 and up */
bool units_parse_signal(const char *text, int *ret_signal); /* SEGV KILL ABRT ... or a number */

#endif
