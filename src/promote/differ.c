/* Is production what was measured? Versions of the programs, the device and its driver, the study
 * file, spica itself: each that differs is named, and one name accepts it. What can't be known is a
 * difference too: a promise about another program is none.
 *
 * Versions are read from what production would run: the command that is promoted, else the one that
 * its unit has now. Of an image (Compose, Kubernetes) the version can't be seen from here. The
 * user's own command is taken to start the program that the study names. */
#include "promote/draft.h"
#include "promote/journal.h"
#include "promote/world.h"

#include "base/text.h"
#include "service/version.h"

#include <string.h>

static bool is_accepted(const struct promote_draft *draft, const char *name)
{
    for (size_t i = 0; draft->options->accept && draft->options->accept[i]; i++)
        if (strcmp(draft->options->accept[i], name) == 0)
            return true;
    return false;
}

static void compare(struct promote_draft *draft, const char *name, const char *measured,
                    const char *found)
{
    struct promote_plan *plan = draft->context.plan;
    if (measured && found && strcmp(measured, found) == 0)
        return;
    plan->differences[plan->difference_count++] = (struct promote_difference){
        .name = arena_strdup(plan->arena, name),
        .measured = arena_strdup(plan->arena, measured ? measured : "unknown"),
        .found = arena_strdup(plan->arena, found ? found : "unknown"),
        .accepted = is_accepted(draft, name),
    };
}

/* ---- versions ---- */

static const char *measured_version(const struct promote_draft *draft, const char *service)
{
    const struct report_side *side = draft->then;
    for (size_t i = side->run_count; i > 0; i--)
        for (size_t k = 0; k < side->runs[i - 1]->service_count; k++)
            if (strcmp(side->runs[i - 1]->services[k].name, service) == 0)
                return side->runs[i - 1]->services[k].version;
    return NULL;
}

/* The command that production's unit will run: promoted, or as systemd has it now. */
static bool take_unit_command(struct promote_context *context, size_t service,
                              struct service_launch *launch, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    struct host_unit unit = {0};
    struct host_config config = {0};
    const char *const *argv = NULL;
    for (size_t i = 0; i < context->plan->step_count; i++)
        if (context->plan->steps[i].service == (int)service && context->plan->steps[i].exec)
            argv = context->plan->steps[i].exec;
    if (p->exec_as_measured && !argv)
        return true; /* nothing changes; the study's own command is what runs */
    if (!argv) {
        if (!context->world->unit(context, p->user ? HOST_USER : HOST_SYSTEM, p->unit, &unit,
                                  &config, err))
            return false;
        if (config.command_count == 0)
            return err_set(err, ERR_MISSING, "its unit has no command");
        argv = config.commands[0].argv;
        launch->program = config.commands[0].program;
        if (config.folder && config.folder[0] == '/')
            launch->folder = config.folder;
    } else {
        launch->program = argv[0];
    }
    size_t count = 0;
    while (argv[count])
        count++;
    const char **words = arena_array(context->plan->arena, count + 1, sizeof *words);
    memcpy(words, argv, count * sizeof *words);
    launch->argv = words;
    return true;
}

/* As the study would start it, for the environment that a version is asked in; where the study's
 * own program is not there, production's still is. */
static bool build_launch(struct promote_context *context, size_t service,
                         struct service_launch *ret_launch, struct err *err)
{
    struct promote_plan *plan = context->plan;
    const struct spec_production *p = &plan->study->production[service];
    const struct spec_engine_use *use = spec_candidate_engine(plan->study, &plan->winner, service);
    const bool of_unit = p->kind == PRODUCTION_UNIT || p->kind == PRODUCTION_ENV_FILE;
    const char **nothing = arena_array(plan->arena, 1, sizeof *nothing);
    struct service_launch launch = {.name = plan->study->services[service].name,
                                    .spec = &plan->study->services[service],
                                    .engine = use ? use->engine : NULL,
                                    .env = nothing,
                                    .env_unset = nothing,
                                    .folder = plan->study->folder};
    struct launch_device none = {0};
    struct err failure = ERR_INIT;
    if (!service_launch_build(plan->arena, plan->study, &plan->winner, service,
                              p->port ? p->port : 1, &none, "/", "/", &launch, &failure) &&
        (!of_unit || p->exec_as_measured))
        return err_set(err, failure.code, "%s", failure.text);
    if (of_unit && !take_unit_command(context, service, &launch, err))
        return false;
    *ret_launch = launch;
    return true;
}

