/* Units and containers as systemd, docker, podman and Kubernetes write them. */
#include "device/owner.h"

#include "fake_proc.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *cgroup, *unit, *container;
    } rows[] = {
        {"0::/system.slice/ollama.service\n", "ollama.service", ""},
        {"0::/user.slice/user-1000.slice/user@1000.service/app.slice/whisper.service\n",
         "whisper.service", ""},
        {"0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope", ""},
        {"0::/system.slice/docker-" ID ".scope\n", "", "0123456789ab"},
        {"0::/machine.slice/libpod-" ID ".scope/container\n", "", "0123456789ab"},
        {"12:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", "", "0123456789ab"},
        {"0::/user.slice/user@1000.service/user.slice/libpod-" ID ".scope\n", "user@1000.service",
         "0123456789ab"},
        {"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope\n", "",
         "0123456789ab"},
        {"0::/a\x1b[2J.service\n", "a\\x1b[2J.service", ""},
        {"0::/\n", "", ""},
        {"0::/.service", "", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct device_owner owner = {0};
        device_owner_parse(rows[i].cgroup, &owner);
        CHECK_ROW_TEXT(i, rows[i].cgroup, owner.unit, rows[i].unit);
        CHECK_ROW_TEXT(i, rows[i].cgroup, owner.container, rows[i].container);
    }
}

static void test_user(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct device_owner owner;
    fake_text(root, "5/status", "Name:\tx\nUid:\t0\t0\t0\t0\n");
    fake_text(root, "6/status", "Name:\tx\nUid:\t3999999999\t0\t0\t0\n");
    fake_text(root, "7/status", "Name:\tx\n");
    device_owner_read(root, 5, &owner);
    assert_string_equal(owner.user, "root");
    device_owner_read(root, 6, &owner);
    assert_string_equal(owner.user, "uid 3999999999");
    device_owner_read(root, 7, &owner);
    assert_string_equal(owner.user, "");
    device_owner_read(root, 8, &owner);
    assert_string_equal(owner.user, "");
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_user)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
