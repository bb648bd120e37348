/* Verification of what runs in production.
 *
 * The order is that of a trial: up, ready, one real request each with proof of where it was
 * computed, one window on all at once. The cheap and certain comes first, and the first failure
 * ends it, since every second of it is a second of users on a setting that is about to be undone.
 *
 * From the moment a service was seen up it is watched to the very end, also while others are
 * asked: same process, no restart. A server that crashes after 20 s is caught by the window, one
 * that crashes and is restarted within it by its number of restarts.
 *
 * Invariant: `passed` only when everything that had to be known was known and well. What need not
 * be known (a throughput under a gentle load, a service that was down before) is told as unknown,
 * and says why it does not count. */
#include "promote/verifying.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "load/worker.h"
#include "promote/outside.h"
#include "promote/process.h"
#include "promote/program.h"
#include "promote/run.h"

#include <poll.h>
#include <stdarg.h>
#include <string.h>

static const int64_t LOOK_EVERY_NS = 500 * NS_PER_MS, STEP_NS = 100 * NS_PER_MS;
static const int64_t READY_CHECK_NS = NS_PER_S / 2;
static const int64_t WITHIN_DEFAULT_NS = 600 * NS_PER_S, READY_DEFAULT_NS = 120 * NS_PER_S;

void verifying_add(struct verifying *v, enum promote_check_kind kind, int service,
                   enum promote_answer answer, enum verifying_need need, const char *format, ...)
{
    struct promote_check check = {.kind = kind, .service = service, .answer = answer};
    char text[4 * sizeof check.text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    promote_outside_hide(v->plan, text, sizeof text);
    snprintf(check.text, sizeof check.text, "%.*s", (int)sizeof check.text - 1, text);
    bool counts = answer == PROMOTE_FAILED || (answer == PROMOTE_UNKNOWN && need == MUST_BE_KNOWN);
    v->failed = v->failed || counts;
    /* The last place is kept for what fails. */
    if (v->checks->count + (counts ? 0 : 1) < PROMOTE_CHECKS_MAX)
        v->checks->items[v->checks->count++] = check;
    if (v->tell)
        v->tell(v->context, &check);
}

/* ---- who is to be verified ---- */

static const struct promote_step *step_of(const struct promote_plan *plan, int service,
                                          enum promote_kind kind)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == kind && plan->steps[i].service == service)
            return &plan->steps[i];
    return NULL;
}

static const char *ready_path(const struct verifying *v, size_t i)
{
    const struct spec_engine_use *use = spec_candidate_engine(v->study, &v->candidate, i);
    if (v->study->services[i].ready_path)
        return v->study->services[i].ready_path;
    return use ? use->engine->ready_path : NULL;
}

/* "docker compose -f A -f B ps -q NAME", from the step "docker compose -f A -f B up ... NAME". */
static const char *const *ask_compose(struct verifying *v, size_t service, const char *name)
{
    const struct promote_plan *plan = v->plan;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        size_t count = 0;
        if (step->kind != PROMOTE_COMPOSE || step->service != (int)service)
            continue;
        while (step->run[count] && strcmp(step->run[count], "up") != 0)
            count++;
        const char **argv = arena_array(v->arena, count + 4, sizeof *argv);
        memcpy(argv, step->run, count * sizeof *argv);
        argv[count] = "ps";
        argv[count + 1] = "-q";
        argv[count + 2] = name;
        argv[count + 3] = NULL;
        return argv;
    }
    return NULL;
}

static void take_service(struct verifying *v, size_t i)
{
    const struct spec_production *p = &v->study->production[i];
    const struct promote_step *step = step_of(v->plan, (int)i, PROMOTE_RESTART);
    struct verifying_subject *s = &v->subjects[v->subject_count++];
    *s = (struct verifying_subject){
        .service = (int)i,
        .name = v->study->services[i].name,
        .production = p,
        .alive = {.unit = step ? step->unit : p->unit, /* its own name, where p has an alias */
                  .scope = p->user ? HOST_USER : HOST_SYSTEM,
                  .port = p->port,
                  .ask_id = p->kind == PRODUCTION_COMPOSE ? ask_compose(v, i, p->name) : NULL,
                  .folder = v->study->folder},
        .within_ns = step && step->within_ns > 0 ? step->within_ns : p->within_ns,
        .ready_path = ready_path(v, i),
        .tls = v->study->services[i].tls,
    };
}

