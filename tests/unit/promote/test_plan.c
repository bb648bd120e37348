/* Plans as a whole: what a person sees (golden), that a plan is what it is made of, who is promoted
 * and who is not, what differs, in which order. */
#include "check.h"

#include "base/clock.h"
#include "base/json.h"
#include "promote/draft.h"
#include "promote/json.h"
#include "promote/show.h"
#include "promote/surroundings.h"

#include "base/buf.h"
#include "base/file.h"
#include "made.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static const struct host_command whisper = {"/opt/whisper",
                                            (const char *const[]){"/opt/whisper", NULL}};
static const struct host_command llama = {"/opt/llama", (const char *const[]){"/opt/llama", NULL}};
static const struct host_config units[] = {
    {.name = "whisper.service", .load_state = "loaded", .commands = &whisper, .command_count = 1},
    {.name = "llama.service", .load_state = "loaded", .commands = &llama, .command_count = 1},
};

static const char both[] =
    "production:\n"
    "  stt:\n"
    "    unit: whisper\n"
    "    port: 9000\n"
    "    environment: {WHISPER_MODEL: \"{model}\", WHISPER_THREADS: \"{threads}\",\n"
    "                  HF_TOKEN: {secret: hunter2}, OLD_FLAG: null}\n"
    "  llm:\n"
    "    unit: llama\n"
    "    port: 8000\n"
    "    within: 3m\n"
    "    exec: [/opt/llama/bin/llama-server, --model, /srv/models/a-model-with-a-rather-long-name-"
    "that-does-not-fit-into-a-line.gguf, --parallel, \"{slots}\", --port, \"{port}\"]\n"
    "  before: [[/bin/true, \"{study}\"]]\n";

static void setup(struct made *made, enum sample_story story, const char *production)
{
    made_init(made, story);
    made->configs = units;
    made->config_count = 2;
    made_study(made, production);
}

/* With "@" for the folder, and for what differs between machines. */
static char *shown(const struct made *made, const struct promote_plan *plan)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    promote_plan_show(plan, out, (struct report_terminal){.width = 80});
    fclose(out);
    AUTO(buf_done) struct buf neutral = BUF_INIT(1 << 20);
    for (const char *c = text; *c;) {
        size_t len = strlen(made->folder);
        if (strncmp(c, made->folder, len) == 0) {
            buf_add(&neutral, "/tmp/spica-plan-XXXXXX");
            c += len;
        } else {
            buf_addc(&neutral, *c++);
        }
    }
    free(text);
    return buf_take(&neutral);
}

static void check_golden(const char *name, const char *text)
{
    char path[512];
    struct err err = ERR_INIT;
    AUTO(buf_done) struct buf want = BUF_INIT(1 << 20);
    snprintf(path, sizeof path, "%s/%s", GOLDEN, name);
    if (getenv("UPDATE_GOLDEN"))
        assert_true(file_write_atomic(path, text, strlen(text), &err));
    assert_true(buf_read_file(&want, path, &err));
    assert_string_equal(text, buf_text(&want));
}

/* The id is of the folder's name too, so it is left out here. */
static void cut_id(char *text)
{
    char *id = strstr(text, "\nPlan ");
    assert_non_null(id);
    id[1] = '\0';
}

static void looks(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    setup(&made, SAMPLE_WINNER, both);
    promote_surroundings_take(
        (const char *const[]){"DOCKER_HOST=tcp://me:hunter3@one:1", "PATH=/usr/bin:/bin", NULL});
    made.versions[1] = "b5000";
    made_file(&made, "system/whisper.service.d/10-spica.conf",
              "# Written by spica promote: old\n[Service]\nEnvironment=WHISPER_MODEL=base\n"
              "Environment=HF_TOKEN=hunter1\nEnvironment=BY_HAND=1\n");
    chmod(made_path(&made, "system/whisper.service.d/10-spica.conf"), 0600);
    AUTO(promote_plan_free)
    struct promote_plan *plan =
        made_plan(&made, (const char *const[]){"version.llm", "spica", NULL}, &err);
    assert_string_equal(err.text, "");
    AUTO(free) char *text = shown(&made, plan);
    assert_null(strstr(text, "hunter"));
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    cut_id(text);
    check_golden("plan.txt", text);
    AUTO_JSON json_t *json = promote_plan_json(plan);
    AUTO(free) char *dump = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    assert_null(strstr(dump, "hunter"));
    assert_string_equal(json_get_text(json, "id"), plan->id);
    made_done(&made);
}

