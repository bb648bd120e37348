/* A real HAProxy before a server with habits: each request comes back as a line of the log that
 * says how it really ended. Skipped where HAProxy is not installed. */
#include "check.h"
#include "made.h"

#include "service/launch.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const int64_t STEP_WITHIN_NS = 30 * NS_PER_S;

/* ---- a server: one connection, one request, one habit, by its path ---- */

static void answer(int fd)
{
    char request[8192] = "";
    size_t len = 0;
    while (len < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t n = read(fd, request + len, sizeof request - 1 - len);
        if (n <= 0)
            return;
        len += (size_t)n;
        request[len] = '\0';
    }
    static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    static const char cut[] = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhel";
    static const char error[] = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    const char *says = strstr(request, " /cut ")   ? cut
                       : strstr(request, " /500 ") ? error
                       : strstr(request, " /die ") ? ""
                                                   : fine;
    /* As engines do: who has left is not answered. HAProxy hands that on as the end of input. */
    struct pollfd left = {.fd = fd, .events = POLLIN};
    if (strstr(request, " /slow ") && poll(&left, 1, 300) > 0)
        return;
    (void)!write(fd, says, strlen(says));
}

static pid_t serve(int port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 64), 0);
    pid_t pid = fork();
    if (pid != 0) {
        close(listener);
        return pid;
    }
    alarm(120);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fork() == 0) {
            alarm(60);
            answer(fd);
            _exit(0);
        }
        close(fd);
    }
}

/* ---- a client ---- */

