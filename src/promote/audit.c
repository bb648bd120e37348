/* Who changed production: one file for each promotion and rollback, never written again.
 *
 * Rejected: rows in the study's database, which a user may move away or start afresh, and one
 * growing file, of which a crash could cost more than the last line. The name begins with the time
 * in UTC to the microsecond, so that sorted names are sorted times.
 *
 * Invariant: every text that may hold a variable's value passes promote_hide_secrets(). Of a file
 * its change is kept, never the whole: what did not change was nobody's business. No pattern knows
 * every secret, so only its owner reads a record. */
#include "promote/audit.h"

#include "promote/journal.h"
#include "promote/json.h"
#include "promote/secret.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { VERSION = 1, TEXT_MAX = 1 << 18, RECORD_MAX = 64 << 20, RECORDS_MAX = 10000, TRIES = 100 };

static const char *const outcome_words[] = {
    [PROMOTE_PROMOTED] = "promoted",
    [PROMOTE_ROLLED_BACK] = "rolled back",
    [PROMOTE_ROLLBACK_INCOMPLETE] = "rollback incomplete",
};
static const char *const check_words[] = {
    [CHECK_ACTIVE] = "active",       [CHECK_READY] = "ready", [CHECK_PROBE] = "probe",
    [CHECK_PLACEMENT] = "placement", [CHECK_LOAD] = "load",
};
static const char *const answer_words[] = {
    [PROMOTE_PASSED] = "passed", [PROMOTE_FAILED] = "failed", [PROMOTE_UNKNOWN] = "unknown"};
static const char *const kind_words[PROMOTE_KIND_COUNT_] = {
    [PROMOTE_HOOK] = "hook",       [PROMOTE_FILE] = "file",       [PROMOTE_RELOAD] = "reload",
    [PROMOTE_RESTART] = "restart", [PROMOTE_COMPOSE] = "compose", [PROMOTE_COMMAND] = "command",
};

static char *folder_of(const char *folder)
{
    AUTO(free) char *absolute = file_absolute(folder);
    size_t len = strlen(absolute);
    while (len > 1 && absolute[len - 1] == '/')
        len--;
    struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%.*s.promotions", (int)len, absolute);
    return buf_take(&path);
}

