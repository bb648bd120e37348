/* A study's SQLite file: append-only, one transaction per finished trial, WAL, so that reports and
 * `spica show` read while a study runs. Everything the report prints is recomputed from it.
 *
 * Text columns hold outside text as it was (bounded); NULL is unknown. Reals are base units
 * (seconds, bytes, ratios); *_ns columns of requests are relative to their window's start. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "store/row.h"

#include <stdint.h>

struct store; /* opaque */

enum store_mode { STORE_CREATE, STORE_WRITE, STORE_READ };

/* CREATE makes the file if missing and opens it for writing; WRITE needs it; READ never writes.
 * ERR_MISSING: no such file. ERR_INPUT: not a study's file, or of a newer version of spica (says
 * both versions). A file of an older version is migrated by CREATE and WRITE. */
NODISCARD bool store_open(const char *path, enum store_mode mode, struct store **ret_store,
                          struct err *err);
/* As READ, for who has an event loop to keep: waits 0.1 s for others at the most, where READ
 * waits 10. ERR_BUSY then. */
NODISCARD bool store_open_soon(const char *path, struct store **ret_store, struct err *err);
struct store *store_close(struct store *store);
AUTO_FN(struct store, store_close)

struct store_study {                         /* one row; borrowed texts */
    const char *name, *path, *digest, *text; /* the study file as read */
    const char *device_id, *device_name, *device_versions;
    const char *spica_version;
    uint64_t seed;
    int64_t created_wall_us;
    int cores;
    double memory_bytes;
};
NODISCARD bool store_study_put(struct store *store, const struct store_study *study,
                               struct err *err);
/* Lists of devices that begin with the stored ones; others change nothing. */
NODISCARD bool store_study_widen(struct store *store, const char *device_id,
                                 const char *device_name, struct err *err);
/* ret_found false when there is none yet. Texts are borrowed from the store until it is closed. */
NODISCARD bool store_study_get(struct store *store, bool *ret_found, struct store_study *ret_study,
                               struct err *err);

/* All of it or nothing. On failure (disk full, ...) the file is as before. */
NODISCARD bool store_trial_add(struct store *store, const struct store_trial *trial,
                               struct err *err);

/* What the search needs of each trial, in order of number. The caller frees *ret_rows; texts are
 * borrowed until the next store_history call or close. */
struct store_history_row {
    int64_t number;
    const char *candidate, *purpose, *verdict, *summary, *ruled_out, *service, *bound;
    const char *by_events; /* services whose tokens were counted so, a blank between; NULL: none */
    int round, repeat;
    int64_t retry_of;
    double fitness, duration_s, window_s;
    int workers; /* that sent its load */
    bool cold;
};
NODISCARD bool store_history(struct store *store, struct store_history_row **ret_rows,
                             size_t *ret_count, struct err *err);

/* Study-level events ("started", "resumed", "stopped", "finished", "winner") with a JSON detail. */
NODISCARD bool store_event_add(struct store *store, int64_t wall_us, const char *kind,
                               const char *detail, struct err *err);
/* The decision at the end: JSON written by study/ (who won, why, confidence, comparisons). */
NODISCARD bool store_decision_put(struct store *store, const char *json, struct err *err);
/* From now on there is none; the earlier ones stay in the file. */
NODISCARD bool store_decision_withdraw(struct store *store, struct err *err);
NODISCARD bool store_decision_get(struct store *store, char **ret_json,
                                  struct err *err); /* NULL: none;
                                                       owned */
