/* The example study, member by member, and what defaults a small one gets. */
#include "spec/study.h"

#include "base/buf.h"
#include "base/clock.h"
#include "spec/schema.h"

#include "check.h"
#include "fixture.h"

#include <math.h>

static struct spec_study *load_example(void)
{
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_load(CORPUS "/voice-cpu.yaml", &fixture_catalog, &study, &err))
        fail_msg("%s", err.text);
    return study;
}

static struct spec_study *parse(const char *text)
{
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_parse("f.yaml", text, strlen(text), &fixture_catalog, &study, &err))
        fail_msg("%s", err.text);
    return study;
}

static const struct spec_setting *find(const struct spec_setting *settings, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    fail_msg("no setting %s", name);
    return NULL;
}

static void test_top(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *s = load_example();
    assert_string_equal(s->name, "voice-cpu");
    assert_string_equal(s->device, "cpu");
    assert_int_equal(s->seed, 1);
    assert_int_equal(strlen(s->digest), 64);
    assert_int_equal(s->folder[0], '/');
    assert_int_equal(strncmp(s->text, "study: voice-cpu", 16), 0);
    assert_int_equal(s->neighbour_count, 3);
    assert_string_equal(s->neighbours[0].unit, "ollama.service");
    assert_int_equal(s->neighbours[1].pid, 123);
    assert_string_equal(s->neighbours[2].command, "ollama");
    assert_int_equal(s->service_count, 3);
    assert_int_equal(spec_study_service(s, "llm"), 1);
    assert_int_equal(spec_study_service(s, "tts"), -1);
    assert_int_equal(spec_study_knob(s, "llm.slots"), 6);
    assert_int_equal(spec_study_knob(s, "slots"), -1);
    assert_int_equal(s->measure.warmup_ns, 5 * NS_PER_S);
    assert_int_equal(s->measure.window_ns, 30 * NS_PER_S);
    assert_int_equal(s->measure.alone_ns, 20 * NS_PER_S);
    assert_int_equal(s->measure.drain_ns, 30 * NS_PER_S);
    assert_int_equal(s->measure.probe_within_ns, 60 * NS_PER_S);
    assert_int_equal(s->measure.lateness_ns, NS_PER_MS);
    assert_true(s->measure.contention_ratio == 0.1);
    assert_int_equal(s->measure.repeats, 4);
    assert_string_equal(s->search.strategy, "tournament");
    assert_int_equal(s->search.trials, 24);
    assert_int_equal(s->search.time_ns, 45 * 60 * NS_PER_S);
    assert_int_equal(s->search.finalists, 3);
}

