/* What a trial leaves for the store: nothing lost, nothing invented, no secrets. */
#include "check.h"

#include "base/clock.h"
#include "search/space.h"
#include "trial/attempt.h"

struct fixture {
    struct arena *arena;
    struct spec_study *study;
    struct trial_runner runner;
    struct trial_request request;
    struct attempt attempt;
};

/* Two services; only the first has knobs. Trial 7 of s0.k0=v1 s0.k1=v2. */
static void init(struct fixture *f)
{
    static const struct space_knob knobs[] = {{0, 3}, {0, 4}};
    *f = (struct fixture){.arena = arena_new()};
    f->study = space_study(f->arena, 2, knobs, ARRAY_LEN(knobs));
    f->runner.options.study = f->study;
    f->request = (struct trial_request){
        .number = 7,
        .candidate = spec_candidate_decode(f->study, 1 * 4 + 2),
        .purpose = "final",
        .round = 0,
        .repeat = 3,
        .retry_of = 6,
    };
    f->attempt = (struct attempt){
        .runner = &f->runner,
        .study = f->study,
        .request = &f->request,
        .arena = f->arena,
        .started_ns = clock_now_ns(),
        .own_cpu_s = 0.1,
        .worker_cpu_s = 0.2,
        .lateness_p99_s = 0.0003,
        .facts = {.service_count = 2, .measured = true, .window_s = 30, .contention_ratio = 0.04},
    };
    for (size_t i = 0; i < 2; i++) {
        f->attempt.window_cpu_s[i] = NAN;
        f->attempt.facts.services[i].exit_code = -1;
    }
}

static void done(struct fixture *f)
{
    attempt_forget_versions(&f->runner);
    arena_free(f->arena);
}

static void launched(struct fixture *f, size_t i, int64_t in_trial, const char **env)
{
    static const char *argv[] = {"server", "--port", "9001", NULL};
    f->runner.services[i] = (struct running){
        .arena = f->arena, /* borrowed here */
        .launch = {.name = "s0", .program = "/bin/server", .argv = argv, .env = env},
        .settings = "s0.k0=v1 s0.k1=v2",
        .started_in_trial = in_trial,
        .ready_s = 1.5,
        .first_request_s = 0.25,
        .idle_memory_bytes = 1e8,
        .peak_memory_bytes = 2e8,
        .peak_host_bytes = 3e8,
    };
}

static struct store_trial finish(struct fixture *f, enum verdict verdict, int service,
                                 bool rules_out)
{
    const struct judgement judgement = {.verdict = verdict,
                                        .service = service,
                                        .fitness = NAN,
                                        .summary = "in short",
                                        .rules_out = rules_out};
    struct store_trial trial;
    attempt_finish_rows(&f->attempt, &judgement, &trial);
    return trial;
}

static void test_trial(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    launched(&f, 0, 7, NULL);
    launched(&f, 1, 4, NULL);
    struct store_trial t = finish(&f, VERDICT_HUNG, 1, false);
    assert_int_equal(t.number, 7);
    assert_string_equal(t.candidate, "s0.k0=v1 s0.k1=v2");
    assert_string_equal(t.purpose, "final");
    assert_int_equal(t.repeat, 3);
    assert_int_equal(t.retry_of, 6);
    assert_string_equal(t.verdict, "hung");
    assert_string_equal(t.service, "s1");
    assert_string_equal(t.summary, "in short");
    assert_null(t.ruled_out);
    assert_true(isnan(t.fitness));
    assert_true(t.window_s == 30 && t.contention_ratio == 0.04 && t.lateness_p99_s == 0.0003);
    assert_true(t.own_cpu_s == 0.1 && t.worker_cpu_s == 0.2);
    assert_false(t.cold); /* the second was started by trial 4 */
    assert_int_equal(t.service_count, 2);
    assert_true(t.services[0].ready_s == 1.5 && t.services[0].first_request_s == 0.25);
    /* Not measured in this trial. */
    assert_true(isnan(t.services[1].ready_s) && isnan(t.services[1].first_request_s));
    assert_int_equal(t.services[1].started_in_trial, 4);
    assert_string_equal(t.services[0].settings, "s0.k0=v1 s0.k1=v2");
    assert_null(t.services[0].placement); /* not probed */
    assert_true(t.services[0].peak_memory_bytes == 2e8 && t.services[0].host_memory_bytes == 3e8);
    assert_string_equal(t.services[0].device, "cpu");
    assert_null(t.bound);
    done(&f);
}

