/* history: who changed production, when, and what came of it; from the audit records. */
#include "cli/promotion.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/open.h"
#include "promote/audit.h"
#include "promote/journal.h"
#include "report/grid.h"

#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {"json", 'j', NULL, "print the records as JSON"},
    {NULL, 0, NULL, NULL},
};

static const char *shown(struct arena *arena, const char *text, size_t most)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(65536);
    if (!text)
        return "-";
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), most);
    return arena_strdup(arena, buf_text(&safe));
}

static void add_record(struct report_grid *grid, const json_t *record)
{
    struct arena *arena = grid->arena;
    struct grid_row *row = report_grid_add(grid);
    const json_t *plan = json_object_get(record, "plan");
    int64_t wall_us = json_get_int(record, "wall_us", 0);
    const char *outcome = json_get_text(record, "outcome"), *why = json_get_text(record, "why");
    char *when = arena_alloc(arena, 32);
    row->cells[0] = wall_us ? clock_format_wall(wall_us, when, 32) : "-";
    row->cells[1] = shown(arena, outcome, 40);
    row->cells[2] = shown(arena, json_get_text(plan, "id"), 16);
    row->cells[3] = shown(arena, json_get_text(record, "user"), 60);
    row->cells[4] = shown(arena, json_get_text(plan, "winner"), 300);
    if (why)
        row->below[0] = arena_printf(arena, "why: %s", shown(arena, why, 1000));
    row->paint = outcome && strcmp(outcome, cli_promotion_outcomes[PROMOTE_PROMOTED]) == 0
                     ? PAINT_NONE
                     : PAINT_BAD;
}

static void print(const json_t *records)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena, .column_count = 5};
    struct grid_row *head = report_grid_add(&grid);
    static const char *const titles[] = {"when", "outcome", "plan", "who", "setting"};
    for (size_t i = 0; i < ARRAY_LEN(titles); i++)
        head->cells[i] = titles[i];
    head->paint = PAINT_DIM;
    for (size_t i = 0; i < json_array_size(records); i++)
        add_record(&grid, json_array_get(records, i));
    report_grid_print(&grid, stdout, cli_terminal(STDOUT_FILENO), 0);
}

/* One that was begun and not ended has no record yet, and somebody has approved it. NULL: there is
 * none, or it is not ours to read. */
static const struct promote_journal *pending(const struct promote_journal *journal)
{
    return journal && promote_journal_is_pending(journal) ? journal : NULL;
}

static json_t *pending_json(const struct promote_journal *journal)
{
    if (!journal)
        return json_null();
    json_t *object = json_pack("{s:s, s:s}", "plan", journal->plan_id, "state",
                               promote_state_name(journal->state));
    json_object_set_new(object, "approved", json_text_or_null(journal->user));
    json_object_set_new(object, "begun_wall_us", json_integer(journal->since_wall_us));
    return object;
}

static void print_pending(const struct promote_journal *journal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    char when[32];
    if (journal)
        printf("Not ended: plan %s, begun %s, approved by %s (%s); spica rollback undoes it\n",
               journal->plan_id, clock_format_wall(journal->since_wall_us, when, sizeof when),
               shown(arena, journal->user, 200), promote_state_name(journal->state));
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO_JSON json_t *records = NULL;
    AUTO(promote_journal_free) struct promote_journal *journal = NULL;
    const char *found = NULL;
    struct err ignored = ERR_INIT;
    (void)ret_status;
    if (!cli_find_folder(args->argument_count ? args->arguments[0] : NULL,
                         cli_value(&cli_history, args, "out"), arena, &found, err))
        return false;
    AUTO(free) char *folder = file_absolute(found);
    AUTO(free) char *path = promote_journal_path(folder);
    if (!promote_audit_read(folder, &records, err))
        return false;
    (void)!promote_journal_read(path, &journal, &ignored);
    if (cli_flag(&cli_history, args, "json")) {
        AUTO_JSON json_t *object =
            json_pack("{s:s, s:i, s:O, s:o}", "format", "spica promotions", "version", 1,
                      "promotions", records, "pending", pending_json(pending(journal)));
        return cli_promotion_dump(object, err);
    }
    if (json_array_size(records) == 0)
        printf("nothing was promoted yet (%s.promotions)\n", folder);
    else
        print(records);
    print_pending(pending(journal));
    return true;
}

const struct cli_command cli_history = {
    .name = "history",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "promotions and rollbacks: who, when, what came of it",
    .text = "Lists the audit records of a study, oldest first: one for each promotion and each "
            "rollback, with who approved it and how, and why it was undone; last, a promotion that "
            "was begun and not ended, if there is one. "
            "The records themselves "
            "(NAME.spica.promotions/*.json) hold every file before and after, secrets as digests, "
            "and every check.",
    .options = options,
    .run = run,
};