static void test_services(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *s = load_example();
    const struct spec_service *stt = &s->services[0], *llm = &s->services[1],
                              *other = &s->services[2];
    assert_int_equal(stt->role, ROLE_STT);
    assert_int_equal(stt->engine_knob, 0);
    assert_int_equal(stt->engine_use_count, 2);
    const struct spec_engine_use *use = &stt->engine_uses[1];
    assert_string_equal(use->engine->name, "faster-whisper-server");
    assert_string_equal(use->program, "../build/demo/bin/faster-whisper-server");
    assert_string_equal(use->protocol->name, "openai-transcriptions");
    assert_int_equal(use->setting_count, 3);
    assert_string_equal(find(use->settings, 3, "compute_type")->text, "{compute_type}");
    assert_int_equal(find(use->settings, 3, "compute_type")->place.line, 17);
    assert_int_equal(stt->environment_count, 3);
    assert_string_equal(stt->environment[0].name, "OMP_WAIT_POLICY");
    assert_string_equal(stt->environment[1].text, "2");
    assert_null(stt->environment[2].text);
    assert_int_equal(stt->argument_count, 2);
    assert_string_equal(stt->ready_path, "/health");
    assert_int_equal(stt->ready_within_ns, 60 * NS_PER_S);
    assert_int_equal(stt->memory_limit_bytes, INT64_C(4) << 30);
    assert_int_equal(stt->stop_grace_ns, 5 * NS_PER_S);
    assert_true(stt->fresh);
    assert_false(stt->allow_download);
    assert_int_equal(stt->on, ON_CPU);
    assert_string_equal(stt->folder, s->folder);

    assert_int_equal(llm->role, ROLE_LLM);
    assert_int_equal(llm->engine_knob, -1);
    assert_int_equal(llm->engine_use_count, 1);
    assert_null(llm->protocol);
    assert_string_equal(llm->engine_uses[0].protocol->name, "openai-chat");
    assert_string_equal(llm->engine_uses[0].program, "../build/demo/bin/llama-server");
    assert_int_equal(llm->engine_uses[0].setting_count, 3); /* model, and both knobs */
    assert_string_equal(find(llm->engine_uses[0].settings, 3, "slots")->text, "{slots}");
    assert_int_equal(llm->stop_grace_ns, 10 * NS_PER_S);
    assert_null(llm->ready_path);

    assert_int_equal(other->role, ROLE_OTHER);
    assert_int_equal(other->command_count, 4);
    assert_string_equal(other->command[2].text, "--model={size}");
    assert_string_equal(other->protocol->name, "plain");
    assert_string_equal(other->protocol_path, "/ask");
    assert_true(strlen(other->folder) > 5);
    assert_string_equal(other->folder + strlen(other->folder) - 4, "/srv");
    assert_false(other->load.given);
    assert_true(isnan(other->load.max_wer));
}

static void test_knobs(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *s = load_example();
    assert_int_equal(s->knob_count, 8);
    const struct spec_knob *type = &s->knobs[2], *wait = &s->knobs[4], *size = &s->knobs[7];
    assert_string_equal(type->full_name, "stt.compute_type");
    assert_string_equal(expr_text(type->when), "server == faster-whisper-server");
    assert_false(type->ordered);
    assert_true(isnan(type->values[0].number));
    assert_true(s->knobs[3].ordered);
    assert_true(s->knobs[3].values[1].number == 2);
    assert_int_equal(s->knobs[5].service, 1);
    assert_string_equal(wait->values[0].label, "default");
    assert_null(wait->values[0].text);
    assert_string_equal(wait->values[1].text, "PASSIVE");
    static const char *const sizes[] = {"256", "512", "1024", "2048", "4096", "8192"};
    assert_int_equal(size->value_count, ARRAY_LEN(sizes));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        assert_string_equal(size->values[i].label, sizes[i]);
}

static void test_load_and_goal(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *s = load_example();
    const struct spec_load *stt = &s->services[0].load, *llm = &s->services[1].load;
    assert_true(stt->given && llm->given);
    assert_int_equal(stt->arrivals, ARRIVALS_CLOSED);
    assert_int_equal(stt->concurrency, 1);
    assert_int_equal(stt->corpus[0], '/');
    assert_null(stt->prompts);
    assert_true(stt->max_wer == 0.6);
    assert_int_equal(stt->timeout_ns, 60 * NS_PER_S);
    assert_int_equal(stt->setting_count, 1);
    assert_string_equal(stt->settings[0].text, "w-{model}");
    assert_int_equal(llm->arrivals, ARRIVALS_POISSON);
    assert_true(llm->rate_rps == 2);
    assert_int_equal(llm->concurrency, 256);
    assert_int_equal(llm->max_tokens, 64);
    assert_int_equal(llm->timeout_ns, 20 * NS_PER_S);
    assert_false(llm->reuse_connection);

    assert_int_equal(s->objective_count, 2);
    assert_string_equal(s->objectives[0].name, "stt.latency.p95");
    assert_true(s->objectives[0].good == 0.1 && s->objectives[0].bad == 1);
    assert_true(s->objectives[0].weight == 2 && s->objectives[1].weight == 1);
    assert_true(s->objectives[1].good == 80 && s->objectives[1].bad == 10);
    assert_int_equal(s->requirement_count, 3);
    assert_int_equal(s->metric_ref_count, 5);
    assert_string_equal(spec_metric_ref_name(s, s->metric_refs[0]), "stt.latency.p95");
    assert_string_equal(spec_metric_ref_name(s, s->metric_refs[1]), "llm.tokens_per_s");
    assert_int_equal(expr_needs(s->requirements[1].expr), 1);
    assert_int_equal(s->constraint_count, 1);
    assert_non_null(s->baseline);
    assert_int_equal(s->baseline[1], 1);
    assert_int_equal(s->baseline[2], -1); /* compute_type is not there with whisper-server */
}

