/* Progress and result of a promotion, for people and for pipelines. One line for each step and each
 * check, as it happens: somebody is waiting beside a production that is down. With --json those
 * lines go to stderr, and stdout is one JSON document at the end. */
#include "cli/promotion.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/open.h"
#include "promote/audit.h"
#include "report/grid.h"
#include "study/study.h"

#include <math.h>
#include <pwd.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

const char *const cli_promotion_outcomes[] = {
    [PROMOTE_PROMOTED] = "promoted",
    [PROMOTE_ROLLED_BACK] = "rolled back",
    [PROMOTE_ROLLBACK_INCOMPLETE] = "rollback incomplete",
};

int cli_promotion_status(enum promote_outcome outcome)
{
    static const int statuses[] = {
        [PROMOTE_PROMOTED] = 0, [PROMOTE_ROLLED_BACK] = 7, [PROMOTE_ROLLBACK_INCOMPLETE] = 8};
    return statuses[outcome];
}

static const char *const kinds[] = {
    [CHECK_ACTIVE] = "active",       [CHECK_READY] = "ready", [CHECK_PROBE] = "probe",
    [CHECK_PLACEMENT] = "placement", [CHECK_LOAD] = "load",
};
static const char *const answers[] = {
    [PROMOTE_PASSED] = "passed", [PROMOTE_FAILED] = "failed", [PROMOTE_UNKNOWN] = "unknown"};
static const enum grid_paint paints[] = {
    [PROMOTE_PASSED] = PAINT_GOOD, [PROMOTE_FAILED] = PAINT_BAD, [PROMOTE_UNKNOWN] = PAINT_DIM};

struct cli_promotion cli_promotion_init(bool json, const struct promote_plan *plan)
{
    FILE *talk = json ? stderr : stdout;
    return (struct cli_promotion){.talk = talk,
                                  .color = cli_color(fileno(talk)),
                                  .plan = plan,
                                  .steps = json_array(),
                                  .checks = json_array()};
}

void cli_promotion_done(struct cli_promotion *promotion)
{
    if (!promotion)
        return;
    json_decref(promotion->steps);
    json_decref(promotion->checks);
    promotion->steps = promotion->checks = NULL;
}

/* ---- progress ---- */

enum { CHECK_COLUMN = 20 }; /* where a check's text begins */

static const char *service_name(const struct cli_promotion *promotion, int service)
{
    const struct promote_plan *plan = promotion->plan;
    return plan && plan->study && service >= 0 && (size_t)service < plan->study->service_count
               ? plan->study->services[service].name
               : NULL;
}

static void add_object(struct buf *line, const struct promote_step *step, const char *service)
{
    if (step->path)
        buf_addf(line, " %s", step->path);
    else if (step->unit)
        buf_addf(line, " %s", step->unit);
    else if (step->kind == PROMOTE_RELOAD)
        buf_addf(line, " systemd's files (%s)", host_scope_names[step->scope]);
    else if (step->run) /* its arguments may hold what must not be shown */
        buf_addf(line, " %s%s%s%s", step->run[0], service ? " (" : "", service ? service : "",
                 service ? ")" : "");
}

static void on_step(void *context, const struct promote_step *step, const char *doing)
{
    struct cli_promotion *promotion = context;
    AUTO(buf_done) struct buf line = BUF_INIT(8192), safe = BUF_INIT(32768);
    if (promotion->failed > 0 && !promotion->undoing)
        fputs("Undoing:\n", promotion->talk);
    promotion->undoing = promotion->failed > 0;
    buf_add(&line, doing);
    add_object(&line, step, service_name(promotion, step->service));
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, 1000);
    fprintf(promotion->talk, "  %s\n", buf_text(&safe));
    fflush(promotion->talk);
    json_array_append_new(promotion->steps,
                          json_pack("{s:s, s:o, s:o}", "kind", promote_kind_name(step->kind),
                                    "doing", json_text_or_null(doing), "what",
                                    json_text_or_null(buf_text(&line))));
}

