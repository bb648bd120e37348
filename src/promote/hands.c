/* The real hands: files by promote/safe_file.h, units by systemd over D-Bus, one connection for
 * each operation (host/manager.h says why).
 *
 * Ready means that the port answers, since a service of Type=simple is "started" for systemd long
 * before its model is loaded; the next service may need the memory that this one takes while it
 * loads. While we wait, a unit that ends is seen within the second: Restart= would hide it from us
 * otherwise, over and over. */
#include "promote/hands.h"

#include "promote/edited.h"
#include "promote/program.h"
#include "promote/run.h"
#include "promote/safe_file.h"
#include "promote/target.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "host/config.h"
#include "host/unit.h"
#include "load/worker.h"

#include <string.h>
#include <time.h>

static const int64_t WITHIN_DEFAULT_NS = 300 * NS_PER_S, COMMAND_WITHIN_NS = 600 * NS_PER_S,
                     ASK_WITHIN_NS = NS_PER_S, LOOK_EVERY_NS = 20 * NS_PER_MS,
                     STATE_EVERY_NS = 500 * NS_PER_MS;

static bool file_is(void *context, const struct promote_step *step,
                    const struct promote_bytes *bytes)
{
    (void)context;
    return promote_file_is(step->path, bytes);
}

static bool file_put(void *context, const struct promote_step *step,
                     const struct promote_bytes *bytes, struct err *err)
{
    (void)context;
    const char *slash = strrchr(step->path, '/');
    /* A drop-in's folder may have been taken away since: it holds nothing but what was put there.
     */
    bool makes = step->makes_folder || (slash && strcmp(slash + 1, PROMOTE_DROP_IN) == 0);
    if (bytes->there && makes && !promote_folder_make(step->path, err))
        return false;
    if (!promote_file_put(step->path, bytes, err))
        return false;
    return bytes->there || !step->makes_folder || promote_folder_drop(step->path, err);
}

static bool may(void *context, const struct promote_step *step, struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    (void)context;
    if (step->kind == PROMOTE_FILE)
        return promote_file_may_put(step->path, step->makes_folder, &step->after, err);
    if (step->kind != PROMOTE_RELOAD && (step->kind != PROMOTE_RESTART || !step->was_up))
        return true;
    if (!host_manager_open(step->scope, &manager, err))
        return false;
    return step->kind == PROMOTE_RELOAD ? host_manager_may_reload(manager, step->scope, err)
                                        : host_manager_may_restart(manager, step->unit, err);
}

static bool reload(void *context, enum host_scope scope, struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    (void)context;
    return host_manager_open(scope, &manager, err) && host_manager_reload(manager, err);
}

static bool read_config(const struct promote_step *step, struct arena *arena,
                        struct host_config *ret_config, struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    return host_manager_open(step->scope, &manager, err) &&
           host_config_read(manager, arena, step->unit, ret_config, err);
}

/* One that came since the plan was made was shown to nobody. */
static bool check_drop_ins(const struct promote_step *step, const struct host_config *config,
                           struct err *err)
{
    for (size_t i = 0; step->drop_ins && config->drop_ins && config->drop_ins[i]; i++) {
        size_t k = 0;
        while (step->drop_ins[k] && strcmp(step->drop_ins[k], config->drop_ins[i]) != 0)
            k++;
        if (!step->drop_ins[k])
            return err_set(err, ERR_PROBLEM,
                           "%s: systemd has read %s, which it had not when the plan was made",
                           step->unit, config->drop_ins[i]);
    }
    return true;
}

static bool unit_check(void *context, const struct promote_step *step, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct host_config config;
    (void)context;
    return read_config(step, arena, &config, err) && check_drop_ins(step, &config, err) &&
           host_config_check(&config, step->environment, step->exec, err);
}

/* The manager stays open for the caller, who closes it. */
static bool open_unit(const struct promote_step *step, struct host_manager **ret_manager,
                      struct host_unit *ret_unit, struct err *err)
{
    return host_manager_open(step->scope, ret_manager, err) &&
           host_unit_read(*ret_manager, step->unit, ret_unit, err);
}

static bool unit_is_up(void *context, const struct promote_step *step, bool *ret_up,
                       struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    struct host_unit unit;
    (void)context;
    if (!open_unit(step, &manager, &unit, err))
        return false;
    if (!unit.found)
        return err_set(err, ERR_DECLINED, "%s is gone: nothing was touched; make a new plan",
                       step->unit);
    *ret_up = unit.up;
    return true;
}

/* One that can't be asked is taken for younger: a restart too many does no harm. */
static bool unit_is_younger(void *context, const struct promote_step *step, int64_t wall_us)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct host_config config;
    struct err ignored = ERR_INIT;
    (void)context;
    return !read_config(step, arena, &config, &ignored) || config.started_wall_us >= wall_us;
}

/* --- restart --- */

/* False when it will not become ready any more. */
static bool still_starting(const struct promote_step *step, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct host_config config;
    if (!read_config(step, arena, &config, err))
        return false;
    if (!config.found)
        return err_set(err, ERR_PROBLEM, "%s is gone", step->unit);
    if (config.restarts > 0)
        return err_set(err, ERR_PROBLEM, "%s ended after its start, and systemd has restarted it",
                       step->unit);
    bool ended = strcmp(config.active, "failed") == 0 || strcmp(config.active, "inactive") == 0 ||
                 strcmp(config.sub, "auto-restart") == 0;
    return !ended ||
           err_set(err, ERR_PROBLEM, "%s ended after its start (%s, %s, %s%s)", step->unit,
                   config.active, config.sub, config.result, host_result_words(config.result));
}

