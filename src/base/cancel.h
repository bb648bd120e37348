/* A wish to stop, set from a signal: once means "finish cleanly and soon", twice "stop now".
 * With the log level the only process-wide state of the
 * program: signals are process-wide too. */
#pragma once

enum cancel { CANCEL_NONE = 0, CANCEL_SOON = 1, CANCEL_NOW = 2 };

void cancel_install(void); /* SIGINT and SIGTERM raise the level by one, SIGHUP as SIGTERM */
enum cancel cancel_level(void);
void cancel_raise(void); /* as one signal would */
void cancel_reset(void); /* for tests */