static bool prepare(const char *records, struct err *err)
{
    if (!file_make_folders(records, err))
        return false;
    AUTO(fd) int fd = open(records, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return err_set(err, ERR_INPUT, "%s: is a symlink, which is not followed", records);
    /* Somebody else's folder stays as it is: each record is closed by itself. */
    if (fd < 0 || (fchmod(fd, 0755) != 0 && errno != EPERM) || access(records, W_OK) != 0)
        return err_sys(err, "writing into %s", records);
    return true;
}

bool promote_audit_prepare(const char *folder, struct err *err)
{
    AUTO(free) char *records = folder_of(folder);
    return prepare(records, err);
}

static json_t *hidden_json(const struct promote_plan *plan, const char *text)
{
    AUTO(buf_done) struct buf hidden = BUF_INIT(TEXT_MAX);
    if (!text)
        return json_null();
    promote_hide_secrets(text, plan->secret_names, &hidden);
    return json_text_or_null(buf_text(&hidden));
}

static json_t *words_json(const struct promote_plan *plan, const char *const *words)
{
    AUTO(buf_done) struct buf line = BUF_INIT(TEXT_MAX);
    if (!words)
        return json_null();
    for (size_t i = 0; words[i]; i++) {
        buf_add(&line, i ? " " : "");
        promote_hide_word(i ? words[i - 1] : NULL, words[i], plan->secret_names, &line);
    }
    return json_text_or_null(buf_text(&line));
}

static json_t *diff_json(const struct promote_plan *plan, const struct promote_step *step)
{
    AUTO(buf_done) struct buf diff = BUF_INIT(RECORD_MAX);
    promote_step_add_diff(&diff, plan, step);
    return json_text_or_null(buf_text(&diff));
}

static json_t *file_json(const struct promote_bytes *bytes)
{
    char hex[DIGEST_HEX_SIZE];
    if (!bytes->there)
        return json_null();
    digest_bytes(bytes->data, bytes->len, hex);
    return json_pack("{s:s, s:i, s:I, s:I}", "digest", hex, "mode", (int)bytes->mode, "uid",
                     (json_int_t)bytes->uid, "gid", (json_int_t)bytes->gid);
}

static const char *service_name(const struct promote_plan *plan, int service)
{
    bool known = plan->study && service >= 0 && (size_t)service < plan->study->service_count;
    return known ? plan->study->services[service].name : NULL;
}

static json_t *step_json(const struct promote_plan *plan, const struct promote_step *step)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(kind_words[step->kind]));
    json_object_set_new(object, "service", json_text_or_null(service_name(plan, step->service)));
    json_object_set_new(object, "why", hidden_json(plan, step->why));
    if (step->kind == PROMOTE_FILE) {
        json_object_set_new(object, "path", json_text_or_null(step->path));
        json_object_set_new(object, "before", file_json(&step->before));
        json_object_set_new(object, "after", file_json(&step->after));
        json_object_set_new(object, "diff", diff_json(plan, step));
    }
    if (step->kind == PROMOTE_RESTART) {
        json_object_set_new(object, "unit", json_text_or_null(step->unit));
        json_object_set_new(object, "scope", json_string(host_scope_names[step->scope]));
        json_object_set_new(object, "was_up", json_boolean(step->was_up));
    }
    if (step->run) {
        json_object_set_new(object, "run", words_json(plan, step->run));
        json_object_set_new(object, "undo", words_json(plan, step->undo));
    }
    return object;
}

static json_t *plan_json(const struct promote_plan *plan)
{
    json_t *steps = json_array(), *metrics = json_array(), *differences = json_array();
    for (size_t i = 0; i < plan->step_count; i++)
        json_array_append_new(steps, step_json(plan, &plan->steps[i]));
    for (size_t i = 0; i < plan->expectation_count; i++) {
        const struct promote_expectation *e = &plan->expectations[i];
        json_array_append_new(
            metrics, json_pack("{s:o, s:o, s:o, s:o, s:o}", "metric", json_text_or_null(e->metric),
                               "now", json_real_or_null(e->now), "then", json_real_or_null(e->then),
                               "then_low", json_real_or_null(e->then_low), "then_high",
                               json_real_or_null(e->then_high)));
    }
    for (size_t i = 0; i < plan->difference_count; i++) {
        const struct promote_difference *d = &plan->differences[i];
        json_array_append_new(differences,
                              json_pack("{s:o, s:o, s:o, s:b}", "name", json_text_or_null(d->name),
                                        "measured", json_text_or_null(d->measured), "found",
                                        json_text_or_null(d->found), "accepted", d->accepted));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "id", plan->id, "winner",
                     hidden_json(plan, plan->winner_text), "steps", steps, "expected", metrics,
                     "differences", differences);
}

static json_t *checks_json(const struct promote_plan *plan, const struct promote_checks *checks)
{
    json_t *list = json_array();
    for (size_t i = 0; checks && i < checks->count; i++) {
        const struct promote_check *check = &checks->items[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:s, s:o}", "check", check_words[check->kind], "service",
                            json_text_or_null(service_name(plan, check->service)), "answer",
                            answer_words[check->answer], "text", hidden_json(plan, check->text)));
    }
    return list;
}

