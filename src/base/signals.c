/* The kernel is asked and not libc: signal() refuses the signals that libc keeps to itself, which
 * whoever started us may have left ignored. Rejected: posix_spawn, which leaves them out as well
 * and is of no use after a fork. */
#include "base/signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KERNEL_SET = 8 }; /* bytes of a set of signals, as the kernel counts them */

void signals_reset(void)
{
    /* The kernel's struct sigaction, all zero: SIG_DFL, no flags, nothing held back. Larger than
     * any architecture's. */
    static const unsigned long by_default[8];
    for (int sig = 1; sig < NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, by_default, NULL, (size_t)KERNEL_SET);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
