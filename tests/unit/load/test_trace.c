/* Traces and mixes as files: public forms are read as they are, and every problem names its line.
 */
#include "load/corpus_file.h"

#include "check.h"
#include "spec/study.h"

#include <math.h>

static void write_text(const char *folder, const char *name, const char *text, char ret_path[512])
{
    snprintf(ret_path, 512, "%s/%s", folder, name);
    FILE *file = fopen(ret_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct corpus_clip clips[] = {
    {.name = "a", .len = 1000, .duration_s = 1},
    {.name = "b", .len = 5000, .duration_s = 5},
    {.name = "c", .len = 9000, .duration_s = 9},
};

static void test_public_forms(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int64_t at_ns[2];
        int32_t input, output; /* of the second */
    } rows[] = {
        {"mooncake.jsonl",
         "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, "
         "\"hash_ids\": [46, 47]}\n"
         "{\"timestamp\": 30535, \"input_length\": 6472, \"output_length\": 26}\n",
         {0, 3053000000},
         6472,
         26},
        {"burstgpt.csv",
         "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
         "5,ChatGPT,472,18,490,Conversation log\n"
         "45.5,ChatGPT,1087,230,1317,Conversation log\n",
         {0, 40500000000},
         1087,
         230},
        {"azure.csv",
         "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
         "2023-11-16 23:59:59.9805900,374,44\r\n"
         "2023-11-17 00:00:00.2805900,396,109\r\n",
         {0, 300000000},
         396,
         109},
        {"azure2024.csv",
         "TIMESTAMP,ContextTokens,GeneratedTokens\n"
         "2024-05-10 00:00:00.009930+00:00,2162,5\n"
         "2024-05-10 00:00:00.017335+00:00,2399,6\n",
         {0, 7405000},
         2399,
         6},
    };
    char *folder = check_make_folder();
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct corpus corpus = {0};
        struct err err = ERR_INIT;
        char path[512];
        write_text(folder, rows[r].name, rows[r].text, path);
        if (!corpus_load_trace(arena, path, &corpus, &err))
            fail_msg("%s", err.text);
        CHECK_ROW(r, "count", corpus.trace_count == 2);
        CHECK_ROW(r, "first", corpus.trace[0].at_ns == rows[r].at_ns[0]);
        /* Dates are seconds since 1970 in a double: a quarter of a microsecond. */
        CHECK_ROW(r, "second", llabs(corpus.trace[1].at_ns - rows[r].at_ns[1]) < 500);
        CHECK_ROW(r, "input", corpus.trace[1].prompt_tokens == rows[r].input);
        CHECK_ROW(r, "output", corpus.trace[1].output_tokens == rows[r].output);
        CHECK_ROW(r, "no clip", corpus.trace[1].clip == CORPUS_NO_ITEM);
    }
    check_remove_folder(folder);
}

