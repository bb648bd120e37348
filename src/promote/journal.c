/* The journal of a promotion: JSON, so that a person can read what was there before.
 *
 * What is read back tells us which files to write and which commands to run, perhaps as root. So a
 * file that anybody else could have written is refused, and what it says is checked as if it came
 * from outside: sizes, kinds, absolute paths, names that can be a unit's. The folder it is in may
 * be the user's while we are root: that he can take the file away costs the undo, and that he can
 * put an older one of ours in its place is met by the undo itself, which never writes over a file
 * that it does not know.
 *
 * Bytes are text where they are clean UTF-8, else {"hex": "..."}. Rejected: base64 for all, which
 * nobody can read when it matters. */
#include "promote/journal.h"

#include "promote/safe_file.h"
#include "promote/surroundings.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum {
    VERSION = 1,
    FILE_MAX = 64 << 20,
    PATH_MAX_LEN = 4095,
    WORDS_MAX = 1 << 16,
    WORD_MAX = 1 << 17,
    TEXT_MAX = 4096,
};
static const int64_t WITHIN_MAX_NS = 7 * 24 * 3600 * NS_PER_S;

static const char unit_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789:-_.\\@";

static const char *const state_names[PROMOTE_STATE_COUNT_] = {
    [PROMOTE_APPLYING] = "applying", [PROMOTE_VERIFYING] = "verifying",
    [PROMOTE_DONE] = "done",         [PROMOTE_UNDOING] = "undoing",
    [PROMOTE_UNDONE] = "undone",     [PROMOTE_UNDO_FAILED] = "undo failed",
};

/* The file's own words: a file written by an older spica stays readable. */
static const char *const kind_words[PROMOTE_KIND_COUNT_] = {
    [PROMOTE_HOOK] = "hook",       [PROMOTE_FILE] = "file",       [PROMOTE_RELOAD] = "reload",
    [PROMOTE_RESTART] = "restart", [PROMOTE_COMPOSE] = "compose", [PROMOTE_COMMAND] = "command",
};

const char *promote_state_name(enum promote_state state)
{
    return state_names[state];
}

bool promote_journal_is_pending(const struct promote_journal *journal)
{
    return journal->state != PROMOTE_DONE && journal->state != PROMOTE_UNDONE;
}

void promote_journal_add_left(struct buf *buf, const struct promote_journal *journal)
{
    const struct promote_plan *plan = journal->plan;
    size_t told = 0;
    buf_addf(buf, "plan %s undone:", journal->plan_id);
    for (size_t i = 0; i < plan->step_count && i < journal->begun; i++) {
        const struct promote_step *step = &plan->steps[i];
        const char *what = step->kind == PROMOTE_FILE      ? step->path
                           : step->kind == PROMOTE_RESTART ? step->unit
                           : step->undo                    ? step->undo[0]
                                                           : NULL;
        if (what)
            buf_addf(buf, "%s %s %s", told++ ? "," : "", what,
                     step->kind == PROMOTE_FILE      ? "put back"
                     : step->kind == PROMOTE_RESTART ? "restarted"
                                                     : "run");
    }
}

char *promote_journal_path(const char *folder)
{
    AUTO(free) char *absolute = file_absolute(folder);
    size_t len = strlen(absolute);
    while (len > 1 && absolute[len - 1] == '/')
        len--;
    struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%.*s.promotion.json", (int)len, absolute);
    return buf_take(&path);
}

/* --- writing --- */

static bool is_clean(const char *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(data + at, len - at, &code);
        if (size == 0 || code == 0)
            return false;
        at += size;
    }
    return true;
}

static json_t *bytes_json(const char *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    if (!data)
        return json_null();
    if (is_clean(data, len))
        return json_stringn(data, len);
    AUTO(free) char *hex = malloc(2 * len + 1);
    if (!hex)
        abort();
    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[(unsigned char)data[i] >> 4];
        hex[2 * i + 1] = digits[(unsigned char)data[i] & 15];
    }
    json_t *object = json_object();
    json_object_set_new(object, "hex", json_stringn(hex, 2 * len));
    return object;
}

static json_t *text_json(const char *text)
{
    return bytes_json(text, text ? strlen(text) : 0);
}

static json_t *words_json(const char *const *words)
{
    if (!words)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; words[i]; i++)
        json_array_append_new(list, text_json(words[i]));
    return list;
}

static json_t *content_json(const struct promote_bytes *bytes)
{
    if (!bytes->there)
        return json_null();
    json_t *object = json_pack("{s:i, s:I, s:I}", "mode", (int)bytes->mode, "uid",
                               (json_int_t)bytes->uid, "gid", (json_int_t)bytes->gid);
    json_object_set_new(object, "data", bytes_json(bytes->data, bytes->len));
    return object;
}

