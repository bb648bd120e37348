/* Somebody who sets the wall clock, for one program alone: loaded before libc (LD_PRELOAD), it adds
 * to CLOCK_REALTIME the seconds that stand, as eight bytes of this machine, in the file FAKE_CLOCK.
 * The steady clocks stay as they are, as they do when the kernel's clock is really set. A machine
 * that others use can't have that (bench/guard_guest.py has it in a guest). */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift; /* NULL: the clock is left alone */

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
    long r = syscall(SYS_clock_gettime, id, ret_time);
    if (r == 0 && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        ret_time->tv_sec += *shift;
    return (int)r;
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
