/* The process that systemd runs so that paused units come back whatever kills spica: it waits for
 * the end of one process, then restores what that one's journal names. */
#pragma once

#include "host/pause.h"

/* "spica-restore-STUDY-xxxxxxxx.service": one for each journal. */
void host_restorer_name(const char *study, const char *journal_path, char ret_name[HOST_NAME_SIZE]);

/* Has systemd start it for this process and waits until it stands ready, which means that it has
 * got hold of us. ERR_INPUT when it can't see us (a container); nothing was stopped then. */
NODISCARD bool host_restorer_start(struct host_manager *manager, const struct host_journal *journal,
                                   const char *journal_path, struct err *err);
/* Until the restorer of an earlier run has ended; ERR_BUSY when it does not within that time. */
NODISCARD bool host_restorer_wait(struct host_manager *manager, const char *study,
                                  const char *journal_path, int64_t within_ns, struct err *err);

/* In the restorer: gets hold of `pid` if the journal is its own, says so to systemd, and returns
 * when that process and the services of its study have ended. */
NODISCARD bool host_restorer_watch(const struct host_journal *journal, pid_t pid, struct err *err);
