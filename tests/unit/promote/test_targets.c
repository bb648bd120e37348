/* What each target writes, byte by byte, and what it refuses. "@" stands for the temporary
 * folder. */
#include "check.h"

#include "base/buf.h"
#include "base/file.h"
#include "made.h"

#include <string.h>
#include <sys/stat.h>

static const char header[] = "# Written by spica promote: stt of study voice.\n"
                             "# Undo: spica rollback @/voice.yaml\n"
                             "# Edit the study file instead: the next promotion writes this file "
                             "again.\n";

struct row {
    const char *production;
    const char *there[2]; /* a file's name and text before; NULL */
    struct host_config config;
    const char *path, *text; /* written; NULL: nothing is */
    unsigned mode;
    const char *error;
};

#define UNIT(...)                                                                                  \
    {                                                                                              \
        .name = "w.service", .load_state = "loaded", __VA_ARGS__                                   \
    }
#define STT(rest) "production:\n  stt: {" rest "}\n"
#define KNOBS "environment: {M: \"{model}\", T: \"{threads}\"}"

static const char *const drop_ins[] = {"@/system/w.service.d/override.conf", NULL};
static const char *const early[] = {"@/system/w.service.d/05-site.conf", NULL};
static const char *const same_name[] = {"@/control/w.service.d/10-spica.conf", NULL};
static const struct host_env_file env_files[] = {{"@/w.env", false}};
static const struct host_env_file two_files[] = {{"@/w.env", false}, {"@/x.env", false}};
static const char *const just_m[] = {"M=base", NULL}, *const just_o[] = {"O", NULL};
static const char *const as_now[] = {"M=tiny.en", "T=2", NULL};

