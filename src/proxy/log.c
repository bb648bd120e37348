/* Requests as HAProxy logged them: the reading end of config.c's log-format.
 *
 * A line is JSON that we have ordered ourselves, so it is read as a fixed template with holes:
 * no heap, no recursion, one pass, and whatever differs by a byte is not ours. Rejected: a JSON
 * parser (each line some thirty allocations, at 500 lines a second), and counting blanks in
 * HAProxy's classic line (a header with a blank in it shifts the fields).
 *
 * How it ended is read from the termination state, not from the status: a stream that the server
 * broke off after its head is logged with status 200 and "SD--". The server's and the proxy's
 * own letters count against the service, the client's do not. */
#include "proxy/inside.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

const char *const proxy_end_names[PROXY_END_COUNT_] = {
    [PROXY_OK] = "ok",           [PROXY_SERVER_ERROR] = "server error",
    [PROXY_CUT] = "cut",         [PROXY_CLIENT] = "client left",
    [PROXY_REFUSED] = "refused", [PROXY_UNSERVED] = "unserved",
};

enum field_kind { FIELD_NUMBER, FIELD_TEXT };
enum field {
    FIELD_TOKEN,
    FIELD_SECONDS,
    FIELD_MILLIS,
    FIELD_FRONT,
    FIELD_FOR,
    FIELD_SERVER,
    FIELD_STATUS,
    FIELD_END,
    FIELD_TR,
    FIELD_TW,
    FIELD_TC,
    FIELD_TR_ANSWER,
    FIELD_TD,
    FIELD_TA,
    FIELD_IN,
    FIELD_OUT,
    FIELD_PIN,
    FIELD_COUNT_
};
/* What stands before each hole. */
static const struct {
    const char *before;
    enum field_kind kind;
} fields[FIELD_COUNT_] = {
    [FIELD_TOKEN] = {"{\"spica\":\"", FIELD_TEXT},
    [FIELD_SECONDS] = {"\",\"t\":", FIELD_NUMBER},
    [FIELD_MILLIS] = {".", FIELD_NUMBER},
    [FIELD_FRONT] = {",\"front\":\"", FIELD_TEXT},
    [FIELD_FOR] = {"\",\"for\":\"", FIELD_TEXT},
    [FIELD_SERVER] = {"\",\"server\":\"", FIELD_TEXT},
    [FIELD_STATUS] = {"\",\"status\":", FIELD_NUMBER},
    [FIELD_END] = {",\"end\":\"", FIELD_TEXT},
    [FIELD_TR] = {"\",\"TR\":", FIELD_NUMBER},
    [FIELD_TW] = {",\"Tw\":", FIELD_NUMBER},
    [FIELD_TC] = {",\"Tc\":", FIELD_NUMBER},
    [FIELD_TR_ANSWER] = {",\"Tr\":", FIELD_NUMBER},
    [FIELD_TD] = {",\"Td\":", FIELD_NUMBER},
    [FIELD_TA] = {",\"Ta\":", FIELD_NUMBER},
    [FIELD_IN] = {",\"in\":", FIELD_NUMBER},
    [FIELD_OUT] = {",\"out\":", FIELD_NUMBER},
    [FIELD_PIN] = {",\"pin\":\"", FIELD_TEXT},
};
static const char line_end[] = "\"}";

struct reader {
    const char *at, *end;
};
struct piece {
    const char *text;
    size_t len;
    int64_t number;
};

static bool skip(struct reader *reader, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, text, len) != 0)
        return false;
    reader->at += len;
    return true;
}

/* At most 15 digits: no sum of them overflows. "+" as of a log that is written early. */
static bool read_number(struct reader *reader, int64_t *ret_value)
{
    bool minus = reader->at < reader->end && *reader->at == '-';
    const char *at = reader->at + (minus ? 1 : 0), *first = at;
    int64_t value = 0;
    while (at < reader->end && *at >= '0' && *at <= '9' && at - first < 15)
        value = 10 * value + (*at++ - '0');
    if (at == first)
        return false;
    reader->at = at;
    *ret_value = minus ? -value : value;
    return true;
}