static json_t *step_json(const struct promote_step *step)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(kind_words[step->kind]));
    json_object_set_new(object, "service", json_integer(step->service));
    json_object_set_new(object, "why", text_json(step->why));
    json_object_set_new(object, "scope", json_string(host_scope_names[step->scope]));
    json_object_set_new(object, "within_ns", json_integer(step->within_ns));
    if (step->kind == PROMOTE_FILE) {
        json_object_set_new(object, "path", text_json(step->path));
        json_object_set_new(object, "before", content_json(&step->before));
        json_object_set_new(object, "after", content_json(&step->after));
        json_object_set_new(object, "makes_folder", json_boolean(step->makes_folder));
    }
    if (step->kind == PROMOTE_RESTART) {
        json_object_set_new(object, "unit", text_json(step->unit));
        json_object_set_new(object, "was_up", json_boolean(step->was_up));
        json_object_set_new(object, "downtime_s", json_real_or_null(step->downtime_s));
        json_object_set_new(object, "dependents", text_json(step->dependents));
    }
    json_object_set_new(object, "port", json_integer(step->port));
    json_object_set_new(object, "ready_path", text_json(step->ready_path));
    if (step->tls.given)
        json_object_set_new(object, "tls",
                            json_pack("{s:o, s:o}", "ca", text_json(step->tls.ca), "name",
                                      text_json(step->tls.name)));
    json_object_set_new(object, "run", words_json(step->run));
    json_object_set_new(object, "undo", words_json(step->undo));
    return object;
}

static const char *run_folder(const struct promote_plan *plan)
{
    return plan->run_folder ? plan->run_folder : plan->study ? plan->study->folder : NULL;
}

/* What is run by the undo is what was approved. */
static json_t *reads_json(const struct promote_plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->witness_count; i++) {
        json_t *read = json_pack("{s:s}", "sha256", plan->witnesses[i].digest);
        json_object_set_new(read, "path", text_json(plan->witnesses[i].path));
        json_array_append_new(list, read);
    }
    return list;
}

static json_t *journal_json(const struct promote_journal *journal)
{
    const struct promote_plan *plan = journal->plan;
    json_t *steps = json_array();
    /* Nobody needs the files any more once all is undone, and there may be secrets in them. */
    const bool over = journal->state == PROMOTE_UNDONE;
    for (size_t i = 0; i < plan->step_count && !over; i++)
        json_array_append_new(steps, step_json(&plan->steps[i]));
    json_t *object = json_pack(
        "{s:i, s:s, s:s, s:I, s:b, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version",
        VERSION, "state", state_names[journal->state], "plan", journal->plan_id, "step",
        over ? (json_int_t)0 : (json_int_t)journal->step, "step_begun", journal->step_begun,
        "begun", over ? (json_int_t)0 : (json_int_t)journal->begun, "since_wall_us",
        (json_int_t)journal->since_wall_us, "user", text_json(journal->user), "why",
        text_json(journal->why), "winner", text_json(plan->winner_text), "run_folder",
        text_json(run_folder(plan)), "secret_names", words_json(plan->secret_names), "reads",
        over ? json_array() : reads_json(plan), "steps", steps);
    if (!object)
        abort();
    json_object_set_new(object, "environment", words_json(over ? NULL : plan->surroundings));
    return object;
}

/* As base/file.h's, but nobody else may read it at any moment, and a link is not followed. */
static bool write_private(const char *path, const char *data, size_t len, struct err *err)
{
    struct buf name = BUF_INIT(8192);
    buf_addf(&name, "%s.new", path);
    AUTO(free) char *temp = buf_take(&name);
    if (unlink(temp) != 0 && errno != ENOENT)
        return err_sys(err, "writing %s", path);
    AUTO(fd) int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, "writing %s", path);
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        data += n;
        len -= (size_t)n;
    }
    if (len > 0 || fsync(fd) != 0 || rename(temp, path) != 0) {
        err_sys(err, "writing %s", path);
        unlink(temp);
        return false;
    }
    AUTO(free) char *folder = file_folder(path);
    AUTO(fd) int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd >= 0 && fsync(folder_fd) != 0 && errno != EINVAL)
        return err_sys(err, "syncing the folder of %s", path);
    return true;
}

