/* Ownership you can see: a variable marked AUTO(fn) is ended when it leaves its scope, and TAKE()
 * moves it out so that it is not.
 *
 *     AUTO(store_close) struct store *store = NULL;
 *     ...
 *     *ret_store = TAKE(store);
 *
 * AUTO_FN(type, fn) declares once, beside the ender, how a variable of that pointer type is ended.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* `fn` is an ender for `type *`; its result, if any, is ignored. */
#define AUTO_FN(type, fn)                                                                          \
    static inline void fn##_auto_(type **p)                                                        \
    {                                                                                              \
        fn(*p);                                                                                    \
    }
/* "unused": a variable may exist only to be ended. */
#define AUTO(fn) __attribute__((unused, cleanup(fn##_auto_)))

#define TAKE(x)                                                                                    \
    __extension__({                                                                                \
        __typeof__(x) taken_ = (x);                                                                \
        (x) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline void free_auto_(void *p)
{
    free(*(void **)p);
}
static inline void fclose_auto_(FILE **p)
{
    if (*p)
        fclose(*p);
}
/* A closed descriptor is -1; taking one is `int taken = fd; fd = -1;`, or fd_take(). */
static inline void fd_auto_(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}
