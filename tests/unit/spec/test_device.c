/* Where services run, and what else belongs to a GPU study: lanes, devices of services and of
 * knobs, `on`, answers that mean nothing, knobs that move memory. */
#include "spec/study.h"

#include "base/buf.h"

#include "check.h"
#include "fixture.h"

#include <math.h>

/* `device:` of the study (NULL: no such key), further keys of two services, and of the study.
 * `baseline: none` and a goal are always there. */
struct row {
    const char *device, *stt, *llm, *rest;
    const char *expected; /* what comes out, or the message */
};

static bool parse(const struct row *row, struct spec_study **ret_study, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    buf_add(&text, "study: s\nbaseline: none\n");
    if (row->device)
        buf_addf(&text, "device: %s\n", row->device);
    else
        buf_add(&text, "# no device\n");
    buf_addf(&text,
             "services:\n  stt: {engine: whisper-server, model: m%s}\n"
             "  llm: {command: [x, \"{port}\"], protocol: plain%s}\n",
             row->stt, row->llm);
    buf_addf(&text, "goal: {optimise: {stt.memory: {good: 1MiB, bad: 1GiB}}}\n%s", row->rest);
    if (!strstr(row->rest, "load:")) /* what is on a GPU needs one */
        buf_add(&text, "load: {stt: {corpus: c}, llm: {rate: 1/s}}\n");
    return spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, ret_study, err);
}

/* "cpu gpu0 | lanes 1 | stt gpu:1 llm cpu:0": devices, lanes, and of each service `on` and the
 * index of its device ("*": a knob's). */
static void describe(const struct spec_study *study, struct buf *text)
{
    for (size_t i = 0; i < study->device_count; i++)
        buf_addf(text, "%s ", study->devices[i]);
    buf_addf(text, "| lanes %zu |", study->lane_count);
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        buf_addf(text, " %s %s:", s->name, s->on == ON_GPU ? "gpu" : "cpu");
        if (s->device_knob >= 0)
            buf_add(text, "*");
        else
            buf_addf(text, "%zu", s->device);
    }
}

static const struct row places[] = {
    {NULL, "", "", "", "cpu | lanes 1 | stt cpu:0 llm cpu:0"},
    {"cpu", "", "", "", "cpu | lanes 1 | stt cpu:0 llm cpu:0"},
    {"gpu1", "", "", "", "gpu1 | lanes 1 | stt gpu:0 llm gpu:0"},
    {"[gpu0]", "", "", "", "gpu0 | lanes 1 | stt gpu:0 llm gpu:0"},
    {"[gpu0, gpu12]", "", "", "", "gpu0 gpu12 | lanes 2 | stt gpu:0 llm gpu:0"},
    {"[gpu0, gpu1]", ", on: cpu", "", "", "gpu0 gpu1 | lanes 2 | stt cpu:0 llm gpu:0"},
    {"GPU-01234567-89ab", ", on: gpu", "", "", "GPU-01234567-89ab | lanes 1 | stt gpu:0 llm gpu:0"},
    {"gpu0", ", on: cpu", "", "", "gpu0 | lanes 1 | stt cpu:0 llm gpu:0"},
    {"gpu0", ", device: cpu", "", "", "gpu0 cpu | lanes 1 | stt cpu:1 llm gpu:0"},
    {"gpu0", ", device: cpu, on: cpu", "", "", "gpu0 cpu | lanes 1 | stt cpu:1 llm gpu:0"},
    {"gpu0", ", device: gpu1", "", "", "gpu0 gpu1 | lanes 1 | stt gpu:1 llm gpu:0"},
    {"gpu0", ", device: gpu0", "", "", "gpu0 | lanes 1 | stt gpu:0 llm gpu:0"},
    {"gpu0", ", device: gpu1, on: cpu", "", "", "gpu0 gpu1 | lanes 1 | stt cpu:1 llm gpu:0"},
    /* nobody is on the default: it is no device of this study */
    {NULL, ", device: gpu1", ", device: gpu0", "", "gpu1 gpu0 | lanes 1 | stt gpu:0 llm gpu:1"},
    {NULL, ", device: gpu1", "", "", "cpu gpu1 | lanes 1 | stt gpu:1 llm cpu:0"},
    {"gpu0", ", knobs: {device: [gpu1, gpu0]}", "", "",
     "gpu0 gpu1 | lanes 1 | stt gpu:* llm gpu:0"},
    {NULL, ", knobs: {device: [gpu1, gpu2]}", ", device: cpu", "",
     "gpu1 gpu2 cpu | lanes 1 | stt gpu:* llm cpu:2"},
    {"gpu0", ", knobs: {threads: [1, 2], device: {values: [gpu1], when: threads > 1}}", "", "",
     "gpu0 gpu1 | lanes 1 | stt gpu:* llm gpu:0"},
    {"gpu0", ", knobs: {device: {values: {gpu0: \"cuda:0\", gpu1: \"cuda:1\"}}}", "", "",
     "gpu0 gpu1 | lanes 1 | stt gpu:* llm gpu:0"},
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        AUTO(buf_done) struct buf text = BUF_INIT(1000);
        struct err err = ERR_INIT;
        if (!parse(&places[i], &study, &err))
            fail_msg("row %zu: %s", i, err.text);
        describe(study, &text);
        CHECK_ROW_TEXT(i, places[i].stt, buf_text(&text), places[i].expected);
        CHECK_ROW_TEXT(i, places[i].stt, study->device, study->devices[0]);
        CHECK_ROW(i, "no option of the engine",
                  study->services[0].engine_uses[0].setting_count <= 2);
    }
}

