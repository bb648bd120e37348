/* The actor's memory.
 *
 * The judge counts limits too, and forgets them when guard is restarted: by its watchdog, by an
 * update, or because the machine is as sick as its services. Two restarts an hour must not become
 * two for each life of guard. Rejected: rows in study.db, which a study may be writing, or which
 * may not be there.
 *
 * Ages are by the steady clock of one boot. After a reboot only the wall clock is left, which may
 * have been set back: an age is then 0, which withholds rather than allows.
 *
 * A file that is damaged (a disk, an editor) must not keep guard down for good: it is put aside,
 * and since nobody knows what it held, an hour passes before anything that it limits is done.
 *
 * Invariant: what stands in the file was checked when it is read. */
#include "guard/act_kept.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "host/journal.h"

#include <errno.h>
#include <string.h>

enum { VERSION = 1, FILE_MAX = 1 << 18 };
static const int64_t HOUR_NS = 3600 * NS_PER_S;

int64_t guard_act_age_ns(const struct guard_kept *kept, const struct guard_act *act, int64_t now_ns,
                         int64_t wall_us)
{
    bool same = strcmp(act->boot, kept->boot) == 0;
    int64_t age_ns = 0;
    if (same)
        age_ns = now_ns - act->mono_ns;
    else if (act->wall_us < wall_us)
        age_ns = wall_us - act->wall_us > HOUR_NS / NS_PER_US
                     ? HOUR_NS + 1
                     : (wall_us - act->wall_us) * NS_PER_US;
    return age_ns < 0 ? 0 : age_ns;
}

struct guard_act *guard_kept_add(struct guard_kept *kept, enum spec_action action,
                                 const char *service, int64_t now_ns, int64_t wall_us)
{
    size_t left = 0;
    for (size_t i = 0; i < kept->count; i++)
        if (guard_act_age_ns(kept, &kept->acts[i], now_ns, wall_us) <= HOUR_NS)
            kept->acts[left++] = kept->acts[i];
    if (left == GUARD_KEPT_MAX)
        memmove(kept->acts, kept->acts + 1, --left * sizeof *kept->acts);
    kept->count = left + 1;
    struct guard_act *act = &kept->acts[left];
    *act = (struct guard_act){.action = action, .mono_ns = now_ns, .wall_us = wall_us};
    snprintf(act->service, sizeof act->service, "%s", service);
    snprintf(act->boot, sizeof act->boot, "%s", kept->boot);
    return act;
}

void guard_kept_remove(struct guard_kept *kept, struct guard_act *act)
{
    const size_t at = (size_t)(act - kept->acts);
    memmove(act, act + 1, (--kept->count - at) * sizeof *act);
}

void guard_kept_add_unknown(struct guard_kept *kept, enum spec_action action, int64_t now_ns,
                            int64_t wall_us)
{
    struct guard_act *act = guard_kept_add(kept, action, "", now_ns, wall_us);
    act->ended = act->unknown = true;
}

/* ---- limits ---- */

bool guard_kept_may(const struct guard_kept *kept, const struct spec_guard_limit *limit,
                    enum spec_action action, const char *service, int64_t now_ns, int64_t wall_us,
                    char *why, size_t size)
{
    int of_action = 0, of_service = 0;
    int64_t youngest_ns = HOUR_NS;
    for (size_t i = 0; i < kept->count; i++) {
        const struct guard_act *act = &kept->acts[i];
        int64_t age_ns = guard_act_age_ns(kept, act, now_ns, wall_us);
        if (act->action != action || age_ns > HOUR_NS)
            continue;
        if (act->unknown) {
            snprintf(why, size, "how often in the last hour is not known (a file was damaged)");
            return false;
        }
        of_action++;
        if (strcmp(act->service, service) == 0) {
            of_service++;
            youngest_ns = age_ns < youngest_ns ? age_ns : youngest_ns;
        }
    }
    if (!limit->allowed || of_action >= limit->per_hour) {
        snprintf(why, size,
                 limit->allowed ? "%d in the last hour, at most %d" : "not named under act:",
                 of_action, limit->per_hour);
        return false;
    }
    int64_t wait_ns = of_service > 0 ? limit->back_off_ns : 0;
    for (int i = 1; i < of_service && wait_ns < HOUR_NS; i++)
        wait_ns *= 2;
    wait_ns = wait_ns > HOUR_NS ? HOUR_NS : wait_ns;
    if (youngest_ns >= wait_ns)
        return true;
    snprintf(why, size, "backs off for %lld s more",
             (long long)((wait_ns - youngest_ns) / NS_PER_S));
    return false;
}

/* ---- the file ---- */

