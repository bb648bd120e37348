/* The journal of a pause.
 *
 * A process is named by pid, start and boot: a pid alone may be anybody's by the time that the file
 * is read, and after a reboot all of them are. Rejected: rows in study.db; the restorer may run
 * when the disk is full or the database is being moved away, and a file that a person can read says
 * what to do even without spica.
 *
 * Invariant: what the file names was checked when it is read; a name that is no unit's never gets
 * to systemd. */
#include "host/journal.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "device/proc.h"

#include <string.h>

enum { VERSION = 1, FILE_MAX = 1 << 16 };

static const char unit_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789:-_.\\@";
static const char boot_path[] = "/proc/sys/kernel/random/boot_id";

bool host_process_read(pid_t pid, struct host_process *ret_process)
{
    struct proc_stat stat;
    AUTO(buf_done) struct buf boot = BUF_INIT(64);
    struct err ignored = ERR_INIT;
    if (!proc_read_stat("/proc", pid, &stat) || stat.state == 'Z' ||
        !buf_read_file(&boot, boot_path, &ignored))
        return false;
    struct host_process process = {.pid = pid, .start_ticks = stat.start_ticks};
    snprintf(process.boot_id, sizeof process.boot_id, "%.*s", (int)strcspn(buf_text(&boot), "\n"),
             buf_text(&boot));
    *ret_process = process;
    return true;
}

bool host_process_same(const struct host_process *a, const struct host_process *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks &&
           strcmp(a->boot_id, b->boot_id) == 0;
}

bool host_process_alive(const struct host_process *process)
{
    struct host_process now;
    return host_process_read(process->pid, &now) && host_process_same(process, &now);
}

char *host_journal_path(const char *folder)
{
    AUTO(free) char *absolute = file_absolute(folder);
    size_t len = strlen(absolute);
    while (len > 1 && absolute[len - 1] == '/')
        len--;
    struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%.*s.paused.json", (int)len, absolute);
    return buf_take(&path);
}

static json_t *units_json(const struct host_journal *journal)
{
    json_t *list = json_array();
    for (size_t i = 0; i < journal->count; i++) {
        const struct host_journal_unit *unit = &journal->units[i];
        json_array_append_new(list, json_pack("{s:s, s:b, s:I}", "name", unit->name, "was_up",
                                              unit->was_up, "start_within_ns",
                                              (json_int_t)unit->start_within_ns));
    }
    return list;
}

bool host_journal_write(const char *path, const struct host_journal *journal, struct err *err)
{
    AUTO_JSON json_t *object = json_pack(
        "{s:i, s:b, s:s, s:o, s:o, s:{s:I, s:I, s:s}, s:I, s:o}", "version", VERSION, "done",
        journal->done, "scope", host_scope_names[journal->scope], "study",
        json_text_or_null(journal->study), "folder", json_text_or_null(journal->folder), "owner",
        "pid", (json_int_t)journal->owner.pid, "start_ticks",
        (json_int_t)journal->owner.start_ticks, "boot_id", journal->owner.boot_id, "since_wall_us",
        (json_int_t)journal->since_wall_us, "units", units_json(journal));
    if (!object)
        abort();
    return json_write_file(object, path, err);
}

/* False when the member is no text, or longer than its place. */
static bool take_text(const json_t *object, const char *key, char *to, size_t size)
{
    const char *text = json_get_text(object, key);
    if (!text || strlen(text) >= size)
        return false;
    snprintf(to, size, "%s", text);
    return true;
}

static bool take_unit(const json_t *object, struct host_journal_unit *unit)
{
    const json_t *was_up = json_object_get(object, "was_up");
    if (!take_text(object, "name", unit->name, sizeof unit->name) || !json_is_boolean(was_up))
        return false;
    unit->was_up = json_is_true(was_up);
    unit->start_within_ns = json_get_int(object, "start_within_ns", 0);
    return unit->name[0] && unit->name[0] != '-' && unit->start_within_ns > 0 &&
           unit->name[strspn(unit->name, unit_characters)] == '\0';
}

static bool take_owner(const json_t *object, struct host_process *owner)
{
    int64_t pid = json_get_int(object, "pid", 0);
    owner->pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
    owner->start_ticks = json_get_int(object, "start_ticks", -1);
    return owner->pid > 0 && owner->start_ticks >= 0 &&
           take_text(object, "boot_id", owner->boot_id, sizeof owner->boot_id);
}

static bool take_journal(const json_t *object, struct host_journal *journal)
{
    const json_t *units = json_object_get(object, "units");
    int scope = text_index(host_scope_names, HOST_SCOPE_COUNT_,
                           json_get_text(object, "scope") ? json_get_text(object, "scope") : "");
    if (json_get_int(object, "version", 0) != VERSION || scope < 0 || !json_is_array(units) ||
        json_array_size(units) > HOST_UNITS_MAX ||
        !json_is_boolean(json_object_get(object, "done")) ||
        !take_text(object, "study", journal->study, sizeof journal->study) ||
        !take_text(object, "folder", journal->folder, sizeof journal->folder) ||
        !take_owner(json_object_get(object, "owner"), &journal->owner))
        return false;
    journal->done = json_is_true(json_object_get(object, "done"));
    journal->scope = (enum host_scope)scope;
    journal->since_wall_us = json_get_int(object, "since_wall_us", 0);
    for (; journal->count < json_array_size(units); journal->count++)
        if (!take_unit(json_array_get(units, journal->count), &journal->units[journal->count]))
            return false;
    return true;
}

bool host_journal_read(const char *path, bool *ret_found, struct host_journal *ret_journal,
                       struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct err cause = ERR_INIT;
    if (!buf_read_file(&text, path, &cause)) {
        if (cause.code == ERR_MISSING) {
            *ret_found = false;
            return true;
        }
        return err_set(err, cause.code == ERR_LIMIT ? ERR_INPUT : cause.code, "%s", cause.text);
    }
    struct host_journal journal = {0};
    AUTO_JSON json_t *object = json_loadb(buf_text(&text), text.len, 0, NULL);
    if (!object || !take_journal(object, &journal))
        return err_set(err, ERR_INPUT,
                       "%s: not a journal of paused units that this spica can read; start again "
                       "what it names, then remove it",
                       path);
    *ret_found = true;
    *ret_journal = journal;
    return true;
}
