/* Slopes of memory, and counts of kills in a control group. */
#include "guard/journal.h"
#include "guard/memory.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"

#include "check.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

static const double MIB = 1 << 20;

/* Bytes at second s of a server of some kind. */
static double flat(double s, struct rng *rng)
{
    (void)s;
    return 2000 * MIB + 8 * MIB * rng_unit(rng);
}
static double leak(double s, struct rng *rng)
{
    return flat(s, rng) + 0.5 * MIB * s;
}
static double one_step(double s, struct rng *rng)
{
    return flat(s, rng) + (s > 150 ? 700 * MIB : 0);
}
static double two_steps(double s, struct rng *rng)
{
    return flat(s, rng) + (s > 90 ? 300 * MIB : 0) + (s > 170 ? 300 * MIB : 0);
}
static double warm_up(double s, struct rng *rng)
{
    return flat(s, rng) + 900 * MIB * (1 - exp(-s / 20));
}
static double saw(double s, struct rng *rng)
{
    return flat(s, rng) + 200 * MIB * fmod(s, 37) / 37;
}
static double leak_with_spikes(double s, struct rng *rng)
{
    return leak(s, rng) + (fmod(s, 10) < 1 ? 3000 * MIB : 0);
}
static double late_leak(double s, struct rng *rng)
{
    return flat(s, rng) + 0.5 * MIB * fmax(0, s - 3600);
}
static double long_saw(double s, struct rng *rng)
{
    return flat(s, rng) + 200 * MIB * fmod(s, 200) / 200;
}
static double shrinking(double s, struct rng *rng)
{
    return flat(s, rng) - 0.5 * MIB * s;
}

static void test_slopes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double (*bytes)(double s, struct rng *rng);
        int seconds;
        bool certain;
        double low, high; /* MiB/s */
    } rows[] = {
        {"flat", flat, 300, false, -0.02, 0.02},
        {"leak", leak, 300, true, 0.45, 0.55},
        {"leak, two minutes", leak, 120, true, 0.4, 0.6},
        {"one step", one_step, 300, false, -1, 5},
        {"two steps", two_steps, 260, false, -1, 5},
        {"warm-up", warm_up, 300, false, -1, 5},
        {"saw", saw, 300, false, -1, 1},
        {"leak with spikes", leak_with_spikes, 300, true, 0.4, 0.6},
        {"shrinking", shrinking, 300, false, -0.6, -0.4},
        {"over an hour", leak, 3600, true, 0.48, 0.52},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_slope slope = {0};
        struct guard_growth growth;
        struct rng rng = rng_init(7, "slope");
        for (int s = 1; s <= rows[i].seconds; s++)
            guard_slope_add(&slope, s * NS_PER_S, rows[i].bytes(s, &rng));
        guard_slope_read(&slope, &growth);
        double mib = growth.bytes_per_s / MIB;
        if (growth.certain != rows[i].certain || !(mib >= rows[i].low && mib <= rows[i].high))
            fail_msg("%s: %g MiB/s, %s", rows[i].name, mib, growth.certain ? "certain" : "not");
    }
}

/* After an hour. Expected: a leak is certain, with its speed, within five minutes (before: not
 * within ten), what comes and goes never is. */
static void test_after_an_hour(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double (*bytes)(double s, struct rng *rng);
        int low_s, high_s; /* certain from then on; 0: never */
    } rows[] = {{"leak", late_leak, 60, 300}, {"long saw", long_saw, 0, 0}, {"flat", flat, 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_slope slope = {0};
        struct guard_growth growth;
        struct rng rng = rng_init(7, "hour");
        int since = 0;
        for (int s = 1; s <= 4200; s++) {
            guard_slope_add(&slope, s * NS_PER_S, rows[i].bytes(s, &rng));
            if (s <= 3600 || s % 5)
                continue;
            guard_slope_read(&slope, &growth);
            bool leaks = growth.certain && growth.bytes_per_s > 0.4 * MIB;
            since = !leaks ? 0 : since ? since : s - 3600;
        }
        if (since < rows[i].low_s || since > rows[i].high_s)
            fail_msg("%s: certain after %d s", rows[i].name, since);
    }
}

/* Whatever noise is called growth is rare: one in a hundred at most. */
static void test_noise_is_no_growth(void **state)
{
    (void)state;
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct guard_slope slope = {0};
        struct guard_growth growth;
        struct rng rng = rng_init(seed, "noise");
        for (int s = 1; s <= 120; s++)
            guard_slope_add(&slope, s * NS_PER_S, flat(s, &rng));
        guard_slope_read(&slope, &growth);
        wrong += growth.certain;
    }
    assert_true(wrong <= 2);
}