static const struct row refused[] = {
    {"[]", "", "", "", "f:3:9: device: is an empty list: name a device"},
    {"", "", "", "", "f:3:8: device: is empty: give a value or leave the key out"},
    {"{a: b}", "", "", "", "f:3:9: device: must be text, this is a mapping"},
    {"[gpu0, [gpu1]]", "", "", "", "f:3:16: device: must be text, this is a list"},
    {"gpu01", "", "", "",
     "f:3:9: device: \"gpu01\" is no device: cpu, gpu0, gpu1, ... or a UUID (GPU-...)"},
    {"[gpu0, tpu]", "", "", "",
     "f:3:16: device: \"tpu\" is no device: cpu, gpu0, gpu1, ... or a UUID (GPU-...)"},
    {"[gpu0, gpu0]", "", "", "", "f:3:16: device: \"gpu0\" is given twice"},
    {"[gpu0, cpu]", "", "", "",
     "f:3:16: device: cpu and a GPU are no equals: devices in a list run the same trials"},
    {"[gpu0, gpu1, gpu2, gpu3, gpu4, gpu5, gpu6, gpu7, gpu8]", "", "", "",
     "f:3:58: device: gpu8: at most 8 devices in a study"},
    {"[gpu0, gpu1, gpu2, gpu3, gpu4, gpu5, gpu6]", ", on: cpu", ", device: gpu7", "",
     "f:6:58: llm.device: the study's `device` is a list: on each of them a whole trial runs, "
     "so no service has a device of its own"},
    {"gpu0", ", knobs: {device: [gpu1, gpu2, gpu3, gpu4, gpu5, gpu6, gpu7, gpu8]}", "", "",
     "f:5:102: stt.device: gpu8: at most 8 devices in a study"},
    {"[gpu0, gpu1]", ", device: cpu", "", "",
     "f:5:51: stt.device: the study's `device` is a list: on each of them a whole trial runs, "
     "so no service has a device of its own (`on: cpu` is enough)"},
    {"[gpu0, gpu1]", ", knobs: {device: [gpu0]}", "", "",
     "f:5:51: stt.device: the study's `device` is a list: on each of them a whole trial runs, "
     "so no service has a device of its own"},
    {"gpu0", ", device: cuda", "", "",
     "f:5:51: stt.device: \"cuda\" is no device: cpu, gpu0, gpu1, ... or a UUID (GPU-...)"},
    {"gpu0", ", knobs: {device: [gpu0, 1]}", "", "",
     "f:5:66: stt.device: \"1\" is no device: cpu, gpu0, gpu1, ... or a UUID (GPU-...)"},
    {"gpu0", ", knobs: {device: [gpu0, gpu0]}", "", "",
     "f:5:66: stt.device: \"gpu0\" is given twice"},
    {"gpu0", ", knobs: {device: [gpu0, cpu]}", "", "",
     "f:5:66: stt.device: cpu and a GPU in one knob: where it must compute (`on`) is one word "
     "for all candidates; compare the two in two studies"},
    {"gpu0", ", device: gpu1, knobs: {device: [gpu0]}", "", "",
     "f:5:51: stt.device: also a knob of this name: leave one of them out"},
    {NULL, ", on: gpu", "", "",
     "f:5:47: stt.on: \"gpu\" needs a GPU as the study's device, which is cpu"},
    {"gpu0", ", device: cpu, on: gpu", "", "",
     "f:5:60: stt.on: \"gpu\" needs a GPU as the service's device, which is cpu"},
    {"gpu0", ", on: cpu, knobs: {device: [gpu0, gpu1]}", "", "",
     "f:5:47: stt.on: \"cpu\" and a knob that chooses a GPU: one of them"},
    {NULL, ", knobs: {threads: [1, 2], device: {values: [gpu1], when: threads > 1}}", "", "",
     "f:5:68: stt.device: without it the service is on the study's device, which is cpu, and "
     "with it on a GPU: leave \"when\" out, or give the study a GPU"},
    /* answers */
    {"gpu0", ", answers: no", "", "",
     "f:5:52: stt.answers: \"no\": must be one of checked, unchecked"},
    {"gpu0", ", answers: unchecked", "", "load: {stt: {corpus: c, max_wer: 5%}}\n",
     "f:8:34: load.stt.max_wer: the answers of stt are unchecked, so there is no word error "
     "rate"},
    {"gpu0", ", answers: unchecked", "",
     "load: {stt: {corpus: c}, llm: {rate: 1/s}}\nconstraints: []\nsearch: {}\n", NULL},
    /* what can't be proven */
    {"gpu0", "", "", "load: {stt: {corpus: c}}\n",
     "f:6:3: llm.on: \"gpu\" (the default on a GPU) needs a load for llm, without which nothing "
     "proves that it computes there: give it one under `load`, or say `on: cpu`"},
    {"gpu0", ", on: gpu", "", "load: {llm: {rate: 1/s}}\n",
     "f:5:47: stt.on: \"gpu\" needs a load for stt, without which nothing proves that it computes "
     "there: give it one under `load`, or say `on: cpu`"},
    {"gpu0", ", on: cpu", "", "load: {llm: {rate: 1/s}}\n", NULL},
    {"gpu0", ", device: cpu", "", "load: {llm: {rate: 1/s}}\n", NULL},
    {"cpu", "", "", "load: {llm: {rate: 1/s}}\n", NULL},
    /* memory */
    {"gpu0", ", knobs: {threads: {values: [1, 2], memory: much}}", "", "",
     "f:5:85: stt.knobs.threads.memory: \"much\": must be one of more, less, share"},
    {"gpu0", ", knobs: {language: {values: [en, de], memory: more}}", "", "",
     "f:5:88: stt.knobs.language.memory: only where all values are numbers: of words none is "
     "larger"},
};

