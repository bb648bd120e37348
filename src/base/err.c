/* One struct, first cause wins.
 *
 * The alternative, a chain of heap-allocated causes, was rejected: an error path must not allocate
 * (disk full and out of memory arrive together), and a person reads one line anyway. Text that does
 * not fit is cut at the end, where the least important part, the innermost detail, stands. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* The header's names for clang's analyser; nothing elsewhere. */
#undef err_set
#undef err_sys
#undef err_wrap

bool err_is_set(const struct err *err)
{
    return err && err->code != ERR_NONE;
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err || err_is_set(err))
        return false;
    err->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return false;
}

bool err_sys(struct err *err, const char *fmt, ...)
{
    int sys = errno;
    if (!err || err_is_set(err))
        return false;
    err->code = ERR_INTERNAL;
    err->sys = sys;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, ": %s", strerror(sys));
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    if (!err_is_set(err))
        return false;
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    size_t len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, ": %.*s", (int)(sizeof inner - 1), inner);
    return false;
}

int err_exit_status(enum err_code code)
{
    static const int statuses[ERR_CODE_COUNT_] = {
        [ERR_NONE] = 0,       [ERR_INTERNAL] = 1, [ERR_INPUT] = 2,
        [ERR_INFEASIBLE] = 3, [ERR_BUSY] = 4,     [ERR_STOPPED] = 5,
        [ERR_PROBLEM] = 6,    [ERR_LIMIT] = 1,    [ERR_MISSING] = 2,
        [ERR_DECLINED] = 9,
    };
    return code >= 0 && code < ERR_CODE_COUNT_ ? statuses[code] : 1;
}