/* What Compose reads besides ours, there or not, is in the plan: with each that comes or changes it
 * is another one. Expected: another id each time; before: the same, but for the
 * override. */
static void compose_reads(void **state)
{
    static const struct {
        const char *name, *text;
    } steps[] = {
        {"c.yaml", "include: [more.yaml]\nservices:\n  tts: {image: x, env_file: [{path: a.env}, "
                   "b.env], extends: {file: base.yaml, service: x}}\n"},
        {"compose.override.yaml", "services:\n  tts: {env_file: c.env}\n"},
        {".env", "A=1\n"},
        {"a.env", "A=1\n"},
        {"b.env", "A=1\n"},
        {"c.env", "A=1\n"},
        {"more.yaml", "services: {}\n"},
        {"base.yaml", "services: {}\n"},
        {"base.yaml", "services: {a: {image: y}}\n"},
    };
    char last[17] = "";
    struct made made;
    (void)state;
    setup(&made, SAMPLE_WINNER,
          "production:\n  stt: {compose: c.yaml, service: tts, override: o.yaml,\n"
          "        environment: {M: \"{model}\", T: \"{threads}\"}}\n");
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct err err = ERR_INIT;
        made_file(&made, steps[i].name, steps[i].text);
        AUTO(promote_plan_free)
        struct promote_plan *plan =
            made_plan(&made, (const char *const[]){"version.stt", "spica", NULL}, &err);
        CHECK_ROW(i, err.text, plan != NULL);
        CHECK_ROW(i, steps[i].name, strcmp(plan->id, last) != 0);
        snprintf(last, sizeof last, "%s", plan->id);
    }
    made_done(&made);
}