static bool read_text(struct reader *reader, struct piece *piece)
{
    const char *quote = memchr(reader->at, '"', (size_t)(reader->end - reader->at));
    if (!quote)
        return false;
    piece->text = reader->at;
    piece->len = (size_t)(quote - reader->at);
    reader->at = quote;
    return true;
}

static bool read_line(const char *line, size_t len, struct piece pieces[FIELD_COUNT_])
{
    const char *brace = len <= PROXY_LINE_MAX ? memchr(line, '{', len) : NULL;
    if (!brace)
        return false;
    struct reader reader = {brace, line + len};
    for (size_t i = 0; i < FIELD_COUNT_; i++)
        if (!skip(&reader, fields[i].before) ||
            !(fields[i].kind == FIELD_TEXT ? read_text(&reader, &pieces[i])
                                           : read_number(&reader, &pieces[i].number)))
            return false;
    return skip(&reader, line_end);
}

static int front_find(const struct proxy *proxy, const struct piece *piece)
{
    for (size_t i = 0; i < proxy->guard->front_count; i++) {
        char name[PROXY_NAME_SIZE];
        proxy_name(proxy->study, i, -1, name);
        if (strlen(name) == piece->len && memcmp(name, piece->text, piece->len) == 0)
            return (int)i;
    }
    return -1;
}

/* Whose backend was chosen: that server's, whoever took it then. -1: none was, or it was pinned. */
static int assigned_of(const struct proxy *proxy, size_t front, const struct piece *piece)
{
    for (size_t i = 0; i < proxy_servers(&proxy->guard->fronts[front]); i++) {
        char name[PROXY_NAME_SIZE];
        proxy_name(proxy->study, front, (int)i, name);
        if (strlen(name) == piece->len && memcmp(name, piece->text, piece->len) == 0)
            return (int)i;
    }
    return -1;
}

static enum proxy_end end_by_status(int status, int server)
{
    if (status >= 500)
        return server < 0 ? PROXY_UNSERVED : PROXY_SERVER_ERROR;
    return status >= 400 ? PROXY_REFUSED : PROXY_OK;
}

/* HAProxy's "Session state at disconnection": first who ended it, then in which phase. */
static enum proxy_end end_of(const char *state, int status, int server)
{
    bool unserved = server < 0 || state[1] == 'Q' || state[1] == 'C';
    switch (state[0]) {
    case '-':
    case 'L': /* answered by HAProxy itself: our own 400 */
        return end_by_status(status, server);
    case 'C':
    case 'c':
        return PROXY_CLIENT;
    case 'P': /* denied, or an answer that is no HTTP */
        if (state[1] == 'H')
            return PROXY_SERVER_ERROR;
        return state[1] == 'D' ? PROXY_CUT : end_by_status(status, server);
    default: /* S s: server; R I: HAProxy's own trouble; D U K: ended by force */
        return unserved ? PROXY_UNSERVED : PROXY_CUT;
    }
}

/* HAProxy's ms: -1 where it did not come so far. */
static double seconds(int64_t ms)
{
    return ms < 0 ? NAN : (double)ms / 1000;
}

static double first_of(const struct piece *pieces)
{
    static const enum field parts[] = {FIELD_TR, FIELD_TW, FIELD_TC, FIELD_TR_ANSWER};
    int64_t sum_ms = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (pieces[parts[i]].number < 0)
            return NAN;
        sum_ms += pieces[parts[i]].number;
    }
    return seconds(sum_ms);
}

