/* Who listens, by the kernel's own list of listening sockets.
 *
 * A connection would be the natural question, and is rejected: a server with one worker would be
 * disturbed by it, it would stand in its log, and a frozen one accepts as well (its backlog does).
 * /proc/net/tcp is rejected too: at 500 requests a second it holds thousands of lines of past
 * connections. The netlink dump with TCP_LISTEN alone walks the table of listeners. */
#include "guard/find.h"

#include "base/auto.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { LISTEN_STATE = 10, ANSWER_SIZE = 32768, ANSWERS_MAX = 64 };

static bool ask(int fd, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof request,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = (__u8)family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1U << LISTEN_STATE},
    };
    return send(fd, &request, sizeof request, 0) == (ssize_t)sizeof request;
}

/* One datagram of the answer. */
static enum guard_listening look(const char *bytes, size_t len, int port, bool *ret_over)
{
    enum guard_listening found = LISTENING_NO;
    const struct nlmsghdr *head = (const void *)bytes;
    for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
        if (head->nlmsg_type == NLMSG_DONE) {
            *ret_over = true;
            return found;
        }
        if (head->nlmsg_type == NLMSG_ERROR) {
            *ret_over = true;
            return LISTENING_UNKNOWN;
        }
        const struct inet_diag_msg *message = NLMSG_DATA(head);
        if (head->nlmsg_len >= NLMSG_LENGTH(sizeof *message) &&
            ntohs(message->id.idiag_sport) == port)
            found = LISTENING_YES;
    }
    return found;
}

static enum guard_listening listens(int fd, int family, int port)
{
    _Alignas(struct nlmsghdr) char bytes[ANSWER_SIZE];
    enum guard_listening found = LISTENING_NO;
    bool over = false;
    if (!ask(fd, family))
        return LISTENING_UNKNOWN;
    for (int i = 0; i < ANSWERS_MAX && !over; i++) {
        ssize_t len = recv(fd, bytes, sizeof bytes, 0);
        if (len <= 0)
            return found == LISTENING_YES ? found : LISTENING_UNKNOWN;
        enum guard_listening here = look(bytes, (size_t)len, port, &over);
        if (here != LISTENING_NO)
            found = here;
    }
    return found;
}

enum guard_listening guard_port_listening(int port)
{
    AUTO(fd) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    const struct timeval within = {.tv_usec = 200000}; /* the kernel answers at once, or never */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) < 0)
        return LISTENING_UNKNOWN;
    enum guard_listening four = listens(fd, AF_INET, port);
    if (four == LISTENING_YES)
        return four;
    enum guard_listening six = listens(fd, AF_INET6, port);
    return six == LISTENING_YES ? six : four == LISTENING_UNKNOWN ? four : LISTENING_NO;
}
