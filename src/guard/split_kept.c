/* The file of a split, written whole each time: some 20 kB.
 *
 * Everything that a verdict stands on is in it, evidence and counts alike, so that a guard that was
 * killed goes on where it was; what is lost is a block half full and the last seconds. Sketches are
 * kept as pairs of a value and how often, which mean the same to any version.
 *
 * Rejected: a table in study.db (that one belongs to the study, and is moved away by --fresh); an
 * order file that the daemon picks up (nobody would stop a bad arm while guard is dead).
 *
 * Invariant: what was read was checked; a file that does not fit in any place is refused whole. */
#include "guard/split_kept.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

enum { VERSION = 1, FILE_MAX = 1 << 20, LOCK_TRIES = 100 };
static const double WORDS_SHARE = 0.1; /* of the error */
static const int64_t LOCK_PAUSE_NS = 20 * NS_PER_MS;
static const char format[] = "spica split";

const char *const guard_split_state_names[SPLIT_STATE_COUNT_] = {
    [SPLIT_RUNNING] = "running", [SPLIT_STOPPED] = "stopped",     [SPLIT_ABORTED] = "aborted",
    [SPLIT_FULL] = "full",       [SPLIT_UNJUDGED] = "not judged",
};

static const char *const series_names[3] = {"slower", "failing", "not_slower"};
static const char *const spread_names[2] = {"slow_spread", "wrong_spread"};

enum { SERIES_LENGTH = STATS_ANYTIME_TEMPERS * STATS_ANYTIME_ALTERNATIVES };

/* Its numbers one after the other. */
static double *series_of(struct stats_anytime_sums *sums, size_t i)
{
    return i == 0 ? &sums->slower[0][0] : i == 1 ? &sums->failing[0][0] : &sums->not_slower[0][0];
}

static struct stats_anytime_scale *spread_of(struct stats_anytime_sums *sums, size_t i)
{
    return i == 0 ? sums->slow_spread : sums->wrong_spread;
}

struct stats_anytime_options guard_split_options(const struct spec_split *split)
{
    return (struct stats_anytime_options){split->harm_ratio, (1 - WORDS_SHARE) * split->error,
                                          split->quantile};
}

struct stats_anytime_pairs_options guard_split_pairs_options(const struct spec_split *split)
{
    return (struct stats_anytime_pairs_options){split->harm_ratio, STATS_ANYTIME_ERRORS_MORE,
                                                WORDS_SHARE * split->error};
}

void guard_split_kept_init(struct guard_split_kept *kept, const struct spec_split *split,
                           int64_t wall_us)
{
    const struct stats_anytime_options options = guard_split_options(split);
    AUTO(stats_anytime_free) struct stats_anytime *fresh = stats_anytime_new(&options);
    *kept = (struct guard_split_kept){
        .began_wall_us = wall_us, .since_wall_us = wall_us, .arm_count = split->count};
    for (size_t i = 0; i < split->count; i++) {
        kept->arms[i].name = split->arms[i].name;
        kept->arms[i].weight = split->arms[i].weight;
        kept->arms[i].latency = stats_sketch_new();
    }
    kept->second = split->count > 1 ? 1 : 0;
    kept->sums = *stats_anytime_sums(fresh);
    stats_anytime_pairs_init(&kept->pairs);
    kept->alone.slow_s = kept->alone.failed_ratio = NAN;
    snprintf(kept->why, sizeof kept->why, "as the study file says");
}

void guard_split_kept_done(struct guard_split_kept *kept)
{
    for (size_t i = 0; kept && i < SPEC_ARMS_MAX; i++)
        kept->arms[i].latency = stats_sketch_free(kept->arms[i].latency);
}

char *guard_split_path(const char *folder, const struct spec_study *study, size_t front)
{
    struct buf path = BUF_INIT(8192);
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    buf_addf(&path, "%.*s.split-%s.json", (int)len, folder,
             study->services[study->guard->fronts[front].service].name);
    return buf_take(&path);
}