bool proxy_log_parse(const struct proxy *proxy, const char *line, size_t len,
                     struct proxy_request *ret_request)
{
    struct piece pieces[FIELD_COUNT_] = {0};
    if (!read_line(line, len, pieces))
        return false;
    const struct piece *token = &pieces[FIELD_TOKEN], *name = &pieces[FIELD_SERVER];
    if (token->len == 0 || token->len != strlen(proxy->state.token) ||
        memcmp(token->text, proxy->state.token, token->len) != 0)
        return false;
    int front = front_find(proxy, &pieces[FIELD_FRONT]);
    int64_t status = pieces[FIELD_STATUS].number;
    if (front < 0 || pieces[FIELD_END].len != 4 || status > 999 ||
        pieces[FIELD_SECONDS].number < 0 || pieces[FIELD_MILLIS].number < 0 ||
        pieces[FIELD_MILLIS].number > 999)
        return false;
    /* "<NOSRV>": none took it. */
    int server = proxy_server_find(&proxy->guard->fronts[front], name->text, name->len);
    int assigned = assigned_of(proxy, (size_t)front, &pieces[FIELD_FOR]);
    bool missed = assigned >= 0 && assigned != server && !proxy->drained[front][assigned];
    *ret_request = (struct proxy_request){
        .wall_us = pieces[FIELD_SECONDS].number * 1000000 + pieces[FIELD_MILLIS].number * 1000,
        .front = (size_t)front,
        .server = server,
        .missed = missed,
        .assigned = missed ? assigned : 0,
        .end = end_of(pieces[FIELD_END].text, (int)status, server),
        .status = status < 0 ? 0 : (int)status,
        .total_s = seconds(pieces[FIELD_TA].number),
        .first_s = first_of(pieces),
        .queue_s = seconds(pieces[FIELD_TW].number),
        .bytes_in = pieces[FIELD_IN].number < 0 ? 0 : (uint64_t)pieces[FIELD_IN].number,
        .bytes_out = pieces[FIELD_OUT].number < 0 ? 0 : (uint64_t)pieces[FIELD_OUT].number,
        .pinned = pieces[FIELD_PIN].len == 1 && pieces[FIELD_PIN].text[0] == '1',
    };
    return true;
}

/* ---- receiving ---- */

enum { RECEIVE_BYTES = 8 << 20 };

bool proxy_log_open(struct proxy *proxy, int *ret_fd, struct err *err)
{
    int one = 1, bytes = RECEIVE_BYTES;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (proxy->state.log_port == 0 && !proxy_state_read(proxy, err))
        return false;
    if (proxy->state.log_port == 0)
        return err_set(err, ERR_MISSING, "HAProxy has no port for its log yet: apply it first");
    AUTO(fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_port = htons((uint16_t)proxy->state.log_port);
    if (fd < 0)
        return err_sys(err, "a socket for HAProxy's log");
    /* As much as there may be: a second's worth of a flood is read late rather than lost. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return errno == EADDRINUSE
                   ? err_set(err, ERR_BUSY,
                             "port %d (UDP) of HAProxy's log is held by another program, or "
                             "another guard of this study runs",
                             proxy->state.log_port)
                   : err_sys(err, "port %d of HAProxy's log", proxy->state.log_port);
    *ret_fd = fd_take(&fd);
    return true;
}

void proxy_log_room(int fd, long *ret_bytes, long *ret_asked_bytes)
{
    int bytes = 0;
    socklen_t len = sizeof bytes;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) != 0)
        bytes = 0;
    *ret_bytes = bytes;
    *ret_asked_bytes = 2L * RECEIVE_BYTES; /* the kernel doubles it for what it needs itself */
}

/* Nobody sends an empty datagram in good faith: skipped, as if it had not come. */
long proxy_log_receive(int fd, char *line, size_t size, uint32_t *lost)
{
    for (;;) {
        union {
            char bytes[CMSG_SPACE(sizeof(uint32_t))];
            struct cmsghdr aligned;
        } control;
        struct iovec into = {line, size};
        struct msghdr message = {.msg_iov = &into,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &message, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SO_RXQ_OVFL)
            memcpy(lost, CMSG_DATA(head), sizeof *lost);
        if (n > 0)
            return (long)n;
    }
}
