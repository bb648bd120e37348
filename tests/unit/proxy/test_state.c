/* What run time has set, over files. */
#include "check.h"
#include "made.h"

#include "base/file.h"

#include <sys/socket.h>

static void paths(struct made *made, const char *folder, char file[256])
{
    snprintf(file, 256, "%s/state.json", folder);
    made_init(made, folder);
    made->proxy.state_file = file;
}

static void round_trip(void **state)
{
    char *folder = check_make_folder();
    char file[256];
    struct made made, again;
    struct err err = ERR_INIT;
    (void)state;
    paths(&made, folder, file);
    made.proxy.state.tier[0] = "tiny";
    made.proxy.state.drained[0][0] = made.proxy.state.drained[0][1] = true;
    made.proxy.state.by_hand[0][1] = true;
    made.proxy.state.weight[1][0] = 20;
    made.proxy.state.weight[1][1] = 80;
    made.proxy.reload_due = true;
    assert_true(proxy_state_save(&made.proxy, &err));
    paths(&again, folder, file);
    proxy_state_init(&again.proxy.state);
    assert_true(proxy_state_read(&again.proxy, &err));
    assert_string_equal(again.proxy.state.tier[0], "tiny");
    assert_true(again.proxy.state.drained[0][0] && again.proxy.state.drained[0][1]);
    assert_true(!again.proxy.state.by_hand[0][0] && again.proxy.state.by_hand[0][1]);
    assert_int_equal(again.proxy.state.weight[1][0], 20);
    assert_int_equal(again.proxy.state.weight[1][1], 80);
    assert_string_equal(again.proxy.state.token, made.proxy.state.token);
    assert_int_equal(again.proxy.state.log_port, 20001);
    assert_true(again.proxy.reload_due);
    /* The study file says another weight than then: a person has changed it. */
    again.arms[0].weight = 50;
    again.arms[1].weight = 50;
    assert_true(proxy_state_read(&again.proxy, &err));
    assert_int_equal(again.proxy.state.weight[1][0], -1);
    assert_int_equal(proxy_weight(&again.fronts[1], &again.proxy.state, 1, 0), 50);
    /* The tier is no longer there: its first. */
    again.tiers[1].name = "small";
    assert_true(proxy_state_read(&again.proxy, &err));
    assert_null(again.proxy.state.tier[0]);
    check_remove_folder(folder);
}

/* What the disk did not take stands over what it has, unless another has set that front since. */
static void unsaved(void **state)
{
    static const struct {
        const char *name;
        bool by_other;
        const char *tier;
        int second;
    } rows[] = {{"nobody else", false, "tiny", 0}, {"another", true, "base", 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder();
        char file[256];
        struct made made, other;
        struct err err = ERR_INIT;
        paths(&made, folder, file);
        assert_true(proxy_state_save(&made.proxy, &err) && proxy_state_read(&made.proxy, &err));
        made.proxy.state.tier[0] = "tiny";
        made.proxy.state.weight[1][0] = 100;
        made.proxy.state.weight[1][1] = 0;
        made.proxy.unsaved.is[0] = made.proxy.unsaved.is[1] = true;
        paths(&other, folder, file);
        assert_true(proxy_state_read(&other.proxy, &err));
        other.proxy.state.tier[0] = "base";
        if (rows[i].by_other)
            assert_true(proxy_state_save(&other.proxy, &err));
        for (int k = 0; k < 2; k++)
            assert_true(proxy_state_read(&made.proxy, &err));
        CHECK_ROW(i, rows[i].name, strcmp(made.proxy.state.tier[0], rows[i].tier) == 0);
        CHECK_ROW(i, rows[i].name, made.proxy.state.weight[1][1] == rows[i].second);
        proxy_state_return(&made.proxy);
        CHECK_ROW(i, rows[i].name, made.proxy.state.weight[1][1] == -1);
        check_remove_folder(folder);
    }
}

static void broken(void **state)
{
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        {"", false},
        {"[]", false},
        {"{", false},
        {"{}", true},
        {"{\"fronts\": 7, \"token\": [], \"log_port\": \"x\"}", true},
        {"{\"fronts\": {\"stt\": {\"tier\": \"nobody\"}, \"llm\": {\"weights\": {\"now\": 900, "
         "\"next\": -800}, \"file\": {\"now\": 90, \"next\": 10}}}}",
         true},
        {"{\"token\": \"0123456789abcde\\n\", \"log_port\": 99999999}", true},
    };
    char *folder = check_make_folder();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char file[256];
        struct made made;
        struct err err = ERR_INIT;
        paths(&made, folder, file);
        assert_true(file_write_atomic(file, rows[i].text, strlen(rows[i].text), &err));
        CHECK_ROW(i, rows[i].text, proxy_state_read(&made.proxy, &err) == rows[i].fine);
        if (!rows[i].fine)
            continue;
        CHECK_ROW(i, rows[i].text, made.proxy.state.tier[0] == NULL);
        CHECK_ROW(i, rows[i].text, made.proxy.state.weight[1][0] == -1);
        CHECK_ROW(i, rows[i].text, made.proxy.state.log_port == 0 && !made.proxy.state.token[0]);
    }
    check_remove_folder(folder);
}

static void token_and_port(void **state)
{
    struct made made;
    struct err err = ERR_INIT;
    int fd = -1;
    uint32_t lost = 0;
    char line[PROXY_LINE_MAX];
    (void)state;
    made_init(&made, "/tmp");
    proxy_state_init(&made.proxy.state);
    assert_true(proxy_state_complete(&made.proxy, &err));
    assert_int_equal(strlen(made.proxy.state.token), 16);
    assert_true(made.proxy.state.log_port >= 20000 && made.proxy.state.log_port < 30000);
    assert_true(proxy_log_open(&made.proxy, &fd, &err));
    assert_int_equal(proxy_log_receive(fd, line, sizeof line, &lost), 0);
    int second = -1;
    assert_false(proxy_log_open(&made.proxy, &second, &err));
    /* What the kernel gave, not what was asked for. */
    const int few = 4096;
    long bytes = 0, asked_bytes = 0;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
    proxy_log_room(fd, &bytes, &asked_bytes);
    assert_true(bytes >= few && bytes < asked_bytes);
    assert_int_equal(asked_bytes, 16 << 20);
    assert_int_equal(err.code, ERR_BUSY);
    close(fd);
}

/* Who must not stand still learns at once that another changes something just now. */
static void hurried(void **state)
{
    char *folder = check_make_folder();
    char file[256], lock_file[256];
    struct made made;
    struct err err = ERR_INIT;
    int lock = -1;
    int64_t began_ns = clock_now_ns();
    (void)state;
    paths(&made, folder, file);
    snprintf(lock_file, sizeof lock_file, "%s/lock", folder);
    made.proxy.lock_file = lock_file;
    assert_true(proxy_lock(&made.proxy, &lock, &err));
    proxy_set_hurried(&made.proxy);
    assert_false(proxy_set_tier(&made.proxy, 0, "tiny", &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_true(clock_now_ns() - began_ns < 10 * NS_PER_S);
    assert_null(made.proxy.state.tier[0]);
    close(lock);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),     cmocka_unit_test(unsaved), cmocka_unit_test(broken),
        cmocka_unit_test(token_and_port), cmocka_unit_test(hurried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