static void test_too_few(void **state)
{
    (void)state;
    struct guard_slope slope = {0};
    struct guard_growth growth;
    guard_slope_read(&slope, &growth);
    assert_true(isnan(growth.bytes_per_s) && !growth.certain);
    for (int s = 1; s <= 50; s++)
        guard_slope_add(&slope, s * NS_PER_S, 1e9 * s);
    guard_slope_add(&slope, 51 * NS_PER_S, NAN);
    guard_slope_read(&slope, &growth);
    assert_true(isnan(growth.bytes_per_s) && !growth.certain);
    guard_slope_clear(&slope);
    assert_int_equal(slope.count, 0);
}

static void write_file(const char *path, const char *text)
{
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(path, text, strlen(text), &err));
}

static void test_cgroup_counts(void **state)
{
    (void)state;
    char root[] = "/tmp/spica-cgroup-XXXXXX", path[128];
    struct err err = ERR_INIT;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a.slice/x.service", root);
    assert_true(file_make_folders(path, &err));
    assert_int_equal(guard_cgroup_kills(root, "/a.slice/x.service"), -1);
    snprintf(path, sizeof path, "%s/a.slice/x.service/memory.events", root);
    write_file(path, "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
    assert_int_equal(guard_cgroup_kills(root, "/a.slice/x.service"), 2);
    write_file(path, "low 0\noom_kill nonsense\n");
    assert_int_equal(guard_cgroup_kills(root, "/a.slice/x.service"), -1);
    unlink(path);
    snprintf(path, sizeof path, "%s/memory/x", root);
    assert_true(file_make_folders(path, &err));
    snprintf(path, sizeof path, "%s/memory/x/memory.oom_control", root);
    write_file(path, "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
    assert_int_equal(guard_cgroup_kills(root, "/x"), 5);
    assert_int_equal(guard_cgroup_kills(root, "/../x"), -1);
    assert_int_equal(guard_cgroup_kills(root, ""), -1);
    snprintf(path, sizeof path, "%s/memory/x/memory.oom_control", root);
    unlink(path);
    static const char *const folders[] = {"memory/x", "memory", "a.slice/x.service", "a.slice", ""};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        snprintf(path, sizeof path, "%s/%s", root, folders[i]);
        rmdir(path);
    }
}

/* A library on the disk beside the module that runs. */
static void test_mismatch(void **state)
{
    (void)state;
    static const struct {
        const char *module, *file;
        bool mismatch;
    } rows[] = {
        {"550.127.05\n", "libnvidia-ml.so.550.144", true},
        {"550.144\n", "libnvidia-ml.so.550.144", false},
        {NULL, "libnvidia-ml.so.550.144", false},
        {"550.144\n", NULL, false},
        {"550.144\n", "libnvidia-ml.so.1.real", false}, /* a name that tells nothing */
        {"nonsense\n", "libnvidia-ml.so.550.144", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *root = check_make_folder(), path[300], link[300], text[160];
        struct err err = ERR_INIT;
        snprintf(path, sizeof path, "%s/sys/module/nvidia", root);
        assert_true(file_make_folders(path, &err));
        snprintf(path, sizeof path, "%s/sys/module/nvidia/version", root);
        if (rows[i].module)
            write_file(path, rows[i].module);
        snprintf(path, sizeof path, "%s/usr/lib64", root);
        assert_true(file_make_folders(path, &err));
        if (rows[i].file) {
            snprintf(path, sizeof path, "%s/usr/lib64/%s", root, rows[i].file);
            write_file(path, "");
            snprintf(link, sizeof link, "%s/usr/lib64/libnvidia-ml.so.1", root);
            assert_int_equal(symlink(path, link), 0);
        }
        CHECK_ROW(i, rows[i].module ? rows[i].module : "none",
                  guard_memory_mismatch(root, text, sizeof text) == rows[i].mismatch);
        check_remove_folder(root);
    }
}

/* A driver that hangs is asked less and less often, one that fails at once is not. */
static void test_waits(void **state)
{
    (void)state;
    static const int seconds[] = {30, 60, 120, 240, 480, 960, 960};
    int64_t wait_ns = 0;
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        wait_ns = guard_memory_wait(wait_ns, 5 * NS_PER_S);
        CHECK_ROW(i, "hangs", wait_ns == seconds[i] * NS_PER_S);
    }
    assert_true(guard_memory_wait(wait_ns, NS_PER_MS) == 30 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_after_an_hour),
        cmocka_unit_test(test_noise_is_no_growth),
        cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_cgroup_counts),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
