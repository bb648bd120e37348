/* A call over D-Bus is one thing: libsystemd ends it with EINTR when a signal comes while it waits
 * for the answer, and nobody knows then whether it was done. A wish to stop in the middle of an
 * undo must not be the reason why a reload "failed". So signals wait until the answer is there;
 * every call has a time limit, and the wish is looked at between calls, as ever.
 *
 *     HOST_QUIET; -- until the end of the scope
 *
 * Private to host/. */
#pragma once

#include <pthread.h>
#include <signal.h>

static inline sigset_t host_quiet_begin(void)
{
    sigset_t waiting, before;
    sigemptyset(&waiting);
    for (int s = 1; s < NSIG; s++)
        if (s != SIGSEGV && s != SIGBUS && s != SIGFPE && s != SIGILL && s != SIGABRT)
            sigaddset(&waiting, s);
    pthread_sigmask(SIG_BLOCK, &waiting, &before);
    return before;
}

static inline void host_quiet_end(sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

#define HOST_QUIET                                                                                 \
    __attribute__((unused, cleanup(host_quiet_end))) sigset_t quiet_ = host_quiet_begin()
