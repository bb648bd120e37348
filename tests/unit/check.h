/* What every unit test includes: cmocka with the headers it wants first, texts compared with the
 * row of the table in the message, and a folder that is removed with all that is in it.
 *
 * A test is a table of rows and a loop. CHECK_ROW names the row, so that one failing row is found
 * without a debugger. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fails with "row N (name): what was expected". */
#define CHECK_ROW(row, name, condition)                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("row %zu (%s): %s", (size_t)(row), (name), #condition);                       \
    } while (0)

/* As CHECK_ROW for two texts, both printed. */
#define CHECK_ROW_TEXT(row, name, is, expected)                                                    \
    do {                                                                                           \
        const char *is_ = (is), *expected_ = (expected);                                           \
        if (!is_ || strcmp(is_, expected_) != 0)                                                   \
            fail_msg("row %zu (%s): is \"%s\", expected \"%s\"", (size_t)(row), (name),            \
                     is_ ? is_ : "(null)", expected_);                                             \
    } while (0)

/* An empty folder of this test, to be given to check_remove_folder. */
static inline char *check_make_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    if (asprintf(&path, "%s/spica-test-XXXXXX", base && base[0] ? base : "/tmp") < 0)
        abort();
    if (!mkdtemp(path)) {
        perror(path);
        abort();
    }
    return path;
}

static inline int check_remove_one_(const char *path, const struct stat *st, int kind,
                                    struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void check_remove_folder(char *path)
{
    nftw(path, check_remove_one_, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}
