/* `spica run --pause`: production's own units hold the device, so they are stopped for the study.
 *
 * The order is what makes it safe: all that can fail for another reason (the study's files, a busy
 * device) is looked at first; then the plan and the approval; then the journal on disk; then the
 * restorer; and only then the first stop. What a kill leaves behind at any of these points is
 * undone by the restorer, or by the next `spica run` or `spica restore`. */
#include "cli/pause.h"
#include "cli/command.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "device/device.h"
#include "host/restorer.h"
#include "spec/space.h"
#include "study/study.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HOLDERS_MAX = 256 };
static const double MIB = 1024 * 1024;
static const int64_t RESTORER_WITHIN_NS = 120 * NS_PER_S;

void cli_pause_done(struct cli_pause *pause)
{
    if (!pause)
        return;
    free(pause->journal);
    pause->journal = NULL;
}

bool cli_pause_recover(struct cli_pause *pause, struct err *err)
{
    struct host_journal journal;
    bool found = false;
    pause->journal = host_journal_path(pause->folder);
    if (!host_journal_read(pause->journal, &found, &journal, err))
        return false;
    if (!found || journal.done)
        return true;
    if (host_process_alive(&journal.owner)) /* without --pause, the device's lock says it better */
        return !pause->names ||
               err_set(err, ERR_BUSY, "another run of %s (pid %d) has units paused and still runs",
                       journal.study, (int)journal.owner.pid);
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    if (!host_manager_open(journal.scope, &manager, err) ||
        !host_restorer_wait(manager, journal.study, pause->journal, RESTORER_WITHIN_NS, err) ||
        !host_journal_read(pause->journal, &found, &journal, err))
        return err_wrap(err, "units are paused since an earlier run (%s)", pause->journal);
    if (!found || journal.done)
        return true;
    return cli_restore_journal(pause->journal, &journal, err) ||
           err_wrap(err, "units are paused since an earlier run (%s)", pause->journal);
}

/* A study that can't run must not stop anything. (It looks again itself.) */
static bool check_study(const struct cli_pause *pause, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
    struct corpus *corpora = NULL;
    if (!study_load_corpora(pause->study, arena, &corpora, err) ||
        !study_check_services(pause->study, false, &problems, err))
        return false;
    return problems.len == 0 || err_set(err, ERR_MISSING, "%.*s; see: spica prepare %s",
                                        (int)strcspn(buf_text(&problems), "\n"),
                                        buf_text(&problems), pause->study->path);
}

/* MiB that a unit's processes hold on a GPU; NaN when the driver lists none of them. */
static double held_mib(struct device *device, const char *unit)
{
    AUTO(free) struct device_holder *holders = calloc(HOLDERS_MAX, sizeof *holders);
    if (!holders)
        abort();
    size_t count = device_holders(device, NULL, 0, clock_now_wall_us(), holders, HOLDERS_MAX);
    double sum = NAN;
    for (size_t i = 0; i < count; i++) {
        double mib = reading_value(holders[i].memory_bytes) / MIB;
        if (strncmp(holders[i].owner.unit, unit, sizeof holders[i].owner.unit - 1) == 0 &&
            !isnan(mib))
            sum = isnan(sum) ? mib : sum + mib;
    }
    return sum;
}

static void add_held(struct buf *line, const struct cli_pause *pause, const struct host_unit *unit)
{
    const struct spec_study *study = pause->study;
    bool gpu = false;
    for (size_t i = 0; i < study->device_count; i++) {
        AUTO(device_close) struct device *device = NULL;
        struct err ignored = ERR_INIT; /* the run itself will say why it can't be opened */
        if (strcmp(study->devices[i], "cpu") == 0 ||
            !device_open(study->devices[i], "/proc", &device, &ignored))
            continue;
        gpu = true;
        double mib = held_mib(device, unit->name);
        if (isnan(mib)) {
            buf_addf(line, ", nothing seen of it on %s", study->devices[i]);
        } else {
            buf_add(line, ", holds ");
            text_add_grouped(line, (int64_t)(mib + 0.5));
            buf_addf(line, " MiB on %s", study->devices[i]);
        }
    }
    if (gpu || isnan(reading_value(unit->memory_bytes)))
        return;
    buf_add(line, ", holds ");
    text_add_bytes(line, reading_value(unit->memory_bytes));
}