static void take_steps(struct verifying *v)
{
    for (size_t k = 0; k < v->plan->step_count; k++) {
        const struct promote_step *step = &v->plan->steps[k];
        bool asked =
            step->kind == PROMOTE_RESTART ||
            (step->port > 0 && (step->kind == PROMOTE_COMPOSE || step->kind == PROMOTE_COMMAND));
        if (!asked)
            continue;
        v->subjects[v->subject_count++] = (struct verifying_subject){
            .service = step->service,
            .name = step->unit ? step->unit : arena_printf(v->arena, "port %d", step->port),
            .alive = {.unit = step->unit, .scope = step->scope, .port = step->port},
            .within_ns = step->within_ns,
            .ready_path = step->ready_path,
            .tls = step->tls,
        };
    }
}

static void take_subjects(struct verifying *v)
{
    if (!v->study || !v->study->production) {
        v->study = NULL;
        take_steps(v);
        return;
    }
    v->candidate = v->plan->winner;
    /* After an undo what ran before is asked in its own words, where the study knows them. */
    for (size_t k = 0; !v->load && v->study->baseline && k < v->study->knob_count; k++)
        v->candidate.index[k] = v->study->baseline[k];
    for (size_t i = 0; i < v->study->service_count; i++)
        if (v->study->production[i].kind != PRODUCTION_NONE)
            take_service(v, i);
}

/* Who hangs on what was restarted is up as it was before; no more is known of it. */
static void take_along(struct verifying *v)
{
    struct promote_along *along = arena_alloc(v->arena, sizeof *along);
    promote_along_list(v->plan, v->arena, along);
    for (size_t i = 0; i < along->count; i++)
        v->subjects[v->subject_count++] = (struct verifying_subject){
            .service = -1,
            .name = along->units[i].unit,
            .alive = {.unit = along->units[i].unit, .scope = along->units[i].scope},
            .along = true,
        };
}

/* ---- up ---- */

bool verifying_is_over(const struct verifying *v, int64_t end_ns)
{
    int64_t now_ns = clock_now_ns();
    return now_ns >= end_ns || now_ns >= v->deadline_ns;
}

/* An undo is verified to its end, whatever is wished. */
static bool check_cancel(const struct verifying *v, struct err *err)
{
    return !v->load || cancel_level() == CANCEL_NONE ||
           err_set(err, ERR_STOPPED, "stopped while verifying");
}

static void rest(void)
{
    poll(NULL, 0, (int)(STEP_NS / NS_PER_MS));
}

/* Its unit was down when the plan was made and is left so: it says nothing, neither good nor bad.
 * One that ran and had nothing to change has to run as well. */
static bool is_left_down(const struct verifying *v, const struct verifying_subject *s)
{
    const struct promote_step *step = step_of(v->plan, s->service, PROMOTE_RESTART);
    if (s->along)
        return false;
    if (step)
        return !step->was_up;
    return s->alive.unit && s->service >= 0 && v->plan->was_down[s->service];
}

static bool check_active(struct verifying *v, struct verifying_subject *s, struct err *err)
{
    int64_t end_ns = clock_now_ns() + (s->within_ns > 0 ? s->within_ns : READY_DEFAULT_NS);
    enum promote_life life = LIFE_COMING;
    char why[400] = "";
    for (;;) {
        if (!check_cancel(v, err) ||
            !promote_alive_look(&s->alive, &v->managers, &life, why, sizeof why, err))
            return false;
        if (life != LIFE_COMING || verifying_is_over(v, end_ns))
            break;
        rest();
    }
    s->asked = life == LIFE_UP && s->alive.port > 0;
    if (life == LIFE_UP)
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_PASSED, MUST_BE_KNOWN, "%s", why);
    else if (is_left_down(v, s))
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                      "%s; it was down before and is left so", why);
    else
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_FAILED, MUST_BE_KNOWN, "%s%s", why,
                      life == LIFE_COMING ? ", and its time is over" : "");
    return true;
}

