/* One line an event, escaped, and only as loud as asked. stderr is a pipe here. */
#include "base/log.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>

static int real_stderr, reader;

static int set_up(void **state)
{
    (void)state;
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return -1;
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(reader);
    log_set_level(LOG_WARNING);
    return 0;
}

/* What was written since the last call; "" when nothing was. */
static const char *take_written(char *text, size_t size)
{
    ssize_t n = read(reader, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        enum log_level shown, level;
        const char *who, *message, *line;
    } rows[] = {
        {LOG_WARNING, LOG_ERROR, "study", "full", "spica: study: error: full\n"},
        {LOG_WARNING, LOG_WARNING, NULL, "slow", "spica: warning: slow\n"},
        {LOG_WARNING, LOG_INFO, NULL, "quiet", ""},
        {LOG_INFO, LOG_INFO, "a\x1b", "two\nlines", "spica: a\\x1b: two lines\n"},
        {LOG_DEBUG, LOG_DEBUG, NULL, "\x1b[2J \xff", "spica: debug: \\x1b[2J \\xff\n"},
        {LOG_QUIET, LOG_ERROR, NULL, "nothing", ""},
        {LOG_DEBUG, LOG_QUIET, NULL, "nothing", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1000];
        log_set_level(rows[i].shown);
        errno = EBUSY;
        log_write(rows[i].level, rows[i].who, "%s", rows[i].message);
        CHECK_ROW(i, "errno", errno == EBUSY);
        CHECK_ROW_TEXT(i, rows[i].message, take_written(text, sizeof text), rows[i].line);
    }
}

static void test_long_message_is_one_bounded_line(void **state)
{
    (void)state;
    static char big[30000], text[60000];
    memset(big, '\x01', sizeof big - 1);
    log_write(LOG_ERROR, NULL, "%s", big);
    size_t len = strlen(take_written(text, sizeof text));
    assert_true(len > 8000 && len < 40000);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_message_is_one_bounded_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
