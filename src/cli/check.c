/* check: the study file validated, its space counted, the baseline's exact commands; starts
 * nothing. */
#include "cli/check_guard.h"
#include "cli/check_plan.h"
#include "cli/check_production.h"
#include "cli/command.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/device.h"
#include "guard/alarms.h"
#include "service/launch.h"
#include "spec/space.h"
#include "study/study.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"candidate", 'c', "TEXT", "show this candidate's commands instead of the baseline's"},
    {"list", 'l', NULL, "print every feasible candidate, one a line"},
    {"plan", 'p', NULL, "print the requests of the first trial, one line of JSON each"},
    {NULL, 0, NULL, NULL},
};

static bool print_candidate(void *context, spec_code code)
{
    const struct spec_study *study = context;
    struct spec_candidate candidate = spec_candidate_decode(study, code);
    AUTO(buf_done) struct buf line = BUF_INIT(65536);
    spec_candidate_add_text(&line, study, &candidate);
    return puts(buf_text(&line)) >= 0;
}

static void print_knobs(const struct spec_study *study)
{
    for (size_t k = 0; k < study->knob_count; k++) {
        const struct spec_knob *knob = &study->knobs[k];
        AUTO(buf_done) struct buf line = BUF_INIT(4096);
        size_t shown = 0;
        for (; shown < knob->value_count && line.len < 44; shown++)
            buf_addf(&line, "%s%s", shown ? ", " : "", knob->values[shown].label);
        printf("  %-22s %3zu  %s%s", knob->full_name, knob->value_count, buf_text(&line),
               shown < knob->value_count ? ", ..." : "");
        if (knob->when)
            printf("  (when %s)", expr_text(knob->when));
        putchar('\n');
    }
}

static void print_space(const struct spec_study *study, uint64_t count)
{
    AUTO(buf_done) struct buf line = BUF_INIT(256);
    if (count == UINT64_MAX) {
        printf("too many candidates to count within seconds: narrow the knobs\n");
        return;
    }
    text_add_grouped(&line, (int64_t)count);
    buf_add(&line, count == 1 ? " candidate" : " candidates");
    uint64_t all = spec_space_combinations(study);
    if (all > count && all <= INT64_MAX) {
        buf_add(&line, " of ");
        text_add_grouped(&line, (int64_t)all);
        buf_add(&line, " combinations, after conditions and constraints");
    }
    printf("%s\n", buf_text(&line));
}

static void print_estimate(const struct spec_study *study, uint64_t count)
{
    AUTO(free) char *folder = study_folder(study, NULL);
    const struct study_starts starts = study_starts(study, folder);
    struct study_estimate e = study_estimate(study, count, &starts);
    double total_s = e.explore_s + e.final_s;
    double limit_s = (double)study->search.time_ns / NS_PER_S;
    AUTO(buf_done) struct buf line = BUF_INIT(512);
    buf_addf(&line, "%s: at most %zu exploring trials and %zu of the final, about ",
             study->search.strategy, e.explore_trials, e.final_trials);
    text_add_duration(&line, total_s);
    if (limit_s > 0 && total_s > limit_s) {
        buf_add(&line, ", cut to ");
        text_add_duration(&line, limit_s);
    }
    if (starts.trials == 0)
        buf_addf(&line, "\n(supposing %.0f s for each start and stop of the services)",
                 starts.cold_s);
    else
        buf_addf(&line,
                 "\n(with %.1f s for the services' starts and stops, %.1f s where some stay up, as "
                 "measured in %zu trial%s)",
                 starts.cold_s, starts.restart_s, starts.trials, starts.trials == 1 ? "" : "s");
    printf("%s\n", buf_text(&line));
}

/* The study file's own text on its way to a terminal: studies are shared between people. */
static void print_safe(const char *indent, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        AUTO(buf_done) struct buf line = BUF_INIT(4 << 20);
        text_add_escaped(&line, TEXT_TERMINAL, text, len, 1 << 20);
        printf("%s%s\n", indent, buf_text(&line));
        text += len + (text[len] == '\n');
    }
}

/* ---- devices ---- */

