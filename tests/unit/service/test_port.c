/* Ports that nobody else has, and nobody gets twice. */
#include "check.h"

#include "service/launch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static void test_ports_differ_and_are_free(void **state)
{
    (void)state;
    int taken[50];
    struct err err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
        assert_true(service_port_allot(taken, i, &taken[i], &err));
        assert_in_range(taken[i], 1024, 65535);
        for (size_t other = 0; other < i; other++)
            assert_int_not_equal(taken[i], taken[other]);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)taken[i]),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ports_differ_and_are_free)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
