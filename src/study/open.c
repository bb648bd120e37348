/* What a study needs before its first trial, in an order in which nothing is done in vain: files,
 * devices, their locks, a clean machine; only then is anything written.
 *
 * With several lanes each device is opened here only to be looked at, and again by its lane:
 * neither a driver's library nor SQLite survives a fork, so nothing of them is open when lanes are
 * forked (the store is opened anew after that, see lanes.c). The locks stay with this process,
 * which outlives its lanes; a lane that outlived it would hold them too, being its fork.
 *
 * A study's other devices (those that its services name) are locked as well, unless they are the
 * CPU: who else computes there is seen by contention. With --wait nothing is held while waiting, so
 * that two studies which share two cards can't wait for each other. */
#include "study/loop.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "device/sample.h"
#include "study/clean.h"
#include "study/leftover.h"
#include "study/rules.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define DEVICE_SEPARATOR " + "
static const char RULES_EVENT[] = "words"; /* study/rules.h; none: all are english */
enum { CODES_MAX = 5 * 1000 * 1000 };
static const int64_t LOCK_RETRY_NS = NS_PER_S / 2, ROOMS_WITHIN_NS = 5 * NS_PER_S;
static const double ROOMS_DIFFER_BYTES = 256 << 20;

static void release_locks(struct study_loop *loop)
{
    for (size_t i = 0; i < SPEC_DEVICES_MAX; i++) {
        loop->lanes[i].lock = device_lock_release(loop->lanes[i].lock);
        loop->locks[i] = device_lock_release(loop->locks[i]);
    }
}

void study_loop_done(struct study_loop *loop)
{
    if (!loop)
        return;
    store_close(loop->store);
    release_locks(loop);
    for (size_t i = 0; i < ARRAY_LEN(loop->devices); i++)
        device_close(loop->devices[i]);
    free(loop->codes);
    buf_done(&loop->best);
    arena_free(loop->arena);
}

static bool take_lock(const struct study_loop *loop, const char *name,
                      const struct device_facts *facts, struct device_lock **ret_lock,
                      struct err *err)
{
    return device_lock_take_part(name, facts->id, facts->parent_id, loop->study->name, ret_lock,
                                 err);
}

static bool take_locks(struct study_loop *loop, struct err *err)
{
    for (size_t i = 0; i < loop->lane_count; i++)
        if (!take_lock(loop, loop->study->devices[i], &loop->lanes[i].facts, &loop->lanes[i].lock,
                       err))
            return false;
    for (size_t d = 1; d < loop->lanes[0].study.device_count; d++) {
        const struct device_facts *facts = device_facts(loop->devices[d]);
        if (facts->cores == 0 &&
            !take_lock(loop, loop->study->devices[d], facts, &loop->locks[d], err))
            return false;
    }
    return true;
}

static bool await_locks(struct study_loop *loop, struct err *err)
{
    const struct study_observer *observer = &loop->options->observer;
    for (bool told = false;; told = true) {
        struct err busy = ERR_INIT;
        if (take_locks(loop, &busy))
            return true;
        release_locks(loop);
        if (busy.code != ERR_BUSY || !loop->options->wait) {
            *err = busy;
            return false;
        }
        if (!told && observer->waiting)
            observer->waiting(observer->context, busy.text);
        struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
        nanosleep(&pause, NULL);
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while waiting for %s", loop->study->device);
    }
}

/* Given a moment: a keeper that is just ending its tree may have gone before the last of it. */
static bool check_clean(struct study_loop *loop, struct err *err)
{
    enum { LOOKS = 10 };
    AUTO(buf_done) struct buf left = BUF_INIT(700);
    for (int look = 0; look < LOOKS; look++) {
        buf_clear(&left);
        if (!study_find_leftovers("/proc", &left, err))
            return false;
        if (left.len == 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_NS / 2}, NULL);
    }
    return err_set(err, ERR_BUSY,
                   "%s is not clean: left of an earlier run: %s; end it, then run again",
                   loop->study->device, buf_text(&left));
}