/* The study's devices as this machine knows them; one that can't be opened keeps the number or UUID
 * that the study gives it, so that a file for another machine can be checked on a laptop. */
struct devices {
    struct device *open[SPEC_DEVICES_MAX];
    struct launch_device launch[SPEC_DEVICES_MAX]; /* borrowed from `open` and the study */
};

static void open_devices(const struct spec_study *study, struct devices *ret_devices)
{
    char told[sizeof((struct err *)NULL)->text] = "";
    for (size_t i = 0; i < study->device_count; i++) {
        const char *name = study->devices[i];
        struct launch_device *launch = &ret_devices->launch[i];
        struct err err = ERR_INIT;
        if (!spec_device_is_gpu(name))
            continue;
        if (text_starts_with(name, "gpu")) /* a number is right in PCI order */
            *launch = (struct launch_device){name + 3, name + 3};
        else
            *launch = (struct launch_device){name, ""};
        if (device_open(name, "/proc", &ret_devices->open[i], &err)) {
            const struct device_facts *facts = device_facts(ret_devices->open[i]);
            *launch = (struct launch_device){facts->id, facts->number};
            continue;
        }
        /* "device gpu0: no NVIDIA driver ...", which holds for the others as well: said once. */
        const char *colon = strstr(err.text, ": "), *why = colon ? colon + 2 : err.text;
        if (strcmp(told, why) != 0)
            printf("  %s can't be opened here: %s\n", name, why);
        snprintf(told, sizeof told, "%s", why);
    }
}

static void print_devices(const struct spec_study *study, const struct devices *devices)
{
    for (size_t i = 0; i < study->device_count; i++) {
        AUTO(buf_done) struct buf line = BUF_INIT(2048);
        if (!devices->open[i])
            continue;
        const struct device_facts *facts = device_facts(devices->open[i]);
        buf_addf(&line, "  %-5s %s, %s, ", study->devices[i], facts->name, facts->id);
        text_add_bytes(&line, facts->memory_bytes);
        buf_addf(&line, ", %s%s%s", facts->versions, facts->notes[0] ? "; " : "", facts->notes);
        print_safe("", buf_text(&line));
    }
}

static void close_devices_auto_(struct devices *devices)
{
    for (size_t i = 0; i < SPEC_DEVICES_MAX; i++)
        devices->open[i] = device_close(devices->open[i]);
}

/* "gpu0", "gpu0 or gpu1 (2 lanes)", "gpu0, cpu". */
static void print_header(const struct spec_study *study)
{
    AUTO(buf_done) struct buf names = BUF_INIT(2048);
    for (size_t i = 0; i < study->device_count; i++)
        buf_addf(&names, "%s%s",
                 !i                      ? ""
                 : study->lane_count > 1 ? " or "
                                         : ", ",
                 study->devices[i]);
    printf("%s: %zu services on %s", study->name, study->service_count, buf_text(&names));
    if (study->lane_count > 1)
        printf(" (%zu lanes)", study->lane_count);
    printf(", %zu knobs\n", study->knob_count);
}

/* One that is missing is said, and the others are looked at all the same: whoever sets a machine up
 * wants to know all of it. The last one is the error. */
struct missing {
    char last[sizeof((struct err *)NULL)->text];
    size_t count;
};

static bool note_missing(const struct spec_study *study, const struct err *fault,
                         struct missing *missing, struct err *err)
{
    if (fault->code != ERR_MISSING) {
        *err = *fault;
        return err_wrap(err, "%s", study->path);
    }
    if (missing->count++)
        fprintf(stderr, "spica: %s: %s\n", study->path, missing->last);
    snprintf(missing->last, sizeof missing->last, "%s", fault->text);
    return true;
}