static void print_line(const struct buf *line)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(8192);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(line), line->len, 2000);
    printf("%s\n", buf_text(&safe));
}

static void print_unit(const struct cli_pause *pause, const struct host_unit *unit)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    buf_addf(&line, "  %s (%s): ", unit->name, unit->description);
    if (!unit->up) {
        buf_addf(&line, "not active (%s), so it is left as it is", unit->active);
        print_line(&line);
        return;
    }
    buf_addf(&line, "%s, %s", unit->active, unit->sub);
    if (text_ends_with(unit->name, ".service"))
        add_held(&line, pause, unit);
    buf_add(&line, text_starts_with(unit->at_boot, "enabled") ? "; enabled at boot"
                                                              : "; not enabled at boot");
    print_line(&line);
    for (const char *at = unit->triggers; *at;) {
        size_t len = strcspn(at, ",");
        char name[HOST_NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)len, at);
        buf_clear(&line);
        buf_addf(&line,
                 "      %s starts it when asked to, in the middle of the study too: name it "
                 "as well",
                 name);
        if (!host_plan_has(&pause->plan, name))
            print_line(&line);
        at += len + (at[len] == ',');
    }
}

static void add_duration(struct buf *line, const struct cli_pause *pause)
{
    const struct spec_study *study = pause->study;
    uint64_t count = spec_space_count(study);
    double limit_s =
        (double)(pause->time_ns > 0 ? pause->time_ns : study->search.time_ns) / NS_PER_S;
    const struct study_starts starts = study_starts(study, pause->folder);
    struct study_estimate e = study_estimate(study, count, &starts);
    double total_s = e.explore_s + e.final_s;
    if (count == UINT64_MAX && limit_s <= 0) {
        buf_add(line, "a time that can't be told");
        return;
    }
    text_add_duration(line, limit_s > 0 && total_s > limit_s ? limit_s : total_s);
}

static void print_plan(const struct cli_pause *pause)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    char restorer[HOST_NAME_SIZE];
    bool all_enabled = true;
    host_restorer_name(pause->study->name, pause->journal, restorer);
    buf_addf(&line, "To pause for the study %s, down for about ", pause->study->name);
    add_duration(&line, pause);
    buf_add(&line, ":");
    print_line(&line);
    for (size_t i = 0; i < pause->plan.count; i++) {
        const struct host_unit *unit = &pause->plan.units[i];
        print_unit(pause, unit);
        all_enabled &= !unit->up || text_starts_with(unit->at_boot, "enabled");
    }
    if (host_plan_up(&pause->plan) == 0)
        return;
    printf("They are started again at the end by spica; should it be killed, by\n  %s,\nwhich "
           "systemd runs; after a reboot %s.\n",
           restorer,
           all_enabled ? "by systemd, as they are enabled"
                       : "those not enabled, by: spica restore");
}

static bool ask(struct err *err)
{
    char answer[64];
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return err_set(err, ERR_DECLINED,
                       "no terminal to ask on: approve that plan with --approve; nothing was "
                       "changed");
    printf("Stop these units now? [y/N] ");
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin) &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return true;
    return err_set(err, ERR_DECLINED, "declined; nothing was changed");
}

