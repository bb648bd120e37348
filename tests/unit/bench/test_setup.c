/* What somebody types becomes the URL and the plan that were meant. */
#include "fixture.h"

#include "load/protocol.h"

static const struct spec_protocol *protocol_of(const char *name)
{
    return load_protocol_find(name)->spec;
}

static void urls_are_completed(void **state)
{
    (void)state;
    static const struct {
        const char *given, *meant;
    } rows[] = {
        {"127.0.0.1:80", "http://127.0.0.1:80/v1/chat/completions"},
        {"http://h:80", "http://h:80/v1/chat/completions"},
        {"http://h:80/", "http://h:80/v1/chat/completions"},
        {"https://h/v1", "https://h/v1/chat/completions"},
        {"https://h/v1/", "https://h/v1/chat/completions"},
        {"http://h/v1/chat/completions", "http://h/v1/chat/completions"},
        {"http://h/v1/chat/completions/", "http://h/v1/chat/completions"},
        {"http://h/v12", "http://h/v12"},
        {"http://h/other", "http://h/other"},
        {"http://h/other?x=1", "http://h/other?x=1"},
    };
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW_TEXT(i, rows[i].given,
                       bench_url_complete(rows[i].given, protocol_of("openai-chat"), arena),
                       rows[i].meant);
}

static bool make(struct bench_options options, struct arena *arena, struct bench_setup **ret_setup,
                 struct err *err)
{
    struct spec_catalog catalog = {0};
    if (!options.url)
        options.url = "127.0.0.1:80";
    return bench_setup_make(&options, &catalog, arena, ret_setup, err);
}

static void a_model_in_the_path(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_setup *setup = NULL;
    struct err err = ERR_INIT;
    struct bench_options options = {
        .protocol = protocol_of("kserve"), .model = "a/b", .warmup_ns = -1};
    assert_true(make(options, arena, &setup, &err));
    assert_string_equal(setup->plan.streams[0].url, "http://127.0.0.1:80/v2/models/a%2Fb/infer");
}

static void defaults_are_sensible(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_setup *setup = NULL;
    struct err err = ERR_INIT;
    struct bench_options options = {.protocol = protocol_of("openai-chat"), .warmup_ns = -1};
    assert_true(make(options, arena, &setup, &err));
    const struct load_stream *s = &setup->plan.streams[0];
    assert_int_equal(s->arrivals, ARRIVALS_CLOSED);
    assert_int_equal(s->concurrency, 1);
    assert_int_equal(setup->plan.window_ns, 30 * NS_PER_S);
    assert_int_equal(setup->plan.warmup_ns, 3 * NS_PER_S);
    assert_int_equal(s->corpus->prompt_count, bench_prompt_count);
    assert_true(setup->timed);
    /* A number of requests ends it, not a time, and nothing of them is warm-up. */
    options.requests = 10;
    assert_true(make(options, arena, &setup, &err));
    assert_false(setup->timed);
    assert_int_equal(setup->plan.warmup_ns, 0);
    assert_int_equal(setup->plan.streams[0].request_limit, 10);
}

static void keys_of_the_load_are_bound(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_setup *setup = NULL;
    struct err err = ERR_INIT;
    const struct spec_pair pairs[] = {{"rate", "5/s", true},
                                      {"arrivals", "constant", true},
                                      {"timeout", "2s", false},
                                      {"temperature", "0.5", true},
                                      {"max_tokens", "9", true}};
    struct bench_options options = {.protocol = protocol_of("openai-chat"),
                                    .warmup_ns = 0,
                                    .prompt = "a: b",
                                    .pairs = pairs,
                                    .pair_count = ARRAY_LEN(pairs)};
    assert_true(make(options, arena, &setup, &err));
    const struct load_stream *s = &setup->plan.streams[0];
    assert_int_equal(s->arrivals, ARRIVALS_CONSTANT);
    assert_true(s->rate_rps == 5);
    assert_int_equal(s->timeout_ns, 2 * NS_PER_S);
    assert_int_equal(s->max_tokens, 9);
    assert_string_equal(load_stream_setting(s, "temperature"), "0.5");
    assert_string_equal(s->corpus->prompts[0].prompt, "a: b");
}

/* expected: never more workers than cores; before: four on a machine of two, which were later */
static void workers_have_a_core_each(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool fixed;
        int workers, cores, then; /* then: 0: no more */
    } rows[] = {
        {"one core", false, 0, 1, 0},      {"two cores", false, 0, 2, 2},
        {"two are all", false, 2, 2, 0},   {"four cores", false, 2, 4, 4},
        {"four are all", false, 4, 64, 0}, {"asked for", true, 1, 64, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) struct bench_setup *setup = calloc(1, sizeof *setup);
        assert_non_null(setup);
        setup->workers_fixed = rows[i].fixed;
        setup->plan.workers = rows[i].workers;
        bool more = bench_setup_add_workers(&setup->plan, setup, rows[i].cores);
        CHECK_ROW(i, rows[i].name, more == (rows[i].then > 0));
        CHECK_ROW(i, rows[i].name, setup->plan.workers == (more ? rows[i].then : rows[i].workers));
    }
}

