/* What needs no systemd: whether we would stop ourselves, and the restorer's name. The rest is in
 * tests/scenario/test_pause.py, with a real one. */
#include "check.h"

#include "host/restorer.h"

static const struct {
    const char *name, *group, *cgroups;
    bool holds;
} groups[] = {
    {"v2, itself", "/system.slice/a.service", "0::/system.slice/a.service\n", true},
    {"v2, below", "/system.slice/a.service", "0::/system.slice/a.service/sub\n", true},
    {"v2, a longer name", "/system.slice/a.service", "0::/system.slice/a.service2\n", false},
    {"v2, another", "/system.slice/a.service", "0::/user.slice/x.scope\n", false},
    {"v1", "/system.slice/a.service", "9:name=systemd:/system.slice/a.service\n8:pids:/\n0::/\n",
     true},
    {"no newline at the end", "/a.service", "0::/a.service", true},
    {"the root holds everybody, and is no unit's", "/", "0::/\n", false},
    {"no group", "", "0::/a\n", false},
    {"no text", "/a", "", false},
    {"broken lines", "/a", "::\n:\n\n0:/a\n", false},
};

static void test_groups(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        CHECK_ROW(i, groups[i].name,
                  host_group_holds(groups[i].group, groups[i].cgroups) == groups[i].holds);
}

static void test_restorer_name(void **state)
{
    (void)state;
    char a[HOST_NAME_SIZE], b[HOST_NAME_SIZE], odd[HOST_NAME_SIZE];
    host_restorer_name("voice", "/a/voice.spica.paused.json", a);
    host_restorer_name("voice", "/b/voice.spica.paused.json", b);
    host_restorer_name("a b%n$x/../é", "/a", odd);
    assert_string_not_equal(a, b); /* two studies of one name in two folders */
    assert_int_equal(strncmp(a, "spica-restore-voice-", 20), 0);
    assert_int_equal(strspn(odd, "abcdefghijklmnopqrstuvwxyz0123456789-_."), strlen(odd));
    char longest[2000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    host_restorer_name(longest, "/a", odd);
    assert_non_null(strstr(odd, ".service"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_restorer_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