/* Everybody that was seen up: are they still what they were? For the whole of the verifying. */
bool verifying_fine(void *context, size_t *ret_service)
{
    struct verifying *v = context;
    for (size_t k = 0; k < v->subject_count; k++) {
        struct verifying_subject *s = &v->subjects[k];
        enum promote_life life = LIFE_UP;
        if (!s->alive.seen || clock_now_ns() < s->alive.looked_ns + LOOK_EVERY_NS)
            continue;
        if (promote_alive_look(&s->alive, &v->managers, &life, v->down, sizeof v->down,
                               &v->look_err) &&
            life == LIFE_UP) {
            v->down[0] = '\0';
            continue;
        }
        if (err_is_set(&v->look_err))
            snprintf(v->down, sizeof v->down, "%s: systemd could not be asked: %.300s", s->name,
                     v->look_err.text);
        /* A trial knows none that hangs on another. */
        *ret_service = s->service >= 0 ? (size_t)s->service : 0;
        v->down_service = s->service;
        return false;
    }
    return true;
}

/* False: one is not, and that is noted. */
static bool all_fine(struct verifying *v)
{
    size_t service = 0;
    if (v->down[0] || verifying_fine(v, &service))
        return !v->down[0];
    verifying_add(v, CHECK_ACTIVE, v->down_service, PROMOTE_FAILED, MUST_BE_KNOWN, "%s", v->down);
    return false;
}

void verifying_note_down(struct verifying *v)
{
    enum promote_check_kind kind = v->timed_out ? CHECK_LOAD : CHECK_ACTIVE;
    verifying_add(v, kind, v->timed_out ? -1 : v->down_service, PROMOTE_FAILED, MUST_BE_KNOWN, "%s",
                  v->down[0] ? v->down : "it stopped being what it was");
}

/* ---- ready ---- */

static bool says_ready(const struct verifying *v, const struct verifying_subject *s,
                       bool *ret_untrusted, char *why, size_t size)
{
    const struct load_site site = {s->alive.port, &s->tls};
    struct load_look look;
    /* The model that an engine has to list is the winner's. */
    if (v->load && v->live)
        return live_is_ready(v->live, (size_t)s->service, ret_untrusted, why, size);
    load_http_get(&site, s->ready_path, READY_CHECK_NS, &look);
    if (look.status != 200 && look.why[0])
        snprintf(why, size, "%s port %d: %s", look.untrusted ? "on" : "last seen on", s->alive.port,
                 look.why);
    *ret_untrusted = look.untrusted;
    return look.status == 200;
}

static bool check_ready(struct verifying *v, struct verifying_subject *s, struct err *err)
{
    int64_t begin_ns = clock_now_ns();
    int64_t end_ns = begin_ns + (s->within_ns > 0 ? s->within_ns : READY_DEFAULT_NS);
    char why[300];
    snprintf(why, sizeof why, "port %d never opened", s->alive.port);
    for (;;) {
        if (!check_cancel(v, err))
            return false;
        if (!all_fine(v))
            return true;
        bool untrusted = false;
        if (says_ready(v, s, &untrusted, why, sizeof why))
            break;
        if (untrusted) { /* a certificate does not change while one waits */
            verifying_add(v, CHECK_READY, s->service, PROMOTE_FAILED, MUST_BE_KNOWN,
                          "%s: no secure connection %s", s->name, why);
            return true;
        }
        if (verifying_is_over(v, end_ns)) {
            verifying_add(v, CHECK_READY, s->service, PROMOTE_FAILED, MUST_BE_KNOWN,
                          "%s: not ready within %.0f s: %s", s->name,
                          (double)(clock_now_ns() - begin_ns) / NS_PER_S, why);
            return true;
        }
        rest();
    }
    enum promote_listens listens = promote_alive_listens(&s->alive, why, sizeof why);
    if (listens == LISTENS_OTHER)
        verifying_add(v, CHECK_READY, s->service, PROMOTE_FAILED, MUST_BE_KNOWN, "%s", why);
    else if (listens == LISTENS_UNKNOWN)
        verifying_add(v, CHECK_READY, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                      "%s: port %d answers, and %s", s->name, s->alive.port, why);
    else
        verifying_add(v, CHECK_READY, s->service, PROMOTE_PASSED, MUST_BE_KNOWN,
                      "%s: ready on port %d%s%s", s->name, s->alive.port, s->ready_path ? ", " : "",
                      s->ready_path ? s->ready_path : "");
    return true;
}

