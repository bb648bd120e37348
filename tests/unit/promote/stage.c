/* The stage's files:
 *   a.env, b.service.d/10-spica.conf   of production
 *   loaded.b                           what systemd has read at its last reload
 *   running.a, running.b, started.X    what each process was started with, and when
 *   command                            the effect of the user's own command */
#include "stage.h"

#include "promote/apply.h"
#include "promote/audit.h"
#include "promote/safe_file.h"

#include "base/cancel.h"
#include "base/clock.h"

#include <sys/stat.h>

static const char *const unit_names[STAGE_COUNT] = {"a.service", "b.service"};
static const char *const running[STAGE_COUNT] = {"running.a", "running.b"};
static const char *const started[STAGE_COUNT] = {"started.a", "started.b"};

char *stage_read(const struct stage *stage, const char *name)
{
    AUTO(free) char *path = file_join(stage->folder, name);
    struct buf text = BUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    if (buf_read_file(&text, path, &err))
        return buf_take(&text);
    buf_done(&text);
    return NULL;
}

/* Not durable on purpose: a power cut is not played here. */
void stage_write(const struct stage *stage, const char *name, const char *text)
{
    AUTO(free) char *path = file_join(stage->folder, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}

static void copy_content(const struct stage *stage, const char *from, const char *to)
{
    AUTO(free) char *text = stage_read(stage, from);
    stage_write(stage, to, text ? text : "");
}

void stage_crash(const struct stage *stage, int unit)
{
    char now[32];
    copy_content(stage, unit == STAGE_A ? "a.env" : "loaded.b", running[unit]);
    snprintf(now, sizeof now, "%lld", (long long)clock_now_wall_us());
    stage_write(stage, started[unit], now);
}

void stage_stop(const struct stage *stage, int unit)
{
    AUTO(free) char *path = file_join(stage->folder, running[unit]);
    if (unlink(path) != 0)
        abort();
}

static bool is_up(const struct stage *stage, int unit)
{
    AUTO(free) char *path = file_join(stage->folder, running[unit]);
    return file_exists(path);
}

void stage_open(struct stage *stage)
{
    *stage = (struct stage){.folder = check_make_folder()};
    AUTO(free) char *locks = file_join(stage->folder, "locks");
    setenv("SPICA_LOCK_DIR", locks, 1);
    umask(022);
    stage->results = file_join(stage->folder, "x.spica");
    stage->paths[STAGE_A] = file_join(stage->folder, "a.env");
    stage->paths[STAGE_B] = file_join(stage->folder, "b.service.d/10-spica.conf");
    stage_write(stage, "a.env", "old");
    stage_write(stage, "command", "old");
    stage_write(stage, "loaded.b", "");
    stage_crash(stage, STAGE_A);
    stage_crash(stage, STAGE_B);
}

void stage_close(struct stage *stage)
{
    check_remove_folder(stage->folder);
    free(stage->results);
    for (int i = 0; i < STAGE_COUNT; i++)
        free(stage->paths[i]);
}

/* --- the hands --- */

static void may_die(struct stage *stage)
{
    stage->operations++;
    stage->unseen += !promote_is_under_way(stage->results);
    if (stage->die_at > 0 && --stage->die_at == 0)
        _exit(STAGE_KILLED);
    if (stage->cancel_at > 0 && --stage->cancel_at == 0)
        cancel_raise();
}

static void note(struct stage *stage, const char *doing, const char *what)
{
    size_t len = strlen(stage->trace);
    snprintf(stage->trace + len, sizeof stage->trace - len, "%s%s%s", len ? ", " : "", doing, what);
}

static int unit_of(const struct promote_step *step)
{
    return strcmp(step->unit, unit_names[STAGE_A]) == 0 ? STAGE_A : STAGE_B;
}

static bool file_is(void *context, const struct promote_step *step,
                    const struct promote_bytes *bytes)
{
    (void)context;
    return promote_file_is(step->path, bytes);
}

static void write_half(const struct stage *stage, const struct promote_step *step)
{
    bool a = strcmp(step->path, stage->paths[STAGE_A]) == 0;
    struct err ignored = ERR_INIT;
    if (a || promote_folder_make(step->path, &ignored))
        stage_write(stage, a ? ".a.env.spica-new" : "b.service.d/.10-spica.conf.spica-new", "ha");
}

static bool file_put(void *context, const struct promote_step *step,
                     const struct promote_bytes *bytes, struct err *err)
{
    struct stage *stage = context;
    may_die(stage);
    if (stage->puts_fail)
        return err_set(err, ERR_INTERNAL, "writing %s: no space left", step->path);
    if (stage->die_at == 1 && bytes->there)
        write_half(stage, step);
    may_die(stage);
    note(stage, "put ", strcmp(step->path, stage->paths[STAGE_A]) == 0 ? "a" : "b");
    if ((bytes->there && step->makes_folder && !promote_folder_make(step->path, err)) ||
        !promote_file_put(step->path, bytes, err) ||
        (!bytes->there && step->makes_folder && !promote_folder_drop(step->path, err)))
        return false;
    may_die(stage);
    return true;
}

static bool may(void *context, const struct promote_step *step, struct err *err)
{
    const struct stage *stage = context;
    return !stage->may_not || step->kind != PROMOTE_RESTART ||
           err_set(err, ERR_DECLINED, "restarting %s: you may not", step->unit);
}

static bool reload(void *context, enum host_scope scope, struct err *err)
{
    struct stage *stage = context;
    (void)scope;
    may_die(stage);
    note(stage, "reload", "");
    if (stage->reload_fails)
        return err_set(err, ERR_INTERNAL, "reloading: no");
    copy_content(stage, "b.service.d/10-spica.conf", "loaded.b");
    may_die(stage);
    return true;
}

static bool unit_check(void *context, const struct promote_step *step, struct err *err)
{
    struct stage *stage = context;
    AUTO(free) char *loaded = stage_read(stage, "loaded.b");
    if (stage->check_fails || !loaded || strcmp(loaded, step->environment[0]) != 0)
        return err_set(err, ERR_PROBLEM, "%s: systemd has read something else", step->unit);
    return true;
}

static bool unit_is_up(void *context, const struct promote_step *step, bool *ret_up,
                       struct err *err)
{
    (void)err;
    *ret_up = is_up(context, unit_of(step));
    return true;
}

static bool unit_is_younger(void *context, const struct promote_step *step, int64_t wall_us)
{
    AUTO(free) char *when = stage_read(context, started[unit_of(step)]);
    return !when || strtoll(when, NULL, 10) >= wall_us;
}

static bool unit_restart(void *context, const struct promote_step *step, enum host_heed heed,
                         struct err *err)
{
    struct stage *stage = context;
    int unit = unit_of(step);
    may_die(stage);
    note(stage, "restart ", unit == STAGE_A ? "a" : "b");
    if (heed == HOST_HEED_CANCEL && stage->restart_fails == unit + 1)
        return err_set(err, ERR_INTERNAL, "restarting %s: systemd says \"failed\"", step->unit);
    stage_crash(stage, unit);
    may_die(stage);
    return true;
}

static bool unit_raise(void *context, const struct promote_step *step, enum host_heed heed,
                       struct err *err)
{
    struct stage *stage = context;
    (void)heed;
    (void)err;
    note(stage, "raise ", step->unit);
    return true;
}

static const char *unit_edited(void *context, const struct promote_step *step,
                               const char *const *except, struct arena *arena)
{
    const struct stage *stage = context;
    for (int i = 0; i < STAGE_COUNT; i++)
        if (strcmp(except[i], stage->paths[i]) != 0)
            return "a file that the promotion has written is looked at";
    return stage->unit_is_edited ? arena_printf(arena, "%s: edited", step->unit) : NULL;
}

static bool run(void *context, const char *const *argv, const struct promote_plan *plan,
                int64_t within_ns, enum host_heed heed, struct err *err)
{
    struct stage *stage = context;
    (void)plan;
    (void)within_ns;
    (void)heed;
    (void)err;
    may_die(stage);
    note(stage, "run ", argv[0]);
    if (stage->hook_starts && strcmp(argv[0], "before") == 0)
        stage_crash(stage, STAGE_A);
    if (stage->hook_edits && strcmp(argv[0], "before") == 0)
        stage_write(stage, "a.env", "by hand");
    if (strcmp(argv[0], "set") == 0)
        stage_write(stage, "command", argv[1]);
    may_die(stage);
    return true;
}

static bool verify(void *context, const struct promote_plan *plan, bool load,
                   void (*tell)(void *context, const struct promote_check *check),
                   void *tell_context, struct promote_checks *ret_checks, struct err *err)
{
    struct stage *stage = context;
    (void)plan;
    (void)err;
    may_die(stage);
    note(stage, "verify", load ? "" : " old");
    bool fails = load ? stage->verify_fails : stage->verify_fails_after_undo;
    struct promote_check check = {CHECK_READY, 0,
                                  fails                 ? PROMOTE_FAILED
                                  : stage->verify_blind ? PROMOTE_UNKNOWN
                                                        : PROMOTE_PASSED,
                                  "a answered 500"};
    ret_checks->items[0] = check;
    ret_checks->count = 1;
    ret_checks->passed = !fails;
    tell(tell_context, &check);
    return true;
}

static bool write_journal(void *context, const char *path, const struct promote_journal *journal,
                          struct err *err)
{
    struct stage *stage = context;
    may_die(stage);
    if (stage->die_at == 1)
        stage_write(stage, "x.spica.promotion.json.new", "{\"half");
    may_die(stage);
    if (!promote_journal_write(path, journal, err))
        return false;
    may_die(stage);
    return true;
}

struct promote_hands stage_hands(struct stage *stage)
{
    return (struct promote_hands){.context = stage,
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
                                  .write_journal = write_journal};
}

/* --- plans --- */

static const char *const *words(struct arena *arena, const char *first, const char *second)
{
    const char **list = arena_array(arena, 3, sizeof *list);
    list[0] = first;
    list[1] = second;
    return list;
}

static struct promote_step file_step(const struct stage *stage, struct arena *arena, int unit,
                                     const char *text)
{
    struct promote_step step = {.kind = PROMOTE_FILE,
                                .service = unit,
                                .path = arena_strdup(arena, stage->paths[unit]),
                                .after = {.there = true,
                                          .data = text,
                                          .len = strlen(text),
                                          .mode = 0644,
                                          .uid = geteuid(),
                                          .gid = getegid()}};
    struct err err = ERR_INIT;
    bool there = false;
    if (!promote_file_read(arena, step.path, &step.before, &err) ||
        !promote_folder_is_there(step.path, &there, &err))
        fail_msg("%s", err.text);
    step.makes_folder = !there;
    return step;
}

struct promote_plan *stage_plan(const struct stage *stage, const char *text)
{
    struct arena *arena = arena_new();
    struct promote_plan *plan = arena_alloc(arena, sizeof *plan);
    AUTO(free) char *command = stage_read(stage, "command");
    const char *copy = arena_strdup(arena, text);
    struct promote_step *steps = arena_array(arena, 8, sizeof *steps);
    size_t n = 0;
    steps[n++] = (struct promote_step){
        .kind = PROMOTE_HOOK, .service = -1, .run = words(arena, "before", NULL)};
    steps[n++] = file_step(stage, arena, STAGE_A, copy);
    steps[n++] = file_step(stage, arena, STAGE_B, copy);
    steps[n++] = (struct promote_step){.kind = PROMOTE_RELOAD, .service = -1};
    steps[n++] = (struct promote_step){.kind = PROMOTE_RESTART,
                                       .service = STAGE_A,
                                       .unit = unit_names[STAGE_A],
                                       .was_up = is_up(stage, STAGE_A)};
    steps[n++] = (struct promote_step){.kind = PROMOTE_COMMAND,
                                       .service = -1,
                                       .run = words(arena, "set", copy),
                                       .undo = words(arena, "set", arena_strdup(arena, command))};
    steps[n++] = (struct promote_step){.kind = PROMOTE_RESTART,
                                       .service = STAGE_B,
                                       .unit = unit_names[STAGE_B],
                                       .was_up = true,
                                       .environment = words(arena, copy, NULL)};
    steps[n++] = (struct promote_step){
        .kind = PROMOTE_HOOK, .service = -1, .run = words(arena, "after", NULL)};
    *plan = (struct promote_plan){
        .arena = arena, .steps = steps, .step_count = n, .winner_text = copy, .run_folder = "/"};
    struct err err = ERR_INIT;
    if (!promote_audit_last(stage->results, arena, &plan->last_record, &err))
        fail_msg("%s", err.text);
    snprintf(plan->id, sizeof plan->id, "0123456789abcdef");
    return plan;
}

/* --- looking around --- */

static const char *wanted;
static int found;

static int look_at(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)place;
    struct buf text = BUF_INIT(1 << 16);
    struct err err = ERR_INIT;
    if (kind != FTW_F || !S_ISREG(st->st_mode))
        return 0;
    if (!wanted)
        found += strstr(path, ".spica-new") != NULL;
    else if (buf_read_file(&text, path, &err) && strcmp(buf_text(&text), wanted) == 0)
        found++;
    buf_done(&text);
    return 0;
}

static int look(const struct stage *stage, const char *text)
{
    wanted = text;
    found = 0;
    nftw(stage->folder, look_at, 16, FTW_PHYS);
    return found;
}

bool stage_holds(const struct stage *stage, const char *text)
{
    return look(stage, text) > 0;
}

int stage_litter(const struct stage *stage)
{
    return look(stage, NULL);
}