static void is_what_it_is_made_of(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    setup(&made, SAMPLE_WINNER, both);
    AUTO(promote_plan_free) struct promote_plan *one = made_plan(&made, NULL, &err);
    AUTO(promote_plan_free) struct promote_plan *two = made_plan(&made, NULL, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(strlen(one->id), 16);
    assert_string_equal(one->id, two->id);
    /* A byte in a file that is replaced, hidden or not; a version that was accepted. */
    made_file(&made, "system/whisper.service.d/10-spica.conf", "[Service]\n");
    AUTO(promote_plan_free) struct promote_plan *three = made_plan(&made, NULL, &err);
    assert_string_not_equal(three->id, one->id);
    made_file(&made, "system/whisper.service.d/10-spica.conf", "[Service]\n\n");
    AUTO(promote_plan_free) struct promote_plan *four = made_plan(&made, NULL, &err);
    assert_string_not_equal(four->id, three->id);
    made.versions[0] = "2.0";
    AUTO(promote_plan_free)
    struct promote_plan *five =
        made_plan(&made, (const char *const[]){"version.stt", "spica", NULL}, &err);
    assert_string_equal(err.text, "");
    assert_string_not_equal(five->id, four->id);
    made_done(&made);
}

/* Everything a promotion does and rests on is in its id: one change at a time, each another plan.
 */
static void names_all_of_it(void **state)
{
    static const char command[] =
        "production:\n"
        "  stt: {unit: whisper, port: 9000, except: [model, threads],\n"
        "        exec: [/opt/whisper, --new]}\n"
        "  llm: {command: {apply: [/bin/sh, ./apply.sh, --with=%s, \"{slots}\"],\n"
        "                  verify: [/bin/sh, -c, \"%s\"],\n"
        "                  rollback: [/bin/true]}}\n"
        "  verify: {window: %s, rate: %s, within: %s}\n";
    static const struct {
        const char *what, *with, *verify, *window, *rate, *within, *script, *record, *dependents;
    } rows[] = {
        {"as it is", "a.conf", "true", "30s", "1/s", "10m", "A", NULL, NULL},
        {"verify", "a.conf", "exit 0", "30s", "1/s", "10m", "A", NULL, NULL},
        {"window", "a.conf", "true", "31s", "1/s", "10m", "A", NULL, NULL},
        {"rate", "a.conf", "true", "30s", "2/s", "10m", "A", NULL, NULL},
        {"within", "a.conf", "true", "30s", "1/s", "11m", "A", NULL, NULL},
        {"the script", "a.conf", "true", "30s", "1/s", "10m", "B", NULL, NULL},
        {"dependents", "a.conf", "true", "30s", "1/s", "10m", "A", NULL, "proxy.service"},
        {"a record", "a.conf", "true", "30s", "1/s", "10m", "A", "1.json", NULL},
        {"the next record", "a.conf", "true", "30s", "1/s", "10m", "A", "2.json", NULL},
    };
    /* A command of one's own has no version that could be compared. */
    static const char *const accept[] = {"version.llm", "spica", NULL};
    char ids[ARRAY_LEN(rows)][17];
    struct made made;
    (void)state;
    setup(&made, SAMPLE_WINNER, both);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        AUTO(buf_done) struct buf text = BUF_INIT(8192), record = BUF_INIT(256);
        buf_addf(&text, command, rows[i].with, rows[i].verify, rows[i].window, rows[i].rate,
                 rows[i].within);
        made_study(&made, buf_text(&text));
        made.dependents = rows[i].dependents;
        AUTO(free) char *script = file_join(made.study->folder, "apply.sh");
        assert_true(file_write_atomic(script, rows[i].script, 1, &err));
        if (rows[i].record) {
            buf_addf(&record, "r.promotions/%s", rows[i].record);
            made_file(&made, buf_text(&record), "{}");
        }
        AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, accept, &err);
        assert_string_equal(err.text, "");
        snprintf(ids[i], sizeof ids[i], "%s", plan->id);
        for (size_t k = 0; k < i; k++)
            CHECK_ROW(i, rows[i].what, strcmp(ids[k], ids[i]) != 0);
        AUTO(free) char *seen = shown(&made, plan);
        if (rows[i].dependents)
            assert_non_null(strstr(seen, rows[i].dependents));
        if (rows[i].record)
            assert_non_null(strstr(seen, rows[i].record));
        assert_non_null(strstr(seen, "verified by"));
        assert_non_null(strstr(seen, "apply.sh"));
    }
    made_done(&made);
}

static const struct {
    const char *what;
    bool once, no_start;
    const char *error; /* NULL: there is a plan */
} hanging[] = {
    {"one that is started again", false, false, NULL},
    {"one that is up only while it works", true, false, NULL},
    {"that and no start by hand", true, true, NULL},
    {"no start by hand", false, true, "can't be started again by hand"},
};

static void who_can_hang_on_ours(void **state)
{
    struct made made;
    (void)state;
    setup(&made, SAMPLE_WINNER, both);
    made.dependents = "proxy.service";
    for (size_t i = 0; i < ARRAY_LEN(hanging); i++) {
        struct err err = ERR_INIT;
        bool named = false;
        made.once = hanging[i].once;
        made.no_start = hanging[i].no_start;
        AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, NULL, &err);
        CHECK_ROW(i, hanging[i].what, !plan == (hanging[i].error != NULL));
        CHECK_ROW(i, hanging[i].what, plan || strstr(err.text, hanging[i].error));
        for (size_t k = 0; plan && k < plan->step_count; k++)
            named = named || plan->steps[k].dependents;
        CHECK_ROW(i, hanging[i].what, !plan || named == !hanging[i].once);
    }
    made_done(&made);
}