void study_loop_join_devices(const struct study_loop *loop, struct buf *ids, struct buf *names)
{
    bool several = loop->lane_count > 1;
    size_t count = several ? loop->lane_count : loop->lanes[0].study.device_count;
    for (size_t i = 0; i < count; i++) {
        const struct device_facts *facts =
            several || i == 0 ? &loop->lanes[i].facts : device_facts(loop->devices[i]);
        buf_addf(ids, "%s%s", i ? DEVICE_SEPARATOR : "", facts->id);
        buf_addf(names, "%s%s", i ? DEVICE_SEPARATOR : "", facts->name);
    }
}

bool study_loop_same_devices(const char *stored, const char *now)
{
    size_t a = strlen(stored), b = strlen(now), len = a < b ? a : b;
    const char *longer = a < b ? now : stored;
    return len > 0 && strncmp(stored, now, len) == 0 &&
           (longer[len] == '\0' || text_starts_with(longer + len, DEVICE_SEPARATOR));
}

/* Before the row of the study: a study that is there has its rules. */
static bool check_rules(const struct study_loop *loop, bool found, struct err *err)
{
    const char *text = study_rules_text(loop->study, loop->arena);
    if (!found)
        return !text || store_event_add(loop->store, clock_now_wall_us(), RULES_EVENT, text, err);
    struct store_event *events = NULL;
    size_t count = 0;
    const char *stored = NULL;
    if (!store_read_events(loop->store, loop->arena, &events, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(events[i].kind, RULES_EVENT) == 0)
            stored = events[i].detail;
    AUTO(buf_done) struct buf changed = BUF_INIT(8192);
    if (study_rules_same(loop->study, stored, &changed))
        return true;
    return err_set(
        err, ERR_INPUT,
        "%s: words of its results in %s were compared after other rules (%s), and their "
        "error rates do not compare; keep them and start anew with: spica run --fresh %s",
        loop->study->path, loop->options->folder, buf_text(&changed), loop->study->path);
}

static bool note_study(struct study_loop *loop, bool *ret_resumed, struct err *err)
{
    const struct device_facts *device = &loop->lanes[0].facts;
    AUTO(buf_done) struct buf ids = BUF_INIT(8192), names = BUF_INIT(8192);
    struct store_study stored;
    bool found = false;
    if (!store_study_get(loop->store, &found, &stored, err))
        return false;
    *ret_resumed = found;
    if (found && strcmp(stored.digest, loop->study->digest) != 0)
        return err_set(err, ERR_INPUT,
                       "%s: its results in %s were measured with another version of "
                       "this file; keep them and start anew with: spica run --fresh %s",
                       loop->study->path, loop->options->folder, loop->study->path);
    study_loop_join_devices(loop, &ids, &names);
    if (found && !study_loop_same_devices(stored.device_id, buf_text(&ids)))
        return err_set(
            err, ERR_INPUT,
            "%s: its results in %s were measured on other devices (%s); start anew with: "
            "spica run --fresh %s",
            loop->study->path, loop->options->folder, stored.device_name, loop->study->path);
    if (!check_rules(loop, found, err))
        return false;
    if (found) /* else a later run could put another device in the new lane's place */
        return ids.len <= strlen(stored.device_id) ||
               store_study_widen(loop->store, buf_text(&ids), buf_text(&names), err);
    struct store_study row = {
        .name = loop->study->name,
        .path = loop->study->path,
        .digest = loop->study->digest,
        .text = loop->study->text,
        .device_id = buf_text(&ids),
        .device_name = buf_text(&names),
        .device_versions = device->versions,
        .spica_version = SPICA_VERSION,
        .seed = loop->study->seed,
        .created_wall_us = clock_now_wall_us(),
        .cores = device->cores,
        .memory_bytes = device->memory_bytes,
    };
    return store_study_put(loop->store, &row, err);
}

static bool check_services(struct study_loop *loop, struct err *err)
{
    AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
    if (!study_check_services(loop->study, false, &problems, err))
        return false;
    if (problems.len == 0)
        return true;
    const char *end = strchrnul(buf_text(&problems), '\n');
    bool more = end[0] && end[1];
    return err_set(err, ERR_MISSING, "%.*s%s; see: spica prepare %s",
                   (int)(end - buf_text(&problems)), buf_text(&problems), more ? " (and more)" : "",
                   loop->study->path);
}

static void fill_plan(struct study_loop *loop, size_t code_count)
{
    const struct spec_study *study = loop->study;
    loop->plan = (struct study_plan){
        .study = study,
        .codes = loop->codes,
        .code_count = code_count,
        .has_baseline = study->baseline != NULL,
        .trials = loop->options->trials > 0 ? loop->options->trials : study->search.trials,
        .time_s =
            (double)(loop->options->time_ns > 0 ? loop->options->time_ns : study->search.time_ns) /
            NS_PER_S,
        .lanes = loop->lane_count,
    };
    if (study->baseline) {
        struct spec_candidate baseline;
        memcpy(baseline.index, study->baseline, study->knob_count * sizeof *baseline.index);
        loop->plan.baseline = spec_candidate_code(study, &baseline);
    }
}

/* A space too large to list is the study file's matter, not a failure of ours. */
static bool list_candidates(struct study_loop *loop, size_t *ret_count, struct err *err)
{
    struct err cause = ERR_INIT;
    if (spec_space_list(loop->study, CODES_MAX, &loop->codes, ret_count, &cause))
        return true;
    return err_set(err, cause.code == ERR_LIMIT ? ERR_INPUT : cause.code, "%s: %s%s",
                   loop->study->path, cause.text,
                   cause.code == ERR_LIMIT ? "; give knobs fewer values or add constraints" : "");
}

/* Nothing is deleted: the old folder gets the first free number. Only whoever holds the lock may do
 * this: a study that runs there would lose its store. */
static bool move_aside(const char *folder, struct err *err)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    if (!file_exists(folder))
        return true;
    for (int n = 1; n < 10000; n++) {
        AUTO(buf_done) struct buf name = BUF_INIT(8192);
        buf_addf(&name, "%.*s.%d", (int)len, folder, n);
        if (file_exists(buf_text(&name)))
            continue;
        if (rename(folder, buf_text(&name)) != 0)
            return err_sys(err, "moving %s to %s", folder, buf_text(&name));
        return true;
    }
    return err_set(err, ERR_INPUT, "%s: too many earlier results", folder);
}