bool guard_split_lock(const char *path, int *ret_fd, struct err *err)
{
    AUTO(buf_done) struct buf name = BUF_INIT(8192);
    const char *dot = strrchr(path, '.');
    buf_addf(&name, "%.*s.lock", (int)(dot - path), path);
    AUTO(fd) int fd = open(buf_text(&name), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys(err, "%s", buf_text(&name));
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            *ret_fd = fd_take(&fd);
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, "locking %s", buf_text(&name));
        nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
    }
    return err_set(err, ERR_BUSY, "%s: another program changes this split", buf_text(&name));
}

/* ---- writing ---- */

static json_t *sketch_json(const struct stats_sketch *sketch)
{
    json_t *list = json_array();
    for (size_t i = 0; i < stats_sketch_buckets(); i++) {
        double value;
        uint64_t times = stats_sketch_bucket(sketch, i, &value);
        if (times > 0)
            json_array_append_new(list, json_pack("[f, I]", value, (json_int_t)times));
    }
    return list;
}

static json_t *clips_json(const struct guard_split_arm *arm)
{
    json_t *list = json_array();
    for (size_t i = 0; i < GUARD_SPLIT_CLIPS_MAX; i++) {
        const struct stats_wer *c = &arm->clips[i];
        if (c->reference_words + c->hypothesis_words > 0)
            json_array_append_new(
                list, json_pack("[I, I, I, I, I, I, I]", (json_int_t)i,
                                (json_int_t)c->reference_words, (json_int_t)c->hypothesis_words,
                                (json_int_t)c->hits, (json_int_t)c->substitutions,
                                (json_int_t)c->deletions, (json_int_t)c->insertions));
    }
    return list;
}

static json_t *arms_json(const struct guard_split_kept *kept, const struct spec_split *split)
{
    json_t *list = json_array();
    for (size_t i = 0; i < kept->arm_count; i++) {
        const struct guard_split_arm *arm = &kept->arms[i];
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:o, s:o, s:I, s:I}", "name", arm->name,
                            "file_weight", split->arms[i].weight, "weight", arm->weight, "requests",
                            (json_int_t)arm->requests, "failed", (json_int_t)arm->failed, "left",
                            (json_int_t)arm->left, "latency", sketch_json(arm->latency), "clips",
                            clips_json(arm), "references", (json_int_t)arm->references,
                            "references_failed", (json_int_t)arm->references_failed));
    }
    return list;
}

static json_t *spread_json(const struct stats_anytime_scale *scales)
{
    json_t *list = json_array();
    for (size_t k = 0; k < STATS_ANYTIME_SCALES; k++)
        json_array_append_new(list, json_pack("[f, f, I, f, f, f, I]", scales[k].sum,
                                              scales[k].variance, (json_int_t)scales[k].blocks,
                                              scales[k].before_sum, scales[k].before_variance,
                                              scales[k].squares, (json_int_t)scales[k].pairs));
    return list;
}

static json_t *sums_json(const struct stats_anytime_sums *kept)
{
    struct stats_anytime_sums sums = *kept;
    json_t *object =
        json_pack("{s:I, s:I, s:[I, I], s:[I, I], s:o, s:b, s:b}", "blocks",
                  (json_int_t)sums.blocks, "since_step", (json_int_t)sums.since_step, "requests",
                  (json_int_t)sums.requests[0], (json_int_t)sums.requests[1], "failed",
                  (json_int_t)sums.failed[0], (json_int_t)sums.failed[1], "threshold_s",
                  json_real_or_null(sums.threshold_s), "harm", sums.harm, "no_harm", sums.no_harm);
    for (size_t i = 0; i < ARRAY_LEN(series_names); i++) {
        json_t *list = json_array();
        for (size_t k = 0; k < SERIES_LENGTH; k++)
            json_array_append_new(list, json_real_or_null(series_of(&sums, i)[k]));
        json_object_set_new(object, series_names[i], list);
    }
    for (size_t i = 0; i < ARRAY_LEN(spread_names); i++)
        json_object_set_new(object, spread_names[i], spread_json(spread_of(&sums, i)));
    return object;
}