/* ---- as promoted ---- */

/* What systemd has read is no proof of what the process was given: files of variables are read at
 * the start, and other settings of the unit may take away what was set. */
static bool check_variables(struct verifying *v, struct verifying_subject *s, struct err *err)
{
    const struct promote_step *step = step_of(v->plan, s->service, PROMOTE_RESTART);
    char why[300] = "";
    struct host_config config;
    if (!step || !step->variables || !step->variables[0] || s->alive.main.pid <= 0)
        return true;
    if (!host_config_read(v->managers.of[s->alive.scope], v->arena, s->alive.unit, &config, err))
        return false;
    enum promote_has has = promote_process_has(
        s->alive.main.pid, config.command_count == 1 ? config.commands[0].program : NULL,
        step->variables, NULL, why, sizeof why);
    if (has == PROMOTE_HAS_NOT)
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_FAILED, MUST_BE_KNOWN,
                      "%s: its %s, so what was promoted does not count", s->name, why);
    else if (has == PROMOTE_HAS_UNKNOWN)
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                      "%s: the variables of process %d can't be seen, or its program has started "
                      "another in its place",
                      s->name, (int)s->alive.main.pid);
    else
        verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_PASSED, MUST_BE_KNOWN,
                      "%s: process %d has its variables as promoted", s->name,
                      (int)s->alive.main.pid);
    return true;
}

static bool check_all_variables(struct verifying *v, struct err *err)
{
    for (size_t k = 0; k < v->subject_count && v->load && !v->failed; k++)
        if (v->subjects[k].alive.unit && v->subjects[k].alive.seen &&
            !check_variables(v, &v->subjects[k], err))
            return false;
    return true;
}

/* ---- all of it ---- */

/* The user's own word for "it works", of a service with or without a port: as it was approved. */
static bool check_command(struct verifying *v, const struct verifying_subject *s, struct err *err)
{
    const char *const *words = step_of(v->plan, s->service, PROMOTE_COMMAND)->verify;
    const char *folder = v->plan->run_folder ? v->plan->run_folder : v->study->folder;
    int64_t left_ns = v->deadline_ns - clock_now_ns();
    struct promote_ran ran;
    struct err missing = ERR_INIT;
    AUTO(buf_done) struct buf said = BUF_INIT(1024);
    bool ran_at_all = promote_program_same(v->plan, words, &missing) &&
                      promote_run_read(words, folder, left_ns > NS_PER_S ? left_ns : NS_PER_S,
                                       PROMOTE_HEED_CANCEL, NULL, &ran, &missing);
    if (ran_at_all && ran.stopped)
        return err_set(err, ERR_STOPPED, "stopped while verifying %s", s->name);
    bool well = ran_at_all && promote_ran_well(&ran);
    if (ran_at_all)
        promote_ran_add_words(&said, &ran);
    else
        buf_add(&said, missing.text);
    verifying_add(v, CHECK_PROBE, s->service, well ? PROMOTE_PASSED : PROMOTE_FAILED, MUST_BE_KNOWN,
                  "%s: its verify command: %.400s", s->name, buf_text(&said));
    return true;
}

static bool each(struct verifying *v,
                 bool (*check)(struct verifying *, struct verifying_subject *, struct err *),
                 struct err *err)
{
    for (size_t k = 0; k < v->subject_count && !v->failed; k++)
        if (v->subjects[k].asked && !check(v, &v->subjects[k], err))
            return false;
    return true;
}

/* Where there is no Compose, its file is for whoever runs it elsewhere. */
static bool is_only_written(const struct verifying *v, const struct verifying_subject *s)
{
    if (!s->production)
        return false;
    return s->production->kind == PRODUCTION_KUBERNETES ||
           (s->production->kind == PRODUCTION_COMPOSE &&
            step_of(v->plan, s->service, PROMOTE_FILE) &&
            !step_of(v->plan, s->service, PROMOTE_COMPOSE));
}