static bool write_record(const char *folder, const json_t *record, const char *stamp,
                         const char *id, struct err *err)
{
    AUTO(free) char *text = json_dumps(record, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    for (int i = 1; text && i <= TRIES; i++) {
        char name[128], more[16] = "";
        if (i > 1)
            snprintf(more, sizeof more, "-%d", i);
        snprintf(name, sizeof name, "%s-%s%s.json", stamp, id, more);
        AUTO(free) char *path = file_join(folder, name);
        if (!file_exists(path))
            return file_write_private(path, text, strlen(text), err);
    }
    return err_set(err, ERR_INTERNAL, "%s: %s", folder,
                   text ? "too many records of one moment" : "a record can't be written as JSON");
}

bool promote_audit_add(const char *folder, const struct promote_plan *plan,
                       const struct promote_checks *checks, const struct promote_result *result,
                       const char *user, struct err *err)
{
    AUTO(free) char *records = folder_of(folder);
    int64_t now_us = clock_now_wall_us();
    time_t now_s = (time_t)(now_us / 1000000);
    char second[32], stamp[48];
    struct tm utc;
    if (!gmtime_r(&now_s, &utc) || strftime(second, sizeof second, "%Y%m%dT%H%M%S", &utc) == 0)
        return err_set(err, ERR_INTERNAL, "the time is not one that can be written");
    snprintf(stamp, sizeof stamp, "%s.%06dZ", second, (int)(now_us % 1000000));
    AUTO_JSON json_t *record = json_pack(
        "{s:i, s:s, s:b, s:I, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "version", VERSION,
        "outcome", outcome_words[result->outcome], "verified", result->verified, "wall_us",
        (json_int_t)now_us, "when", stamp, "user", json_text_or_null(user), "approved",
        json_text_or_null(result->approved[0] ? result->approved : user), "begun_wall_us",
        (json_int_t)(result->since_wall_us ? result->since_wall_us : now_us), "why",
        hidden_json(plan, result->why[0] ? result->why : NULL), "downtime_s",
        json_real_or_null(result->downtime_s), "rollback_after_s",
        json_real_or_null(result->rollback_after_s), "plan", plan_json(plan), "checks",
        checks_json(plan, checks));
    if (!record)
        return err_set(err, ERR_INTERNAL, "the record of a promotion can't be made");
    return prepare(records, err) && write_record(records, record, stamp, plan->id, err);
}

static int is_record(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && text_ends_with(entry->d_name, ".json");
}

/* One that can't be read is named, and costs none of the others. */
static json_t *read_record(const char *path, const char *name)
{
    AUTO(buf_done) struct buf text = BUF_INIT(RECORD_MAX);
    struct err cause = ERR_INIT;
    json_t *record = NULL;
    if (buf_read_file(&text, path, &cause))
        record = json_loadb(buf_text(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(record)) {
        json_decref(record);
        record = json_pack("{s:s}", "outcome", "unreadable");
    }
    json_object_set_new(record, "file", json_text_or_null(name));
    return record;
}

bool promote_audit_last(const char *folder, struct arena *arena, const char **ret_name,
                        struct err *err)
{
    AUTO(free) char *records = folder_of(folder);
    struct dirent **names = NULL;
    int count = scandir(records, &names, is_record, alphasort);
    if (count < 0 && errno != ENOENT && errno != EACCES)
        return err_sys(err, "reading %s", records);
    *ret_name = count > 0                      ? arena_strdup(arena, names[count - 1]->d_name)
                : count < 0 && errno == EACCES ? "not readable by you"
                                               : NULL;
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return true;
}

bool promote_audit_read(const char *folder, json_t **ret_records, struct err *err)
{
    AUTO(free) char *records = folder_of(folder);
    struct dirent **names = NULL;
    int count = scandir(records, &names, is_record, alphasort);
    if (count < 0 && errno != ENOENT)
        return err_sys(err, "reading %s", records);
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        AUTO(free) char *path = file_join(records, names[i]->d_name);
        if (i >= count - RECORDS_MAX)
            json_array_append_new(list, read_record(path, names[i]->d_name));
        free(names[i]);
    }
    free(names);
    *ret_records = list;
    return true;
}