static json_t *alone_json(const struct guard_split_alone *alone)
{
    return json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b}", "slow_s", json_real_or_null(alone->slow_s),
        "failed_ratio", json_real_or_null(alone->failed_ratio), "round", (json_int_t)alone->round,
        "timed", (json_int_t)alone->timed, "slow", (json_int_t)alone->slow, "requests",
        (json_int_t)alone->requests, "failed", (json_int_t)alone->failed, "harm", alone->harm);
}

static json_t *pairs_json(const struct guard_split_kept *kept)
{
    json_t *worse = json_array();
    for (size_t i = 0; i < STATS_ANYTIME_BETS; i++)
        json_array_append_new(worse, json_real_or_null(kept->pairs.worse[i]));
    return json_pack("{s:I, s:o, s:b, s:b}", "pairs", (json_int_t)kept->pairs.pairs, "worse", worse,
                     "harm", kept->pairs.harm, "by_words", kept->by_words);
}

bool guard_split_kept_write(const char *path, const struct spec_split *split,
                            const struct guard_split_kept *kept, struct err *err)
{
    AUTO_JSON json_t *root = json_pack(
        "{s:s, s:i, s:s, s:I, s:I, s:I, s:o, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "format",
        format, "version", VERSION, "state", guard_split_state_names[kept->state], "revision",
        (json_int_t)kept->revision, "began_wall_us", (json_int_t)kept->began_wall_us,
        "since_wall_us", (json_int_t)kept->since_wall_us, "why", json_text_or_null(kept->why),
        "harm_ratio", split->harm_ratio, "error", split->error, "quantile", split->quantile, "arms",
        arms_json(kept, split), "sums", sums_json(&kept->sums), "alone", alone_json(&kept->alone),
        "pairs", pairs_json(kept), "no_words", json_text_or_null(kept->no_words));
    if (!root)
        return err_set(err, ERR_INTERNAL, "%s: no memory", path);
    AUTO(free) char *text = json_dump_text(root);
    return file_write_atomic(path, text, strlen(text), err);
}

/* ---- reading ---- */

static bool read_count(const json_t *value, uint64_t *ret_count)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret_count = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_member(const json_t *object, const char *key, uint64_t *ret_count)
{
    return read_count(json_object_get(object, key), ret_count);
}

static bool read_sketch(const json_t *list, struct stats_sketch *sketch)
{
    size_t i;
    const json_t *pair;
    if (!json_is_array(list))
        return false;
    json_array_foreach(list, i, pair)
    {
        const json_t *value = json_array_get(pair, 0);
        uint64_t times = 0;
        if (!json_is_number(value) || !read_count(json_array_get(pair, 1), &times))
            return false;
        stats_sketch_add_many(sketch, json_number_value(value), times);
    }
    return true;
}

static bool read_clips(const json_t *list, struct guard_split_arm *arm)
{
    size_t i;
    const json_t *one;
    if (!json_is_array(list))
        return false;
    json_array_foreach(list, i, one)
    {
        uint64_t n[7];
        for (size_t k = 0; k < ARRAY_LEN(n); k++)
            if (!read_count(json_array_get(one, k), &n[k]))
                return false;
        if (n[0] >= GUARD_SPLIT_CLIPS_MAX)
            return false;
        arm->clips[n[0]] = (struct stats_wer){.reference_words = n[1],
                                              .hypothesis_words = n[2],
                                              .hits = n[3],
                                              .substitutions = n[4],
                                              .deletions = n[5],
                                              .insertions = n[6]};
    }
    return true;
}