/* ---- devices ---- */

/* The devices that are equals become lanes; each sees itself alone. */
static bool fill_lanes(struct study_loop *loop, struct err *err)
{
    const struct spec_study *study = loop->study;
    size_t wanted = loop->options->max_parallel ? loop->options->max_parallel : 1;
    if (wanted > study->lane_count) {
        AUTO(buf_done) struct buf names = BUF_INIT(512);
        for (size_t i = 0; i < study->lane_count; i++)
            buf_addf(&names, "%s%s", i ? ", " : "", study->devices[i]);
        return err_set(err, ERR_INPUT,
                       "%s: %zu trials at once need %zu devices, and `device:` names %zu (%s): one "
                       "trial per device, since two on one measure each other; by how much is "
                       "measured by: spica run --show-contention %s",
                       study->path, wanted, wanted, study->lane_count, buf_text(&names),
                       study->path);
    }
    loop->lane_count = wanted;
    for (size_t i = 0; i < wanted; i++) {
        struct spec_study *own = &loop->lanes[i].study;
        *own = *study;
        if (study->lane_count == 1)
            continue;
        own->device = own->devices[0] = study->devices[i];
        own->device_count = own->lane_count = 1;
    }
    return true;
}

static bool is_equal(const struct device_facts *a, const struct device_facts *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->versions, b->versions) == 0 &&
           a->memory_bytes == b->memory_bytes;
}