/* Asked once for each program: asking starts it. In the plan's arena. */
struct versions {
    const char *programs[SPEC_SERVICES_MAX], *found[SPEC_SERVICES_MAX];
    size_t count;
};

static const char *ask_version(struct promote_context *context, struct versions *known,
                               const struct service_launch *launch)
{
    struct arena *arena = context->plan->arena;
    const char *key = arena_printf(arena, "%s %s %s", launch->engine ? launch->engine->name : "",
                                   launch->program, service_version_subject(arena, launch));
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->programs[i], key) == 0)
            return known->found[i];
    AUTO(free) char *found = context->world->version(context, launch);
    known->programs[known->count] = key;
    known->found[known->count] = arena_strdup(arena, found);
    return known->found[known->count++];
}

static void compare_version(struct promote_draft *draft, struct versions *known, size_t service)
{
    struct promote_context *context = &draft->context;
    const struct spec_production *p = &context->plan->study->production[service];
    const char *name = context->plan->study->services[service].name;
    const char *label = arena_printf(context->plan->arena, "version.%s", name);
    const char *measured = measured_version(draft, name);
    struct service_launch launch;
    struct err err = ERR_INIT;
    if (p->kind == PRODUCTION_COMPOSE || p->kind == PRODUCTION_KUBERNETES) {
        compare(draft, label, measured, "unknown: inside an image");
        return;
    }
    if (!build_launch(context, service, &launch, &err)) {
        compare(draft, label, measured,
                arena_printf(context->plan->arena, "unknown: %.300s", err.text));
        return;
    }
    compare(draft, label, measured, ask_version(context, known, &launch));
}

/* ---- the machine, the file ---- */

/* Stored are the ids of all the study's devices, joined; the driver's versions are the first's. */
static void compare_devices(struct promote_draft *draft)
{
    struct promote_context *context = &draft->context;
    const struct spec_study *study = context->plan->study;
    const struct store_study *stored = &draft->view->stored;
    struct device_facts *facts = arena_alloc(context->plan->arena, sizeof *facts);
    bool seen[SPEC_DEVICES_MAX] = {false};
    for (size_t i = 0; i < study->service_count; i++) {
        size_t device = spec_candidate_device(study, &context->plan->winner, i);
        struct err err = ERR_INIT;
        if (study->production[i].kind == PRODUCTION_NONE || seen[device])
            continue;
        seen[device] = true;
        const char *label =
            study->device_count > 1
                ? arena_printf(context->plan->arena, "device.%s", study->devices[device])
                : "device";
        if (!context->world->device(context, study->devices[device], facts, &err)) {
            compare(draft, label, stored->device_id,
                    arena_printf(context->plan->arena, "unknown: %.300s", err.text));
            continue;
        }
        if (!strstr(stored->device_id ? stored->device_id : "", facts->id))
            compare(draft, label, stored->device_id, facts->id);
        if (device == 0)
            compare(draft, "driver", stored->device_versions, facts->versions);
    }
}

/* An undo that could not be brought to its end: what it still has to put back is given up. */
static bool compare_undo(struct promote_draft *draft, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    AUTO(free) char *path = promote_journal_path(draft->options->folder);
    if (!is_accepted(draft, "undo"))
        return true; /* who applies asks for it */
    if (!promote_journal_read(path, &last, err))
        return false;
    if (!last || last->state != PROMOTE_UNDO_FAILED)
        return true;
    AUTO(buf_done) struct buf before = BUF_INIT(1 << 16), now = BUF_INIT(1 << 16);
    promote_journal_add_left(&before, last);
    buf_addf(&now, "given up (%s)", last->why ? last->why : "unknown why");
    compare(draft, "undo", buf_text(&before), buf_text(&now));
    return true;
}