static bool read_arm(const json_t *object, struct guard_split_arm *arm)
{
    int64_t weight = json_get_int(object, "weight", -1);
    arm->weight = (int)weight;
    return weight >= 0 && weight <= 100 && read_member(object, "requests", &arm->requests) &&
           read_member(object, "failed", &arm->failed) && read_member(object, "left", &arm->left) &&
           read_member(object, "references", &arm->references) &&
           read_member(object, "references_failed", &arm->references_failed) &&
           read_sketch(json_object_get(object, "latency"), arm->latency) &&
           read_clips(json_object_get(object, "clips"), arm);
}

static bool read_spread(const json_t *list, struct stats_anytime_scale *scales)
{
    for (size_t k = 0; k < STATS_ANYTIME_SCALES; k++) {
        const json_t *one = json_array_get(list, k);
        double *const numbers[] = {
            &scales[k].sum,        &scales[k].variance,        NULL,
            &scales[k].before_sum, &scales[k].before_variance, &scales[k].squares};
        for (size_t n = 0; n < ARRAY_LEN(numbers); n++) {
            if (!json_is_number(json_array_get(one, n)))
                return false;
            if (numbers[n])
                *numbers[n] = json_number_value(json_array_get(one, n));
        }
        if (!read_count(json_array_get(one, 2), &scales[k].blocks) ||
            !read_count(json_array_get(one, 6), &scales[k].pairs))
            return false;
    }
    return true;
}