bool promote_journal_write(const char *path, const struct promote_journal *journal, struct err *err)
{
    AUTO_JSON json_t *object = journal_json(journal);
    AUTO(free) char *text = json_dumps(object, JSON_INDENT(1));
    if (!text)
        return err_set(err, ERR_INTERNAL, "%s: can't be written as JSON", path);
    if (strlen(text) > FILE_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d MiB of files in one promotion", path,
                       FILE_MAX >> 20);
    return write_private(path, text, strlen(text), err);
}

/* --- reading --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct arena *arena, const char *hex, size_t len, const char **ret_data,
                     size_t *ret_len)
{
    char *data = arena_alloc(arena, len / 2 + 1);
    if (len % 2 != 0)
        return false;
    for (size_t i = 0; i < len / 2; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        data[i] = (char)(high << 4 | low);
    }
    *ret_data = data;
    *ret_len = len / 2;
    return true;
}

/* At most `max` bytes; always followed by a NUL. */
static bool take_bytes(struct arena *arena, const json_t *value, size_t max, const char **ret_data,
                       size_t *ret_len)
{
    const json_t *hex = json_object_get(value, "hex");
    const json_t *text = hex ? hex : value;
    size_t len = json_string_length(text);
    if (!json_is_string(text) || len > (hex ? 2 * max : max))
        return false;
    if (hex)
        return take_hex(arena, json_string_value(text), len, ret_data, ret_len);
    char *copy = arena_alloc(arena, len + 1);
    memcpy(copy, json_string_value(text), len);
    *ret_data = copy;
    *ret_len = len;
    return true;
}

/* Without a NUL in it; null gives NULL. */
static bool take_text(struct arena *arena, const json_t *value, size_t max, const char **ret_text)
{
    size_t len = 0;
    if (!value || json_is_null(value)) {
        *ret_text = NULL;
        return true;
    }
    return take_bytes(arena, value, max, ret_text, &len) && strlen(*ret_text) == len;
}

static bool take_words(struct arena *arena, const json_t *value, const char *const **ret_words)
{
    *ret_words = NULL;
    if (!value || json_is_null(value))
        return true;
    size_t count = json_array_size(value);
    if (!json_is_array(value) || count > WORDS_MAX)
        return false;
    const char **words = arena_array(arena, count + 1, sizeof *words);
    for (size_t i = 0; i < count; i++)
        if (!take_text(arena, json_array_get(value, i), WORD_MAX, &words[i]) || !words[i])
            return false;
    *ret_words = words;
    return true;
}

static bool take_argv(struct arena *arena, const json_t *value, const char *const **ret_argv)
{
    return take_words(arena, value, ret_argv) && (!*ret_argv || ((*ret_argv)[0] && **ret_argv[0]));
}

static bool take_id(const json_t *object, const char *key, uint32_t *ret_id)
{
    int64_t id = json_get_int(object, key, -1);
    *ret_id = (uint32_t)id;
    return id >= 0 && id < UINT32_MAX;
}

static bool take_content(struct arena *arena, const json_t *value, struct promote_bytes *bytes)
{
    if (json_is_null(value))
        return true;
    int64_t mode = json_get_int(value, "mode", -1);
    bytes->there = true;
    bytes->mode = (mode_t)mode;
    return mode >= 0 && mode <= 07777 && take_id(value, "uid", &bytes->uid) &&
           take_id(value, "gid", &bytes->gid) &&
           take_bytes(arena, json_object_get(value, "data"), PROMOTE_FILE_MAX, &bytes->data,
                      &bytes->len);
}

static bool take_file(struct arena *arena, const json_t *object, struct promote_step *step)
{
    const json_t *makes = json_object_get(object, "makes_folder");
    step->makes_folder = json_is_true(makes);
    return json_is_boolean(makes) &&
           take_text(arena, json_object_get(object, "path"), PATH_MAX_LEN, &step->path) &&
           step->path && step->path[0] == '/' &&
           take_content(arena, json_object_get(object, "before"), &step->before) &&
           take_content(arena, json_object_get(object, "after"), &step->after);
}

/* "a.service, b.service"; a journal of before they were looked after has none. */
static bool take_dependents(struct arena *arena, const json_t *object, struct promote_step *step)
{
    const json_t *value = json_object_get(object, "dependents");
    if (!take_text(arena, value, WORD_MAX, &step->dependents))
        return false;
    for (const char *at = step->dependents; at && *at;) {
        size_t len = strspn(at, unit_characters);
        if (len == 0 || len >= HOST_NAME_SIZE || *at == '-' || (at[len] && at[len] != ','))
            return false;
        at += len + strspn(at + len, ", ");
    }
    return true;
}