static bool is_part(const struct device_facts *part, const struct device_facts *whole)
{
    return part->parent_id[0] && strcmp(part->parent_id, whole->id) == 0;
}

static bool check_pair(const struct study_loop *loop, size_t i, size_t k, struct err *err)
{
    const struct spec_study *study = loop->study;
    const struct device_facts *a = &loop->lanes[i].facts, *b = &loop->lanes[k].facts;
    const char *one = study->devices[i], *two = study->devices[k];
    if (strcmp(a->id, b->id) == 0)
        return err_set(err, ERR_INPUT,
                       "%s: %s and %s are one device (%s): two trials on it would measure each "
                       "other",
                       study->path, one, two, a->id);
    if (is_part(a, b) || is_part(b, a))
        return err_set(err, ERR_INPUT,
                       "%s: %s is a part of %s: two trials would measure each other", study->path,
                       is_part(a, b) ? one : two, is_part(a, b) ? two : one);
    if (is_equal(a, b))
        return true;
    AUTO(buf_done) struct buf size = BUF_INIT(64), other = BUF_INIT(64);
    text_add_bytes(&size, a->memory_bytes);
    text_add_bytes(&other, b->memory_bytes);
    return err_set(err, ERR_INPUT,
                   "%s: %s (%s, %s, %s) and %s (%s, %s, %s) are no equals: results of the two "
                   "can't be compared; run without --max-parallel, or name equal devices",
                   study->path, one, a->name, buf_text(&size), a->versions, two, b->name,
                   buf_text(&other), b->versions);
}

static bool open_devices(struct study_loop *loop, struct err *err)
{
    const struct spec_study *study = loop->study;
    if (!fill_lanes(loop, err))
        return false;
    for (size_t i = 0; i < loop->lane_count; i++) {
        struct device *device = NULL;
        if (!device_open(study->devices[i], "/proc", &device, err))
            return false;
        loop->lanes[i].facts = *device_facts(device);
        loop->devices[0] = loop->lane_count > 1 ? device_close(device) : device;
        for (size_t k = 0; k < i; k++)
            if (!check_pair(loop, k, i, err))
                return false;
    }
    for (size_t d = 1; d < loop->lanes[0].study.device_count; d++)
        if (!device_open(study->devices[d], "/proc", &loop->devices[d], err))
            return false;
    return true;
}

/* ---- lanes are equals ---- */

/* What strangers hold is no difference that stays: a trial finds that card dirty and says whose it
 * is. NaN: unknown. */
static bool read_room(const struct study_loop *loop, size_t i, double *ret_bytes, struct err *err)
{
    const struct spec_study *study = loop->study;
    const struct device_ours ours = {.neighbours = study->neighbours,
                                     .neighbour_count = study->neighbour_count};
    struct device *device = NULL;
    struct device_sample sample;
    if (!device_open(study->devices[i], "/proc", &device, err))
        return false;
    device_sample(device, &ours, &sample);
    device_close(device);
    double strangers = reading_value(sample.stranger_bytes);
    *ret_bytes = reading_value(sample.free_bytes) + (isnan(strangers) ? 0 : strangers);
    return true;
}

static bool refuse_rooms(const struct study_loop *loop, const double *rooms, size_t least,
                         size_t most, struct err *err)
{
    AUTO(buf_done) struct buf little = BUF_INIT(64), much = BUF_INIT(64);
    text_add_bytes(&little, rooms[least]);
    text_add_bytes(&much, rooms[most]);
    return err_set(err, ERR_INPUT,
                   "%s: %s are left on %s and %s on %s: what fits on the one need not fit on the "
                   "other, so their results can't be compared; run without --max-parallel, or let "
                   "the same neighbours stand on both",
                   loop->study->path, buf_text(&little), loop->study->devices[least],
                   buf_text(&much), loop->study->devices[most]);
}

