/* The space against brute force: every combination of values is decoded, checked by the plain rule
 * (conditions top down, no constraint false) and compared with what walking and counting say. Then
 * codes and texts round trip, settings expand, and a million candidates are counted. */
#include "spec/space.h"

#include "base/buf.h"
#include "base/rng.h"

#include "check.h"
#include "fixture.h"

static struct spec_study *parse(const char *text)
{
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_parse("f", text, strlen(text), &fixture_catalog, &study, &err))
        fail_msg("%s\n%s", err.text, text);
    return study;
}

static struct spec_study *load_example(void)
{
    struct spec_study *study = NULL;
    struct err err = ERR_INIT;
    if (!spec_study_load(CORPUS "/voice-cpu.yaml", &fixture_catalog, &study, &err))
        fail_msg("%s", err.text);
    return study;
}

/* A study of two services with three knobs each, of which some have conditions. */
static void add_study(struct buf *text, const char *const *knobs, const char *constraints)
{
    buf_add(text, "study: s\nservices:\n");
    for (int s = 0; s < 2; s++) {
        buf_addf(text, "  s%d:\n    command: [x, \"{a}\", \"{b}\", \"{c}\"]\n    knobs:\n", s);
        for (int k = 0; k < 3; k++)
            buf_addf(text, "      %c: %s\n", 'a' + k, knobs[3 * s + k]);
    }
    buf_addf(text, "constraints: [%s]\ngoal: {optimise: {s0.cpu: {good: 1, bad: 2}}}\n"
                   "baseline: none\n", constraints);
}

/* ---- brute force ---- */

struct naive {
    const struct spec_study *study;
    spec_code codes[4096];
    size_t count;
};

static void naive_add(struct naive *n, const struct spec_candidate *candidate)
{
    struct spec_candidate checked = *candidate;
    spec_code code = 0;
    if (!spec_candidate_check(n->study, &checked, NULL))
        return;
    code = spec_candidate_code(n->study, &checked);
    for (size_t i = 0; i < n->count; i++)
        if (n->codes[i] == code)
            return; /* differs in an inactive knob only */
    assert_true(n->count < ARRAY_LEN(n->codes));
    n->codes[n->count++] = code;
}

static void naive_walk(struct naive *n, struct spec_candidate *candidate, size_t knob)
{
    if (knob == n->study->knob_count) {
        naive_add(n, candidate);
        return;
    }
    for (size_t i = 0; i < n->study->knobs[knob].value_count; i++) {
        candidate->index[knob] = (int)i;
        naive_walk(n, candidate, knob + 1);
    }
}

