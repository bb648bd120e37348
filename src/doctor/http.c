/* One GET, loopback only, with a deadline over all of it.
 *
 * HTTP/1.0 and "Connection: close": the answer ends where the connection does, so no length, chunk
 * or keep-alive has to be understood. libcurl was rejected: load/http.c alone knows it, and nothing
 * of it is needed here. The port may belong to anything by now, so what comes back is bounded and
 * only its status line and its bytes are believed.
 *
 * Invariant: returns within the deadline, whatever the other side does. */
#include "doctor/http.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_MAX = 256 << 10 };

static bool wait_for(int fd, short events, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ns = deadline_ns - clock_now_ns();
        if (left_ns <= 0)
            return false;
        struct pollfd at = {.fd = fd, .events = events};
        int ready = poll(&at, 1, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static int dial(const struct sockaddr *address, socklen_t len, int64_t deadline_ns)
{
    AUTO(fd) int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return -1;
    if (connect(fd, address, len) != 0 &&
        (errno != EINPROGRESS || !wait_for(fd, POLLOUT, deadline_ns) ||
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0))
        return -1;
    return fd_take(&fd);
}

static int dial_loopback(int port, int64_t deadline_ns)
{
    const struct sockaddr_in four = {.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)port),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = dial((const struct sockaddr *)&four, sizeof four, deadline_ns);
    if (fd >= 0)
        return fd;
    const struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                                     .sin6_port = htons((uint16_t)port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return dial((const struct sockaddr *)&six, sizeof six, deadline_ns);
}

static bool send_all(int fd, const char *text, size_t len, int64_t deadline_ns)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(fd, POLLOUT, deadline_ns))) {
            return false;
        }
    }
    return true;
}

/* To the end, the deadline or the buffer's maximum. */
static void receive(int fd, struct buf *answer, int64_t deadline_ns)
{
    char piece[4096];
    while (wait_for(fd, POLLIN, deadline_ns)) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return;
        if (n > 0 && !buf_append(answer, piece, (size_t)n))
            return;
    }
}

int doctor_http_get(int port, const char *path, int64_t within_ns, struct buf *ret_body)
{
    int64_t deadline_ns = clock_now_ns() + within_ns;
    AUTO(fd) int fd = dial_loopback(port, deadline_ns);
    AUTO(buf_done) struct buf request = BUF_INIT(4096), answer = BUF_INIT(ANSWER_MAX);
    buf_addf(&request,
             "GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nUser-Agent: spica-doctor\r\n"
             "Accept: */*\r\nConnection: close\r\n\r\n",
             path, port);
    if (fd < 0 || !send_all(fd, buf_text(&request), request.len, deadline_ns))
        return 0;
    receive(fd, &answer, deadline_ns);
    int status = 0;
    if (sscanf(buf_text(&answer), "HTTP/1.%*1[01] %3d", &status) != 1 || status < 100)
        return 0;
    const char *body = strstr(buf_text(&answer), "\r\n\r\n");
    if (body) {
        size_t skip = (size_t)(body + 4 - buf_text(&answer));
        if (!buf_append(ret_body, body + 4, answer.len - skip))
            buf_clear(ret_body); /* half a document is none */
    }
    return status;
}