/* Only of those that are restarted: nothing else brings the edit. */
static void compare_units(struct promote_draft *draft)
{
    struct promote_context *context = &draft->context;
    const struct promote_plan *plan = context->plan;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        if (step->kind != PROMOTE_RESTART || !step->was_up || !context->edited[step->service])
            continue;
        compare(draft,
                arena_printf(plan->arena, "unit.%s", plan->study->services[step->service].name),
                "as it runs",
                arena_printf(plan->arena, "%s: the restart brings that, and no undo takes it away",
                             context->edited[step->service]));
    }
}

static bool refuse(const struct promote_plan *plan, struct err *err)
{
    enum { FOUND_MAX = 200 };
    AUTO(buf_done) struct buf what = BUF_INIT(1600), how = BUF_INIT(400);
    for (size_t i = 0; i < plan->difference_count; i++) {
        const struct promote_difference *d = &plan->differences[i];
        AUTO(buf_done) struct buf safe = BUF_INIT(1024);
        if (d->accepted)
            continue;
        text_add_escaped(&safe, TEXT_TERMINAL, d->measured, strlen(d->measured), 80);
        buf_add(&safe, ", now ");
        text_add_escaped(&safe, TEXT_TERMINAL, d->found, strlen(d->found), FOUND_MAX);
        buf_addf(&what, "%s%s was %s", what.len ? "; " : "", d->name, buf_text(&safe));
        buf_addf(&how, " --accept %s", d->name);
    }
    if (what.len == 0)
        return true;
    return err_set(err, ERR_DECLINED,
                   "production is not what was measured: %s. Measure again, or accept it:%s",
                   buf_text(&what), buf_text(&how));
}

/* A name that accepts nothing is a slip: the plan would be refused for what it meant to accept. */
static bool check_names(const struct promote_draft *draft, struct err *err)
{
    const struct promote_plan *plan = draft->context.plan;
    for (size_t i = 0; draft->options->accept && draft->options->accept[i]; i++) {
        const char *name = draft->options->accept[i];
        const char *names[2 * SPEC_SERVICES_MAX + SPEC_DEVICES_MAX + 8] = {
            "study", "spica", "driver", "device", "candidate", "undo"};
        size_t count = 6;
        for (size_t k = 0; k < plan->study->service_count; k++)
            names[count++] = arena_printf(plan->arena, "version.%s", plan->study->services[k].name);
        for (size_t k = 0; k < plan->study->service_count; k++)
            names[count++] = arena_printf(plan->arena, "unit.%s", plan->study->services[k].name);
        for (size_t k = 0; k < plan->study->device_count; k++)
            names[count++] = arena_printf(plan->arena, "device.%s", plan->study->devices[k]);
        if (text_index(names, (int)count, name) >= 0)
            continue;
        const char *near = text_nearest(names, count, name);
        return err_set(err, ERR_INPUT, "--accept: there is no difference \"%.60s\"%s%s%s", name,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return true;
}

bool promote_differ(struct promote_draft *draft, struct err *err)
{
    struct promote_plan *plan = draft->context.plan;
    const struct spec_study *study = plan->study;
    const struct store_study *stored = &draft->view->stored;
    plan->differences = arena_array(plan->arena, 2 * SPEC_SERVICES_MAX + SPEC_DEVICES_MAX + 8,
                                    sizeof *plan->differences);
    struct versions known = {.count = 0};
    if (!check_names(draft, err))
        return false;
    if (draft->view->winner != draft->then)
        compare(draft, "candidate",
                draft->view->winner ? draft->view->winner->candidate->text : "no winner",
                plan->winner_text);
    if (!compare_undo(draft, err))
        return false;
    compare(draft, "study", stored->digest, study->digest);
    compare(draft, "spica", stored->spica_version, SPICA_VERSION);
    compare_devices(draft);
    compare_units(draft);
    for (size_t i = 0; i < study->service_count; i++)
        if (study->production[i].kind != PRODUCTION_NONE)
            compare_version(draft, &known, i);
    return refuse(plan, err);
}
