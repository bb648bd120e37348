/* The listener of a port: found on a real socket, and from the kernel's texts. */
#include "device/proc.h"

#include "fake_proc.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define HEAD                                                                                       \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "  \
    "inode\n"
#define LINE(address, remote, st, inode)                                                           \
    "   0: " address " " remote " " st                                                             \
    " 00000000:00000000 00:00000000 00000000  1000        0 " inode                                \
    " 1 0000000000000000 100 0 0 10 0\n"
#define ANY4 "00000000:0000"
#define ANY6 "00000000000000000000000000000000:0000"

/* Port 8080 is 1F90. Addresses as a little-endian kernel prints them. */
static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *tcp, *tcp6;
        pid_t pid;
    } rows[] = {
        {"nobody", HEAD, HEAD, 0},
        {"no files", NULL, NULL, 0},
        {"loopback", HEAD LINE("0100007F:1F90", ANY4, "0A", "555"), HEAD, 7},
        {"any address", HEAD LINE("00000000:1F90", ANY4, "0A", "555"), HEAD, 7},
        {"other loopback", HEAD LINE("0200007F:1F90", ANY4, "0A", "555"), HEAD, 7},
        {"an outer address", HEAD LINE("0101A8C0:1F90", ANY4, "0A", "555"), HEAD, 0},
        {"another port", HEAD LINE("0100007F:1F91", ANY4, "0A", "555"), HEAD, 0},
        {"established", HEAD LINE("0100007F:1F90", "0100007F:D431", "01", "555"), HEAD, 0},
        {"time wait", HEAD LINE("0100007F:1F90", "0100007F:D431", "06", "0"), HEAD, 0},
        {"unseen holder", HEAD LINE("0100007F:1F90", ANY4, "0A", "777"), HEAD, -1},
        {"shared by two", HEAD LINE("0100007F:1F90", ANY4, "0A", "556"), HEAD, 7},
        {"after others",
         HEAD LINE("0100007F:0050", ANY4, "0A", "1") LINE("0100007F:1F90", ANY4, "0A", "555"), HEAD,
         7},
        {"ipv6 any", HEAD, HEAD LINE("00000000000000000000000000000000:1F90", ANY6, "0A", "555"),
         7},
        {"ipv6 loopback", HEAD,
         HEAD LINE("00000000000000000000000001000000:1F90", ANY6, "0A", "555"), 7},
        {"ipv4 in ipv6", NULL,
         HEAD LINE("0000000000000000FFFF00000100007F:1F90", ANY6, "0A", "555"), 7},
        {"ipv6 outer", HEAD, HEAD LINE("B80D0120000000000000000001000000:1F90", ANY6, "0A", "555"),
         0},
        {"garbage", "\n\n:::::\n 0: 0100007F:1F90\n", "\xff\xff\xff", 0},
        {"odd address", HEAD LINE("0100007F01:1F90", ANY4, "0A", "555"), HEAD, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder(), link[256];
        for (int pid = 9; pid >= 7; pid--) {
            snprintf(link, sizeof link, "%d/fd/placeholder", pid);
            fake_text(root, link, "");
            snprintf(link, sizeof link, "%s/%d/fd/4", root, pid);
            assert_int_equal(symlink(pid == 7 ? "socket:[555]" : "socket:[55]", link), 0);
            snprintf(link, sizeof link, "%s/%d/fd/5", root, pid);
            assert_int_equal(symlink(pid == 8 ? "/dev/null" : "socket:[556]", link), 0);
        }
        if (rows[i].tcp)
            fake_text(root, "net/tcp", rows[i].tcp);
        if (rows[i].tcp6)
            fake_text(root, "net/tcp6", rows[i].tcp6);
        CHECK_ROW(i, rows[i].name, proc_listener(root, 8080) == rows[i].pid);
        check_remove_folder(root);
    }
}

static void check_real(int family, const struct sockaddr *address, socklen_t len)
{
    AUTO(fd) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, address, len) != 0) {
        print_message("no address family %d here, not tried\n", family);
        return;
    }
    struct sockaddr_in6 bound = {0}; /* sin_port and sin6_port stand at the same place */
    socklen_t bound_len = sizeof bound;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &bound_len), 0);
    int port = ntohs(bound.sin6_port);
    /* Bound is not listening. */
    struct proc_listening kept = {0};
    assert_int_equal(proc_listener("/proc", port), 0);
    assert_int_equal(proc_listening(&kept, "/proc", port), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(proc_listener("/proc", port), getpid());
    assert_int_equal(proc_listening(&kept, "/proc", port), getpid());
    assert_int_equal(proc_listening(&kept, "/proc", port), getpid());
    close(fd_take(&fd));
    assert_int_equal(proc_listener("/proc", port), 0);
    assert_int_equal(proc_listening(&kept, "/proc", port), 0);
}