static void test_refused(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        bool ok = parse(&refused[i], &study, &err);
        const char *expected = refused[i].expected ? refused[i].expected : "";
        if (strcmp(ok ? "" : err.text, expected) != 0) {
            print_message("row %zu:\n  is       %s\n  expected %s\n", i, ok ? "accepted" : err.text,
                          expected);
            failed++;
        }
    }
    assert_int_equal(failed, 0);
}

static void test_answers(void **state)
{
    (void)state;
    static const char head[] = "study: s\nservices:\n"
                               "  stt: {engine: whisper-server, model: m, answers: %s}\n"
                               "load: {stt: {corpus: c}}\ngoal:\n";
    static const struct {
        const char *answers, *goal, *message; /* NULL: accepted */
    } rows[] = {
        {"checked", "  require: [stt.wer < 5%]\n", NULL},
        {"unchecked", "  require: [stt.errors == 0]\n", NULL},
        {"unchecked", "  require: [stt.wer < 5%]\n",
         "f:6:13: goal.require: \"stt.wer\": the answers of stt are unchecked, so its words are "
         "compared with nothing"},
        {"unchecked", "  optimise: {stt.wer: {good: 5%, bad: 20%}}\n",
         "f:6:14: goal.optimise: \"stt.wer\": the answers of stt are unchecked, so its words are "
         "compared with nothing"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        struct err err = ERR_INIT;
        buf_addf(&text, head, rows[i].answers);
        buf_add(&text, rows[i].goal);
        bool ok = spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err);
        CHECK_ROW_TEXT(i, rows[i].goal, ok ? "" : err.text, rows[i].message ? rows[i].message : "");
        CHECK_ROW(i, rows[i].goal,
                  !ok || study->services[0].answers_unchecked == (rows[i].answers[0] == 'u'));
    }
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *service, *knob;
        enum option_memory memory;
    } rows[] = {
        {"{engine: vllm, model: m, knobs: {gpu_memory_utilization: [0.3, 0.5]}}",
         "gpu_memory_utilization", MEMORY_MORE},
        {"{engine: vllm, model: m, gpu_memory_utilization: \"{u}\", knobs: {u: [0.5, 0.3]}}", "u",
         MEMORY_MORE},
        {"{engine: vllm, model: m, gpu_memory_utilization: \"0.{u}\", knobs: {u: [3, 5]}}", "u",
         MEMORY_NONE},
        {"{engine: vllm, model: m, knobs: {gpu_memory_utilization: "
         "{values: [0.3, 0.5], memory: less}}}",
         "gpu_memory_utilization", MEMORY_LESS},
        {"{engine: vllm, model: m, knobs: {enforce_eager: [true, false]}}", "enforce_eager",
         MEMORY_NONE},
        {"{command: [x, \"{n}\"], knobs: {n: {from: 1, to: 8, step: 1, memory: more}}}", "n",
         MEMORY_MORE},
        {"{command: [x, \"{n}\"], knobs: {n: [1, 2]}}", "n", MEMORY_NONE},
        /* one engine says more, the other does not have the option, or says nothing of it */
        {"{engine: \"{e}\", engines: {vllm: {model: m}, llama-server: {model: m}}, "
         "knobs: {e: [vllm, llama-server], gpu_memory_utilization: [0.3, 0.5]}}",
         "gpu_memory_utilization", MEMORY_MORE},
        {"{engine: \"{e}\", engines: {llama-server: {model: m}, whisper-server: {model: m}}, "
         "knobs: {e: [llama-server, whisper-server], threads: [1, 2]}}",
         "threads", MEMORY_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        struct err err = ERR_INIT;
        buf_addf(&text,
                 "study: s\nbaseline: none\nservices:\n  a: %s\n"
                 "goal: {optimise: {a.memory_idle: {good: 1MiB, bad: 1GiB}}}\n",
                 rows[i].service);
        if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err))
            fail_msg("row %zu: %s", i, err.text);
        for (size_t k = 0; k < study->knob_count; k++)
            if (strcmp(study->knobs[k].name, rows[i].knob) == 0)
                CHECK_ROW(i, rows[i].service, study->knobs[k].memory == rows[i].memory);
    }
}