static void test_sizes_and_prompts(void **state)
{
    (void)state;
    char *folder = check_make_folder(), path[512];
    AUTO(arena_free) struct arena *arena = arena_new();
    static struct corpus_prompt own[] = {{.prompt = "own"}};
    struct corpus corpus = {.clips = clips, .clip_count = 3, .prompts = own, .prompt_count = 1};
    struct err err = ERR_INIT;
    write_text(folder, "t.jsonl",
               "{\"timestamp\": 0, \"duration\": 3.1}\n"
               "{\"timestamp\": 0, \"size\": 100000}\n"
               "{\"timestamp\": 1.5, \"prompt\": \"hello\"}\n"
               "{\"timestamp\": 2, \"text_input\": \"there\"}\n",
               path);
    if (!corpus_load_trace(arena, path, &corpus, &err))
        fail_msg("%s", err.text);
    assert_int_equal(corpus.trace_count, 4);
    assert_int_equal(corpus.trace[0].clip, 1);
    assert_int_equal(corpus.trace[1].clip, 2);
    assert_int_equal(corpus.trace[2].at_ns, 1500000);
    assert_int_equal(corpus.trace[2].prompt, 1);
    assert_int_equal(corpus.trace[3].prompt, 2);
    assert_int_equal(corpus.prompt_count, 3);
    assert_string_equal(corpus.prompts[0].prompt, "own");
    assert_string_equal(corpus.prompts[2].prompt, "there");
    check_remove_folder(folder);
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } rows[] = {
        {"t.jsonl", "", "t.jsonl: holds no request"},
        {"t.jsonl", "{\"timestamp\": 0}\nx\n", "t.jsonl:2: not JSON: "},
        {"t.jsonl", "[1]", "t.jsonl:1: not a JSON object; wants {\"timestamp\": 0, ...}"},
        {"t.jsonl", "{\"time\": 1}", "t.jsonl:1: lacks \"timestamp\", in ms"},
        {"t.jsonl", "{\"timestamp\": \"1\"}", "t.jsonl:1: \"timestamp\" is not a number"},
        {"t.jsonl", "{\"timestamp\": 2}\n{\"timestamp\": 1}",
         "t.jsonl:2: its time is before the line above"},
        {"t.jsonl", "{\"timestamp\": 0}\n{\"timestamp\": 1e12}",
         "t.jsonl:2: its time is over three years after the first"},
        {"t.jsonl", "{\"timestamp\": 0, \"input_length\": -1}",
         "t.jsonl:1: \"input_length\" is not a number of tokens from 0 to 1000000"},
        {"t.jsonl", "{\"timestamp\": 0, \"output_length\": 1.5}",
         "t.jsonl:1: \"output_length\" is not a number of tokens from 0 to 1000000"},
        {"t.jsonl", "{\"timestamp\": 1}\n",
         "trace: {folder}/t.jsonl: request 1 has neither \"input_length\" nor \"prompt\", and the "
         "load has no \"prompts\" or \"prompt_tokens\""},
        {"t.csv", "a,b\n1,2\n",
         "t.csv:1: its first line has no column Timestamp (s) or TIMESTAMP (date and time)"},
        {"t.csv", "Timestamp,Request tokens\nx,2\n", "t.csv:2: \"x\" is not a number"},
        {"t.csv", "Request tokens,Timestamp\n2\n", "t.csv:2: lacks its time"},
        {"t.csv", "Timestamp\n\"1\"\n", "t.csv:2: quoted fields are not supported"},
        {"t.csv", "TIMESTAMP\nyesterday\n",
         "t.csv:2: \"yesterday\" is no date and time, as in 2023-11-16 18:15:46.68"},
    };
    char *folder = check_make_folder(), path[512];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct corpus corpus = {0};
        struct err err = ERR_INIT;
        write_text(folder, rows[r].name, rows[r].text, path);
        const struct spec_load load = {.shape.trace = path};
        CHECK_ROW(r, rows[r].text, !corpus_load(arena, "", &load, &corpus, &err));
        const char *wanted = rows[r].message, *rest = strstr(wanted, "{folder}");
        wanted = rest ? rest + strlen("{folder}") : wanted;
        if (!strstr(err.text, wanted))
            fail_msg("row %zu: %s", r, err.text);
        assert_int_equal(err.code, ERR_INPUT);
    }
    check_remove_folder(folder);
}

static void test_mix_and_numbers(void **state)
{
    (void)state;
    char *folder = check_make_folder(), a[512], b[512], numbers[512], bad[512];
    AUTO(arena_free) struct arena *arena = arena_new();
    write_text(folder, "a.jsonl", "{\"prompt\": \"1\"}\n{\"prompt\": \"2\"}\n", a);
    write_text(folder, "b.txt", "three\n", b);
    write_text(folder, "numbers.txt", "12\n\n700\n", numbers);
    write_text(folder, "bad.txt", "12\n0\n", bad);
    struct spec_mix mix[] = {{a, 3}, {b, 1}};
    struct spec_load load = {.shape = {.mix = mix,
                                       .mix_count = 2,
                                       .output_tokens = {.kind = SPREAD_FILE, .file = numbers}}};
    struct corpus corpus = {0};
    struct err err = ERR_INIT;
    if (!corpus_load(arena, "load.llm.", &load, &corpus, &err))
        fail_msg("%s", err.text);
    assert_int_equal(corpus.prompt_count, 3);
    assert_int_equal(corpus.class_count, 2);
    assert_int_equal(corpus.classes[1].first, 2);
    assert_int_equal(corpus.classes[1].count, 1);
    assert_string_equal(corpus.prompts[2].prompt, "three");
    assert_int_equal(corpus.output_lengths.count, 2);
    assert_true(corpus.output_lengths.values[1] == 700);
    load.shape.output_tokens.file = bad;
    assert_false(corpus_load(arena, "load.llm.", &load, &corpus, &err));
    assert_non_null(strstr(err.text, "load.llm.output_tokens: "));
    assert_non_null(strstr(err.text, "bad.txt:2: wants one number from 1 to 1000000"));
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_forms),
        cmocka_unit_test(test_sizes_and_prompts),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_mix_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
