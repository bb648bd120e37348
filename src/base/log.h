/* Talk goes to stderr, one line an event, with a prefix that names who speaks. Only study/ and
 * above log; lower folders return errors and leave the talking to their callers (log_debug
 * excepted). */
#pragma once

#include "base/auto.h"

enum log_level { LOG_QUIET, LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* LOG_WARNING at start */
enum log_level log_level(void);

/* `who` may be NULL; the message is escaped for the terminal and needs no newline. */
void log_write(enum log_level level, const char *who, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define log_debug(who, ...) log_write(LOG_DEBUG, who, __VA_ARGS__)