/* The file's word, else the slowest engine's, else a minute. */
static void test_ready_deadlines(void **state)
{
    (void)state;
    static const struct {
        const char *service;
        int64_t within_s;
    } rows[] = {
        {"{engine: vllm, model: a}", 600},
        {"{engine: vllm, model: a, ready: {http: /x}}", 600},
        {"{engine: vllm, model: a, ready: {within: 20s}}", 20},
        {"{engine: llama-server, model: a.gguf}", 60},
        {"{command: [x], role: llm, protocol: openai-chat}", 60},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        buf_addf(&text,
                 "study: one\ndevice: gpu0\nservices:\n  llm: %s\n"
                 "load: {llm: {prompts: p}}\n",
                 rows[i].service);
        AUTO(spec_study_free) struct spec_study *s = parse(buf_text(&text));
        CHECK_ROW(i, rows[i].service,
                  s->services[0].ready_within_ns == rows[i].within_s * NS_PER_S);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    AUTO(spec_study_free)
    struct spec_study *s =
        parse("study: one\ndevice: gpu0\nservices:\n  llm: {engine: vllm, model: llm-7b}\n"
              "load: {llm: {prompts: p}}\n");
    assert_int_equal(s->services[0].on, ON_GPU);
    assert_int_equal(s->services[0].ready_within_ns, 600 * NS_PER_S); /* the engine's own */
    assert_int_equal(s->measure.alone_ns, s->measure.window_ns);
    assert_int_equal(s->search.trials, 0);
    assert_int_equal(s->search.time_ns, 0);
    assert_int_equal(s->knob_count, 0);
    assert_non_null(s->baseline); /* the only candidate is what runs */
    assert_int_equal(spec_space_count(s), 1);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *labels;
    } rows[] = {
        {"{from: 0.30, to: 0.60, step: 0.05}", "0.3 0.35 0.4 0.45 0.5 0.55 0.6"},
        {"{from: 1, to: 8, step: 3}", "1 4 7"},
        {"{from: -1, to: 1, step: 0.5}", "-1 -0.5 0 0.5 1"},
        {"{from: 0, to: 1, steps: 5}", "0 0.25 0.5 0.75 1"},
        {"{from: 1, to: 4, scale: log, steps: 5}", "1 2 3 4"}, /* 1 1.41 2 2.83 4, rounded */
        {"{from: 0.1, to: 10, scale: log, steps: 3}", "0.1 1 10"},
        {"{values: [7b, 512MiB]}", "7b 512MiB"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1000);
        AUTO(buf_done) struct buf labels = BUF_INIT(1000);
        buf_addf(&text,
                 "study: r\nservices:\n  a:\n    command: [x, \"{k}\"]\n    knobs: {k: %s}\n"
                 "goal: {optimise: {a.memory: {good: 1MiB, bad: 1GiB}}}\nbaseline: none\n",
                 rows[i].range);
        AUTO(spec_study_free) struct spec_study *s = parse(buf_text(&text));
        for (size_t v = 0; v < s->knobs[0].value_count; v++)
            buf_addf(&labels, "%s%s", v ? " " : "", s->knobs[0].values[v].label);
        CHECK_ROW_TEXT(i, rows[i].range, buf_text(&labels), rows[i].labels);
        CHECK_ROW(i, rows[i].range, s->baseline == NULL);
    }
}