bool study_loop_rooms_differ(const double *rooms_bytes, size_t count, size_t *ret_least,
                             size_t *ret_most)
{
    size_t least = 0, most = 0;
    for (size_t i = 1; i < count; i++) {
        /* Nothing compares with NaN: the first that is known takes its place. */
        least = isnan(rooms_bytes[least]) || rooms_bytes[i] < rooms_bytes[least] ? i : least;
        most = isnan(rooms_bytes[most]) || rooms_bytes[i] > rooms_bytes[most] ? i : most;
    }
    if (count == 0 || !(rooms_bytes[most] - rooms_bytes[least] > ROOMS_DIFFER_BYTES))
        return false;
    *ret_least = least;
    *ret_most = most;
    return true;
}

static void say_unknown_rooms(const struct study_loop *loop, const double *rooms)
{
    for (size_t i = 0; i < loop->lane_count; i++)
        if (isnan(rooms[i]))
            log_write(LOG_WARNING, "study",
                      "what is free on %s is unknown, so it can't be told whether it offers the "
                      "same room as the others; continuing",
                      loop->study->devices[i]);
}

/* Lanes offer the same room, or a setting is feasible where it happens to run. Looked at for a
 * while: what an earlier run held may be on its way back. */
static bool check_rooms(const struct study_loop *loop, struct err *err)
{
    int64_t deadline_ns = clock_now_ns() + ROOMS_WITHIN_NS;
    double rooms[SPEC_DEVICES_MAX];
    while (loop->lane_count > 1) {
        size_t least = 0, most = 0;
        for (size_t i = 0; i < loop->lane_count; i++)
            if (!read_room(loop, i, &rooms[i], err))
                return false;
        if (!study_loop_rooms_differ(rooms, loop->lane_count, &least, &most)) {
            say_unknown_rooms(loop, rooms);
            break;
        }
        if (clock_now_ns() >= deadline_ns || cancel_level() != CANCEL_NONE)
            return refuse_rooms(loop, rooms, least, most, err);
        nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_NS}, NULL);
    }
    return true;
}

bool study_loop_check_cards(const struct study_loop *loop, bool runs, struct err *err)
{
    AUTO(buf_done) struct buf words = BUF_INIT(400);
    if (!study_clean_compare(loop, CLEAN_RESUMED, &words, err))
        return false;
    if (words.len == 0)
        return true;
    if (runs)
        return err_set(err, ERR_BUSY,
                       "%s; what leaked in an earlier run is not this one's clean card. Free it (a "
                       "reset of the card, or the end of who holds it), then run again to resume, "
                       "or start anew with: spica run --fresh %s",
                       buf_text(&words), loop->study->path);
    log_write(LOG_WARNING, "study", "%s; no trial is left to run, so it changes no result",
              buf_text(&words));
    return store_event_add(loop->store, clock_now_wall_us(), "not clean", buf_text(&words), err);
}

bool study_loop_open(struct study_loop *loop, bool *ret_resumed, struct err *err)
{
    const struct spec_study *study = loop->study;
    size_t code_count = 0;
    AUTO(free) char *path = study_store_path(loop->options->folder);
    if (!study_load_corpora(study, loop->arena, &loop->corpora, err) ||
        !check_services(loop, err) || !list_candidates(loop, &code_count, err) ||
        !open_devices(loop, err) || !await_locks(loop, err) || !check_clean(loop, err) ||
        !check_rooms(loop, err) ||
        (loop->options->fresh && !move_aside(loop->options->folder, err)) ||
        !file_make_folders(loop->options->folder, err) ||
        !store_open(path, STORE_CREATE, &loop->store, err) || !note_study(loop, ret_resumed, err) ||
        !history_load(loop->store, study, loop->arena, &loop->history, err))
        return false;
    fill_plan(loop, code_count);
    return !loop->options->make_room || loop->options->make_room(loop->options->room_context, err);
}
