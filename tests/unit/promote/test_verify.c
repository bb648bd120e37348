/* What verification says of services that run: the fake service in all its states, on the CPU and
 * on a fake card, as production of kind `command` (systemd is for the scenario tests). */
#include "promote/verify.h"

#include "base/clock.h"
#include "load/protocol.h"
#include "service/engine.h"

#include "../load/fake.h"

#include <sys/stat.h>

static const char *const strategies[] = {"tournament"};

static const struct spec_catalog *catalog(void)
{
    static struct spec_catalog made;
    made.engines = engine_specs(&made.engine_count);
    made.protocols = load_protocol_specs(&made.protocol_count);
    made.strategies = strategies;
    made.strategy_count = 1;
    return &made;
}

/* A study of one service `llm`; `production` is its part there. */
static struct spec_study *study_of(const char *folder, const char *on, const char *production,
                                   const char *require)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    buf_addf(&text,
             "study: s\n"
             "device: %s\n"
             "services:\n"
             "  llm: {command: [x, \"{port}\", \"{n}\"], protocol: openai-chat, on: %s,\n"
             "        ready: {http: /health}, knobs: {n: [1, 2]}}\n"
             "load:\n"
             "  llm: {concurrency: 1, prompts: %s/prompts.jsonl, timeout: 5s}\n"
             "measure: {warmup: 0s, window: 1s, probe_within: 5s}\n"
             "goal: {optimise: {llm.latency.p95: {good: 1ms, bad: 1s}}, require: [%s]}\n"
             "baseline: {llm.n: 1}\n"
             "production:\n"
             "  llm: {%s}\n"
             "  verify: {window: 2s, rate: 8/s, within: 60s}\n",
             strcmp(on, "gpu") == 0 ? "gpu0" : "cpu", on, folder, require, production);
    if (!spec_study_parse("f", buf_text(&text), text.len, catalog(), &study, &err))
        fail_msg("%s\n%s", err.text, buf_text(&text));
    return study;
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static char *make_folder(void)
{
    char *folder = check_make_folder();
    write_file(folder, "prompts.jsonl", "{\"prompt\": \"hello\"}\n{\"prompt\": \"you\"}\n");
    return folder;
}

static struct promote_checks verify_by(const struct spec_study *study, bool load,
                                       const char *const *command)
{
    struct promote_step step = {.kind = PROMOTE_COMMAND, .verify = command};
    struct promote_plan plan = {
        .study = study, .id = "0123456789abcdef", .steps = &step, .step_count = command != NULL};
    static struct promote_checks checks;
    struct err err = ERR_INIT;
    for (size_t k = 0; k < study->knob_count; k++)
        plan.winner.index[k] = 0;
    if (!promote_verify(&plan, load, NULL, NULL, &checks, &err))
        fail_msg("%s", err.text);
    return checks;
}

static struct promote_checks verify(const struct spec_study *study, bool load)
{
    return verify_by(study, load, NULL);
}

/* The check that decided it: the first that failed, or with none the last of that kind. */
static const struct promote_check *decisive(const struct promote_checks *checks,
                                            enum promote_check_kind kind)
{
    const struct promote_check *found = NULL;
    for (size_t i = 0; i < checks->count; i++) {
        if (checks->items[i].answer == PROMOTE_FAILED)
            return &checks->items[i];
        if (checks->items[i].kind == kind)
            found = &checks->items[i];
    }
    return found;
}

struct row {
    const char *name, *options[10], *on, *require;
    bool load, passed;
    enum promote_check_kind kind;
    enum promote_answer answer;
    const char *says;
};