static bool take_restart(struct arena *arena, const json_t *object, struct promote_step *step)
{
    const json_t *was_up = json_object_get(object, "was_up");
    step->was_up = json_is_true(was_up);
    step->downtime_s = json_get_real(object, "downtime_s");
    return json_is_boolean(was_up) &&
           take_text(arena, json_object_get(object, "unit"), HOST_NAME_SIZE - 1, &step->unit) &&
           step->unit && step->unit[0] && step->unit[0] != '-' &&
           step->unit[strspn(step->unit, unit_characters)] == '\0' &&
           take_dependents(arena, object, step);
}

/* A journal of before it was known has none. */
static bool take_tls(struct arena *arena, const json_t *tls, struct spec_tls *ret_tls)
{
    if (!tls)
        return true;
    ret_tls->given = true;
    return take_text(arena, json_object_get(tls, "ca"), PATH_MAX_LEN, &ret_tls->ca) &&
           (!ret_tls->ca || ret_tls->ca[0] == '/') &&
           take_text(arena, json_object_get(tls, "name"), SPEC_HOST_MAX, &ret_tls->name) &&
           ret_tls->name && spec_is_host(ret_tls->name);
}

static bool take_port(struct arena *arena, const json_t *object, struct promote_step *step)
{
    int64_t port = json_get_int(object, "port", -1);
    step->port = (int)port;
    return port >= 0 && port <= 65535 &&
           take_text(arena, json_object_get(object, "ready_path"), TEXT_MAX, &step->ready_path) &&
           (!step->ready_path || step->ready_path[0] == '/') &&
           take_tls(arena, json_object_get(object, "tls"), &step->tls);
}

static int index_of(const json_t *object, const char *key, const char *const *words, int count)
{
    const char *word = json_get_text(object, key);
    return word ? text_index(words, count, word) : -1;
}

static bool take_step(struct arena *arena, const json_t *object, struct promote_step *step)
{
    int kind = index_of(object, "kind", kind_words, PROMOTE_KIND_COUNT_);
    int scope = index_of(object, "scope", host_scope_names, HOST_SCOPE_COUNT_);
    int64_t service = json_get_int(object, "service", -2);
    if (kind < 0 || scope < 0 || service < -1 || service >= SPEC_SERVICES_MAX)
        return false;
    step->kind = (enum promote_kind)kind;
    step->scope = (enum host_scope)scope;
    step->service = (int)service;
    step->within_ns = json_get_int(object, "within_ns", -1);
    if (step->within_ns < 0 || step->within_ns > WITHIN_MAX_NS ||
        !take_text(arena, json_object_get(object, "why"), TEXT_MAX, &step->why) ||
        !take_argv(arena, json_object_get(object, "run"), &step->run) ||
        !take_argv(arena, json_object_get(object, "undo"), &step->undo) ||
        !take_port(arena, object, step))
        return false;
    if (step->kind == PROMOTE_FILE)
        return take_file(arena, object, step);
    if (step->kind == PROMOTE_RESTART)
        return take_restart(arena, object, step);
    return step->kind == PROMOTE_RELOAD || step->run;
}

/* None: of an older spica, which did not write them. */
static bool take_reads(const json_t *list, struct promote_plan *plan)
{
    size_t count = json_array_size(list);
    if (!list || json_is_null(list))
        return true;
    if (!json_is_array(list) || count > WORDS_MAX)
        return false;
    plan->witnesses = arena_array(plan->arena, count, sizeof *plan->witnesses);
    for (size_t i = 0; i < count; i++) {
        const json_t *read = json_array_get(list, i);
        struct promote_witness *witness = &plan->witnesses[plan->witness_count++];
        const char *hex = json_get_text(read, "sha256");
        if (!take_text(plan->arena, json_object_get(read, "path"), PATH_MAX_LEN, &witness->path) ||
            !witness->path || !hex || strlen(hex) >= DIGEST_HEX_SIZE)
            return false;
        snprintf(witness->digest, sizeof witness->digest, "%s", hex);
    }
    return true;
}