static int by_code(const void *a, const void *b)
{
    const spec_code *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void check_against_naive(size_t row, const char *name, const struct spec_study *study)
{
    struct naive *n = calloc(1, sizeof *n);
    assert_non_null(n);
    n->study = study;
    struct spec_candidate candidate = {0};
    naive_walk(n, &candidate, 0);
    qsort(n->codes, n->count, sizeof n->codes[0], by_code);
    spec_code *codes = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    CHECK_ROW(row, name, spec_space_list(study, 100000, &codes, &count, &err));
    CHECK_ROW(row, name, count == n->count);
    CHECK_ROW(row, name, memcmp(codes, n->codes, count * sizeof *codes) == 0);
    CHECK_ROW(row, name, spec_space_count(study) == n->count);
    if (count > 0)
        CHECK_ROW(row, name, !spec_space_list(study, count - 1, &codes, &count, &err) &&
                                 err.code == ERR_LIMIT);
    free(codes);
    free(n);
}

static void test_brute_force(void **state)
{
    (void)state;
    static const char *const plain[] = {"[1, 2, 3]", "[1, 2]",    "[1, 2, 3]",
                                        "[1, 2]",    "[1, 2, 3]", "[x, y]"};
    static const char *const when[] = {
        "[1, 2, 3]", "{values: [1, 2], when: a > 1}", "{values: [1, 2, 3], when: b == 2}",
        "{values: [1, 2], when: \"s0.c in [1, 3] or s0.a == 1\"}", "[1, 2, 3]",
        "{values: [x, y], when: not b == 2}"};
    static const struct {
        const char *const *knobs;
        const char *constraints;
    } rows[] = {
        {plain, ""},
        {plain, "s0.a + s1.b <= 3"},
        {plain, "s0.a != s1.b, s0.c * s1.a < 4"},
        {plain, "s0.a == 1 or s1.c == y"},
        {plain, "s0.a + s0.b + s0.c + s1.a + s1.b == 9, s1.c == x or s0.a == 3"},
        {when, ""},
        {when, "s0.c + s1.b <= 3"},
        {when, "s0.b == 1 or s1.c == x"},
        {when, "s0.a + s0.b > 2, s1.a + s1.b < 4, not (s1.c == y and s0.a == 2)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        add_study(&text, rows[i].knobs, rows[i].constraints);
        AUTO(spec_study_free) struct spec_study *study = parse(buf_text(&text));
        check_against_naive(i, rows[i].constraints, study);
    }
    AUTO(spec_study_free) struct spec_study *example = load_example();
    check_against_naive(99, "example", example);
    assert_int_equal(spec_space_count(example), 144);
    assert_int_equal(spec_space_combinations(example), 768);
}

/* Random conditions and constraints from a small grammar: the same comparison, hundreds of
 * times. */
static void test_random_spaces(void **state)
{
    (void)state;
    static const char *const parts[] = {"s0.a <= 2", "s0.b == 1", "s0.c > 1", "s1.a != s0.a",
                                        "s1.b + s0.c < 4", "s1.c == y", "s0.a * s1.b == 2"};
    struct rng rng = rng_init(11, "spaces");
    size_t compared = 0;
    for (size_t round = 0; round < 300; round++) {
        static const char *const bare[] = {"a <= 2", "b == 2", "not a == 2", "b == 1 or a == 3"};
        char when[4][80];
        const char *knobs[] = {"[1, 2, 3]", "[1, 2]", when[0], when[1], when[2], when[3]};
        snprintf(when[0], sizeof when[0], "{values: [1, 2, 3], when: %s}",
                 bare[rng_below(&rng, 4)]);
        snprintf(when[1], sizeof when[1], "{values: [1, 2], when: s0.%s}",
                 bare[rng_below(&rng, 2)]);
        snprintf(when[2], sizeof when[2], rng_below(&rng, 2) ? "[1, 2]" : "{values: [1, 2], when: "
                                                                           "a == 1}");
        snprintf(when[3], sizeof when[3], "{values: [x, y], when: %s}", bare[rng_below(&rng, 2)]);
        char constraints[300];
        snprintf(constraints, sizeof constraints, "%s or %s, %s", parts[rng_below(&rng, 7)],
                 parts[rng_below(&rng, 7)], parts[rng_below(&rng, 7)]);
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        add_study(&text, knobs, constraints);
        if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err)) {
            if (!strstr(err.text, "excludes every candidate"))
                fail_msg("%s\n%s", err.text, buf_text(&text));
            continue;
        }
        check_against_naive(round, constraints, study);
        compared++;
    }
    assert_true(compared > 200);
}

/* ---- codes and texts ---- */

struct round_trip {
    const struct spec_study *study;
    size_t count;
    spec_code last;
};

static bool check_round_trip(void *context, spec_code code)
{
    struct round_trip *r = context;
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err err = ERR_INIT;
    struct spec_candidate candidate = spec_candidate_decode(r->study, code), again;
    assert_true(r->count == 0 || code > r->last);
    assert_true(spec_candidate_code(r->study, &candidate) == code);
    spec_candidate_add_text(&text, r->study, &candidate);
    if (!spec_candidate_parse(r->study, buf_text(&text), &again, &err))
        fail_msg("%s: %s", buf_text(&text), err.text);
    assert_true(spec_candidate_code(r->study, &again) == code);
    r->last = code;
    r->count++;
    return true;
}

static void test_round_trips(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *study = load_example();
    struct round_trip r = {.study = study};
    spec_space_each(study, check_round_trip, &r);
    assert_int_equal(r.count, 144);
}

