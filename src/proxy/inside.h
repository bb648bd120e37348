/* Private to proxy/: what an open proxy is, how things are named in HAProxy, and what its files
 * share. A front has servers: its tiers, or the arms of its split; `server` is an index of those.
 *
 * Names in HAProxy, for the service "stt" and its server "base": listen spica.stt, backend
 * spica.stt.base (where base takes the requests and the others stand by), backend
 * spica.stt.base.pin (base alone: whoever pinned it gets it or nothing). */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "proxy/keep.h"

#include <sys/stat.h>

enum { PROXY_WORD_MAX = 64, PROXY_NAME_SIZE = 4 * PROXY_WORD_MAX };
struct proxy {
    const struct spec_study *study; /* borrowed */
    const struct spec_guard *guard;
    const char *folder, *config, *socket, *master_socket, *pid_file; /* in the arena */
    const char *tiers_map, *cuts_map, *state_file, *lock_file;
    struct arena *arena; /* owned */
    struct proxy_state state;
    struct proxy_unsaved unsaved;
    bool reload_due; /* what is on disk was not taken over yet, as far as is known */
    bool stopped;    /* by proxy_stop(), and not applied since; kept on disk */
    bool hurried;    /* who changes something waits for no lock */
    bool drained[SPEC_FRONTS_MAX][SPEC_TIERS_MAX]; /* as HAProxy had it at the last look */
    struct stat read;                              /* the state's file when it was read last */
    int64_t worker; /* pid that the last reload has brought up; -1: it is under way; 0: none */
};

/* ---- names.c ---- */
size_t proxy_servers(const struct spec_front *front);
const char *proxy_server_name(const struct spec_front *front, size_t server);
int proxy_server_port(const struct spec_front *front, size_t server);
int proxy_server_find(const struct spec_front *front, const char *name, size_t len); /* or -1 */
/* "spica.stt.base"; the front's own with server -1. */
void proxy_name(const struct spec_study *study, size_t front, int server,
                char ret_name[PROXY_NAME_SIZE]);
/* Is it a word that means nothing but itself in a configuration, a map and on the socket? */
bool proxy_word_fits(const char *word);
/* May all that the study says be written into a configuration? ERR_INPUT says which can't. */
NODISCARD bool proxy_names_check(const struct spec_study *study, struct err *err);

/* ---- config.c ---- */
void proxy_tiers_map_write(const struct spec_study *study, const struct proxy_state *state,
                           struct buf *buf);
void proxy_cuts_map_write(const struct spec_study *study, const struct proxy_state *state,
                          struct buf *buf);
int proxy_weight(const struct spec_front *front, const struct proxy_state *state, size_t front_at,
                 size_t server);

/* ---- state.c: what run time has set, in state.json ---- */
/* As after an apply that nobody has touched: no port for the log yet, no token. */
void proxy_state_init(struct proxy_state *ret_state);
/* One that is not there leaves all as it is; what it did not take stands (keep.h). */
NODISCARD bool proxy_state_read(struct proxy *proxy, struct err *err);
NODISCARD bool proxy_state_save(struct proxy *proxy, struct err *err);
/* Gives the state a token and a port for the log where it has none. */
NODISCARD bool proxy_state_complete(struct proxy *proxy, struct err *err);
/* One at a time changes what is on disk: guard, or somebody by hand. Released by closing it. */
NODISCARD bool proxy_lock(struct proxy *proxy, int *ret_fd, struct err *err);
bool proxy_config_is(const struct proxy *proxy); /* on disk what the state asks for */
NODISCARD bool proxy_maps_save(struct proxy *proxy, struct err *err);
NODISCARD bool proxy_files_save(struct proxy *proxy, struct err *err);
/* ---- socket.c: HAProxy's socket; all of it within the time given ---- */
/* `commands`: one line, several by ";". ERR_MISSING: nobody answers there. */
NODISCARD bool proxy_ask(const char *path, const char *commands, int64_t within_ns,
                         struct buf *answer, struct err *err);
/* For commands that say nothing when all is well; what is said is the error. */
NODISCARD bool proxy_tell(const char *path, const char *commands, int64_t within_ns,
                          struct err *err);
struct proxy_info { /* of the process that answers */
    int64_t pid, uptime_s;
    uint64_t dropped_logs;
};
NODISCARD bool proxy_info_ask(const char *path, int64_t within_ns, struct proxy_info *ret_info,
                              struct err *err);
bool proxy_info_parse(const char *text, size_t len, struct proxy_info *ret_info);

/* ---- process.c ---- */
/* HAProxy's program; owned by the caller, NULL when there is none. */
char *proxy_program(void);
/* Runs to its end; its output is cut at the buffer's maximum. Killed when it takes longer. */
NODISCARD bool proxy_run(const char *const *argv, int64_t within_ns, struct buf *output,
                         int *ret_status, struct err *err);
/* Has `haproxy -c` check files (NULL at the end): ERR_INPUT with its first complaint. */
NODISCARD bool proxy_files_check(const char *program, const char *const *files, struct err *err);
/* ERR_INPUT: what it was doing, and the first complaint of HAProxy's output. */
bool proxy_complain(const char *output, const char *doing, struct err *err);
/* The master that we run: by its pid file, and by its command line that names our configuration.
 * A pidfd, owned by the caller, or -1. */
int proxy_master_open(const struct proxy *proxy);

/* ---- attach.c ---- */
/* `candidate` in the place of our file, among all that their HAProxy reads. */
NODISCARD bool proxy_attach_check(const struct proxy *proxy, const char *candidate,
                                  struct err *err);
NODISCARD bool proxy_attach_apply(struct proxy *proxy, bool *ret_reloaded, struct err *err);
/* Waits until another worker than `old_pid` answers, for good. `master` NULL: there is no socket of
 * the master's that says how many reloads have failed, which were `failed` before this one. */
struct proxy_handover {
    const char *socket, *master;
    int64_t old_pid, failed;
};
NODISCARD bool proxy_wait_worker(const struct proxy_handover *handover, int64_t within_ns,
                                 int64_t *ret_pid, struct err *err);
/* Failed reloads since the last good one, by a master's socket; -1: it does not say. */
int64_t proxy_failed_reloads(const char *master);

/* ---- look.c ---- */
/* CSV of "show stat"; `len` bytes of anything. */
void proxy_stat_parse(const struct spec_study *study, const char *text, size_t len,
                      struct proxy_view *view);
/* And "show map" of the tiers. */
void proxy_map_parse(const struct spec_study *study, const char *text, size_t len,
                     struct proxy_view *view);
/* "show proc" of a master: pids of its workers, those of before a reload too. */
size_t proxy_workers_parse(const char *text, size_t len, int64_t *ret_pids, size_t max);
int64_t proxy_failed_parse(const char *text, size_t len); /* and its "[failed: 2]"; -1: none */