static const struct {
    enum sample_story story;
    const char *stt_version, *device_versions;
    enum err_code code;
    const char *error; /* its beginning; NULL: a plan, or nothing to do */
} who[] = {
    {SAMPLE_WINNER, NULL, NULL, ERR_NONE, NULL},
    {SAMPLE_BASELINE_BEST, NULL, NULL, ERR_NONE, NULL},
    {SAMPLE_INFEASIBLE, NULL, NULL, ERR_INFEASIBLE, "voice: no candidate met the requirements"},
    {SAMPLE_UNFINISHED, NULL, NULL, ERR_INPUT, "voice: not decided yet"},
    {SAMPLE_WINNER, "1.8", NULL, ERR_DECLINED,
     "production is not what was measured: version.stt was 1.7.4, now 1.8. Measure again, or "
     "accept it: --accept version.stt"},
    {SAMPLE_WINNER, "1.8", "Linux 6.2", ERR_DECLINED,
     "production is not what was measured: driver was Linux 6.1, now Linux 6.2; version.stt was "
     "1.7.4, now 1.8. Measure again, or accept it: --accept driver --accept version.stt"},
};

static void promotes_winners_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(who); i++) {
        struct made made;
        struct err err = ERR_INIT;
        setup(&made, who[i].story, both);
        made.versions[0] = who[i].stt_version;
        made.device_versions = who[i].device_versions;
        AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, NULL, &err);
        assert_int_equal(err.code, who[i].code);
        if (who[i].error)
            assert_memory_equal(err.text, who[i].error, strlen(who[i].error));
        if (who[i].story == SAMPLE_BASELINE_BEST) {
            assert_non_null(plan->nothing);
            assert_true(promote_plan_is_empty(plan));
        }
        made_done(&made);
    }
}

static void checks_accepted_names(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    setup(&made, SAMPLE_WINNER, both);
    assert_null(made_plan(&made, (const char *const[]){"version.sst", NULL}, &err));
    assert_string_equal(err.text, "--accept: there is no difference \"version.sst\"; did you mean "
                                  "version.stt?");
    made_done(&made);
}

