/* Our own failures. A service that fails is not an error: that is a verdict (spec/verdict.h).
 *
 * A `struct err` lives on the caller's stack, zeroed with ERR_INIT. The first cause wins; each
 * level may say once what it was doing (err_wrap). Every setter returns false, so that a failing
 * function ends with `return err_set(err, ...)`. A NULL err is allowed and drops the text. */
#pragma once

#include "base/auto.h"

#include <stdbool.h>

enum err_code {
    ERR_NONE = 0,
    ERR_INTERNAL,   /* our own failure: a system call, a bug's trace                     exit 1 */
    ERR_INPUT,      /* the user's input: file, option, value                              exit 2 */
    ERR_INFEASIBLE, /* no candidate satisfies the requirements                            exit 3 */
    ERR_BUSY,       /* the device is held by another, or not clean                        exit 4 */
    ERR_STOPPED,    /* stopped and resumable: by the user, by surroundings, by contention exit 5 */
    ERR_PROBLEM,    /* a check found a problem                                            exit 6 */
    ERR_LIMIT,      /* outside data exceeded a stated maximum                             exit 1 */
    ERR_MISSING,    /* a file, program or table row that should exist does not            exit 2 */
    ERR_DECLINED,   /* a plan was declined, or is outdated: nothing was changed            exit 9 */
    ERR_CODE_COUNT_
};

struct err {
    enum err_code code;
    int sys;         /* errno of the first cause, 0 if none */
    char text[1024]; /* one line, without a newline at its end */
};

#define ERR_INIT ((struct err){0})

/* Sets the first cause; later calls on a set err change nothing. Returns false. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set with ERR_INTERNAL; appends ": strerror(errno)" and keeps errno. */
bool err_sys(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "what we were doing: " before the text of a set err. Returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

bool err_is_set(const struct err *err);

/* The program's exit status for an err code, as documented in spica(1). */
int err_exit_status(enum err_code code);

/* That the setters return false is written above, where clang's analyser can't read it. */
#ifdef __clang_analyzer__
static inline bool err_false_(bool set)
{
    (void)set;
    return false;
}
#define err_set(...) err_false_(err_set(__VA_ARGS__))
#define err_sys(...) err_false_(err_sys(__VA_ARGS__))
#define err_wrap(...) err_false_(err_wrap(__VA_ARGS__))
#endif