static void test_real_socket(void **state)
{
    (void)state;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    check_real(AF_INET, (struct sockaddr *)&four, sizeof four);
    four.sin_addr.s_addr = htonl(INADDR_ANY);
    check_real(AF_INET, (struct sockaddr *)&four, sizeof four);
    check_real(AF_INET6, (struct sockaddr *)&six, sizeof six);
}

/* ---- again and again ---- */

static void put_socket(const char *root, int pid, int descriptor, const char *inode)
{
    char link[300], to[64];
    snprintf(link, sizeof link, "%s/%d/fd/%d", root, pid, descriptor);
    snprintf(to, sizeof to, "socket:[%s]", inode ? inode : "");
    (void)unlink(link);
    if (inode)
        assert_int_equal(symlink(to, link), 0);
}

static void put_process(const char *root, int pid, int64_t start)
{
    char path[64], text[300];
    snprintf(path, sizeof path, "%d/stat", pid);
    snprintf(text, sizeof text,
             "%d (server) S 1 %d %d 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 %lld 1 1 1\n", pid, pid, pid,
             (long long)start);
    fake_text(root, path, text);
    snprintf(path, sizeof path, "%d/fd/placeholder", pid);
    fake_text(root, path, "");
}

/* What is found is kept, and nothing is searched, until the process or its socket is another. */
static void test_listening(void **state)
{
    (void)state;
    static const char listens[] = HEAD LINE("0100007F:1F90", ANY4, "0A", "555");
    static const char again[] = HEAD LINE("0100007F:1F90", ANY4, "0A", "556");
    struct proc_listening kept = {0};
    char *root = check_make_folder();
    fake_text(root, "net/tcp", listens);
    put_process(root, 8, 100);
    put_socket(root, 8, 3, "555");
    assert_int_equal(proc_listening(&kept, root, 8080), 8);
    /* Without the list: no search would find it. */
    fake_text(root, "net/tcp", HEAD);
    assert_int_equal(proc_listener(root, 8080), 0);
    assert_int_equal(proc_listening(&kept, root, 8080), 8);
    /* Another port is another question. */
    assert_int_equal(proc_listening(&kept, root, 8081), 0);
    fake_text(root, "net/tcp", listens);
    assert_int_equal(proc_listening(&kept, root, 8080), 8);
    /* The number was given to another process. */
    put_process(root, 8, 200);
    fake_text(root, "net/tcp", HEAD);
    assert_int_equal(proc_listening(&kept, root, 8080), 0);
    fake_text(root, "net/tcp", listens);
    assert_int_equal(proc_listening(&kept, root, 8080), 8);
    /* It lives, and has closed the socket: another listens. */
    put_socket(root, 8, 3, "777");
    put_process(root, 9, 300);
    put_socket(root, 9, 5, "556");
    fake_text(root, "net/tcp", again);
    assert_int_equal(proc_listening(&kept, root, 8080), 9);
    /* Nobody does. */
    put_socket(root, 9, 5, NULL);
    fake_text(root, "net/tcp", HEAD);
    assert_int_equal(proc_listening(&kept, root, 8080), 0);
    check_remove_folder(root);
}

/* Who can't be seen is not looked for each time, and not given up. */
static void test_hidden_listener(void **state)
{
    (void)state;
    struct proc_listening kept = {0};
    char *root = check_make_folder();
    int questions = 1;
    fake_text(root, "net/tcp", HEAD LINE("0100007F:1F90", ANY4, "0A", "555"));
    assert_int_equal(proc_listening(&kept, root, 8080), -1);
    put_process(root, 8, 100);
    put_socket(root, 8, 3, "555");
    while (proc_listening(&kept, root, 8080) == -1 && questions < 100)
        questions++;
    assert_int_equal(questions, 16);
    assert_int_equal(kept.pid, 8);
    /* Another socket is looked for at once. */
    kept = (struct proc_listening){0};
    fake_text(root, "net/tcp", HEAD LINE("0100007F:1F90", ANY4, "0A", "556"));
    assert_int_equal(proc_listening(&kept, root, 8080), -1);
    put_socket(root, 8, 3, "557");
    fake_text(root, "net/tcp", HEAD LINE("0100007F:1F90", ANY4, "0A", "557"));
    assert_int_equal(proc_listening(&kept, root, 8080), 8);
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_real_socket),
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_hidden_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
