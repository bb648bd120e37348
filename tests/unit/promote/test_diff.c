/* Diffs: the form that everybody reads, and that patch(1)'s rules give the new text back. */
#include "promote/diff.h"

#include "base/rng.h"

#include "check.h"

static const struct {
    const char *before, *after, *diff;
} rows[] = {
    {"a\n", "a\n", ""},
    {NULL, NULL, ""},
    {NULL, "a\nb\n", "--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n"},
    {"a\n", NULL, "--- f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"},
    {NULL, "", "--- /dev/null\n+++ f\n"},
    {"a\nb\nc\n", "a\nx\nc\n", "--- f\n+++ f\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"},
    {"a", "a\n", "--- f\n+++ f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
    {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n",
     "--- f\n+++ f\n@@ -7,3 +7,4 @@\n 7\n 8\n 9\n+10\n"},
    {"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\n",
     "--- f\n+++ f\n@@ -1,4 +1,3 @@\n-0\n 1\n 2\n 3\n@@ -7,4 +6,3 @@\n 6\n 7\n 8\n-9\n"},
    {"0\n1\n2\n3\n4\n5\n6\n9\n", "1\n2\n3\n4\n5\n6\n",
     "--- f\n+++ f\n@@ -1,8 +1,6 @@\n-0\n 1\n 2\n 3\n 4\n 5\n 6\n-9\n"},
};

static void forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf buf = BUF_INIT(4096);
        promote_diff_add(&buf, "f", rows[i].before, rows[i].after);
        assert_string_equal(buf_text(&buf), rows[i].diff);
    }
}

/* Applies the hunks to `before`. */
static void apply(const char *before, const char *diff, struct buf *ret)
{
    const char *from = before, *line = strchr(strchr(diff, '\n') + 1, '\n') + 1;
    size_t at = 1;
    while (*line) {
        size_t len = strcspn(line, "\n") + 1;
        unsigned long first = 0;
        if (line[0] == '@') {
            first = strtoul(line + 4, NULL, 10);
            if (strncmp(line + 4 + strspn(line + 4, "0123456789"), ",0 ", 3) == 0)
                first++;
            for (; at < first; at++) {
                size_t kept = strcspn(from, "\n") + 1;
                assert_true(buf_append(ret, from, kept));
                from += kept;
            }
        } else if (line[0] == '+') {
            assert_true(buf_append(ret, line + 1, len - 1));
        } else {
            assert_memory_equal(from, line + 1, len - 1);
            if (line[0] == ' ')
                assert_true(buf_append(ret, from, len - 1));
            from += len - 1;
            at++;
        }
        line += len;
    }
    buf_add(ret, from);
}

static void random_text(struct rng *rng, size_t lines, uint64_t letters, struct buf *ret)
{
    for (size_t i = 0; i < lines; i++)
        buf_addf(ret, "%c\n", (char)('a' + (int)rng_below(rng, letters)));
}

static void gives_the_new_text_back(void **state)
{
    (void)state;
    struct rng rng = rng_init(7, "diff");
    for (int round = 0; round < 3000; round++) {
        AUTO(buf_done)
        struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), diff = BUF_INIT(1 << 20),
                   again = BUF_INIT(1 << 20);
        uint64_t letters = 1 + rng_below(&rng, 6);
        random_text(&rng, rng_below(&rng, 30), letters, &a);
        random_text(&rng, rng_below(&rng, 30), letters, &b);
        promote_diff_add(&diff, "f", buf_text(&a), buf_text(&b));
        if (diff.len == 0) {
            assert_string_equal(buf_text(&a), buf_text(&b));
            continue;
        }
        apply(buf_text(&a), buf_text(&diff), &again);
        assert_string_equal(buf_text(&again), buf_text(&b));
    }
}

/* More changes than are searched for: removed and added, and right all the same. */
static void many(void **state)
{
    (void)state;
    AUTO(buf_done)
    struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20), diff = BUF_INIT(1 << 20),
               again = BUF_INIT(1 << 20);
    for (int i = 0; i < 3000; i++) {
        buf_addf(&a, "a%d\n", i);
        buf_addf(&b, i % 3 ? "b%d\n" : "a%d\n", i);
    }
    promote_diff_add(&diff, "f", buf_text(&a), buf_text(&b));
    apply(buf_text(&a), buf_text(&diff), &again);
    assert_string_equal(buf_text(&again), buf_text(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(gives_the_new_text_back),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