static bool read_sums(const json_t *object, struct stats_anytime_sums *sums)
{
    const json_t *requests = json_object_get(object, "requests");
    const json_t *failed = json_object_get(object, "failed");
    for (size_t i = 0; i < ARRAY_LEN(series_names); i++) {
        const json_t *list = json_object_get(object, series_names[i]);
        for (size_t k = 0; k < SERIES_LENGTH; k++) {
            const json_t *value = json_array_get(list, k);
            if (!json_is_number(value) && !json_is_null(value))
                return false;
            series_of(sums, i)[k] = json_is_null(value) ? -INFINITY : json_number_value(value);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(spread_names); i++)
        if (!read_spread(json_object_get(object, spread_names[i]), spread_of(sums, i)))
            return false;
    sums->threshold_s = json_get_real(object, "threshold_s");
    sums->harm = json_is_true(json_object_get(object, "harm"));
    sums->no_harm = json_is_true(json_object_get(object, "no_harm"));
    return read_member(object, "blocks", &sums->blocks) &&
           read_member(object, "since_step", &sums->since_step) &&
           read_count(json_array_get(requests, 0), &sums->requests[0]) &&
           read_count(json_array_get(requests, 1), &sums->requests[1]) &&
           read_count(json_array_get(failed, 0), &sums->failed[0]) &&
           read_count(json_array_get(failed, 1), &sums->failed[1]);
}

/* A file of before there was such a thing has none: then nothing is judged at 100 %. */
static bool read_alone(const json_t *object, struct guard_split_alone *alone)
{
    if (!object)
        return true;
    alone->slow_s = json_get_real(object, "slow_s");
    alone->failed_ratio = json_get_real(object, "failed_ratio");
    alone->harm = json_is_true(json_object_get(object, "harm"));
    return read_member(object, "round", &alone->round) &&
           read_member(object, "timed", &alone->timed) &&
           read_member(object, "slow", &alone->slow) && alone->slow <= alone->timed &&
           read_member(object, "requests", &alone->requests) &&
           read_member(object, "failed", &alone->failed) && alone->failed <= alone->requests;
}

/* Likewise: then they are counted from now on. */
static bool read_pairs(const json_t *object, struct guard_split_kept *kept)
{
    const json_t *worse = json_object_get(object, "worse");
    if (!object)
        return true;
    for (size_t i = 0; i < STATS_ANYTIME_BETS; i++) {
        const json_t *value = json_array_get(worse, i);
        if (!json_is_number(value) && !json_is_null(value))
            return false;
        kept->pairs.worse[i] = json_is_null(value) ? -INFINITY : json_number_value(value);
    }
    kept->pairs.harm = json_is_true(json_object_get(object, "harm"));
    kept->by_words = json_is_true(json_object_get(object, "by_words"));
    return read_member(object, "pairs", &kept->pairs.pairs);
}

/* Is it about what the study file says now? */
static bool is_of(const json_t *root, const struct spec_split *split)
{
    const json_t *arms = json_object_get(root, "arms");
    if (json_array_size(arms) != split->count ||
        json_get_real(root, "harm_ratio") != split->harm_ratio ||
        json_get_real(root, "error") != split->error ||
        json_get_real(root, "quantile") != split->quantile)
        return false;
    for (size_t i = 0; i < split->count; i++) {
        const json_t *arm = json_array_get(arms, i);
        const char *name = json_get_text(arm, "name");
        if (!name || strcmp(name, split->arms[i].name) != 0 ||
            json_get_int(arm, "file_weight", -1) != split->arms[i].weight)
            return false;
    }
    return true;
}

static bool read_all(const json_t *root, struct guard_split_kept *kept)
{
    const char *state = json_get_text(root, "state"), *why = json_get_text(root, "why");
    int index = state ? text_index(guard_split_state_names, SPLIT_STATE_COUNT_, state) : -1;
    int sum = 0;
    if (index < 0 || !read_member(root, "revision", &kept->revision))
        return false;
    kept->state = (enum guard_split_state)index;
    kept->began_wall_us = json_get_int(root, "began_wall_us", 0);
    kept->since_wall_us = json_get_int(root, "since_wall_us", 0);
    snprintf(kept->why, sizeof kept->why, "%s", why ? why : "");
    for (size_t i = 0; i < kept->arm_count; i++) {
        if (!read_arm(json_array_get(json_object_get(root, "arms"), i), &kept->arms[i]))
            return false;
        sum += kept->arms[i].weight;
    }
    const char *no_words = json_get_text(root, "no_words");
    snprintf(kept->no_words, sizeof kept->no_words, "%s", no_words ? no_words : "");
    return sum == 100 && read_sums(json_object_get(root, "sums"), &kept->sums) &&
           read_alone(json_object_get(root, "alone"), &kept->alone) &&
           read_pairs(json_object_get(root, "pairs"), kept);
}

bool guard_split_kept_read(const char *path, const struct spec_split *split,
                           struct guard_split_kept *kept, bool *ret_found, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct err why = ERR_INIT;
    *ret_found = false;
    if (!buf_read_file(&text, path, &why)) {
        if (why.code == ERR_MISSING)
            return true;
        return err_set(err, why.code, "%s", why.text);
    }
    json_error_t error;
    AUTO_JSON json_t *root = json_loadb(buf_text(&text), text.len, 0, &error);
    const char *kind = json_get_text(root, "format");
    if (!kind || strcmp(kind, format) != 0 || json_get_int(root, "version", 0) != VERSION)
        return err_set(err, ERR_INPUT,
                       "%s: no split of this version of spica; remove it to begin anew", path);
    if (!is_of(root, split))
        return true;
    struct guard_split_kept read;
    guard_split_kept_init(&read, split, 0);
    if (!read_all(root, &read)) {
        guard_split_kept_done(&read);
        return err_set(err, ERR_INPUT, "%s: is damaged; remove it to begin anew", path);
    }
    guard_split_kept_done(kept);
    *kept = read;
    *ret_found = true;
    return true;
}

bool guard_split_kept_set_aside(const char *path, struct err *err)
{
    AUTO(buf_done) struct buf bad = BUF_INIT(8192);
    buf_addf(&bad, "%s.bad", path);
    return rename(path, buf_text(&bad)) == 0 || err_sys(err, "%s", path);
}