static bool take_plan(const json_t *object, struct promote_plan *plan)
{
    const json_t *steps = json_object_get(object, "steps");
    struct arena *arena = plan->arena;
    plan->memory_before_bytes = plan->memory_after_bytes = NAN;
    if (!json_is_array(steps) || json_array_size(steps) > PROMOTE_STEPS_MAX ||
        !take_text(arena, json_object_get(object, "winner"), WORD_MAX, &plan->winner_text) ||
        !take_words(arena, json_object_get(object, "secret_names"), &plan->secret_names) ||
        !take_text(arena, json_object_get(object, "run_folder"), PATH_MAX_LEN, &plan->run_folder) ||
        (plan->run_folder && plan->run_folder[0] != '/') ||
        !take_words(arena, json_object_get(object, "environment"), &plan->surroundings) ||
        !promote_surroundings_are(plan->surroundings) ||
        !take_reads(json_object_get(object, "reads"), plan))
        return false;
    plan->steps = arena_array(arena, PROMOTE_STEPS_MAX, sizeof *plan->steps);
    for (; plan->step_count < json_array_size(steps); plan->step_count++)
        if (!take_step(arena, json_array_get(steps, plan->step_count),
                       &plan->steps[plan->step_count]))
            return false;
    return true;
}

static bool take_journal(const json_t *object, struct promote_journal *journal)
{
    struct promote_plan *plan = journal->plan;
    int state = index_of(object, "state", state_names, PROMOTE_STATE_COUNT_);
    const char *id = json_get_text(object, "plan");
    const json_t *begun = json_object_get(object, "step_begun");
    int64_t step = json_get_int(object, "step", -1), all = 0;
    if (json_get_int(object, "version", 0) != VERSION || state < 0 || !id || strlen(id) != 16 ||
        id[strspn(id, "0123456789abcdef")] || !json_is_boolean(begun) || step < 0 ||
        !take_text(plan->arena, json_object_get(object, "user"), TEXT_MAX, &journal->user) ||
        !take_text(plan->arena, json_object_get(object, "why"), TEXT_MAX, &journal->why) ||
        !take_plan(object, plan))
        return false;
    journal->state = (enum promote_state)state;
    journal->step = (size_t)step;
    journal->step_begun = json_is_true(begun);
    all = json_get_int(object, "begun", (int64_t)plan->step_count); /* not known: take all */
    journal->begun = (size_t)all;
    journal->since_wall_us = json_get_int(object, "since_wall_us", 0);
    snprintf(journal->plan_id, sizeof journal->plan_id, "%s", id);
    snprintf(plan->id, sizeof plan->id, "%s", id);
    return journal->step + journal->step_begun <= plan->step_count && all >= 0 &&
           journal->begun <= plan->step_count;
}

/* *ret_found false: no such file. */
static bool read_private(const char *path, struct buf *text, bool *ret_found, struct err *err)
{
    struct stat st;
    AUTO(fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    *ret_found = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 && errno == ELOOP)
        return err_set(err, ERR_INPUT, "%s: is a symlink, which is not followed", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, "reading %s", path);
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
        (st.st_uid != 0 && st.st_uid != geteuid()))
        return err_set(err, ERR_INPUT,
                       "%s: not believed: somebody else owns it, may write it, or has linked it",
                       path);
    for (ssize_t n = 1; n != 0;) {
        char part[1 << 14];
        n = read(fd, part, sizeof part);
        if (n < 0 && errno != EINTR)
            return err_sys(err, "reading %s", path);
        if (n > 0 && !buf_append(text, part, (size_t)n))
            return err_set(err, ERR_INPUT, "%s: too large for a journal", path);
    }
    return true;
}

struct promote_journal *promote_journal_free(struct promote_journal *journal)
{
    if (journal) {
        arena_free(journal->plan->arena); /* the plan and all texts are in it */
        free(journal);
    }
    return NULL;
}

static struct promote_journal *journal_new(void)
{
    struct promote_journal *journal = calloc(1, sizeof *journal);
    struct arena *arena = arena_new();
    if (!journal)
        abort();
    journal->plan = arena_alloc(arena, sizeof *journal->plan);
    journal->plan->arena = arena;
    return journal;
}

bool promote_journal_check(const struct promote_journal *journal, struct err *err)
{
    AUTO_JSON json_t *object = journal_json(journal);
    AUTO(promote_journal_free) struct promote_journal *read = journal_new();
    return take_journal(object, read) ||
           err_set(err, ERR_LIMIT,
                   "its journal could not be read back: too many words, or too long ones");
}

bool promote_journal_read(const char *path, struct promote_journal **ret_journal, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    bool found = false;
    if (!read_private(path, &text, &found, err))
        return false;
    if (!found) {
        *ret_journal = NULL;
        return true;
    }
    AUTO(promote_journal_free) struct promote_journal *journal = journal_new();
    AUTO_JSON json_t *object = json_loadb(buf_text(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
    if (!object || !take_journal(object, journal))
        return err_set(err, ERR_INPUT,
                       "%s: not a journal of a promotion that this spica can read; put back by "
                       "hand what it names, then remove it",
                       path);
    *ret_journal = TAKE(journal);
    return true;
}
