/* HAProxy's socket: a line out, an answer back until it closes, one connection each.
 *
 * Whoever answers there may be slow, dead, or another program altogether: connecting, writing and
 * reading share one deadline, and what comes is bounded by the buffer. Rejected: the interactive
 * mode that keeps one connection; it is lost with every reload, and its prompts would have to be
 * parsed. */
#include "proxy/inside.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool wait_for(int fd, short events, int64_t end_ns)
{
    for (;;) {
        int64_t left_ns = end_ns - clock_now_ns();
        struct pollfd pollfd = {.fd = fd, .events = events};
        if (left_ns <= 0)
            return false;
        int n = poll(&pollfd, 1, (int)(left_ns / NS_PER_MS) + 1);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

/* A full backlog is EAGAIN at once, unlike TCP's: tried again until the deadline. */
static bool reach(int fd, const char *path, int64_t end_ns, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_INPUT, "%s: too long for a socket's path", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return err_set(err, ERR_MISSING, "HAProxy does not answer at %s (%s)", path,
                           strerror(errno));
        if (errno != EAGAIN && errno != EINTR)
            return err_sys(err, "HAProxy's socket %s", path);
        if (clock_now_ns() >= end_ns)
            return err_set(err, ERR_MISSING,
                           "HAProxy does not answer at %s: it takes no "
                           "connection",
                           path);
        poll(NULL, 0, 5);
    }
    return true;
}

static bool send_line(int fd, const char *path, const char *line, int64_t end_ns, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    buf_add(&text, line);
    buf_addc(&text, '\n');
    size_t sent = 0;
    while (sent < text.len) {
        ssize_t n = send(fd, buf_text(&text) + sent, text.len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, end_ns))
            continue;
        else if (n < 0 && errno != EINTR)
            return err_sys(err, "writing to HAProxy's socket %s", path);
    }
    return true;
}

bool proxy_ask(const char *path, const char *commands, int64_t within_ns, struct buf *answer,
               struct err *err)
{
    int64_t end_ns = clock_now_ns() + within_ns;
    AUTO(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, "a socket for HAProxy");
    if (!reach(fd, path, end_ns, err) || !send_line(fd, path, commands, end_ns, err))
        return false;
    for (;;) {
        char chunk[16384];
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n == 0)
            return true;
        if (n > 0 && !buf_append(answer, chunk, (size_t)n))
            return err_set(err, ERR_LIMIT, "HAProxy's answer at %s is over %zu bytes", path,
                           answer->max);
        if (n > 0 || (n < 0 && errno == EINTR))
            continue;
        if (errno != EAGAIN)
            return err_sys(err, "reading from HAProxy's socket %s", path);
        if (!wait_for(fd, POLLIN, end_ns))
            return err_set(err, ERR_MISSING, "HAProxy does not answer at %s within %.1f s", path,
                           (double)within_ns / NS_PER_S);
    }
}

bool proxy_tell(const char *path, const char *commands, int64_t within_ns, struct err *err)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(65536);
    AUTO(buf_done) struct buf safe = BUF_INIT(1024);
    if (!proxy_ask(path, commands, within_ns, &answer, err))
        return false;
    const char *said = buf_text(&answer);
    said += strspn(said, " \n");
    if (*said == '\0')
        return true;
    text_add_escaped(&safe, TEXT_TERMINAL, said, strcspn(said, "\n"), 200);
    return err_set(err, ERR_INTERNAL, "HAProxy refuses \"%.100s\": %s", commands, buf_text(&safe));
}

/* The number after "NAME: " at the beginning of a line; false: there is none. */
static bool info_number(const char *text, size_t len, const char *name, int64_t *ret_value)
{
    size_t name_len = strlen(name);
    for (const char *line = text, *end = text + len; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)((stop ? stop : end) - line);
        char digits[24];
        if (line_len > name_len && line_len - name_len < sizeof digits &&
            memcmp(line, name, name_len) == 0) {
            memcpy(digits, line + name_len, line_len - name_len);
            digits[line_len - name_len] = '\0';
            return text_to_i64(digits, ret_value) && *ret_value >= 0;
        }
        line = stop ? stop + 1 : end;
    }
    return false;
}

bool proxy_info_parse(const char *text, size_t len, struct proxy_info *ret_info)
{
    struct proxy_info info = {0};
    int64_t dropped = 0;
    if (!info_number(text, len, "Pid: ", &info.pid) ||
        !info_number(text, len, "Uptime_sec: ", &info.uptime_s))
        return false;
    if (info_number(text, len, "DroppedLogs: ", &dropped))
        info.dropped_logs = (uint64_t)dropped;
    *ret_info = info;
    return true;
}

bool proxy_info_ask(const char *path, int64_t within_ns, struct proxy_info *ret_info,
                    struct err *err)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(1 << 16);
    if (!proxy_ask(path, "show info", within_ns, &answer, err))
        return false;
    return proxy_info_parse(buf_text(&answer), answer.len, ret_info) ||
           err_set(err, ERR_INTERNAL, "who answers at %s is no HAProxy", path);
}
