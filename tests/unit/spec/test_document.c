/* The document reader: what stands where, and hostile or broken files in one clear line each. */
#include "base/auto.h"
#include "base/buf.h"
#include "base/rng.h"
#include "spec/document.h"

#include "check.h"

static void test_tree(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    static const char text[] = "a: 1\nb: [x, \"null\", null, &n {k: v}]\nc: *n\n";
    const struct yaml_node *root = NULL;
    struct err err = ERR_INIT;
    assert_true(spec_yaml_parse(arena, "f", text, sizeof text - 1, &root, &err));
    assert_int_equal(root->kind, YAML_MAP);
    assert_int_equal(root->count, 3);
    const struct yaml_node *b = spec_yaml_get(root, "b");
    assert_int_equal(b->kind, YAML_LIST);
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 4);
    assert_false(spec_yaml_is_null(b->first->next->value));
    assert_true(spec_yaml_is_null(b->first->next->next->value));
    assert_ptr_equal(spec_yaml_get(root, "c"), b->first->next->next->next->value);
    assert_null(spec_yaml_get(root, "d"));
    assert_null(spec_yaml_get(NULL, "d"));
    assert_true(spec_yaml_parse(arena, "f", "", 0, &root, &err));
    assert_int_equal(root->kind, YAML_MAP);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "f:3:1: \"a\" is given twice: first in line 1"},
        {"a: !!int 3\n", "f:1:4: tags (\"!\") mean nothing in a study file: leave it out"},
        {"a: *b\n", "f:1:4: this alias (\"*\") names nothing that is complete above it"},
        {"a: &a [*a]\n", "f:1:8: this alias (\"*\") names nothing that is complete above it"},
        {"a: 1\n---\nb: 2\n", "f:2:1: a second document (\"---\"): one study per file"},
        {"[a]: 1\n", "f:1:1: a key must be text, this is a list"},
        {"a: \"x\\0y\"\n", "f:1:4: the text holds a NUL byte"},
        {"a: [1\n", "f:2:1: not YAML: did not find expected ',' or ']' while parsing a flow "
                    "sequence"},
        {"a: \x01\n", "f: not a text file: control characters are not allowed at byte 3"},
        {"\xff\xfe\x80", "f: not a text file: invalid leading UTF-8 octet at byte 0"},
        {"a:\n\tb: 1\n", "f:2:1: not YAML: found character that cannot start any token while "
                         "scanning for the next token"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        const struct yaml_node *root = NULL;
        struct err err = ERR_INIT;
        const char *text = rows[i].text;
        CHECK_ROW(i, text, !spec_yaml_parse(arena, "f", text, strlen(text), &root, &err));
        CHECK_ROW_TEXT(i, text, err.text, rows[i].message);
        CHECK_ROW(i, text, err.code == ERR_INPUT);
    }
}

/* Each of these would cost seconds or gigabytes without its cap; here they only have to end. */
static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *message;
        size_t repeats;
    } rows[] = {
        {"[", "nested too deeply", 100000},
        {"{", "nested too deeply", 100000},
        {"[\n", "nested too deeply", 100000},
        {"- ", "nested too deeply", 100000},
        {"? ", "nested too deeply", 100000},
        {"- 1\n", "too much here", 262000},
        {"&a", NULL, 100000},
        {"x", "at most 1 MiB", (1 << 20) + 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(buf_done) struct buf text = BUF_INIT(4 << 20);
        const struct yaml_node *root = NULL;
        struct err err = ERR_INIT;
        for (size_t n = 0; n < rows[i].repeats; n++)
            buf_add(&text, rows[i].unit);
        bool ok = spec_yaml_parse(arena, "f", buf_text(&text), text.len, &root, &err);
        CHECK_ROW(i, rows[i].unit, ok != err_is_set(&err));
        CHECK_ROW(i, rows[i].unit, !rows[i].message || strstr(err.text, rows[i].message));
    }
}

static void test_alias_bomb(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 16);
    const struct yaml_node *root = NULL;
    struct err err = ERR_INIT;
    buf_add(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        buf_addf(&text, "a%d: &a%d [", i, i);
        for (int n = 0; n < 10; n++)
            buf_addf(&text, "%s*a%d", n ? "," : "", i - 1);
        buf_add(&text, "]\n");
    }
    assert_false(spec_yaml_parse(arena, "f", buf_text(&text), text.len, &root, &err));
    assert_non_null(strstr(err.text, "aliases repeat too much"));
}

static void test_random_bytes(void **state)
{
    (void)state;
    struct rng rng = rng_init(7, "random bytes");
    for (size_t round = 0; round < 300; round++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        const struct yaml_node *root = NULL;
        struct err err = ERR_INIT;
        char bytes[4096];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)(rng_u64(&rng) & (round % 2 ? 0x7f : 0xff));
        assert_false(spec_yaml_parse(arena, "f", bytes, sizeof bytes, &root, &err));
        assert_int_equal(strncmp(err.text, "f:", 2), 0);
        for (const char *c = err.text; *c; c++)
            assert_true((unsigned char)*c >= ' ');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_alias_bomb),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
