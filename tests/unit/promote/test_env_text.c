/* Where an entry of a file of variables ends, and whose it is: as systemd's own parser has it. */
#include "check.h"

#include "promote/targets/env_text.h"

#include "base/auto.h"

static const struct {
    const char *text;
    const char *entries; /* "NAME:length" each, "-" for none; " open", " goes-on" */
} rows[] = {
    {"A=1\nB=2\n", "A:4 B:4"},
    {"A=1", "A:3"},
    {"\n  \n A = 1\n", "-:1 -:3 A:7"},
    {"# c\n; c\nA=#1\n", "-:4 -:4 A:5"},
    {"A=\"x\ny\"\nB=1\n", "A:8 B:4"},
    {"A= \t\"x\ny\"\nB=1\n", "A:10 B:4"},
    {"A='x\\'\nB=1\n", "A:7 B:4"},
    {"A=\"x\\\"\ny\"\nB=1\n", "A:10 B:4"},
    {"A=x\"y\nB=\"\n", "A:6 B:4open"},
    {"A=\"x\"'y\nz'\nB=1\n", "A:11 B:4"},
    {"A=\"x\" \"y\nz\"\nB=1\n", "A:12 B:4"},
    {"A=x\\\ny\nB=1\n", "A:7 B:4"},
    {"A=x\\", "A:4open"},
    {"A='x\nB=1\n", "A:9open"},
    {"no equals\\\nB=1\n", "-:11 B:4"},
    {"# c\\\nB=1\n", "-:5goes-on B:4"},
    {"A=1\r\nB=2\r\n", "A:4 -:1 B:4 -:1"},
    {"export A=1\n", "export A:11"},
};

static void test_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char found[256] = "";
        for (const char *at = rows[i].text; *at;) {
            struct promote_env_entry entry = promote_env_next(at);
            size_t len = strlen(found);
            assert_true(entry.len > 0);
            snprintf(found + len, sizeof found - len, "%s%.*s:%zu%s%s", len ? " " : "",
                     entry.name ? (int)entry.name_len : 1, entry.name ? entry.name : "-", entry.len,
                     entry.open ? "open" : "", entry.comment_goes_on ? "goes-on" : "");
            at += entry.len;
        }
        CHECK_ROW_TEXT(i, rows[i].text, found, rows[i].entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_entries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