static void test_parse(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *study = load_example();
    static const struct {
        const char *text, *message; /* NULL: accepted */
    } rows[] = {
        {"stt.server=whisper-server stt.model=base stt.threads=1 stt.wait_policy=default "
         "llm.threads=1 llm.slots=2 other.size=512", NULL},
        {"", "stt.server is not given"},
        {"stt.server", "\"stt.server\": expected KNOB=VALUE"},
        {"stt.sever=x", "there is no knob \"stt.sever\"; did you mean stt.server?"},
        {"stt.model=bas", "stt.model has no value \"bas\"; did you mean base?"},
        {"stt.model=base stt.model=base", "stt.model is given twice"},
        {"stt.server=whisper-server stt.model=base stt.threads=2 stt.wait_policy=default "
         "llm.threads=1 llm.slots=2 other.size=512",
         "violates the constraint \"stt.threads + llm.threads <= 2\""},
        {"stt.server=whisper-server stt.compute_type=int8 stt.model=base stt.threads=1 "
         "stt.wait_policy=default llm.threads=1 llm.slots=2 other.size=512",
         "stt.compute_type does nothing here (its condition is: server == faster-whisper-server)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_candidate candidate;
        struct err err = ERR_INIT;
        bool ok = spec_candidate_parse(study, rows[i].text, &candidate, &err);
        CHECK_ROW_TEXT(i, rows[i].text, ok ? "" : err.text, rows[i].message ? rows[i].message : "");
    }
}

static void test_settings(void **state)
{
    (void)state;
    AUTO(spec_study_free) struct spec_study *study = load_example();
    struct spec_candidate c;
    struct err err = ERR_INIT;
    assert_true(spec_candidate_parse(study,
                                     "stt.server=faster-whisper-server stt.model=base "
                                     "stt.compute_type=int8 stt.threads=1 stt.wait_policy=default "
                                     "llm.threads=1 llm.slots=2 other.size=512",
                                     &c, &err));
    static const struct {
        const char *text, *expanded; /* NULL: left out */
    } rows[] = {
        {"plain", "plain"},      {"ggml-{model}.bin", "ggml-base.bin"},
        {"{threads}", "1"},      {"{port}", "8123"},
        {"{dir}/c", "/scr/c"},   {"{{model}", "{model}"},
        {"{{\"a\": {{}}", "{\"a\": {}}"}, {"{wait_policy}", NULL},
        {"x-{wait_policy}", NULL}, {"", ""}, {NULL, NULL},
        {"{model}{model}:{port}", "basebase:8123"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1000);
        buf_add(&text, ">");
        bool there = spec_setting_expand(study, &c, 0, rows[i].text, 8123, "/scr", &text);
        CHECK_ROW(i, "there", there == (rows[i].expanded != NULL));
        CHECK_ROW_TEXT(i, "text", buf_text(&text) + 1, there ? rows[i].expanded : "");
    }
    AUTO(buf_done) struct buf part = BUF_INIT(1000);
    spec_candidate_add_service_text(&part, study, &c, 1);
    assert_string_equal(buf_text(&part), "llm.threads=1 llm.slots=2");
    assert_string_equal(spec_candidate_engine(study, &c, 0)->engine->name, "faster-whisper-server");
    assert_string_equal(spec_candidate_engine(study, &c, 1)->engine->name, "llama-server");
    assert_null(spec_candidate_engine(study, &c, 2));
    assert_string_equal(spec_candidate_protocol(study, &c, 0)->name, "openai-transcriptions");
    assert_string_equal(spec_candidate_protocol(study, &c, 2)->name, "plain");
    assert_string_equal(spec_candidate_value(study, &c, 2)->label, "int8");
}

static void test_million(void **state)
{
    (void)state;
    static const char range[] = "{from: 1, to: 10, step: 1}";
    const char *const knobs[] = {range, range, range, range, range, range};
    static const struct {
        const char *constraints;
        uint64_t count;
    } rows[] = {
        {"", 1000000},
        {"s0.a + s1.a <= 10", 450000},
        {"s0.c + s1.c <= 10, s0.a * s0.b != s1.c", 440000},
        {"s0.a + s0.b + s0.c + s1.a + s1.b + s1.c <= 40", 852930},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
        add_study(&text, knobs, rows[i].constraints);
        AUTO(spec_study_free) struct spec_study *study = parse(buf_text(&text));
        assert_int_equal(spec_space_combinations(study), 1000000);
        CHECK_ROW(i, rows[i].constraints, spec_space_count(study) == rows[i].count);
    }
}

/* 10^9 combinations that one constraint ties together: ends, and says that it does not know rather
 * than something wrong. */
static void test_too_many(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    buf_add(&text, "study: s\nservices:\n  a:\n    command: [x");
    for (int k = 0; k < 9; k++)
        buf_addf(&text, ", \"{k%d}\"", k);
    buf_add(&text, "]\n    knobs:\n");
    for (int k = 0; k < 9; k++)
        buf_addf(&text, "      k%d: {from: 1, to: 10, step: 1}\n", k);
    buf_add(&text, "goal: {optimise: {a.cpu: {good: 1, bad: 2}}}\nbaseline: none\n");
    AUTO(spec_study_free) struct spec_study *open = parse(buf_text(&text));
    assert_true(spec_space_count(open) == UINT64_C(1000000000));
    buf_add(&text, "constraints: [a.k0");
    for (int k = 1; k < 9; k++)
        buf_addf(&text, " + a.k%d", k);
    buf_add(&text, " >= 90]\n");
    AUTO(spec_study_free) struct spec_study *study = parse(buf_text(&text));
    spec_code *codes = NULL;
    size_t count = 0;
    struct err err = ERR_INIT;
    assert_false(spec_space_list(study, UINT64_MAX, &codes, &count, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.text, "too many candidates to count");
    assert_false(spec_space_list(open, 1000, &codes, &count, &err));
    assert_null(codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force), cmocka_unit_test(test_random_spaces),
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_parse),
        cmocka_unit_test(test_settings),    cmocka_unit_test(test_million),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
