/* Services that are programs, run for each request: what they may say, and what of it stays a
 * placeholder for each request. */
#include "check.h"
#include "fixture.h"

#define STUDY(service, load)                                                                       \
    "study: r\nservices:\n  t: {" service "}\nload:\n  t: {prompts: p.jsonl" load "}\n"            \
    "goal: {optimise: {t.latency.p50: {good: 1s, bad: 9s}}}\n"

static const struct spec_option options[] = {
    {.name = "command", .type = OPTION_TEXT, .help = "program"},
    {.name = "stdin", .type = OPTION_BOOL, .value = "false", .help = "fed"},
};
static const struct spec_protocol programs[] = {
    {.name = "command",
     .sources = SOURCE_ANY | SOURCE_TEXT,
     .runs_program = true,
     .path = "",
     .help = "text",
     FIXTURE_OPTIONS(options)},
    {.name = "command-audio",
     .sources = SOURCE_ANY | SOURCE_AUDIO,
     .runs_program = true,
     .path = "",
     .help = "audio",
     FIXTURE_OPTIONS(options)},
};
static const struct spec_protocol *const protocols[] = {&programs[0], &programs[1],
                                                        &fixture_protocols[1]};
static const struct spec_catalog catalog = {
    .engines = fixture_engine_list,
    .engine_count = ARRAY_LEN(fixture_engine_list),
    .protocols = protocols,
    .protocol_count = ARRAY_LEN(protocols),
    .strategies = fixture_strategies,
    .strategy_count = ARRAY_LEN(fixture_strategies),
};

static const struct {
    const char *name, *text, *says; /* NULL: it is fine */
} rows[] = {
    {"a prompt", STUDY("protocol: command, command: [x, '{prompt}']", ""), NULL},
    {"a file", STUDY("protocol: command, command: [x, '--in={text_file}']", ""), NULL},
    {"fed", STUDY("protocol: command, command: [x]", ", stdin: true"), NULL},
    {"a knob beside it",
     STUDY("protocol: command, command: [x, '{n}{prompt}'], knobs: {n: [1, 2]}",
           "") "baseline: none\n",
     NULL},
    {"its own folder", STUDY("protocol: command, command: [x, '{dir}', '{prompt}']", ""), NULL},
    {"nothing", STUDY("protocol: command, command: [x]", ""),
     "t.command: it is given nothing: put {prompt} or {text_file} into it"},
    {"a clip", STUDY("protocol: command, command: [x, '{audio}']", ""),
     "t.command: command has no {audio}"},
    {"a port", STUDY("protocol: command, command: [x, '{prompt}', '{port}']", ""),
     "{port}: it is run for each request and listens nowhere"},
    {"a prompt in its environment",
     STUDY("protocol: command, command: [x, '{prompt}'], environment: {A: '{prompt}'}", ""),
     "{prompt}: t has no knob of this name"},
    {"a server's prompt", STUDY("protocol: openai-chat, command: [x, '{prompt}']", ""),
     "{prompt}: t has no knob of this name"},
    {"ready", STUDY("protocol: command, command: [x, '{prompt}'], ready: {within: 5s}", ""),
     "t.ready: protocol command runs a program for each request: nobody starts it"},
    {"an engine", STUDY("protocol: command, engine: vllm, model: m", ""),
     "t.engine: protocol command runs a program for each request: an engine is a server"},
    {"a container", STUDY("protocol: command, container: [podman, run, x]", ""),
     "t.container: protocol command runs"},
    {"a limit", STUDY("protocol: command, command: [x, '{prompt}'], memory_limit: 1GiB", ""),
     "t.memory_limit: protocol"},
    {"another command",
     STUDY("protocol: command, command: [x, '{prompt}']", ", command: 'y {{prompt}'"),
     "load.t.command: the program that is run is services.t.command"},
    {"connections",
     STUDY("protocol: command, command: [x, '{prompt}']", ", reuse_connection: true"),
     "command has no connection that could be reused"},
    {"too many", STUDY("protocol: command, command: [x, '{prompt}']", ", concurrency: 257"),
     "a concurrency of 257 programs; at most 256"},
    {"no load", "study: r\nservices:\n  t: {protocol: command, command: [x, '{prompt}']}\n",
     "t: it is run for each request, so it needs a load"},
    {"two in one chain",
     "study: r\nservices:\n  a: {protocol: command, command: [x, '{prompt}']}\n"
     "  b: {protocol: command, command: [y, '{prompt}']}\n"
     "load:\n  a: {prompts: p.jsonl}\n  b: {after: a}\n",
     "b: one chain of requests runs the programs of a and b"},
    {"too high a level",
     STUDY("protocol: command, command: [x, '{prompt}']", "") "capacity: {t: {up_to: 300}}\n",
     "capacity.t.up_to: a concurrency of 300 programs; at most 256"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        bool ok = spec_study_parse("f", rows[i].text, strlen(rows[i].text), &catalog, &study, &err);
        CHECK_ROW(i, err.text, ok == !rows[i].says);
        CHECK_ROW(i, err.text, ok || strstr(err.text, rows[i].says));
        CHECK_ROW(i, rows[i].name, !ok || study->services[0].by_request);
    }
}

static void test_placeholders_stay(void **state)
{
    (void)state;
    static const char text[] = STUDY(
        "protocol: command, command: [x, '{n}:{prompt}'], knobs: {n: [7]}", "") "baseline: none\n";
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(buf_done) struct buf out = BUF_INIT(100);
    struct spec_candidate candidate = {0};
    struct err err = ERR_INIT;
    assert_true(spec_study_parse("f", text, strlen(text), &catalog, &study, &err));
    assert_true(
        spec_setting_expand(study, &candidate, 0, study->services[0].command[1].text, 0, "", &out));
    assert_string_equal(buf_text(&out), "7:{prompt}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_placeholders_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