bool cli_pause_ask(struct cli_pause *pause, struct err *err)
{
    if (!pause->names)
        return true;
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    if (!host_manager_open(pause->scope, &manager, err) ||
        !host_plan_read(manager, pause->scope, pause->names, &pause->plan, err) ||
        !check_study(pause, err))
        return false;
    print_plan(pause);
    if (host_plan_up(&pause->plan) == 0) {
        printf("None of them runs, so nothing is paused.\n");
        return true;
    }
    return pause->approved || ask(err);
}

/* What was approved, or nothing: it may have changed while somebody read it. */
static bool check_plan(struct cli_pause *pause, struct host_manager *manager, struct err *err)
{
    struct host_plan now;
    if (!host_plan_read(manager, pause->scope, pause->names, &now, err))
        return false;
    for (size_t i = 0; i < now.count; i++)
        if (i >= pause->plan.count || strcmp(now.units[i].name, pause->plan.units[i].name) != 0 ||
            now.units[i].up != pause->plan.units[i].up)
            return err_set(
                err, ERR_DECLINED,
                "%s is no longer as in the plan (now %s); nothing was changed, run again",
                now.units[i].name, now.units[i].active);
    return true;
}

static bool fill_journal(const struct cli_pause *pause, struct host_journal *ret, struct err *err)
{
    struct host_journal journal = {
        .scope = pause->scope, .since_wall_us = clock_now_wall_us(), .count = pause->plan.count};
    AUTO(free) char *folder = file_absolute(pause->folder);
    if (!host_process_read(getpid(), &journal.owner))
        return err_set(err, ERR_INTERNAL, "/proc does not tell when this process was started");
    snprintf(journal.study, sizeof journal.study, "%s", pause->study->name);
    snprintf(journal.folder, sizeof journal.folder, "%s", folder);
    for (size_t i = 0; i < journal.count; i++) {
        snprintf(journal.units[i].name, HOST_NAME_SIZE, "%s", pause->plan.units[i].name);
        journal.units[i].was_up = pause->plan.units[i].up;
        journal.units[i].start_within_ns = pause->plan.units[i].start_within_ns;
    }
    *ret = journal;
    return true;
}

bool cli_pause_begin(struct cli_pause *pause, struct err *err)
{
    struct host_journal journal;
    if (!pause->names || host_plan_up(&pause->plan) == 0)
        return true;
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    AUTO(free) char *parent = file_folder(pause->journal);
    if (!host_manager_open(pause->scope, &manager, err) ||
        !host_restorer_wait(manager, pause->study->name, pause->journal, RESTORER_WITHIN_NS, err) ||
        !check_plan(pause, manager, err) || !fill_journal(pause, &journal, err) ||
        !file_make_folders(parent, err) || !host_journal_write(pause->journal, &journal, err))
        return false;
    if (!host_restorer_start(manager, &journal, pause->journal, err)) {
        struct err ignored = ERR_INIT; /* an open journal of units that all run does no harm */
        journal.done = true;
        if (!host_journal_write(pause->journal, &journal, &ignored))
            err_wrap(err, "%s stays", pause->journal);
        return false;
    }
    pause->begun = true;
    if (host_pause(manager, &pause->plan, err)) {
        printf("Paused: %zu %s.\n", host_plan_up(&pause->plan),
               host_plan_up(&pause->plan) == 1 ? "unit" : "units");
        fflush(stdout);
        return true;
    }
    return cli_pause_end(pause, false, err);
}

bool cli_pause_end(struct cli_pause *pause, bool ok, struct err *err)
{
    struct host_journal journal;
    struct err cause = ERR_INIT;
    bool found = false;
    if (!pause->begun)
        return ok;
    pause->begun = false;
    if (host_journal_read(pause->journal, &found, &journal, &cause) &&
        (found || err_set(&cause, ERR_INTERNAL, "%s was removed: start the paused units by hand",
                          pause->journal)) &&
        (journal.done || cli_restore_journal(pause->journal, &journal, &cause)))
        return ok;
    if (ok)
        *err = cause;
    else
        err_wrap(err, "%.400s; and before that", cause.text);
    return false;
}
