/* One event, one line, one write(2): lines of this process and of its children that share stderr do
 * not cut each other. Buffered stdio was rejected for that reason, and because a killed program
 * would take its last words with it.
 *
 * The message is escaped whole, after formatting, so that no caller has to remember which of its
 * arguments came from outside. */
#include "base/log.h"

#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192 };

static enum log_level shown = LOG_WARNING;

static const char *const level_words[] = {
    [LOG_QUIET] = "", [LOG_ERROR] = "error: ", [LOG_WARNING] = "warning: ",
    [LOG_INFO] = "",  [LOG_DEBUG] = "debug: ",
};

void log_set_level(enum log_level level)
{
    shown = level;
}

enum log_level log_level(void)
{
    return shown;
}

void log_write(enum log_level level, const char *who, const char *fmt, ...)
{
    if (level == LOG_QUIET || level > shown)
        return;
    int saved = errno;
    char message[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    if (len < 0)
        message[0] = '\0';
    struct buf line = BUF_INIT(4 * LINE_MAX_BYTES + 256); /* each byte may become four */
    buf_add(&line, "spica: ");
    if (who) {
        text_add_escaped(&line, TEXT_TERMINAL, who, strlen(who), 200);
        buf_add(&line, ": ");
    }
    buf_add(&line, level_words[level]);
    text_add_escaped(&line, TEXT_TERMINAL, message, strlen(message), sizeof message);
    buf_addc(&line, '\n');
    /* Nobody can be told when stderr itself is gone. */
    ssize_t written = write(STDERR_FILENO, buf_text(&line), line.len);
    (void)written;
    buf_done(&line);
    errno = saved;
}
