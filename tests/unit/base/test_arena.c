/* Every piece is aligned, zeroed and its own, whatever sizes come in whatever order. */
#include "base/arena.h"

#include "check.h"

#include <stdalign.h>

static void test_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {1,  0,    7,     16,    17,     4095, 4096, 4097,
                                   33, 1000, 16384, 16385, 200000, 3,    8};
    enum { ROUNDS = 40 };
    AUTO(arena_free) struct arena *arena = arena_new();
    unsigned char *pieces[ROUNDS][ARRAY_LEN(sizes)];
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            unsigned char *piece = arena_alloc(arena, sizes[i]);
            pieces[round][i] = piece;
            CHECK_ROW(i, "aligned", (uintptr_t)piece % alignof(max_align_t) == 0);
            for (size_t at = 0; at < sizes[i]; at++)
                CHECK_ROW(i, "zeroed", piece[at] == 0);
            memset(piece, (int)(round * 16 + i) | 1, sizes[i]);
        }
    }
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            for (size_t at = 0; at < sizes[i]; at++)
                CHECK_ROW(i, "own", pieces[round][i][at] == (unsigned char)((round * 16 + i) | 1));
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    assert_string_equal(arena_strdup(arena, "stt"), "stt");
    assert_null(arena_strdup(arena, NULL));
    assert_string_equal(arena_strndup(arena, "threads", 3), "thr");
    assert_string_equal(arena_strndup(arena, "ab", 100), "ab");
    assert_string_equal(arena_printf(arena, "%s.%d", "stt", 4), "stt.4");
    char big[20000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(strlen(arena_printf(arena, "%s%s", big, big)), 2 * (sizeof big - 1));
}

static void test_array(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    double *numbers = arena_array(arena, 1000, sizeof *numbers);
    for (size_t i = 0; i < 1000; i++)
        assert_true(numbers[i] == 0);
    assert_non_null(arena_array(arena, 0, 8));
    assert_null(arena_free(NULL));
}

/* What was adopted stays valid until its parent goes, and goes with it (the leak checker sees). */
static void test_adopted(void **state)
{
    (void)state;
    struct arena *parent = arena_new();
    const char *texts[3];
    for (size_t i = 0; i < 3; i++) {
        struct arena *child = arena_new();
        texts[i] = arena_printf(child, "child %zu", i);
        arena_adopt(parent, child);
    }
    assert_string_equal(texts[0], "child 0");
    assert_string_equal(texts[2], "child 2");
    assert_null(arena_free(parent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