static void check_row(size_t r, const struct row *row, const char *folder, struct fake *fake)
{
    AUTO(buf_done) struct buf production = BUF_INIT(1024);
    buf_addf(&production,
             "command: {apply: [\"true\", \"{n}\"], rollback: [\"true\"]}, port: %d, within: 2s",
             fake->port);
    struct spec_study *study = study_of(folder, row->on ? row->on : "cpu", buf_text(&production),
                                        row->require ? row->require : "");
    struct promote_checks checks = verify(study, row->load);
    const struct promote_check *check = decisive(&checks, row->kind);
    for (size_t i = 0; i < checks.count && checks.passed != row->passed; i++)
        printf("  %d %d %s\n", (int)checks.items[i].kind, (int)checks.items[i].answer,
               checks.items[i].text);
    CHECK_ROW(r, row->name, checks.passed == row->passed);
    CHECK_ROW(r, row->name, check != NULL);
    if (check->kind != row->kind || check->answer != row->answer || !strstr(check->text, row->says))
        fail_msg("row %zu (%s): kind %d answer %d \"%s\", expected \"%s\"", r, row->name,
                 (int)check->kind, (int)check->answer, check->text, row->says);
    spec_study_free(study);
}

static const struct row rows[] = {
    {"well",
     {"--kind", "llm"},
     NULL,
     "llm.errors == 0",
     true,
     true,
     CHECK_LOAD,
     PROMOTE_PASSED,
     "requests within 2 s, 0 failed"},
    {"too slow",
     {"--kind", "llm", "--latency", "300ms", "--slots", "8"},
     NULL,
     "llm.latency.p50 < 100ms",
     true,
     false,
     CHECK_LOAD,
     PROMOTE_FAILED,
     "llm.latency.p50 is 30"},
    {"answers errors",
     {"--kind", "llm", "--from", "1:http:500"},
     NULL,
     NULL,
     true,
     false,
     CHECK_PROBE,
     PROMOTE_FAILED,
     "http_status"},
    {"errors under load",
     {"--kind", "llm", "--from", "5:http:500"},
     NULL,
     NULL,
     true,
     false,
     CHECK_LOAD,
     PROMOTE_FAILED,
     "errors: llm: "},
    {"answers nothing sensible",
     {"--kind", "llm", "--from", "2:bang"},
     NULL,
     NULL,
     true,
     false,
     CHECK_LOAD,
     PROMOTE_FAILED,
     "bad_answers: "},
    {"never ready",
     {"--kind", "llm", "--never-ready"},
     NULL,
     NULL,
     true,
     false,
     CHECK_READY,
     PROMOTE_FAILED,
     "llm: not ready within 2 s"},
    {"ends during the window",
     {"--kind", "llm", "--at", "8:die:3"},
     NULL,
     NULL,
     true,
     false,
     CHECK_ACTIVE,
     PROMOTE_FAILED,
     "has ended"},
    {"throughput is not asked of a gentle load",
     {"--kind", "llm"},
     NULL,
     "llm.requests_per_s > 100",
     true,
     true,
     CHECK_LOAD,
     PROMOTE_PASSED,
     "0 failed"},
    {"after an undo no window",
     {"--kind", "llm", "--latency", "300ms"},
     NULL,
     "llm.latency.p50 < 100ms",
     false,
     true,
     CHECK_PLACEMENT,
     PROMOTE_PASSED,
     "llm: cpu"},
    {"after an undo another model's name",
     {"--kind", "llm", "--from", "1:http:404"},
     NULL,
     NULL,
     false,
     true,
     CHECK_PROBE,
     PROMOTE_UNKNOWN,
     "was not answered"},
};

static void test_services(void **state)
{
    (void)state;
    char *folder = make_folder();
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct fake fake = fake_start(rows[r].options);
        check_row(r, &rows[r], folder, &fake);
        fake_stop(&fake);
    }
    check_remove_folder(folder);
}

static void test_nobody(void **state)
{
    (void)state;
    char *folder = make_folder();
    struct spec_study *study = study_of(
        folder, "cpu",
        "command: {apply: [\"true\", \"{n}\"], rollback: [\"true\"]}, port: 9, within: 1s", "");
    struct promote_checks checks = verify(study, true);
    assert_false(checks.passed);
    assert_int_equal(checks.items[0].kind, CHECK_ACTIVE);
    assert_non_null(strstr(checks.items[0].text, "nobody listens on port 9"));
    spec_study_free(study);
    check_remove_folder(folder);
}

/* What is not seen by the deadline is not seen: neither an answer that is still to come, nor a
 * window that could not end. */