static void test_never_launched(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    f.attempt.facts.measured = false;
    struct store_trial t = finish(&f, VERDICT_ENV_FAULT, 0, false);
    const struct store_service *s = &t.services[1];
    assert_true(isnan(s->idle_memory_bytes) && isnan(s->peak_memory_bytes) && isnan(s->cpu_s) &&
                isnan(s->ready_s) && isnan(s->first_request_s));
    assert_null(s->command);
    assert_null(s->settings);
    assert_int_equal(s->exit_code, -1);
    assert_true(t.window_s == 0);
    done(&f);
}

/* A launch that could not be built has settings, but no command. */
static void test_unbuilt_launch(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    launched(&f, 0, 7, NULL);
    f.runner.services[0].launch = (struct service_launch){0};
    struct store_trial t = finish(&f, VERDICT_ENV_FAULT, 0, true);
    assert_null(t.services[0].command);
    assert_string_equal(t.services[0].settings, "s0.k0=v1 s0.k1=v2");
    done(&f);
}

static void test_ruled_out(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum verdict verdict;
        int service;
        bool rules_out;
        const char *part;
    } rows[] = {
        {"settings at fault", VERDICT_ENV_FAULT, 0, true, "s0.k0=v1 s0.k1=v2"},
        {"surroundings at fault", VERDICT_ENV_FAULT, 0, false, NULL},
        {"a service without knobs", VERDICT_ENV_FAULT, 1, true, NULL},
        {"no service", VERDICT_ENV_FAULT, -1, true, NULL},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct fixture f;
        init(&f);
        struct store_trial t = finish(&f, rows[r].verdict, rows[r].service, rows[r].rules_out);
        CHECK_ROW(r, rows[r].name, !rows[r].part == !t.ruled_out);
        if (rows[r].part)
            CHECK_ROW_TEXT(r, rows[r].name, t.ruled_out, rows[r].part);
        done(&f);
    }
}

static void test_secrets(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    const char *env[] = {"OMP_WAIT_POLICY=PASSIVE",
                         "HF_TOKEN=hf_abc",
                         "openai_api_key=sk-1",
                         "DB_PASSWORD=",
                         "EMPTY=",
                         NULL};
    launched(&f, 0, 7, env);
    struct store_trial t = finish(&f, VERDICT_HUNG, 0, false);
    const struct store_service *s = &t.services[0];
    AUTO_JSON json_t *object = json_loads(s->environment, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_get_text(object, "OMP_WAIT_POLICY"), "PASSIVE");
    assert_string_equal(json_get_text(object, "EMPTY"), "");
    assert_string_equal(json_get_text(object, "DB_PASSWORD"), "");
    assert_true(strncmp(json_get_text(object, "HF_TOKEN"), "sha256:", 7) == 0);
    assert_true(strncmp(json_get_text(object, "openai_api_key"), "sha256:", 7) == 0);
    assert_null(strstr(s->command, "hf_abc"));
    assert_null(strstr(s->command, "sk-1"));
    assert_non_null(strstr(s->command, "PASSIVE"));
    assert_string_equal(env[1], "HF_TOKEN=hf_abc"); /* what the service gets is untouched */
    done(&f);
}

static void test_secret_arguments(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    const char *argv[] = {"server", "--api-key",  "sk-1", "--hf-token=hf_abc", "--max-tokens", "64",
                          "-x",     "--password", NULL};
    const char *env[] = {NULL};
    launched(&f, 0, 7, env);
    f.runner.services[0].launch.argv = argv;
    struct store_trial t = finish(&f, VERDICT_HUNG, 0, false);
    const char *command = t.services[0].command;
    assert_null(strstr(command, "sk-1"));
    assert_null(strstr(command, "hf_abc"));
    assert_non_null(strstr(command, "--api-key sha256:"));
    assert_non_null(strstr(command, "--hf-token=sha256:"));
    assert_non_null(strstr(command, "--max-tokens 64 -x --password"));
    assert_string_equal(argv[2], "sk-1"); /* what the service gets is untouched */
    done(&f);
}

static void test_grow(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    int *items = NULL;
    size_t capacity = 0;
    for (size_t count = 0; count < 1000; count++) {
        items = attempt_grow(arena, items, count, &capacity, sizeof *items);
        items[count] = (int)count;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial),          cmocka_unit_test(test_never_launched),
        cmocka_unit_test(test_unbuilt_launch), cmocka_unit_test(test_ruled_out),
        cmocka_unit_test(test_secrets),        cmocka_unit_test(test_secret_arguments),
        cmocka_unit_test(test_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
