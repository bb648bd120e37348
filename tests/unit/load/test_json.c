/* A server's JSON for a reader of few members: those are there, and what is broken is refused
 * wherever it stands. tests/fuzz/fuzz_json.c holds the rest against jansson. */
#include "load/protocols/json_answer.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

struct row {
    const char *name, *bytes;
    const char *made; /* of it, compact; NULL: refused */
};

static const char *const names[] = {"choices", "text", "error", NULL};

#define LONG "0123456789 0123456789 0123456789"

static const struct row rows[] = {
    {"none of them", "{\"id\":\"x\",\"n\":[1,2.5,{\"text\":\"y\"}]}", "{}"},
    {"at any depth", "{\"choices\":[{\"i\":0,\"text\":\"a\",\"p\":{\"text\":\"b\"}}],\"t\":1}",
     "{\"choices\":[{\"text\":\"a\"}]}"},
    {"names that begin alike", "{\"tex\":1,\"texts\":2,\"text\":3,\"\":4}", "{\"text\":3}"},
    {"a name with escapes", "{\"\\u0074ext\":\"a\",\"\\u0074exts\":1}", "{\"text\":\"a\"}"},
    {"all of an error", "{\"error\":{\"code\":4,\"m\":[\"x\"]},\"code\":5}",
     "{\"error\":{\"code\":4,\"m\":[\"x\"]}}"},
    {"an error within what nobody wants", "{\"p\":{\"error\":{\"code\":4}}}", "{}"},
    {"the last of two", "{\"text\":1,\"text\":2}", "{\"text\":2}"},
    {"a long text", "{\"text\":\"" LONG "\\n" LONG "\"}", "{\"text\":\"" LONG "\\n" LONG "\"}"},
    {"more than ASCII",
     "{\"text\":\"0123456\xc3\xa4"
     "89\"}",
     "{\"text\":\"0123456\xc3\xa4"
     "89\"}"},
    {"elsewhere: a broken number", "{\"id\":01,\"text\":1}", NULL},
    {"elsewhere: a number too large", "{\"id\":1e999,\"text\":1}", NULL},
    {"elsewhere: a broken list", "{\"id\":[1,],\"text\":1}", NULL},
    {"elsewhere: a broken escape", "{\"id\":\"\\x\",\"text\":1}", NULL},
    {"elsewhere: no UTF-8", "{\"id\":\"01234567\xff\",\"text\":1}", NULL},
    {"elsewhere: a line end", "{\"id\":\"01234567\n\",\"text\":1}", NULL},
    {"elsewhere: no value", "{\"id\":,\"text\":1}", NULL},
    {"elsewhere: cut", "{\"text\":1,\"id\":\"01234567", NULL},
};

static void test_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        /* Exactly so long, for the sanitizer. */
        size_t len = strlen(rows[i].bytes);
        char *bytes = malloc(len);
        assert_non_null(bytes);
        memcpy(bytes, rows[i].bytes, len);
        json_t *root = load_json_parse_named(bytes, len, names);
        char *made = root ? json_dumps(root, JSON_COMPACT) : NULL;
        CHECK_ROW_TEXT(i, rows[i].name, made ? made : "refused",
                       rows[i].made ? rows[i].made : "refused");
        free(made);
        free(bytes);
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