static void test_capacity(void **state)
{
    (void)state;
    static const char head[] =
        "study: c\nservices:\n  a: {command: [x], protocol: openai-chat}\n"
        "  b: {command: [x], protocol: openai-chat}\n"
        "load: {a: {prompts: p, concurrency: 3}, b: {prompts: p, rate: 2/s}}\n"
        "goal: {require: [a.latency.p95 < 1s, b.errors == 0, a.memory < 1GiB, b.ttft.p95 < 1s, "
        "b.requests_per_s > 1, a.ttft.p95 < b.ttft.p95]}\n";
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    buf_addf(&text,
             "%scapacity:\n  a: {up_to: 64}\n  b: [{of: concurrency, from: 2}, "
             "{up_to: 50/s, beside: false, window: 5s, require: [b.latency.p99 < 2s]}]\n",
             head);
    AUTO(spec_study_free) struct spec_study *s = parse(buf_text(&text));
    assert_int_equal(s->capacity_count, 3);
    const struct spec_capacity *c = s->capacities;
    assert_int_equal(c[0].of, CAPACITY_OF_CONCURRENCY); /* as its load is */
    assert_true(c[0].service == 0 && c[0].start == 3 && c[0].most == 64 && c[0].beside);
    assert_true(c[0].resolution_ratio == 0 && c[0].window_ns == 10 * NS_PER_S);
    assert_int_equal(c[0].requirement_count, 1); /* not the memory, not what is of two services */
    assert_string_equal(expr_text(c[0].requirements[0].expr), "a.latency.p95 < 1s");
    assert_true(c[1].service == 1 && c[1].of == CAPACITY_OF_CONCURRENCY && c[1].start == 2);
    assert_true(c[1].most == 256 && c[1].requirement_count == 2);
    assert_true(c[2].of == CAPACITY_OF_RATE && c[2].start == 2 && c[2].most == 50);
    assert_true(c[2].resolution_ratio == 0.05 && !c[2].beside && c[2].requirement_count == 1);
}

/* What transcripts are compared after: rules for English only where nobody said that it is not. */
static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *load;
        enum spec_words words;
    } rows[] = {
        {"", "", WORDS_ENGLISH},
        {"", ", language: en", WORDS_ENGLISH},
        {"", ", language: en-GB", WORDS_ENGLISH},
        {"", ", language: English", WORDS_ENGLISH},
        {"", ", language: auto", WORDS_ENGLISH},
        {"", ", language: de", WORDS_PLAIN},
        {"", ", language: ja", WORDS_PLAIN},
        {"", ", language: eng-x", WORDS_PLAIN},
        {"", ", language: de, normalise: english", WORDS_ENGLISH},
        {"", ", normalise: plain", WORDS_PLAIN},
        {"", ", language: en, normalise: plain", WORDS_PLAIN},
        {", language: de", "", WORDS_PLAIN},
        {", language: en", "", WORDS_ENGLISH},
        {", language: de", ", normalise: english", WORDS_ENGLISH},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *s = NULL;
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        struct err err = ERR_INIT;
        buf_addf(&text,
                 "study: s\nservices:\n  stt: {engine: whisper-server, model: m%s}\n"
                 "load:\n  stt: {corpus: c%s}\n"
                 "goal: {optimise: {stt.memory: {good: 1MiB, bad: 1GiB}}}\nbaseline: none\n",
                 rows[i].engine, rows[i].load);
        bool read = spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &s, &err);
        CHECK_ROW_TEXT(i, rows[i].load, read ? "" : err.text, "");
        CHECK_ROW(i, rows[i].load, s->services[0].load.words == rows[i].words);
    }
}

/* The table that help and manual are made of says something about every key. */
static void test_sections(void **state)
{
    (void)state;
    size_t count = 0;
    for (const struct spec_section *s = spec_sections(); s->title; s++, count++)
        for (size_t i = 0; i < s->count; i++)
            assert_true(s->fields[i].help && s->fields[i].help[0]);
    assert_int_equal(count, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_knobs),
        cmocka_unit_test(test_load_and_goal),
        cmocka_unit_test(test_ready_deadlines),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