static const struct row rows[] = {
    /* units */
    {STT("unit: w, " KNOBS),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: w, user: true, " KNOBS),
     {0},
     UNIT(.main_pid = 1),
     "user/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: w, except: [model, threads], environment: {A: 'a \"b\" \\ 100% $X', O: null}"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=\"A=a \\\"b\\\" \\\\ 100%% $X\"\nUnsetEnvironment=O\n",
     0644,
     NULL},
    {STT("unit: w, except: [model, threads], environment: {A: {secret: \"x{y\"}}"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=\"A=x{y\"\n",
     0600,
     NULL},
    {STT("unit: w, except: [model, threads], environment: {A: {secret: 'abc,TAIL'}}"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=\"A=abc,TAIL\"\n",
     0600,
     NULL},
    {STT("unit: w, except: [model, threads], environment: {DSN: 'host=db password=pw12345'}"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=\"DSN=host=db password=pw12345\"\n",
     0600,
     NULL},
    {STT("unit: w, except: [model, threads], exec: [/opt/w, --api-key, k1234567]"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nExecStart=\nExecStart=/opt/w \\\n    --api-key k1234567\n",
     0600,
     NULL},
    {STT("unit: w, port: 9000, exec: [/opt/w x, --model, \"{model}\", --t=%d, '$HOME', \"\", -p, "
         "\"{port}\", \"{threads}\"]"),
     {0},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nExecStart=\nExecStart=\"/opt/w x\" \\\n    --model tiny.en \\\n    \"--t=%%d\" "
     "\"$$HOME\" \"\" \\\n    -p 9000 2\n",
     0644,
     NULL},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/10-spica.conf", "[Service]\nEnvironment=HAND=1\n"},
     UNIT(.main_pid = 1),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: wx, " KNOBS),
     {0},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.unit: there is no unit wx.service in the system's systemd; did you mean "
     "w.service? (a user's own unit needs \"user: true\")"},
    {STT("unit: w, " KNOBS),
     {0},
     {.name = "w.service", .load_state = "masked"},
     NULL,
     NULL,
     0,
     "production.stt.unit: systemd does not take the files of w.service (masked)"},
    {STT("unit: w, except: [model, threads], exec: [run]"),
     {0},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.exec: \"run\": systemd wants the program's whole path"},
    {STT("unit: w, port: 1, exec: as-measured"),
     {0},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.exec: as-measured: service stt: no program /bin/stt: not found from the "
     "study file's folder, or not executable"},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/override.conf", "[Service]\nEnvironment=A=1 \\\n  \"M=base x\"\n"},
     UNIT(.drop_ins = drop_ins),
     NULL,
     NULL,
     0,
     "production.stt: @/system/w.service.d/override.conf sets M after spica's drop-in would: take "
     "it out there, or out of production"},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/05-site.conf", "[Service]\nEnvironment=M=base XM=1\n"},
     UNIT(.drop_ins = early),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/override.conf", "[Service]\nEnvironment=MM=1 XM=2\n# Environment=M=3\n"},
     UNIT(.drop_ins = drop_ins),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: w, except: [model, threads], exec: [/x]"),
     {"system/w.service.d/override.conf", "[Service]\nExecStart=\nExecStart=/y\n"},
     UNIT(.drop_ins = drop_ins),
     NULL,
     NULL,
     0,
     "production.stt: @/system/w.service.d/override.conf sets ExecStart after spica's drop-in "
     "would: take it out there, or exec out of production"},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/override.conf", "[Service]\nEnvironment= \nEnvironment=A=1\n"},
     UNIT(.drop_ins = drop_ins),
     NULL,
     NULL,
     0,
     "production.stt: @/system/w.service.d/override.conf has an empty Environment= after spica's "
     "drop-in, which takes all of it away: take that out there"},
    {STT("unit: w, " KNOBS),
     {"system/w.service.d/05-site.conf", "[Service]\nEnvironment=\n"},
     UNIT(.drop_ins = early),
     "system/w.service.d/10-spica.conf",
     "#[Service]\nEnvironment=M=tiny.en\nEnvironment=T=2\n",
     0644,
     NULL},
    {STT("unit: w, " KNOBS),
     {"control/w.service.d/10-spica.conf", "[Service]\nNice=5\n"},
     UNIT(.drop_ins = same_name),
     NULL,
     NULL,
     0,
     "production.stt: @/control/w.service.d/10-spica.conf has the name of spica's drop-in, and "
     "systemd reads only one of that name: rename it"},
    {STT("unit: w, " KNOBS),
     {"w.env", "T=4\n"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     NULL,
     NULL,
     0,
     "production.stt: @/w.env sets T after spica's drop-in would: promote it there, with "
     "env_file"},
    /* env files */
    {STT("unit: w, env_file: w.env, environment: {M: \"{model} x\", T: \"{threads}\", O: null}"),
     {"w.env", "# mine\nT=4  \nO=1\nKEEP='a b'\nT=5"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     "w.env",
     "# spica promote: M, T, O of study voice. Undo: spica rollback @/voice.yaml\n"
     "# mine\nT=2\nKEEP='a b'\nM=\"tiny.en x\"\n",
     0640,
     NULL},
    {STT("unit: w, env_file: w.env, " KNOBS),
     {"w.env",
      "# spica promote: M, T of study voice. Undo: spica rollback @/voice.yaml\nM=tiny.en\nT=2\n"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     NULL,
     NULL,
     0,
     NULL},
    {STT("unit: w, env_file: y.env, " KNOBS),
     {0},
     UNIT(.env_files = env_files, .env_file_count = 1),
     NULL,
     NULL,
     0,
     "production.stt.env_file: w.service does not read @/y.env (no EnvironmentFile= names it)"},
    {STT("unit: w, env_file: w.env, " KNOBS),
     {"x.env", "M=1\n"},
     UNIT(.env_files = two_files, .env_file_count = 2),
     NULL,
     NULL,
     0,
     "production.stt.env_file: @/x.env sets M too, and is read after it"},
    /* A value in quotes behind a blank goes on in the next line: T is not set there. */
    {STT("unit: w, env_file: w.env, " KNOBS),
     {"w.env", "Q= \"one\nT=3\"\nM=a\"b\nT=4\n"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     "w.env",
     "# spica promote: M, T of study voice. Undo: spica rollback @/voice.yaml\n"
     "Q= \"one\nT=3\"\nM=tiny.en\nT=2\n",
     0640,
     NULL},
    {STT("unit: w, env_file: w.env, " KNOBS),
     {"w.env", "M=base\nQ='one\n"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     NULL,
     NULL,
     0,
     "production.stt.env_file: @/w.env: it ends within quotes or behind a backslash: what comes "
     "after it would be a part of it"},
    {STT("unit: w, env_file: w.env, " KNOBS),
     {"w.env", "# see C:\\\nM=base\n"},
     UNIT(.env_files = env_files, .env_file_count = 1),
     NULL,
     NULL,
     0,
     "production.stt.env_file: @/w.env: a comment ends with a backslash, which not every systemd "
     "reads alike: take it out"},
    {STT("unit: w, env_file: w.env, " KNOBS),
     {0},
     UNIT(.env_files = env_files, .env_file_count = 1, .unset = just_m),
     NULL,
     NULL,
     0,
     "production.stt.env_file: its unit takes M away (UnsetEnvironment=), whatever a file says: "
     "take that out there"},
    {STT("unit: w, env_file: w.env, except: [model, threads], environment: {M: null}"),
     {"w.env", "M=1\n"},
     UNIT(.env_files = env_files, .env_file_count = 1, .environment = just_m),
     NULL,
     NULL,
     0,
     "production.stt.env_file: its unit sets M itself (Environment=), so that it stays set: take "
     "that out there"},
    {STT("unit: w, env_file: w.env, except: [model, threads], environment: {O: null}"),
     {"w.env", "O=1\n"},
     UNIT(.env_files = env_files, .env_file_count = 1, .environment = just_m, .unset = just_o),
     "w.env",
     "# spica promote: O of study voice. Undo: spica rollback @/voice.yaml\n",
     0640,
     NULL},
    {STT("unit: w, env_file: x.env, except: [model, threads], environment: {O: null}"),
     {"w.env", "O=1\n"},
     UNIT(.env_files = two_files, .env_file_count = 2),
     NULL,
     NULL,
     0,
     "production.stt.env_file: @/w.env O is set there, so that it stays set: take it out there"},
    /* Compose */
    {STT("compose: c.yaml, service: tts, override: o.yaml, environment: {M: \"{model} $X\", O: "
         "null}, exec: [serve, \"{threads}\"]"),
     {"c.yaml", "services:\n  tts: {image: x}\n"},
     UNIT(.main_pid = 1),
     "o.yaml",
     "#services:\n  tts:\n    environment:\n      M: \"tiny.en $$X\"\n      O: !reset null\n"
     "    command:\n      - \"serve\"\n      - \"2\"\n",
     0644,
     NULL},
    {STT("compose: c.yaml, service: tss, override: o.yaml, " KNOBS),
     {"c.yaml", "services:\n  tts: {image: x}\n"},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.service: @/c.yaml has no service tss; did you mean tts?"},
    {STT("compose: c.yaml, service: tts, override: o.yaml, " KNOBS),
     {0},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.compose: @/c.yaml is not there"},
    /* Kubernetes */
    {STT("kubernetes: k.yaml, deployment: emb, " KNOBS),
     {"k.yaml", "spec: {}\n"},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.kubernetes: @/k.yaml is not spica's: name a file of its own"},

    {STT("kubernetes: k.yaml, deployment: emb, namespace: v, environment: {M: \"{model}\", "
         "O: null}, exec: [serve, \"$(M) $X {threads}\"]"),
     {0},
     UNIT(.main_pid = 1),
     "k.yaml",
     "## Not applied. To: kubectl patch deployment emb -n v --patch-file k.yaml\n"
     "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: \"emb\"\n  namespace: \"v\"\n"
     "spec:\n  template:\n    spec:\n      containers:\n        - name: \"emb\"\n"
     "          env:\n            - name: M\n              value: \"tiny.en\"\n"
     "            - name: O\n              $patch: delete\n"
     "          args: []\n          command:\n            - \"serve\"\n            - \"$$(M) $X "
     "2\"\n",
     0644,
     NULL},
    /* commands */
    {STT("command: {apply: [./no, \"{model}\", \"{threads}\"], rollback: [./undo]}"),
     {0},
     UNIT(.main_pid = 1),
     NULL,
     NULL,
     0,
     "production.stt.command: no program ./no: not found, or not executable"},
};

/* "@" is the folder; a "#" at the start the header. */
static const char *filled(struct arena *arena, const struct made *made, const char *text)
{
    AUTO(buf_done) struct buf once = BUF_INIT(1 << 16), twice = BUF_INIT(1 << 16);
    if (!text)
        return NULL;
    bool has_header = text[0] == '#' && (text[1] == '[' || text[1] == 's' || text[1] == '#');
    buf_addf(&once, "%s%s", has_header ? header : "", text + has_header);
    for (const char *c = buf_text(&once); *c; c++) {
        if (*c == '@')
            buf_add(&twice, made->folder);
        else
            buf_addc(&twice, *c);
    }
    return arena_strdup(arena, buf_text(&twice));
}

static struct host_config fill_config(struct arena *arena, const struct made *made,
                                      const struct host_config *config)
{
    struct host_config filled_config = *config;
    size_t count = 0;
    while (config->drop_ins && config->drop_ins[count])
        count++;
    const char **names = arena_array(arena, count + 1, sizeof *names);
    struct host_env_file *files = arena_array(arena, config->env_file_count + 1, sizeof *files);
    for (size_t i = 0; i < count; i++)
        names[i] = filled(arena, made, config->drop_ins[i]);
    for (size_t i = 0; i < config->env_file_count; i++)
        files[i].path = filled(arena, made, config->env_files[i].path);
    filled_config.drop_ins = names;
    filled_config.env_files = files;
    return filled_config;
}

static void check_row(struct made *made, const struct row *row)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct host_config config = fill_config(arena, made, &row->config);
    static const char *const all[] = {"spica", "version.stt", NULL};
    struct err err = ERR_INIT;
    made->configs = &config;
    made->config_count = 1;
    made_study(made, row->production);
    if (row->there[0]) {
        made_file(made, row->there[0], filled(arena, made, row->there[1]));
        chmod(made_path(made, row->there[0]), row->mode ? row->mode : 0644);
    }
    AUTO(promote_plan_free) struct promote_plan *plan = made_plan(made, all, &err);
    assert_string_equal(err.text, row->error ? filled(arena, made, row->error) : "");
    const struct promote_step *file = NULL;
    for (size_t i = 0; plan && i < plan->step_count; i++)
        if (plan->steps[i].kind == PROMOTE_FILE)
            file = &plan->steps[i];
    if (!row->path) {
        assert_null(file);
        return;
    }
    assert_non_null(file);
    assert_string_equal(file->path, made_path(made, row->path));
    assert_string_equal(file->after.data, filled(arena, made, row->text));
    assert_int_equal(file->after.mode & 07777, row->mode);
    assert_int_equal(file->before.there, row->there[0] && strcmp(row->path, row->there[0]) == 0);
}

static void writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct made made;
        made_init(&made, SAMPLE_WINNER);
        check_row(&made, &rows[i]);
        made_done(&made);
    }
}

/* Written and read by systemd: nothing is done. Written and not read: a reload and a restart. */
static void sees_what_is_there(void **state)
{
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    made_init(&made, SAMPLE_WINNER);
    const struct host_command command = {"/opt/w", (const char *const[]){"/opt/w", NULL}};
    struct host_config config =
        UNIT(.environment = as_now, .commands = &command, .command_count = 1);
    made.configs = &config;
    made.config_count = 1;
    made_study(&made, STT("unit: w, " KNOBS));
    AUTO(promote_plan_free) struct promote_plan *first = made_plan(&made, NULL, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(first->step_count, 3);
    assert_true(first->steps[0].makes_folder);
    assert_true(first->steps[2].was_up);
    assert_string_equal(first->steps[2].environment[0], "M=tiny.en");
    made_file(&made, "system/w.service.d/10-spica.conf", first->steps[0].after.data);
    chmod(made_path(&made, "system/w.service.d/10-spica.conf"), 0644);
    AUTO(promote_plan_free) struct promote_plan *second = made_plan(&made, NULL, &err);
    assert_string_equal(err.text, "");
    assert_true(promote_plan_is_empty(second) && !second->was_down[0]);
    made.down = true;
    AUTO(promote_plan_free) struct promote_plan *down = made_plan(&made, NULL, &err);
    assert_true(promote_plan_is_empty(down) && down->was_down[0]);
    made.down = false;
    config.environment = NULL;
    AUTO(promote_plan_free) struct promote_plan *third = made_plan(&made, NULL, &err);
    assert_int_equal(third->step_count, 2);
    assert_int_equal(third->steps[0].kind, PROMOTE_RELOAD);
    assert_int_equal(third->steps[1].kind, PROMOTE_RESTART);
    made_done(&made);
}

/* The command line, variables and folder that were measured, with production's port; what
 * production says itself comes first. */
static void writes_as_measured(void **state)
{
    static const char *const all[] = {"spica", "study", NULL};
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    made_init(&made, SAMPLE_WINNER);
    const struct host_config config = UNIT(.main_pid = 1);
    made.configs = &config;
    made.config_count = 1;
    made_edited_study(&made, "/bin/stt, ", "/bin/true, ",
                      STT("unit: w, port: 9000, exec: as-measured, environment: "
                          "{HF_HUB_OFFLINE: null}"));
    AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, all, &err);
    assert_string_equal(err.text, "");
    AUTO(arena_free) struct arena *arena = arena_new();
    assert_string_equal(plan->steps[0].after.data,
                        filled(arena, &made,
                               "#[Service]\nUnsetEnvironment=HF_HUB_OFFLINE\n"
                               "Environment=TRANSFORMERS_OFFLINE=1\n"
                               "Environment=CUDA_VISIBLE_DEVICES=\nWorkingDirectory=@\n"
                               "ExecStart=\nExecStart=/bin/true tiny.en 2 9000\n"));
    assert_string_equal(plan->steps[2].exec[3], "9000");
    assert_int_equal(plan->steps[2].port, 9000);
    made_edited_study(&made, "/bin/stt, ", "/bin/true, \"{dir}\", ",
                      STT("unit: w, port: 9000, exec: as-measured"));
    assert_null(made_plan(&made, all, &err));
    assert_string_equal(err.text, "production.stt.exec: as-measured: what the study runs needs a "
                                  "trial's own folder; write the command as a list");
    made_done(&made);
}

/* Commands and hooks: programs found, absolute, and part of the plan by their digest. */
static void runs_commands(void **state)
{
    static const char *const all[] = {"spica", "version.stt", NULL};
    (void)state;
    struct made made;
    struct err err = ERR_INIT;
    made_init(&made, SAMPLE_WINNER);
    made_file(&made, "apply.sh", "#!/bin/sh\n");
    made_file(&made, "undo.sh", "#!/bin/sh\n");
    chmod(made_path(&made, "apply.sh"), 0755);
    chmod(made_path(&made, "undo.sh"), 0755);
    made_study(&made, STT("port: 9, command: {apply: [./apply.sh, \"{model}\", \"{threads}\", "
                          "\"{port}\"], rollback: [./undo.sh]}"));
    AUTO(promote_plan_free) struct promote_plan *plan = made_plan(&made, all, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(plan->step_count, 1);
    assert_string_equal(plan->steps[0].run[0], made_path(&made, "apply.sh"));
    assert_string_equal(plan->steps[0].run[1], "tiny.en");
    assert_string_equal(plan->steps[0].run[3], "9");
    assert_string_equal(plan->steps[0].undo[0], made_path(&made, "undo.sh"));
    assert_int_equal(plan->witness_count, 2);
    made_file(&made, "apply.sh", "#!/bin/sh\nrm -rf /\n");
    chmod(made_path(&made, "apply.sh"), 0755);
    AUTO(promote_plan_free) struct promote_plan *other = made_plan(&made, all, &err);
    assert_string_not_equal(plan->id, other->id);
    made_done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes),
        cmocka_unit_test(sees_what_is_there),
        cmocka_unit_test(writes_as_measured),
        cmocka_unit_test(runs_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
