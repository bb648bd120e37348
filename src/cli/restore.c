/* restore: units that a run paused, started again. By hand after a crash of everything; by systemd,
 * as the restorer that each pausing run sets up, with --watch. */
#include "cli/command.h"
#include "cli/open.h"
#include "cli/pause.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "host/restorer.h"
#include "store/store.h"
#include "study/study.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {"watch", 0, "PID", "first wait until that process has ended (systemd runs it so)"},
    {NULL, 0, NULL, NULL},
};

static const char *const words[] = {
    [HOST_STARTED] = "started again",
    [HOST_WAS_RUNNING] = "runs already, left alone",
    [HOST_LEFT_DOWN] = "was not active before, left as it is",
    [HOST_GONE] = "no longer exists",
    [HOST_FAILED] = "NOT STARTED",
};

static void print_result(const struct host_journal *journal, const struct host_result *result)
{
    for (size_t i = 0; i < result->count; i++)
        printf("  %s: %s\n", journal->units[i].name, words[result->what[i]]);
    fflush(stdout);
}

static json_t *result_json(const struct host_journal *journal, const struct host_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o}", "unit", journal->units[i].name, "what",
                            words[result->what[i]], "why",
                            json_text_or_null(result->why[i][0] ? result->why[i] : NULL)));
    return list;
}

/* Best effort: the units matter more than the note, and a study that never began has no store. */
static void note_events(const struct host_journal *journal, const struct host_result *result)
{
    AUTO(free) char *path = study_store_path(journal->folder);
    AUTO(store_close) struct store *store = NULL;
    AUTO_JSON json_t *list = result_json(journal, result);
    AUTO(free) char *text = json_dump_text(list);
    struct err ignored = ERR_INIT;
    if (!file_exists(path) || !store_open(path, STORE_WRITE, &store, &ignored))
        return;
    if (!store_event_add(store, journal->since_wall_us, "paused", text, &ignored) ||
        !store_event_add(store, clock_now_wall_us(), result->failed ? "restore_failed" : "restored",
                         text, &ignored))
        fprintf(stderr, "spica: %s\n", ignored.text);
}

bool cli_restore_journal(const char *path, struct host_journal *journal, struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    AUTO(free) struct host_result *result = calloc(1, sizeof *result);
    if (!result)
        abort();
    if (!host_manager_open(journal->scope, &manager, err))
        return false;
    struct err cause = ERR_INIT;
    bool ok = host_restore(manager, journal, result, &cause);
    printf("Paused units:\n");
    print_result(journal, result);
    note_events(journal, result);
    if (!ok)
        return err_set(err, cause.code, "%.700s; repair, then: spica restore %s (or remove %s)",
                       cause.text, journal->folder, path);
    journal->done = true;
    return host_journal_write(path, journal, err);
}

static bool journal_of(const struct cli_args *args, char **ret_path, struct err *err)
{
    const char *name = args->argument_count ? args->arguments[0] : NULL;
    if (name && text_ends_with(name, ".paused.json")) {
        *ret_path = file_absolute(name);
        return true;
    }
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *folder = NULL;
    if (!cli_find_folder(name, cli_value(&cli_restore, args, "out"), arena, &folder, err))
        return false;
    *ret_path = host_journal_path(folder);
    return true;
}

/* As systemd's restorer: true when something may be left to do. */
static bool watch(const char *path, const char *pid_text, struct host_journal *journal,
                  bool *ret_left, struct err *err)
{
    int64_t pid = 0;
    struct host_journal before = *journal;
    bool found = false;
    if (!text_to_i64(pid_text, &pid) || pid < 1 || pid > INT32_MAX)
        return err_set(err, ERR_INPUT, "--watch %s: not a process", pid_text);
    if (!host_restorer_watch(journal, (pid_t)pid, err) ||
        !host_journal_read(path, &found, journal, err))
        return false;
    /* Done by spica itself, or a later run's by now. */
    *ret_left = found && !journal->done && host_process_same(&before.owner, &journal->owner);
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(free) char *path = NULL;
    struct host_journal journal;
    bool found = false, left = true;
    (void)ret_status;
    const char *pid_text = cli_value(&cli_restore, args, "watch");
    if (!journal_of(args, &path, err) || !host_journal_read(path, &found, &journal, err))
        return false;
    if (!found || journal.done) {
        printf("nothing is paused (%s)\n", path);
        return true;
    }
    if (!pid_text && host_process_alive(&journal.owner))
        return err_set(err, ERR_BUSY,
                       "the run that paused them (pid %d) still runs and starts them at its end; "
                       "^C there stops it cleanly",
                       (int)journal.owner.pid);
    if (pid_text && !watch(path, pid_text, &journal, &left, err))
        return false;
    return !left || cli_restore_journal(path, &journal, err);
}

const struct cli_command cli_restore = {
    .name = "restore",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "units that a run paused, started again",
    .text = "For units that are still down although the run that paused them has ended: after a "
            "reboot,\n"
            "those that are not enabled. STUDY is a study file, its NAME.spica folder, or the "
            "journal\n"
            "NAME.spica.paused.json beside that.",
    .options = options,
    .run = run,
};
