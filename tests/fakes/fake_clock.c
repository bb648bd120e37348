/* Somebody who sets the wall clock, and time that passes at once, for one program alone: loaded
 * before libc (LD_PRELOAD), it reads two numbers of seconds, as eight bytes of this machine each,
 * from the file FAKE_CLOCK. The first is added to CLOCK_REALTIME: the steady clocks stay as they
 * are, as they do when the kernel's clock is really set. The second, if it is there, is added to
 * all: the program finds that so much time has passed between two of its readings, as after a long
 * look. A timer that was set before goes off when it would have; one that is set later is as far
 * away as the program means. A machine that others use can't have that (bench/guard_guest.py has
 * the first in a guest). */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile struct shift {
    int64_t wall_s, passed_s;
} * shift; /* NULL: the clocks are left alone */

__attribute__((constructor)) static void open_shift(void)
{
    const char *path = getenv("FAKE_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED)
        shift = mapped;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    const int is_wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
    const int is_steady =
        id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME;
    long r = syscall(SYS_clock_gettime, id, ret_time);
    if (r == 0 && shift && is_wall)
        ret_time->tv_sec += shift->wall_s;
    if (r == 0 && shift && (is_wall || is_steady))
        ret_time->tv_sec += shift->passed_s;
    return (int)r;
}

/* The kernel's clock is behind the program's by what has passed at once. */
int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *ret_old)
{
    struct itimerspec real = *wanted;
    const int is_set = wanted->it_value.tv_sec != 0 || wanted->it_value.tv_nsec != 0;
    if (shift && is_set && (flags & TFD_TIMER_ABSTIME)) {
        real.it_value.tv_sec -= shift->passed_s;
        if (real.it_value.tv_sec < 0)
            real.it_value = (struct timespec){.tv_nsec = 1}; /* over; 0 would stop it */
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, &real, ret_old);
}

time_t time(time_t *ret_time)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (ret_time)
        *ret_time = now.tv_sec;
    return now.tv_sec;
}