static void on_check(void *context, const struct promote_check *check)
{
    struct cli_promotion *promotion = context;
    size_t *const counts[] = {[PROMOTE_PASSED] = &promotion->passed,
                              [PROMOTE_FAILED] = &promotion->failed,
                              [PROMOTE_UNKNOWN] = &promotion->unknown};
    AUTO(buf_done) struct buf safe = BUF_INIT(sizeof check->text * 4);
    const struct report_terminal terminal = {.color = promotion->color};
    ++*counts[check->answer];
    text_add_escaped(&safe, TEXT_TERMINAL, check->text, strlen(check->text), sizeof check->text);
    fputs("  ", promotion->talk);
    report_print_painted(promotion->talk, terminal, paints[check->answer], answers[check->answer]);
    fprintf(promotion->talk, "%*s %-9s ", (int)(7 - strlen(answers[check->answer])), "",
            kinds[check->kind]);
    report_print_wrapped(promotion->talk, cli_terminal(fileno(promotion->talk)), buf_text(&safe),
                         CHECK_COLUMN, CHECK_COLUMN);
    fflush(promotion->talk);
    json_array_append_new(promotion->checks,
                          json_pack("{s:s, s:o, s:s, s:o}", "check", kinds[check->kind], "service",
                                    json_text_or_null(service_name(promotion, check->service)),
                                    "answer", answers[check->answer], "text",
                                    json_text_or_null(check->text)));
}

struct promote_events cli_promotion_events(struct cli_promotion *promotion)
{
    return (struct promote_events){promotion, on_step, on_check};
}

/* ---- who, and where it is recorded ---- */

void cli_promotion_add_user(struct buf *buf)
{
    const struct passwd *entry = getpwuid(geteuid());
    const char *sudo = getenv("SUDO_USER");
    AUTO(buf_done) struct buf safe = BUF_INIT(512);
    if (sudo && *sudo && geteuid() == 0) {
        text_add_escaped(&safe, TEXT_TERMINAL, sudo, strlen(sudo), 64);
        buf_addf(buf, "%s (by sudo)", buf_text(&safe));
    } else if (entry) {
        buf_add(buf, entry->pw_name);
    } else {
        buf_addf(buf, "uid %lu", (unsigned long)geteuid());
    }
}

char *cli_promotion_record(const char *folder)
{
    AUTO_JSON json_t *records = NULL;
    struct err ignored = ERR_INIT;
    if (!promote_audit_read(folder, &records, &ignored) || json_array_size(records) == 0)
        return NULL;
    const json_t *last = json_array_get(records, json_array_size(records) - 1);
    const char *file = json_get_text(last, "file");
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%s.promotions/%s", folder, file ? file : "");
    return file ? buf_take(&path) : NULL;
}

/* ---- the result ---- */

void cli_promotion_add_json(json_t *object, const struct cli_promotion *promotion,
                            const struct promote_result *result, const char *folder)
{
    AUTO(free) char *record = cli_promotion_record(folder);
    json_object_set_new(object, "outcome", json_string(cli_promotion_outcomes[result->outcome]));
    json_object_set_new(object, "verified", json_boolean(result->verified));
    json_object_set_new(object, "why", json_text_or_null(result->why[0] ? result->why : NULL));
    json_object_set_new(object, "downtime_s", json_real_or_null(result->downtime_s));
    json_object_set_new(object, "rollback_after_s", json_real_or_null(result->rollback_after_s));
    json_object_set(object, "steps", promotion->steps);
    json_object_set(object, "checks", promotion->checks);
    json_object_set_new(object, "record", json_text_or_null(record));
}

static void print_row(const struct cli_promotion *promotion, const char *name, const char *text)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(65536);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), 8000);
    fprintf(promotion->talk, "  %-9s ", name);
    report_print_wrapped(promotion->talk, cli_terminal(fileno(promotion->talk)), buf_text(&safe),
                         12, 12);
}

static void print_times(const struct cli_promotion *promotion, const struct promote_result *result)
{
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    if (!isnan(result->downtime_s)) {
        buf_addf(&line, "%.1f s, the longest of a unit", result->downtime_s);
        print_row(promotion, "downtime", buf_text(&line));
    }
    if (!isnan(result->rollback_after_s)) {
        buf_clear(&line);
        buf_addf(&line, "begun %.0f ms after the failure was seen", 1e3 * result->rollback_after_s);
        print_row(promotion, "rollback", buf_text(&line));
    }
}

