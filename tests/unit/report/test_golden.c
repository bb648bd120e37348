/* Renderings as a person sees them, compared with the files in golden/. After a change that is
 * meant: UPDATE_GOLDEN=1 test_report_golden tests/unit/report/golden, and read the difference. */
#include "check.h"

#include "base/buf.h"
#include "base/file.h"
#include "report/markdown.h"
#include "report/report.h"
#include "sample.h"

static const char *golden_folder;

static const struct {
    const char *name;
    enum sample_story story;
} stories[] = {
    {"winner", SAMPLE_WINNER},
    {"baseline-best", SAMPLE_BASELINE_BEST},
    {"infeasible", SAMPLE_INFEASIBLE},
    {"unfinished", SAMPLE_UNFINISHED},
    {"weird", SAMPLE_WEIRD},
    {"small", SAMPLE_SMALL},
    {"gpu", SAMPLE_GPU},
};

static void read_file(const char *path, struct buf *buf)
{
    struct err err = ERR_INIT;
    buf_clear(buf);
    if (!buf_read_file(buf, path, &err))
        fail_msg("%s", err.text);
}

static void compare(const char *story, const char *name, const char *text)
{
    AUTO(free) char *path = NULL;
    assert_true(asprintf(&path, "%s/%s-%s", golden_folder, story, name) > 0);
    struct err err = ERR_INIT;
    if (getenv("UPDATE_GOLDEN")) {
        if (!file_write_atomic(path, text, strlen(text), &err))
            fail_msg("%s", err.text);
        return;
    }
    AUTO(buf_done) struct buf golden = BUF_INIT(1 << 20);
    read_file(path, &golden);
    const char *a = buf_text(&golden), *b = text;
    for (size_t line = 1; *a || *b; line++) {
        size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");
        if (la != lb || memcmp(a, b, la) != 0 || a[la] != b[lb])
            fail_msg("%s:%zu: is\n%.*s\nexpected\n%.*s", path, line, (int)lb, b, (int)la, a);
        a += la + (a[la] == '\n');
        b += lb + (b[lb] == '\n');
    }
}

static void compare_file(const char *story, const char *folder, const char *name)
{
    AUTO(free) char *path = file_join(folder, name);
    AUTO(buf_done) struct buf text = BUF_INIT(4 << 20);
    read_file(path, &text);
    compare(story, name, buf_text(&text));
}

static void compare_prints(const char *story, struct store *store, const struct report_view *view)
{
    struct err err = ERR_INIT;
    const struct report_terminal narrow = {.width = 80}, wide = {.width = 132, .color = true};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    report_print_leaderboard(view, out, narrow);
    fputs("--- 132 columns, in colour\n", out);
    report_print_leaderboard(view, out, wide);
    fputs("--- the end\n", out);
    report_print_end(view, out, narrow);
    for (int64_t number = 6; number <= 7; number++) {
        fprintf(out, "--- trial %d\n", (int)number);
        if (!report_print_trial(store, sample_catalog(), number, out, narrow, &err))
            fail_msg("%s", err.text);
    }
    fputs("--- log\n", out);
    if (!report_print_log(store, 7, "stt", out, &err))
        fail_msg("%s", err.text);
    fclose(out);
    compare(story, "terminal.txt", text);
    free(text);
}

/* Expected: there just where the report shows it; before: an earlier one stayed beside a report
 * that has none. */
static void check_figure(const char *story, const char *folder, const char *figure)
{
    AUTO(free) char *path = file_join(folder, "report.md");
    AUTO(buf_done) struct buf text = BUF_INIT(4 << 20), svg = BUF_INIT(4 << 20);
    read_file(path, &text);
    bool shown = strstr(buf_text(&text), REPORT_FIGURE_TRADEOFF) != NULL;
    if (file_exists(figure) != shown)
        fail_msg("%s: shown %d, there %d", story, shown, !shown);
    if (!shown)
        return;
    read_file(figure, &svg);
    assert_string_not_equal(buf_text(&svg), "old");
}

static void renders_each_story(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        char *folder = check_make_folder();
        AUTO(free) char *path = file_join(folder, "study.db");
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(store_close) struct store *store = NULL;
        struct sample_options options = {.story = stories[i].story};
        struct report_view *view = NULL;
        struct err err = ERR_INIT;
        AUTO(free) char *figure = file_join(folder, REPORT_FIGURE_TRADEOFF);
        if (!file_write_atomic(figure, "old", 3, &err)) /* an earlier report's */
            fail_msg("%s", err.text);
        if (!store_open(path, STORE_CREATE, &store, &err) || !sample_fill(store, &options, &err) ||
            !report_view_build(store, sample_catalog(), arena, &view, &err) ||
            !report_write_all(view, folder, &err))
            fail_msg("%s", err.text);
        check_figure(stories[i].name, folder, figure);
        compare_file(stories[i].name, folder, "report.md");
        compare_file(stories[i].name, folder, "winner.json");
        compare_prints(stories[i].name, store, view);
        check_remove_folder(folder);
    }
}

static void names_what_is_not_there(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "study.db");
    AUTO(store_close) struct store *store = NULL;
    struct sample_options options = {.story = SAMPLE_UNFINISHED};
    struct err err = ERR_INIT;
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    assert_true(sample_fill(store, &options, &err));
    assert_false(report_print_trial(store, sample_catalog(), 99, stdout,
                                    (struct report_terminal){.width = 80}, &err));
    assert_int_equal(err.code, ERR_MISSING);
    err = ERR_INIT;
    assert_false(report_print_log(store, 1, "tts", stdout, &err));
    assert_int_equal(err.code, ERR_MISSING);
    assert_non_null(strstr(err.text, "no service tts"));
    check_remove_folder(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_each_story),
        cmocka_unit_test(names_what_is_not_there),
    };
    golden_folder = argc > 1 ? argv[1] : "tests/unit/report/golden";
    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
