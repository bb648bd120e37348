/* Whether systemd has read what was meant, on configurations as it tells them. Reading them from a
 * real systemd is in tests/scenario/. */
#include "check.h"

#include "host/config.h"

#include "base/file.h"

static const char *const none[] = {NULL};
static const char *const quoted[] = {"A=1", "K=a b", "P=100%", NULL};
static const char *const words[] = {"/bin/x", "--a", "b $$c", NULL};

static const struct {
    const char *name;
    const char *load_state;
    const char *env_file; /* its text, or NULL */
    const char *const *unset;
    const char *environment[4];
    const char *argv[4];
    const char *problem; /* part of the message; NULL: none */
} rows[] = {
    {"nothing asked", "loaded", NULL, none, {0}, {0}, NULL},
    {"all as meant",
     "loaded",
     NULL,
     none,
     {"K=a b", "P=100%", "GONE"},
     {"/bin/x", "--a", "b $c"},
     NULL},
    {"not loaded", "bad-setting", NULL, none, {0}, {0}, "bad-setting"},
    {"cut at the blank", "loaded", NULL, none, {"K=a"}, {0}, "another value"},
    {"missing", "loaded", NULL, none, {"Z=1"}, {0}, "Z as not set"},
    {"a name that begins alike", "loaded", NULL, none, {"P1=100%"}, {0}, "not set"},
    {"still there", "loaded", NULL, none, {"A"}, {0}, "A is still set"},
    {"unset wins", "loaded", NULL, quoted, {"A"}, {0}, NULL},
    {"set and unset", "loaded", NULL, quoted, {"A=1"}, {0}, "not set"},
    {"a file wins", "loaded", "#x\n A=2\n", none, {"A=1"}, {0}, "EnvironmentFile= wins"},
    {"a file with the same", "loaded", "A=2\nA='1' \n", none, {"A=1"}, {0}, NULL},
    {"a file with a longer name", "loaded", "AA=2\n", none, {"A=1"}, {0}, NULL},
    {"a file sets what is to go", "loaded", "GONE=", none, {"GONE"}, {0}, "sets GONE too"},
    {"fewer words", "loaded", NULL, none, {0}, {"/bin/x", "--a"}, "word 3"},
    {"more words", "loaded", NULL, none, {0}, {"/bin/x", "--a", "b $c", "d"}, "word 4"},
    {"another word", "loaded", NULL, none, {0}, {"/bin/x", "--b", "b $c"}, "word 2"},
};

static void test_check(void **state)
{
    char *folder = check_make_folder();
    char *path = file_join(folder, "env");
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct host_command command = {"/bin/x", words};
        struct host_env_file file = {path, false};
        struct host_config config = {.found = true,
                                     .name = "x.service",
                                     .load_state = rows[i].load_state,
                                     .environment = quoted,
                                     .unset = rows[i].unset,
                                     .commands = &command,
                                     .command_count = 1};
        if (rows[i].env_file) {
            config.env_files = &file;
            config.env_file_count = 1;
            assert_true(file_write_atomic(path, rows[i].env_file, strlen(rows[i].env_file), &err));
        }
        bool good = host_config_check(&config, rows[i].environment,
                                      rows[i].argv[0] ? rows[i].argv : NULL, &err);
        CHECK_ROW(i, rows[i].name, good == !rows[i].problem);
        if (rows[i].problem) {
            CHECK_ROW(i, err.text, strstr(err.text, rows[i].problem) != NULL);
            CHECK_ROW(i, rows[i].name, err.code == ERR_PROBLEM && !strstr(err.text, "a b"));
        }
    }
    free(path);
    check_remove_folder(folder);
}

/* A `$` that systemd would replace is not the `$` that was meant. */
static void test_dollar(void **state)
{
    static const char *const single[] = {"/bin/x", "$c", NULL};
    struct host_command commands[2] = {{"/bin/x", single}, {"/bin/x", single}};
    struct host_config config = {.found = true,
                                 .name = "x.service",
                                 .load_state = "loaded",
                                 .commands = commands,
                                 .command_count = 1};
    struct err err = ERR_INIT;
    (void)state;
    assert_false(host_config_check(&config, NULL, single, &err));
    config.command_count = 2;
    err = ERR_INIT;
    assert_false(host_config_check(&config, NULL, single, &err));
    assert_non_null(strstr(err.text, "2 commands"));
    config.found = false;
    err = ERR_INIT;
    assert_false(host_config_check(&config, NULL, NULL, &err));
}

static void test_result(void **state)
{
    (void)state;
    assert_non_null(strstr(host_result_words("oom-kill"), "memory"));
    assert_string_equal(host_result_words("success"), "");
    assert_string_equal(host_result_words(""), "");
}

/* In seconds. */
static const struct {
    const char *name;
    int64_t wall, monotonic; /* the stamps */
    int64_t now_wall, now_monotonic, now_boot;
    int64_t want;
} stamps[] = {
    {"as stamped", 5000, 100, 6000, 1100, 1100, 5000},
    {"slept since", 5000, 100, 9000, 1100, 4100, 5000},
    {"slept before", 5000, 100, 6000, 1100, 4100, 5000},
    {"no clock at its start", 50, 40, 900000, 1040, 1040, 899000},
    {"no clock, and slept at some time", 50, 40, 900000, 1040, 1140, 898900},
    {"set back since", 8600, 100, 6000, 1100, 1100, 5000},
    {"never started", 0, 0, 6000, 1100, 1100, 0},
    {"of a systemd that does not say", 5000, 0, 6000, 1100, 1100, 5000},
};

static void test_stamps(void **state)
{
    const int64_t s = 1000000;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stamps); i++) {
        const struct host_clocks now = {stamps[i].now_wall * s, stamps[i].now_monotonic * s,
                                        stamps[i].now_boot * s};
        int64_t is = host_stamp_wall_us(stamps[i].wall * s, stamps[i].monotonic * s, &now);
        if (is != stamps[i].want * s)
            fail_msg("%s: %lld", stamps[i].name, (long long)is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_dollar),
        cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