static bool wait_ready(const struct promote_step *step, int64_t end_ns, enum host_heed heed,
                       struct err *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
    int64_t state_due_ns = 0;
    const struct load_site site = {step->port, &step->tls};
    for (;;) {
        struct load_look look;
        load_http_get(&site, step->ready_path, ASK_WITHIN_NS, &look);
        if (look.status == 200)
            return true;
        if (look.untrusted) /* a certificate does not change while one waits */
            return err_set(err, ERR_PROBLEM, "%s: no secure connection on port %d: %s", step->unit,
                           step->port, look.why);
        int64_t now_ns = clock_now_ns();
        if (heed == HOST_HEED_CANCEL && cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while waiting for %s", step->unit);
        if (now_ns >= end_ns)
            return err_set(err, ERR_PROBLEM, "%s was not ready in time (port %d: %s)", step->unit,
                           step->port, look.why);
        if (now_ns >= state_due_ns) {
            state_due_ns = now_ns + STATE_EVERY_NS;
            if (!still_starting(step, err))
                return false;
        }
        nanosleep(&pause, NULL);
    }
}

static bool unit_restart(void *context, const struct promote_step *step, enum host_heed heed,
                         struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    int64_t within_ns = step->within_ns > 0 ? step->within_ns : WITHIN_DEFAULT_NS;
    int64_t end_ns = clock_now_ns() + within_ns;
    (void)context;
    if (!host_manager_open(step->scope, &manager, err))
        return false;
    host_manager_forgive(manager, step->unit);
    if (!host_manager_job(manager, HOST_RESTART, step->unit, within_ns, heed, err))
        return false;
    manager = host_manager_close(manager);
    return step->port == 0 ? still_starting(step, err) : wait_ready(step, end_ns, heed, err);
}

static const char *unit_edited(void *context, const struct promote_step *step,
                               const char *const *except, struct arena *arena)
{
    struct host_config config;
    struct err err = ERR_INIT;
    (void)context;
    if (!read_config(step, arena, &config, &err))
        return arena_printf(arena, "systemd could not be asked of %s: %s", step->unit, err.text);
    return promote_unit_edited(&config, except, arena);
}

/* By the verb of all our jobs, which a rule for polkit names; of one that is down it is a start. A
 * restart of it that systemd has not come to yet and ours are one job. */
static bool unit_raise(void *context, const struct promote_step *step, enum host_heed heed,
                       struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    struct host_unit unit;
    (void)context;
    if (!open_unit(step, &manager, &unit, err))
        return false;
    if (!unit.found)
        return err_set(err, ERR_PROBLEM, "%s, which hangs on it, is gone", step->unit);
    if (unit.up)
        return true;
    host_manager_forgive(manager, step->unit);
    return host_manager_job(manager, HOST_RESTART, step->unit, unit.start_within_ns, heed, err);
}

static bool run(void *context, const char *const *argv, const struct promote_plan *plan,
                int64_t within_ns, enum host_heed heed, struct err *err)
{
    const char *study_folder = plan->study ? plan->study->folder : "/";
    AUTO(buf_done) struct buf words = BUF_INIT(600);
    struct promote_ran ran;
    (void)context;
    if (!promote_program_same(plan, argv, err) ||
        !promote_run_read(argv, plan->run_folder ? plan->run_folder : study_folder,
                          within_ns > 0 ? within_ns : COMMAND_WITHIN_NS,
                          heed == HOST_HEED_CANCEL ? PROMOTE_HEED_CANCEL : PROMOTE_IGNORE_CANCEL,
                          NULL, &ran, err))
        return false;
    promote_ran_add_words(&words, &ran);
    return promote_ran_well(&ran) || err_set(err, ran.stopped ? ERR_STOPPED : ERR_PROBLEM, "%s: %s",
                                             argv[0], buf_text(&words));
}

static bool verify(void *context, const struct promote_plan *plan, bool load,
                   void (*tell)(void *context, const struct promote_check *check),
                   void *tell_context, struct promote_checks *ret_checks, struct err *err)
{
    (void)context;
    return promote_verify(plan, load, tell, tell_context, ret_checks, err);
}

static bool write_journal(void *context, const char *path, const struct promote_journal *journal,
                          struct err *err)
{
    (void)context;
    return promote_journal_write(path, journal, err);
}

const struct promote_hands promote_hands_real = {
    .file_is = file_is,
    .file_put = file_put,
    .may = may,
    .reload = reload,
    .unit_check = unit_check,
    .unit_is_up = unit_is_up,
    .unit_is_younger = unit_is_younger,
    .unit_restart = unit_restart,
    .unit_raise = unit_raise,
    .unit_edited = unit_edited,
    .run = run,
    .verify = verify,
    .write_journal = write_journal,
};

bool promote_apply(const struct promote_plan *plan, const char *folder, const char *user,
                   const struct promote_events *events, struct promote_result *ret_result,
                   struct err *err)
{
    return promote_apply_by(&promote_hands_real, plan, folder, user, events, ret_result, err);
}

bool promote_undo(const char *folder, const char *user, const char *why,
                  const struct promote_events *events, struct promote_result *ret_result,
                  struct err *err)
{
    return promote_undo_with(folder, user, why, (struct promote_accept){0}, events, ret_result,
                             err);
}

bool promote_undo_with(const char *folder, const char *user, const char *why,
                       struct promote_accept accept, const struct promote_events *events,
                       struct promote_result *ret_result, struct err *err)
{
    return promote_undo_by(&promote_hands_real, folder, user, why, accept, events, ret_result, err);
}
