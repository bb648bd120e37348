/* Columns and lines within a terminal's width. */
#include "check.h"

#include "base/text.h"
#include "report/grid.h"

static char *print_grid(const struct report_grid *grid, int width)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    report_grid_print(grid, out, (struct report_terminal){.width = width}, 0);
    fclose(out);
    return text;
}

static void aligns_and_cuts(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena, .column_count = 3, .right = {[1] = true}};
    *report_grid_add(&grid) = (struct grid_row){.cells = {"name", "n", "text"}};
    *report_grid_add(&grid) =
        (struct grid_row){.cells = {"\xe6\x97\xa5\xe6\x9c\xac", "100", "twenty columns of it"},
                          .below = {"more of it"}};
    *report_grid_add(&grid) = (struct grid_row){.cells = {"x"}};
    AUTO(free) char *wide = print_grid(&grid, 80);
    assert_string_equal(wide, "name    n  text\n"
                              "\xe6\x97\xa5\xe6\x9c\xac  100  twenty columns of it\n"
                              "      more of it\n"
                              "x\n");
    AUTO(free) char *narrow = print_grid(&grid, 20); /* never under 40 */
    assert_string_equal(narrow, wide);
    grid.rows[1].cells[2] = "\xe6\x97\xa5\xe6\x9c\xac thirty columns of text and more";
    AUTO(free) char *cut = print_grid(&grid, 40);
    assert_string_equal(
        cut, "name    n  text\n"
             "\xe6\x97\xa5\xe6\x9c\xac  100  \xe6\x97\xa5\xe6\x9c\xac thirty columns of tex...\n"
             "      more of it\n"
             "x\n");
}

static void fills_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", "\n"},
        {"short", "short\n"},
        {"one two three four five six seven eight nine ten",
         "one two three four five six seven eight\n  nine ten\n"},
        {"latencies that end at the very edge are 25 ms here",
         "latencies that end at the very edge are\n  25 ms here\n"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n  b\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        report_print_wrapped(out, (struct report_terminal){.width = 40}, rows[i].text, 0, 2);
        fclose(out);
        CHECK_ROW_TEXT(i, rows[i].text, text, rows[i].expected);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns_and_cuts),
        cmocka_unit_test(fills_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