static void test_deadline(void **state)
{
    static const struct {
        const char *options[5], *says;
        int64_t within_ns;
    } cases[] = {
        {{"--kind", "llm", "--latency", "4s"}, "it was not over within the 1 s", NS_PER_S},
        {{"--kind", "llm"}, "no time left for the window", 19 * NS_PER_S / 10},
    };
    (void)state;
    char *folder = make_folder(), production[200];
    for (size_t r = 0; r < ARRAY_LEN(cases); r++) {
        struct fake fake = fake_start(cases[r].options);
        snprintf(production, sizeof production,
                 "command: {apply: [\"true\", \"{n}\"], rollback: [\"true\"]}, port: %d",
                 fake.port);
        struct spec_study *study = study_of(folder, "cpu", production, "");
        study->promotion.within_ns = cases[r].within_ns;
        struct promote_checks checks = verify(study, true);
        const struct promote_check *check = decisive(&checks, CHECK_LOAD);
        CHECK_ROW(r, cases[r].says, !checks.passed && check && check->kind == CHECK_LOAD);
        CHECK_ROW(r, check->text, strstr(check->text, cases[r].says) != NULL);
        spec_study_free(study);
        fake_stop(&fake);
    }
    check_remove_folder(folder);
}

static void test_without_port(void **state)
{
    static const struct {
        const char *production, *on, *says;
        bool passed;
        const char *command[4]; /* as planned */
    } cases[] = {
        {"command: {apply: [\"true\", \"{n}\"], verify: [sh, -c, \"exit 0\"], rollback: "
         "[\"true\"]}",
         "cpu",
         "its verify command: exit status 0",
         true,
         {"sh", "-c", "exit 0"}},
        {"command: {apply: [\"true\", \"{n}\"], verify: [sh, -c, \"echo no model; exit {n}\"], "
         "rollback: "
         "[\"true\"]}",
         "cpu",
         "its verify command: exit status 1: no model",
         false,
         {"sh", "-c", "echo no model; exit 1"}},
        {"command: {apply: [\"true\", \"{n}\"], verify: [no-such-program], rollback: [\"true\"]}",
         "cpu",
         "no-such-program: no such program",
         false,
         {"no-such-program"}},
        {"command: {apply: [\"true\", \"{n}\"], rollback: [\"true\"]}", "cpu", "gives no port",
         true},
        {"command: {apply: [\"true\", \"{n}\"], rollback: [\"true\"]}", "gpu", "can't be proven",
         false},
        {"kubernetes: p.yaml, deployment: d, environment: {N: \"{n}\"}", "gpu",
         "written and not applied", true},
    };
    (void)state;
    char *folder = make_folder();
    for (size_t r = 0; r < ARRAY_LEN(cases); r++) {
        struct spec_study *study = study_of(folder, cases[r].on, cases[r].production, "");
        struct promote_checks checks =
            verify_by(study, true, cases[r].command[0] ? cases[r].command : NULL);
        CHECK_ROW(r, cases[r].production, checks.count == 1);
        CHECK_ROW(r, checks.items[0].text, strstr(checks.items[0].text, cases[r].says));
        CHECK_ROW(r, cases[r].production, checks.passed == cases[r].passed);
        spec_study_free(study);
    }
    check_remove_folder(folder);
}

#define CARD "card GPU-11111111-2222 00000000:1B:00.0 81559 480 NVIDIA H100 80GB HBM3\n"

static const struct row card_rows[] = {
    {"computes on the card",
     {"--gpu-memory", "2G", "--gpu-sm", "30"},
     "gpu",
     NULL,
     true,
     true,
     CHECK_PLACEMENT,
     PROMOTE_PASSED,
     "llm: gpu, asked for gpu0"},
    {"computes on the CPU",
     {"--gpu-cpu-build"},
     "gpu",
     NULL,
     true,
     false,
     CHECK_PLACEMENT,
     PROMOTE_FAILED,
     "llm: cpu_fallback, asked for gpu0"},
    {"holds memory there and works elsewhere",
     {"--gpu-memory", "2G", "--gpu-sm", "0"},
     "gpu",
     NULL,
     true,
     false,
     CHECK_PLACEMENT,
     PROMOTE_FAILED,
     "asked for gpu0"},
    {"what ran before an undo may be on the CPU",
     {"--gpu-cpu-build"},
     "gpu",
     NULL,
     false,
     true,
     CHECK_PLACEMENT,
     PROMOTE_UNKNOWN,
     "llm: cpu"},
};