/* expected: each run, each window that is tried again says something new, unless it is told what;
 * before: a second run found all its prompts in the server's cache */
static void words_are_new_in_every_run(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct bench_setup *one = NULL, *two = NULL, *told = NULL;
    struct err err = ERR_INIT;
    struct bench_options options = {
        .protocol = protocol_of("openai-chat"), .warmup_ns = 0, .seed = 7};
    assert_true(make(options, arena, &one, &err));
    const int64_t now_us = clock_now_wall_us();
    while (clock_now_wall_us() <= now_us)
        ;
    assert_true(make(options, arena, &two, &err));
    assert_string_not_equal(one->plan.text_salt, two->plan.text_salt);
    assert_string_equal(one->plan.salt, two->plan.salt);
    options.text_salt = "then";
    assert_true(make(options, arena, &told, &err));
    assert_string_equal(told->plan.text_salt, "then");
    bench_setup_say_anew(told, 1, arena);
    assert_string_equal(told->plan.text_salt, "then, 2");
    bench_setup_say_anew(told, 2, arena);
    assert_string_equal(told->plan.text_salt, "then, 3");
    static const char *const bad[] = {
        "", "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        options.text_salt = bad[i];
        err = ERR_INIT;
        assert_false(make(options, arena, &told, &err));
        assert_non_null(strstr(err.text, "--text-salt"));
    }
}

static void mistakes_are_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *name, *protocol;
        struct spec_pair pair;
        const char *prompt;
        uint64_t requests;
        int64_t warmup_ns;
        const char *words;
    } rows[] = {
        {"rate", "openai-chat", {"rate", "5", true}, NULL, 0, -1, NULL}, /* a bare rate is one */
        {"no rate", "openai-chat", {"rate", "5x", true}, NULL, 0, -1, "rate: \"5x\" is not"},
        {"no key", "openai-chat", {"rat", "5/s", true}, NULL, 0, -1, "did you mean rate?"},
        {"nobody to follow", "openai-chat", {"after", "x", true}, NULL, 0, -1, "no key \"after\""},
        {"list", "openai-chat", {"timeout", "[1, 2]", false}, NULL, 0, -1, "timeout: must be"},
        {"yaml", "openai-chat", {"timeout", "{a", false}, NULL, 0, -1, "timeout:"},
        {"two", "openai-chat", {"prompts", "x", true}, "y", 0, -1, "give one of them"},
        {"audio", "openai-chat", {"corpus", "x", true}, NULL, 0, -1, "sends no audio"},
        {"clips", "openai-transcriptions", {"timeout", "1s", true}, NULL, 0, -1, "--corpus FOLDER"},
        {"no clips", "openai-transcriptions", {"timeout", "1s", true}, "x", 0, -1, "no prompts"},
        {"no model", "ollama-chat", {"timeout", "1s", true}, NULL, 0, -1, "--model NAME"},
        {"no model in the path", "kserve", {"timeout", "1s", true}, NULL, 0, -1, "--model NAME"},
        {"a model as an option", "kserve", {"model", "m", true}, NULL, 0, -1, NULL},
        {"warm-up", "openai-chat", {"timeout", "1s", true}, NULL, 5, NS_PER_S, "--warmup"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct bench_setup *setup = NULL;
        struct err err = ERR_INIT;
        struct bench_options options = {.protocol = protocol_of(rows[i].protocol),
                                        .warmup_ns = rows[i].warmup_ns,
                                        .requests = rows[i].requests,
                                        .prompt = rows[i].prompt,
                                        .pairs = &rows[i].pair,
                                        .pair_count = 1};
        bool ok = make(options, arena, &setup, &err);
        CHECK_ROW(i, rows[i].name, ok == (rows[i].words == NULL));
        if (ok)
            continue;
        CHECK_ROW(i, rows[i].name, err.code == ERR_INPUT && !setup);
        if (!strstr(err.text, rows[i].words))
            fail_msg("row %zu (%s): no \"%s\" in \"%s\"", i, rows[i].name, rows[i].words, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_completed),       cmocka_unit_test(a_model_in_the_path),
        cmocka_unit_test(defaults_are_sensible),    cmocka_unit_test(keys_of_the_load_are_bound),
        cmocka_unit_test(workers_have_a_core_each), cmocka_unit_test(words_are_new_in_every_run),
        cmocka_unit_test(mistakes_are_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