/* A study that was changed since: its digest differs, unless in `production:` alone. */
static void sees_an_edited_study(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    setup(&made, SAMPLE_WINNER, "");
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    buf_addf(&text, "# another comment\n%s%s", made.study->text, both);
    made.study = spec_study_free(made.study);
    if (!spec_study_parse(made_path(&made, "voice.yaml"), buf_text(&text), text.len,
                          sample_catalog(), &made.study, &err))
        fail_msg("%s", err.text);
    assert_null(made_plan(&made, NULL, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_non_null(strstr(err.text, "--accept study"));
    made_done(&made);
}

static void keeps_the_order(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    setup(&made, SAMPLE_WINNER, both);
    AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, NULL, &err);
    assert_int_equal(plan->steps[0].kind, PROMOTE_HOOK);
    assert_int_equal(plan->steps[1].service, 0);
    buf_addf(&text, "%s  order: [llm, stt]\n", both);
    made_study(&made, buf_text(&text));
    AUTO(promote_plan_free) struct promote_plan *other = made_plan(&made, NULL, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(other->steps[1].service, 1);
    made_done(&made);
}

enum { ORDERED = 4 };

/* What each unit is started after, among others that are not ours. */
static const char *const (*said_after)[3];

static bool say_after(struct promote_context *context, enum host_scope scope, const char *name,
                      struct host_unit *ret_unit, struct host_config *ret_config, struct err *err)
{
    (void)context;
    (void)scope;
    (void)err;
    *ret_unit = (struct host_unit){.found = true};
    *ret_config =
        (struct host_config){.found = true, .name = name, .after = said_after[name[0] - 'a']};
    return true;
}

/* Who frees memory comes before who takes it (unknown is no change), and nobody before whom its
 * unit is started after. */
static void frees_before_it_takes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *const after[ORDERED][3];
        const char *order, *told; /* of the last of them */
    } rows[] = {
        {"nothing known of units", {{NULL}}, "bcda", "none"},
        {"an order that memory has too",
         {[0] = {"basic.target", "b.service"}},
         "bcda",
         "b.service"},
        {"the giver after a taker", {[1] = {"a.service"}}, "cdab", "a.service"},
        {"a chain", {[1] = {"d.service"}, [3] = {"a.service"}}, "cadb", "d.service"},
        {"two", {[1] = {"a.service", "c.service"}}, "cdab", "a.service, c.service"},
        {"a circle", {[1] = {"a.service"}, [0] = {"b.service"}}, "cdba", "b.service"},
    };
    static const char *const names[] = {"a", "b", "c", "d"};
    static const char *const own[] = {"a.service", "b.service", "c.service", "d.service"};
    static const double now[] = {4, 8, 2, NAN}, then[] = {6, 1, 2, 5};
    struct store_service services[2][4] = {0};
    struct spec_service specs[4] = {0};
    struct spec_production production[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        specs[i].name = services[0][i].name = services[1][i].name = names[i];
        services[0][i].peak_memory_bytes = now[i];
        services[1][i].peak_memory_bytes = then[i];
        production[i].kind = PRODUCTION_UNIT;
        production[i].unit = own[i];
    }
    const struct store_trial trials[] = {{.services = services[0], .service_count = 4},
                                         {.services = services[1], .service_count = 4}};
    const struct store_trial *runs[] = {&trials[0], &trials[1]};
    const struct report_side sides[] = {{.runs = &runs[0], .run_count = 1},
                                        {.runs = &runs[1], .run_count = 1}};
    struct spec_study study = {.services = specs, .service_count = 4, .production = production};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_plan plan = {.study = &study, .arena = arena};
    const struct promote_world world = {.unit = say_after};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct promote_draft draft = {
            .context = {.plan = &plan, .world = &world}, .now = &sides[0], .then = &sides[1]};
        size_t order[ORDERED], count = 0;
        char text[ORDERED + 1] = "";
        struct err err = ERR_INIT;
        said_after = rows[r].after;
        assert_true(promote_order(&draft, order, &count, &err));
        assert_int_equal(count, ORDERED);
        for (size_t i = 0; i < ORDERED; i++)
            text[i] = names[order[i]][0];
        CHECK_ROW_TEXT(r, rows[r].name, text, rows[r].order);
        const char *told = draft.context.after[order[ORDERED - 1]];
        CHECK_ROW_TEXT(r, rows[r].name, told ? told : "none", rows[r].told);
    }
}

/* A candidate that is not the winner: only one that was in the final, and by name. */
static void takes_another_candidate(void **state)
{
    static const char baseline[] = "stt.model=base stt.threads=2 llm.slots=1";
    (void)state;
    struct made made;
    struct err err = ERR_INIT, unknown = ERR_INIT;
    setup(&made, SAMPLE_WINNER, both);
    AUTO(free) char *results = strdup(made_path(&made, "r"));
    struct promote_options options = {.folder = results,
                                      .catalog = sample_catalog(),
                                      .accept = (const char *const[]){"spica", NULL},
                                      .candidate = baseline,
                                      .world = &made.world};
    struct promote_plan *plan = NULL;
    assert_false(promote_plan_make(made.study, &options, &plan, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_non_null(strstr(err.text, "--accept candidate"));
    options.accept = (const char *const[]){"spica", "candidate", NULL};
    err = ERR_INIT;
    assert_true(promote_plan_make(made.study, &options, &plan, &err));
    assert_string_equal(plan->winner_text, baseline);
    promote_plan_free(plan);
    options.candidate = "stt.model=base stt.threads=1 llm.slots=2";
    assert_false(promote_plan_make(made.study, &options, &plan, &unknown));
    assert_int_equal(unknown.code, ERR_INPUT);
    made_done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks),
        cmocka_unit_test(compose_reads),
        cmocka_unit_test(is_what_it_is_made_of),
        cmocka_unit_test(names_all_of_it),
        cmocka_unit_test(who_can_hang_on_ours),
        cmocka_unit_test(promotes_winners_alone),
        cmocka_unit_test(checks_accepted_names),
        cmocka_unit_test(sees_an_edited_study),
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(frees_before_it_takes),
        cmocka_unit_test(takes_another_candidate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