/* The device of each candidate. */
static void test_candidates(void **state)
{
    (void)state;
    static const struct row row = {
        "gpu0", ", knobs: {threads: [1, 2], device: {values: [gpu2, gpu1], when: threads > 1}}",
        ", device: cpu", "", NULL};
    static const size_t expected[] = {0, 1, 2}; /* gpu0 gpu2 gpu1 cpu */
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(free) spec_code *codes = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    if (!parse(&row, &study, &err) || !spec_space_list(study, 10, &codes, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, ARRAY_LEN(expected));
    for (size_t i = 0; i < count; i++) {
        struct spec_candidate candidate = spec_candidate_decode(study, codes[i]);
        assert_int_equal(spec_candidate_device(study, &candidate, 0), expected[i]);
        assert_int_equal(spec_candidate_device(study, &candidate, 1), 3);
    }
}

/* A file that says all of it at once; the fuzzer starts from it. */
static void test_whole(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *s = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_load(CORPUS "/devices.yaml", &fixture_catalog, &s, &err))
        fail_msg("%s", err.text);
    assert_int_equal(s->neighbour_count, 2);
    assert_int_equal(s->neighbours[0].unseen_bytes, INT64_C(2) << 30);
    assert_int_equal(s->neighbours[1].unseen_bytes, 0);
    assert_true(s->services[0].answers_unchecked && !s->services[1].answers_unchecked);
    assert_int_equal(s->knobs[1].memory, MEMORY_LESS);
    assert_int_equal(s->device_count, 5); /* gpu0 gpu1 cpu gpu2 GPU-... */
    assert_int_equal(s->requirement_count, 2);
    assert_true(fabs(s->objectives[1].bad - 12 * 1048576.0 / 60) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_answers),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_candidates), cmocka_unit_test(test_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