enum manner { READS, LEAVES };
static int ask(int port, const char *path, const char *header, enum manner manner)
{
    char text[512], answered[4096] = "";
    size_t len = 0;
    int status = 0;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path,
             header);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    if (manner == LEAVES)
        usleep(100000);
    while (manner == READS && len < sizeof answered - 1) {
        ssize_t n = read(fd, answered + len, sizeof answered - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    return sscanf(answered, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* The next request in the log; what is no request is passed over. */
static void next(const struct proxy *proxy, int fd, struct proxy_request *request)
{
    int64_t end_ns = clock_now_ns() + STEP_WITHIN_NS;
    uint32_t lost = 0;
    char line[PROXY_LINE_MAX];
    for (;;) {
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        assert_true(clock_now_ns() < end_ns);
        long n = poll(&pollfd, 1, 100) > 0 ? proxy_log_receive(fd, line, sizeof line, &lost) : 0;
        assert_true(n >= 0);
        if (n > 0 && proxy_log_parse(proxy, line, (size_t)n, request))
            return;
    }
}

static const struct {
    const char *path, *header;
    enum manner manner;
    int answered; /* 0: whatever */
    enum proxy_end end;
    int server;
    bool pinned;
} rows[] = {
    {"/", "", READS, 200, PROXY_OK, 0, false},
    {"/", "X-Spica-Tier: tiny\r\n", READS, 200, PROXY_OK, 1, true},
    {"/", "X-Spica-Tier: huge\r\n", READS, 400, PROXY_REFUSED, -1, false},
    {"/cut", "", READS, 200, PROXY_CUT, 0, false},
    {"/500", "", READS, 500, PROXY_SERVER_ERROR, 0, false},
    {"/die", "", READS, 0, PROXY_CUT, 0, false},
    {"/slow", "", LEAVES, 0, PROXY_CLIENT, 0, false},
    {"/slow", "", READS, 200, PROXY_OK, 0, false},
};

static void wait_usable(struct proxy *proxy)
{
    int64_t end_ns = clock_now_ns() + STEP_WITHIN_NS;
    struct proxy_view view = {0};
    struct err err = ERR_INIT;
    for (;;) {
        assert_true(proxy_look(proxy, &view, &err) && view.up);
        if (view.fronts[0].servers[0].usable && view.fronts[0].servers[1].usable)
            return;
        assert_true(clock_now_ns() < end_ns);
        usleep(20000);
    }
}

static void lines(struct proxy *proxy, int fd, int port)
{
    struct proxy_request request;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = ask(port, rows[i].path, rows[i].header, rows[i].manner);
        next(proxy, fd, &request);
        CHECK_ROW(i, rows[i].path, rows[i].answered == 0 || status == rows[i].answered);
        CHECK_ROW(i, proxy_end_names[request.end], request.end == rows[i].end);
        CHECK_ROW(i, rows[i].path, request.server == rows[i].server);
        CHECK_ROW(i, rows[i].path, request.pinned == rows[i].pinned);
    }
    assert_true(request.total_s >= 0.3 && request.first_s >= 0.3 && request.total_s < 60);
    assert_true(request.bytes_in > 0 && request.bytes_out > 5);
}

/* One at a time at a server: the second waits, and its line says how long. */
static void queue(struct proxy *proxy, int fd, int port)
{
    struct proxy_request first, second;
    pid_t other = fork();
    if (other == 0) {
        (void)ask(port, "/slow", "", READS);
        _exit(0);
    }
    usleep(100000);
    assert_int_equal(ask(port, "/", "", READS), 200);
    waitpid(other, NULL, 0);
    next(proxy, fd, &first);
    next(proxy, fd, &second);
    assert_true(first.queue_s + second.queue_s > 0.05);
}

/* It would outlive a test that fails; what it was opened with is asked again when it is stopped. */
static struct proxy *running;
static struct made made;
static int stop_running(void **state)
{
    struct err err = ERR_INIT;
    (void)state;
    bool done = !running || proxy_stop(running, NS_PER_S, &err);
    running = proxy_close(running);
    if (!done)
        print_message("not stopped: %s\n", err.text);
    return done ? 0 : -1;
}

static void view_of(struct proxy *proxy, struct proxy_server *ret_server)
{
    struct proxy_view view;
    struct err err = ERR_INIT;
    if (!proxy_look(proxy, &view, &err) || !view.up)
        fail_msg("%s", err.text);
    *ret_server = view.fronts[0].servers[0];
}

/* Expected: what a person has drained, through whichever program, is seen as that and stays so
 * until a person says ready; what guard has drained is its own to undo. */
static void by_hand(struct proxy *proxy)
{
    struct proxy *other = NULL;
    struct proxy_server server;
    struct err err = ERR_INIT;
    assert_true(proxy_open(&made.study, &other, &err));
    assert_true(proxy_set_server(proxy, 0, "base", PROXY_DRAIN, &err));
    view_of(proxy, &server);
    assert_true(server.drained && !server.by_hand);
    assert_true(proxy_set_server(other, 0, "base", PROXY_DRAIN_BY_HAND, &err));
    view_of(proxy, &server);
    assert_true(server.drained && server.by_hand);
    assert_true(proxy_set_server(proxy, 0, "base", PROXY_DRAIN, &err)); /* no less theirs */
    assert_false(proxy_set_server(proxy, 0, "base", PROXY_READY, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    view_of(proxy, &server);
    assert_true(server.drained && server.by_hand);
    err = ERR_INIT;
    assert_true(proxy_set_server(other, 0, "base", PROXY_READY_BY_HAND, &err));
    view_of(proxy, &server);
    assert_true(!server.drained && !server.by_hand);
    /* Past spica, on HAProxy's own socket. */
    assert_true(
        proxy_tell(proxy->socket, "set server spica.stt.base/base weight 0", NS_PER_S, &err));
    view_of(proxy, &server);
    assert_true(server.drained && server.by_hand);
    assert_true(
        proxy_tell(proxy->socket, "set server spica.stt.base/base weight 1", NS_PER_S, &err));
    proxy_close(other);
}

/* Expected: HAProxy is told, and the disk when it takes something again. Before: nothing was
 * changed. A limit on the size of files stands for a disk that is full. */
static void full_disk(struct proxy *proxy, int fd, int port)
{
    struct proxy_request request;
    struct rlimit limit;
    struct err err = ERR_INIT;
    struct proxy *again = NULL;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_null(proxy_unsaved(proxy));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    if (!proxy_set_tier(proxy, 0, "tiny", &err))
        fail_msg("%s", err.text);
    assert_non_null(proxy_unsaved(proxy));
    assert_false(proxy_keep(proxy, &err));
    assert_int_equal(ask(port, "/", "", READS), 200);
    next(proxy, fd, &request);
    assert_int_equal(request.server, 1);
    err = ERR_INIT; /* what is not kept is built upon all the same */
    assert_true(proxy_set_server(proxy, 0, "base", PROXY_DRAIN, &err));
    assert_string_equal(proxy->state.tier[0], "tiny");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_true(proxy_keep(proxy, &err));
    assert_null(proxy_unsaved(proxy));
    assert_true(proxy_open(&made.study, &again, &err));
    assert_true(proxy_state_read(again, &err) && proxy_state_complete(again, &err));
    assert_string_equal(again->state.tier[0], "tiny");
    assert_true(again->state.drained[0][0] && proxy_config_is(again));
    proxy_close(again);
    assert_true(proxy_set_server(proxy, 0, "base", PROXY_READY, &err));
    assert_true(proxy_set_tier(proxy, 0, "base", &err));
}

static void real(void **state)
{
    char *folder = check_make_folder();
    struct err err = ERR_INIT;
    bool reloaded = false;
    int ports[3] = {0}, fd = -1;
    struct proxy *proxy = NULL;
    (void)state;
    char *program = proxy_program();
    if (!program) {
        check_remove_folder(folder);
        print_message("haproxy is not installed\n");
        skip();
    }
    free(program);
    made_init(&made, folder);
    for (int i = 0; i < 3; i++)
        assert_true(service_port_allot(ports, (size_t)i, &ports[i], &err));
    made.guard.front_count = 1;
    made.services[0].ready_path = NULL;
    made.fronts[0].port = ports[0];
    made.fronts[0].queue_max = 1;
    made.tiers[0].port = ports[1];
    made.tiers[1].port = ports[2];
    pid_t servers[] = {serve(ports[1]), serve(ports[2])};
    assert_true(proxy_open(&made.study, &proxy, &err));
    running = proxy;
    if (!proxy_apply(proxy, &reloaded, &err))
        fail_msg("%s", err.text);
    assert_true(reloaded);
    assert_true(proxy_log_open(proxy, &fd, &err));
    wait_usable(proxy);
    lines(proxy, fd, ports[0]);
    queue(proxy, fd, ports[0]);
    by_hand(proxy);
    full_disk(proxy, fd, ports[0]);
    for (size_t i = 0; i < 2; i++) {
        kill(servers[i], SIGKILL);
        waitpid(servers[i], NULL, 0);
    }
    struct proxy_request request;
    assert_int_equal(ask(ports[0], "/", "", READS), 503);
    next(proxy, fd, &request);
    assert_int_equal(request.end, PROXY_UNSERVED);
    close(fd);
    assert_true(proxy_stop(proxy, NS_PER_S, &err));
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(real, stop_running)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