static void test_card(void **state)
{
    (void)state;
    char *folder = make_folder(), world[600];
    snprintf(world, sizeof world, "%s/world", folder);
    mkdir(world, 0755);
    write_file(world, "world", CARD);
    write_file(world, "began", "");
    setenv("SPICA_NVML_LIBRARY", FAKE_NVML_LIBRARY, 1);
    setenv("FAKE_NVML_WORLD", world, 1);
    for (size_t r = 0; r < ARRAY_LEN(card_rows); r++) {
        const char *options[16] = {"--kind", "llm", "--latency", "50ms", "--gpu", world};
        for (size_t i = 0; card_rows[r].options[i]; i++)
            options[6 + i] = card_rows[r].options[i];
        struct fake fake = fake_start(options);
        check_row(r, &card_rows[r], folder, &fake);
        fake_stop(&fake);
    }
    check_remove_folder(folder);
}

/* A container's process is told by its runtime, in two questions. */
static void test_compose(void **state)
{
    (void)state;
    char *folder = make_folder(), docker[600], script[900], production[600];
    const char *const options[] = {"--kind", "llm", NULL};
    struct fake fake = fake_start(options);
    snprintf(docker, sizeof docker, "%s/docker", folder);
    snprintf(script, sizeof script,
             "#!/bin/sh\ncase \"$*\" in\n"
             "'compose -f a ps -q llm') echo abc123 ;;\n"
             "'inspect --format {{.State.Pid}} abc123') echo %d ;;\n"
             "*) exit 1 ;; esac\n",
             (int)fake.pid);
    write_file(folder, "docker", script);
    chmod(docker, 0755);
    snprintf(production, sizeof production,
             "compose: a, service: llm, override: b, environment: {N: \"{n}\"}, port: %d",
             fake.port);
    struct spec_study *study = study_of(folder, "cpu", production, "");
    const char *const up[] = {docker, "compose", "-f", "a", "up", "-d", "llm", NULL};
    struct promote_step step = {.kind = PROMOTE_COMPOSE, .service = 0, .run = up};
    struct promote_plan plan = {.study = study, .steps = &step, .step_count = 1};
    struct promote_checks checks;
    struct err err = ERR_INIT;
    char says[64];
    snprintf(says, sizeof says, "process %d (", (int)fake.pid);
    if (!promote_verify(&plan, true, NULL, NULL, &checks, &err))
        fail_msg("%s", err.text);
    assert_true(checks.passed);
    assert_non_null(strstr(checks.items[0].text, says));
    /* One that has ended is no service, whoever answers on its port. */
    write_file(folder, "docker",
               "#!/bin/sh\ncase \"$*\" in\n"
               "'compose -f a ps -q llm') ;;\n"
               "'compose -f a ps -q llm -a') echo abc123 ;;\n"
               "*inspect*) echo 'exited, status 1' ;;\n"
               "*) exit 1 ;; esac\n");
    assert_true(promote_verify(&plan, true, NULL, NULL, &checks, &err));
    assert_false(checks.passed);
    assert_string_equal(checks.items[checks.count - 1].text,
                        "no container of it runs; it is exited, status 1");
    /* Without Compose its file is for whoever runs it elsewhere. */
    step = (struct promote_step){.kind = PROMOTE_FILE, .service = 0, .path = "b"};
    assert_true(promote_verify(&plan, true, NULL, NULL, &checks, &err));
    assert_int_equal(checks.count, 1);
    assert_non_null(strstr(checks.items[0].text, "written and not applied"));
    spec_study_free(study);
    fake_stop(&fake);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline),     cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_without_port), cmocka_unit_test(test_services),
        cmocka_unit_test(test_card),         cmocka_unit_test(test_compose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
