/* A port for a service that will bind it itself a moment later.
 *
 * Asking the kernel for port 0 gives one of the range it also takes the near ends of connections
 * from: the load worker's thousand connections, or their TIME_WAIT, could sit on it before the
 * service binds. So a random port below that range is tried first; port 0 is the way out where the
 * range starts too low. The socket is bound without SO_REUSEADDR, so a port anybody uses on any
 * address of this machine, or that is not free for good yet, is refused here. */
#include "service/launch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>

enum { PORT_LOWEST = 10000, PORT_TRIES = 64, PORT_WIDTH_LEAST = 1000 };

/* Lowest port of the kernel's own range, 0 when unknown. */
static int port_ephemeral_low(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    int low = 0;
    if (file && fscanf(file, "%d", &low) != 1)
        low = 0;
    if (file)
        fclose(file);
    return low;
}

/* Binds and closes; the port, or -1 with errno. */
static int port_probe(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    bool bound = bind(fd, (struct sockaddr *)&at, len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&at, &len) == 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return bound ? ntohs(at.sin_port) : -1;
}

static int port_random(int low, int high)
{
    unsigned draw = 0;
    if (getrandom(&draw, sizeof draw, 0) != (ssize_t)sizeof draw)
        return 0;
    return low + (int)(draw % (unsigned)(high - low));
}

bool service_port_allot(const int *taken, size_t taken_count, int *ret_port, struct err *err)
{
    int high = port_ephemeral_low();
    for (int i = 0; i < PORT_TRIES; i++) {
        bool below = high - PORT_LOWEST >= PORT_WIDTH_LEAST && i < PORT_TRIES / 2;
        int port = port_probe(below ? port_random(PORT_LOWEST, high) : 0);
        bool free_for_us = port > 0;
        for (size_t t = 0; t < taken_count && free_for_us; t++)
            free_for_us = taken[t] != port;
        if (free_for_us) {
            *ret_port = port;
            return true;
        }
    }
    return err_sys(err, "no free port on 127.0.0.1 after %d tries", (int)PORT_TRIES);
}