/* Who has no port, or was only written. */
static bool begin_each(struct verifying *v, struct err *err)
{
    for (size_t k = 0; k < v->subject_count && !v->failed; k++) {
        struct verifying_subject *s = &v->subjects[k];
        if (is_only_written(v, s)) {
            verifying_add(v, CHECK_ACTIVE, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                          "%s: its file is written and not applied, so there is nothing to verify",
                          s->name);
            continue;
        }
        bool silent = !s->alive.unit && s->alive.port == 0;
        if (!silent && !check_active(v, s, err))
            return false;
        if (v->failed || s->asked || s->alive.port > 0 || s->along ||
            (s->production && s->production->verify.count))
            continue;
        bool gpu =
            v->load && s->service >= 0 && v->study && v->study->services[s->service].on == ON_GPU;
        verifying_add(v, CHECK_PROBE, s->service, gpu ? PROMOTE_FAILED : PROMOTE_UNKNOWN,
                      MAY_BE_UNKNOWN,
                      "%s: the study file gives no port, so no request can be sent%s", s->name,
                      gpu ? ", and it can't be proven that it runs on the GPU" : "");
    }
    return true;
}

static bool verify_commands(struct verifying *v, struct err *err)
{
    for (size_t k = 0; k < v->subject_count && !v->failed && v->load; k++) {
        struct verifying_subject *s = &v->subjects[k];
        const struct promote_step *step = step_of(v->plan, s->service, PROMOTE_COMMAND);
        if (step && step->verify && !check_command(v, s, err))
            return false;
    }
    return true;
}

static bool check_window(struct verifying *v, struct err *err)
{
    return !v->load || verifying_load(v, err);
}

/* Each looks at v->failed through each(); false is our own failure. */
static bool verify_all(struct verifying *v, struct err *err)
{
    if (!begin_each(v, err))
        return false;
    if (!v->failed && v->study && !verifying_open_live(v, err))
        return false;
    if (!each(v, check_ready, err) || !check_all_variables(v, err))
        return false;
    if (!v->study || v->failed)
        return true;
    if (!verify_commands(v, err) || !each(v, verifying_probe, err))
        return false;
    return v->failed || (check_window(v, err) && all_fine(v)) || !err_is_set(err);
}

/* Whoever hangs on ours is asked for nothing: one that ends right after its start is seen by a
 * second look. */
static bool check_along_stay(struct verifying *v, struct err *err)
{
    int64_t due_ns = 0;
    for (size_t k = 0; k < v->subject_count; k++)
        if (v->subjects[k].along && v->subjects[k].alive.seen)
            due_ns = v->subjects[k].alive.looked_ns + LOOK_EVERY_NS;
    if (due_ns == 0 || v->failed)
        return true;
    while (clock_now_ns() < due_ns) {
        if (!check_cancel(v, err))
            return false;
        rest();
    }
    (void)all_fine(v);
    return true;
}

bool promote_verify(const struct promote_plan *plan, bool load,
                    void (*tell)(void *context, const struct promote_check *check), void *context,
                    struct promote_checks *ret_checks, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct verifying *v = arena_alloc(arena, sizeof *v);
    struct promote_checks *checks = arena_alloc(arena, sizeof *checks);
    checks->count = 0;
    *v = (struct verifying){.plan = plan,
                            .study = plan->study,
                            .load = load,
                            .tell = tell,
                            .context = context,
                            .checks = checks,
                            .down_service = -1,
                            .arena = arena};
    take_subjects(v);
    take_along(v);
    int64_t within_ns = v->study ? v->study->promotion.within_ns : 0;
    v->deadline_ns = clock_now_ns() + (within_ns > 0 ? within_ns : WITHIN_DEFAULT_NS);
    bool done = verify_all(v, err) && check_along_stay(v, err);
    checks->passed = done && !v->failed;
    live_free(v->live);
    for (size_t k = 0; k < v->subject_count; k++)
        promote_alive_done(&v->subjects[k].alive);
    for (size_t d = 0; d < SPEC_DEVICES_MAX; d++)
        device_close(v->devices[d]);
    promote_managers_close(&v->managers);
    if (done)
        *ret_checks = *checks;
    return done;
}