/* The second of each: something was seen to work. */
static const char *const titles[][2] = {
    [PROMOTE_PROMOTED] =
        {"Written, not verified: nothing of the new setting could be seen to work.",
         "Promoted: production runs the new setting, and was seen to work."},
    [PROMOTE_ROLLED_BACK] = {"Rolled back: production is as it was before; nothing was verified.",
                             "Rolled back: production is as it was before, and was seen to work."},
    [PROMOTE_ROLLBACK_INCOMPLETE] =
        {"ROLLBACK INCOMPLETE: production needs a look by somebody, now.",
         "ROLLBACK INCOMPLETE: production needs a look by somebody, now."},
};

void cli_promotion_print(const struct cli_promotion *promotion, const struct promote_result *result,
                         const char *folder, const char *undo)
{
    const struct report_terminal terminal = {.color = promotion->color};
    AUTO(free) char *record = cli_promotion_record(folder);
    AUTO(buf_done) struct buf line = BUF_INIT(1024);
    fputc('\n', promotion->talk);
    report_print_painted(promotion->talk, terminal,
                         result->outcome != PROMOTE_PROMOTED ? PAINT_BAD
                         : result->verified                  ? PAINT_GOOD
                                                             : PAINT_NONE,
                         titles[result->outcome][result->verified]);
    fputc('\n', promotion->talk);
    if (result->why[0])
        print_row(promotion, "why", result->why);
    print_times(promotion, result);
    buf_addf(&line, "%zu passed, %zu failed, %zu unknown", promotion->passed, promotion->failed,
             promotion->unknown);
    print_row(promotion, "checks", buf_text(&line));
    if (record)
        print_row(promotion, "record", record);
    if (undo)
        print_row(promotion, result->outcome == PROMOTE_ROLLBACK_INCOMPLETE ? "again" : "undo",
                  undo);
}

bool cli_promotion_dump(const json_t *object, struct err *err)
{
    if (json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
        return err_sys(err, "printing");
    putchar('\n');
    return true;
}

void cli_promotion_end(const json_t *object)
{
    struct err cause = ERR_INIT;
    if ((!object || cli_promotion_dump(object, &cause)) && fflush(stdout) == 0 && !ferror(stdout))
        return;
    fputs("spica: standard output: write error; what was done is done: the exit status and spica "
          "history say what\n",
          stderr);
    __fpurge(stdout); /* else it is found anew at our end, as a failure of ours */
    clearerr(stdout);
}

/* ---- the study ---- */

void cli_study_done(struct cli_study *found)
{
    if (!found)
        return;
    found->study = spec_study_free(found->study);
    free(found->folder);
    found->folder = NULL;
}

/* The study file that a results' folder was made from: its path as stored, else a file of that name
 * beside the folder. In `arena`. */
static bool file_of_results(const char *name, const char *out, struct arena *arena,
                            const char **ret_file, const char **ret_folder, struct err *err)
{
    struct cli_results results;
    struct store_study row;
    bool found = false;
    if (!cli_open_results(name, out, &results, err))
        return false;
    bool read = store_study_get(results.store, &found, &row, err);
    if (read && found) {
        AUTO(free) char *parent = file_folder(results.folder);
        const char *slash = strrchr(row.path, '/');
        AUTO(free) char *beside = file_join(parent, slash ? slash + 1 : row.path);
        *ret_file = arena_strdup(arena, file_exists(beside) ? beside : row.path);
        *ret_folder = arena_strdup(arena, results.folder);
    }
    cli_close_results(&results);
    return read &&
           (found || err_set(err, ERR_INPUT, "nothing has been run yet: there is no winner"));
}

bool cli_study_find(const char *name, const char *out, struct cli_study *ret_found, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *file = name, *folder = out;
    bool is_file = name && file_exists(name) &&
                   (text_ends_with(name, ".yaml") || text_ends_with(name, ".yml"));
    if (!is_file && !file_of_results(name, out, arena, &file, &folder, err))
        return false;
    struct spec_study *study = NULL;
    if (!spec_study_load(file, cli_catalog(), &study, err))
        return false;
    AUTO(free) char *made = is_file ? study_folder(study, out) : strdup(folder);
    *ret_found = (struct cli_study){study, file_absolute(made)};
    return true;
}