static bool print_commands(const struct spec_study *study, const struct spec_candidate *candidate,
                           const struct devices *devices, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(free) char *folder = study_folder(study, NULL);
    int taken[SPEC_SERVICES_MAX];
    struct missing missing = {.count = 0};
    for (size_t i = 0; i < study->service_count; i++) {
        const char *name = study->services[i].name;
        const size_t device = spec_candidate_device(study, candidate, i);
        struct service_launch launch;
        struct err fault = ERR_INIT;
        int port = 0;
        if (!service_port_allot(taken, i, &port, err))
            return err_wrap(err, "%s", study->path);
        taken[i] = port;
        if (!service_launch_build(arena, study, candidate, i, port, &devices->launch[device],
                                  arena_printf(arena, "%s/scratch/%s", folder, name),
                                  arena_printf(arena, "%s/logs/%s.log", folder, name), &launch,
                                  &fault)) {
            if (!note_missing(study, &fault, &missing, err))
                return false;
            continue;
        }
        AUTO(buf_done) struct buf line = BUF_INIT(1 << 20);
        service_launch_add_text(&line, &launch);
        if (spec_study_on_gpu(study))
            printf("\n%s on %s%s, in\n", name, study->devices[device],
                   spec_device_is_gpu(study->devices[device]) && launch.spec->on == ON_CPU
                       ? " (computes on the CPU)"
                       : "");
        else
            printf("\n%s, in\n", name);
        print_safe("  ", launch.folder);
        print_safe("  ", buf_text(&line));
        if (launch.config_text) {
            printf("  with %s:\n", launch.config_name);
            print_safe("    ", launch.config_text);
        }
    }
    return missing.count == 0 || err_set(err, ERR_MISSING, "%s: %s", study->path, missing.last);
}

static bool take_first(void *context, spec_code code)
{
    *(spec_code *)context = code;
    return false;
}

static bool choose(const struct cli_args *args, const struct spec_study *study,
                   struct spec_candidate *ret, const char **ret_title, struct err *err)
{
    const char *given = cli_value(&cli_check, args, "candidate");
    *ret_title = given ? given : study->baseline ? "the baseline" : "the first candidate";
    if (given)
        return spec_candidate_parse(study, given, ret, err) &&
               (spec_candidate_check(study, ret, err) || err_wrap(err, "--candidate"));
    if (study->baseline) {
        memcpy(ret->index, study->baseline, study->knob_count * sizeof *ret->index);
        return true;
    }
    spec_code first = 0;
    spec_space_each(study, take_first, &first);
    *ret = spec_candidate_decode(study, first);
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(close_devices) struct devices devices = {0};
    if (!spec_study_load(args->arguments[0], cli_catalog(), &study, err) ||
        !guard_alarms_check_names(study, study->path, err))
        return false;
    if (cli_flag(&cli_check, args, "list")) {
        spec_space_each(study, print_candidate, study);
        return true;
    }
    struct spec_candidate candidate;
    const char *title = NULL;
    if (cli_flag(&cli_check, args, "plan"))
        return choose(args, study, &candidate, &title, err) &&
               cli_print_plan(study, &candidate, err);
    uint64_t count = spec_space_count(study);
    print_header(study);
    open_devices(study, &devices);
    print_devices(study, &devices);
    print_knobs(study);
    for (size_t i = 0; i < study->constraint_count; i++)
        printf("  constraint: %s\n", expr_text(study->constraints[i].expr));
    print_space(study, count);
    print_estimate(study, count);
    if (count == UINT64_MAX && !study->baseline && !cli_value(&cli_check, args, "candidate"))
        return true; /* even its first candidate could take ages to find */
    if (!choose(args, study, &candidate, &title, err))
        return false;
    printf("\nCommands of %s (ports are allotted anew for every trial):\n", title);
    if (!print_commands(study, &candidate, &devices, err))
        return false;
    cli_print_production(study);
    cli_print_guard(study);
    return true;
}

const struct cli_command cli_check = {
    .name = "check",
    .arguments = "STUDY.yaml",
    .arguments_min = 1,
    .arguments_max = 1,
    .help = "validate; print space, trials, commands; starts nothing",
    .text =
        "Prints the knobs, the exact number of feasible candidates, how long a run will take, "
        "and the\n"
        "exact command and environment of every service with the baseline's settings. A GPU is\n"
        "named by its UUID there when its driver can be asked, else by its number in PCI order.\n"
        "With \"production\", also which files and units a promotion would write to.\n\n"
        "With --plan, instead: what the load sends and when (ns since its start), of closed loops\n"
        "and sessions what is known before the answers are. The same study gives the same bytes.",
    .options = options,
    .run = run,
};