bool guard_kept_write(const struct guard_kept *kept, struct err *err)
{
    AUTO_JSON json_t *object = json_object();
    json_t *list = json_array();
    json_object_set_new(object, "format", json_string("spica guard acts"));
    json_object_set_new(object, "version", json_integer(VERSION));
    json_object_set_new(object, "acts", list);
    for (size_t i = 0; i < kept->count; i++) {
        const struct guard_act *act = &kept->acts[i];
        json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:b, s:s, s:I, s:I}", "action",
                                              spec_action_names[act->action], "service",
                                              json_text_or_null(act->service), "ended", act->ended,
                                              "unknown", act->unknown, "boot", act->boot, "mono_ns",
                                              (json_int_t)act->mono_ns, "wall_us",
                                              (json_int_t)act->wall_us));
    }
    AUTO(free) char *text = json_dump_text(object);
    return file_write_private(kept->path, text, strlen(text), err) ||
           err_wrap(err, "noting what guard does");
}

static bool read_act(const json_t *row, struct guard_act *ret_act)
{
    const char *action = json_get_text(row, "action"), *service = json_get_text(row, "service");
    const char *boot = json_get_text(row, "boot");
    const json_t *ended = json_object_get(row, "ended");
    int index = action ? text_index(spec_action_names, ACTION_COUNT_, action) : -1;
    struct guard_act act = {.mono_ns = json_get_int(row, "mono_ns", -1),
                            .wall_us = json_get_int(row, "wall_us", -1),
                            .ended = json_is_true(ended),
                            .unknown = json_is_true(json_object_get(row, "unknown"))};
    if (index < 0 || !service || !boot || !json_is_boolean(ended) || act.mono_ns < 0 ||
        act.wall_us < 0 || strlen(service) >= sizeof act.service || strlen(boot) >= sizeof act.boot)
        return false;
    act.action = (enum spec_action)index;
    snprintf(act.service, sizeof act.service, "%s", service);
    snprintf(act.boot, sizeof act.boot, "%s", boot);
    *ret_act = act;
    return true;
}

static bool read_acts(const json_t *object, struct guard_kept *kept)
{
    const json_t *list = json_object_get(object, "acts");
    bool good = json_get_int(object, "version", 0) == VERSION && json_is_array(list) &&
                json_array_size(list) <= GUARD_KEPT_MAX;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = read_act(json_array_get(list, i), &kept->acts[kept->count++]);
    return good;
}

/* False with ERR_INPUT or ERR_LIMIT: there is a file, and it is damaged. */
static bool read_file(struct guard_kept *kept, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct err cause = ERR_INIT;
    if (!buf_read_file(&text, kept->path, &cause))
        return cause.code == ERR_MISSING || err_set(err, cause.code, "%s", cause.text);
    AUTO_JSON json_t *object = json_loadb(buf_text(&text), text.len, 0, NULL);
    return read_acts(object, kept) ||
           err_set(err, ERR_INPUT, "%s: not what guard writes", kept->path);
}

void guard_kept_put_aside(const char *path, char *said, size_t size)
{
    AUTO(buf_done) struct buf aside = BUF_INIT(8192);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    buf_addf(&aside, "%s.bad", path);
    if (rename(path, buf_text(&aside)) == 0)
        snprintf(said, size, "%.70s was damaged and is put aside as %.70s.bad", name, name);
    else
        snprintf(said, size, "%.100s is damaged, and could not be put aside: %.60s", name,
                 strerror(errno));
}

/* So that a guard which is restarted meanwhile withholds it too, it is noted at once. */
static void begin_anew(struct guard_kept *kept, char *said, size_t size)
{
    static const enum spec_action withheld[] = {ACTION_RESTART, ACTION_ROLLBACK, ACTION_RESTUDY};
    struct err ignored = ERR_INIT;
    char aside[190];
    guard_kept_put_aside(kept->path, aside, sizeof aside);
    snprintf(said, size, "%s; nothing that it limits is done for an hour", aside);
    kept->count = 0;
    for (size_t i = 0; i < ARRAY_LEN(withheld); i++)
        guard_kept_add_unknown(kept, withheld[i], clock_now_ns(), clock_now_wall_us());
    (void)!guard_kept_write(kept, &ignored); /* the next action says so */
}

bool guard_kept_open(const char *folder, struct guard_kept *ret_kept, char *said, size_t size,
                     struct err *err)
{
    struct host_process self;
    struct err cause = ERR_INIT;
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    AUTO(free) struct guard_kept *kept = calloc(1, sizeof *kept);
    if (!kept)
        abort();
    if (!host_process_read(getpid(), &self))
        return err_set(err, ERR_INTERNAL, "reading who we are from /proc");
    snprintf(kept->boot, sizeof kept->boot, "%s", self.boot_id);
    buf_addf(&path, "%s.guard-acts.json", folder);
    kept->path = buf_take(&path);
    said[0] = '\0';
    if (!read_file(kept, &cause)) {
        if (cause.code != ERR_INPUT && cause.code != ERR_LIMIT) {
            guard_kept_done(kept);
            return err_set(err, cause.code, "%s", cause.text);
        }
        begin_anew(kept, said, size);
    }
    *ret_kept = *kept;
    return true;
}

void guard_kept_done(struct guard_kept *kept)
{
    if (kept) {
        free(kept->path);
        kept->path = NULL;
    }
}
