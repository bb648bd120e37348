/* How often a server saw each prompt: what is told beside times that a prefix cache may have made.
 */
#include "fixture.h"

#include "bench/run.h"

static void send(struct bench_sent *sent, uint32_t item, uint32_t turn, size_t times)
{
    const struct load_record record = {.item = item, .turn = turn};
    for (size_t i = 0; i < times; i++)
        bench_sent_add(sent, &record);
}

static void repeats_are_counted(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_stream stream = fixture_stream("openai-chat");
    struct bench_sent *sent = bench_sent_new(&stream, arena);
    assert_non_null(sent);
    assert_int_equal(bench_sent_repeats(sent).prompts, 0);
    send(sent, 0, 0, 3);
    send(sent, 11, 0, 5);
    send(sent, 1, 1, 9);  /* goes on with what was said: no beginning */
    send(sent, 12, 0, 1); /* there are twelve */
    struct bench_repeats all = bench_sent_repeats(sent);
    assert_int_equal(all.prompts, 2);
    assert_int_equal(all.least, 3);
    assert_int_equal(all.most, 5);
}

static void new_text_is_no_repeat(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_stream stream = fixture_stream("openai-chat");
    struct bench_sent *sent = bench_sent_new(&stream, arena);
    /* Which it is each request says: a trace has both. */
    const struct load_record made = {.made = true}, listed = {.item = 0};
    bench_sent_add(sent, &made);
    bench_sent_add(sent, &made);
    assert_int_equal(bench_sent_repeats(sent).prompts, 0);
    bench_sent_add(sent, &listed);
    assert_int_equal(bench_sent_repeats(sent).most, 1);
    /* Audio is no prefix of anything, and without a count nothing is counted. */
    stream = fixture_stream("openai-transcriptions");
    assert_null(bench_sent_new(&stream, arena));
    send(NULL, 0, 0, 1);
    assert_int_equal(bench_sent_repeats(NULL).prompts, 0);
}

static char *lines_of(const struct bench_run *run)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    bench_print_lines(run, out, (struct report_terminal){.width = 1000});
    fclose(out);
    return text;
}

static void a_line_says_so(void **state)
{
    (void)state;
    static const struct {
        size_t prompts, least, most;
        const char *words; /* NULL: no line */
    } rows[] = {
        {0, 0, 0, NULL},
        {12, 1, 1, NULL},
        {1, 2000, 2000, "the one prompt was sent 2,000 times: a prefix cache may have answered"},
        {12, 25, 25, "each of 12 was sent 25 times: a prefix cache may have answered"},
        {12, 1, 2, "12, each was sent 1 to 2 times: a prefix cache may have answered"},
    };
    const struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *results = fixture_run(&stream, 20, 0.1, 0, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct bench_setup *setup = arena_alloc(arena, sizeof *setup);
        struct bench_sent *sent = bench_sent_new(&stream, arena);
        setup->plan.streams[0] = stream;
        setup->plan.streams[0].url = "http://127.0.0.1:1/";
        for (uint32_t k = 0; k < rows[i].prompts; k++)
            send(sent, k, 0, k ? rows[i].least : rows[i].most);
        setup->sending = "x";
        const struct bench_run run = {.setup = setup,
                                      .results = results,
                                      .first_request_s = NAN,
                                      .text_salt = "then",
                                      .sent = sent};
        AUTO(free) char *text = lines_of(&run);
        CHECK_ROW(i, text, (strstr(text, "\nprompts ") != NULL) == (rows[i].words != NULL));
        CHECK_ROW(i, text, !rows[i].words || strstr(text, rows[i].words));
        AUTO_JSON json_t *json = bench_json(&run);
        assert_string_equal(json_get_text(json, "text_salt"), "then");
        json_t *told = json_object_get(json, "prompts_sent");
        CHECK_ROW(i, text, json_is_null(told) == (rows[i].prompts == 0));
        if (rows[i].prompts == 0)
            continue;
        assert_int_equal(json_get_int(told, "prompts", 0), rows[i].prompts);
        assert_int_equal(json_get_int(told, "most_times", 0), rows[i].most);
        assert_int_equal(json_get_int(told, "least_times", 0), rows[i].least);
        assert_int_equal(json_is_true(json_object_get(told, "may_be_cached")), rows[i].most > 1);
    }
}

/* To open a connection is in every time: whether it was stands where the load stands. */
static void the_head_names_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *protocol;
        bool reuse;
        const char *words; /* NULL: there are none */
    } rows[] = {{"openai-chat", false, "; x; a new connection for each request; "},
                {"openai-chat", true, "; x; connections are kept; "},
                {"command", false, NULL}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_stream stream = fixture_stream(rows[i].protocol);
        AUTO(bench_results_free) struct bench_results *results = bench_results_new(&stream);
        bench_results_close(results, &fixture_report, CLOCK_NEVER);
        struct bench_setup *setup = arena_alloc(arena, sizeof *setup);
        stream.reuse_connection = rows[i].reuse;
        stream.url = "http://127.0.0.1:1/";
        setup->plan.streams[0] = stream;
        setup->sending = "x";
        const struct bench_run run = {.setup = setup, .results = results, .first_request_s = NAN};
        AUTO(free) char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        bench_print(&run, out, (struct report_terminal){.width = 1000});
        fclose(out);
        CHECK_ROW(i, text, (strstr(text, "connection") != NULL) == (rows[i].words != NULL));
        CHECK_ROW(i, text, !rows[i].words || strstr(text, rows[i].words));
    }
}

/* Late for a standstill alone: the figure that made it so is there. */
static void the_json_tells_of_a_standstill(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_stream stream = fixture_stream("openai-chat");
    AUTO(bench_results_free) struct bench_results *results = bench_results_new(&stream);
    struct load_report report = fixture_report;
    report.lateness_p99_s = 0.0001;
    report.stall_p99_s = 0.03;
    report.stall_max_s = 0.04;
    bench_results_close(results, &report, CLOCK_NEVER);
    struct bench_setup *setup = arena_alloc(arena, sizeof *setup);
    stream.url = "http://127.0.0.1:1/";
    setup->plan.streams[0] = stream;
    setup->sending = "x";
    const struct bench_run run = {.setup = setup, .results = results, .first_request_s = NAN};
    AUTO_JSON json_t *json = bench_json(&run);
    json_t *own = json_object_get(json, "instrument");
    assert_true(json_is_true(json_object_get(own, "late")));
    assert_true(json_get_real(own, "stall_p99_s") == 0.03);
    assert_true(json_get_real(own, "stall_max_s") == 0.04);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeats_are_counted),
        cmocka_unit_test(new_text_is_no_repeat),
        cmocka_unit_test(a_line_says_so),
        cmocka_unit_test(the_head_names_the_connection),
        cmocka_unit_test(the_json_tells_of_a_standstill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
