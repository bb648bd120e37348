/* Recordings: whole lines, a bound that holds, a disk that fills up. */
#include "guard/record.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"

#include "check.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct guard_metric_ref refs[] = {
    {.metric = GUARD_UP, .quantile = NAN, .name = "stt.up"},
    {.metric = GUARD_DISK_FREE, .quantile = NAN, .name = "guard.disk.free"},
};
static const struct guard_value values[] = {{.number = 1}, {.number = 12345}};

static struct guard_tick tick_at(int64_t s)
{
    return (struct guard_tick){
        .wall_us = 1700000000000000 + s * 1000000, .mono_ns = s * NS_PER_S, .values = values};
}

static int64_t size_of(const char *path)
{
    struct stat stat_;
    return stat(path, &stat_) == 0 ? stat_.st_size : 0;
}

/* Lines of the file, each of which must be whole. */
static size_t count_lines(const char *path)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    size_t count = 0;
    if (!buf_read_file(&text, path, &err))
        return 0;
    for (const char *at = buf_text(&text); *at; count++) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        assert_true(at[0] == '{' && end[-1] == '}');
        at = end + 1;
    }
    return count;
}

static void test_the_bound_holds(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char study[256], path[300], old[304];
    struct err err = ERR_INIT;
    struct guard_events events = {0};
    struct guard_record *record = NULL;
    snprintf(study, sizeof study, "%s/x.spica", folder);
    snprintf(path, sizeof path, "%s.guard.jsonl", study);
    snprintf(old, sizeof old, "%s.1", path);
    assert_true(guard_record_open(study, 4000, &record, &err));
    for (int s = 0; s < 500; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
        assert_true(size_of(path) + size_of(old) <= 4000);
    }
    guard_record_close(record);
    assert_true(count_lines(path) > 5 && count_lines(old) > 5);
    assert_int_equal(events.count, 0);
    /* Goes on behind what is there, and says where it began. */
    int64_t before = size_of(path);
    assert_true(guard_record_open(study, 4000, &record, &err));
    guard_record_close(record);
    assert_true(size_of(path) == before + (int64_t)sizeof GUARD_TICK_BEGINS || size_of(path) < 100);
    assert_true(guard_record_open(study, 0, &record, &err) && !record);
    assert_true(guard_record_free_bytes(study) > 0);
    check_remove_folder(folder);
}

/* The largest size of a file stands for a full disk: write() fails, or is cut short. */
static void test_a_full_disk_is_said_once(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char study[256], path[300];
    struct err err = ERR_INIT;
    struct guard_events events = {0};
    struct guard_record *record = NULL;
    struct rlimit before, small;
    snprintf(study, sizeof study, "%s/x.spica", folder);
    snprintf(path, sizeof path, "%s.guard.jsonl", study);
    assert_true(guard_record_open(study, 1 << 20, &record, &err));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 500;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int s = 0; s < 60; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(events.count, 1);
    assert_int_equal(events.items[0].kind, EVENT_DISK_FULL);
    size_t lines = count_lines(path); /* and none is cut */
    for (int s = 60; s < 75; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
    }
    assert_int_equal(events.count, 2);
    assert_int_equal(events.items[1].kind, EVENT_DISK_WRITES);
    assert_true(count_lines(path) > lines);
    guard_record_close(record);
    check_remove_folder(folder);
}

/* What is needed to read the ticks stands in both files, and the bound holds. */
static void test_each_file_has_its_head(void **state)
{
    (void)state;
    static const char head[] = "{\"fronts\":{\"stt\":{}}}";
    char *folder = check_make_folder();
    char study[256], paths[2][400];
    struct err err = ERR_INIT;
    struct guard_events events = {0};
    struct guard_record *record = NULL;
    snprintf(study, sizeof study, "%s/x.spica", folder);
    snprintf(paths[0], 300, "%s.guard.jsonl", study);
    snprintf(paths[1], sizeof paths[1], "%s.guard.jsonl.1", study);
    assert_true(guard_record_open(study, 4000, &record, &err));
    guard_record_set_head(record, head);
    for (int s = 0; s < 300; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
        assert_true(size_of(paths[0]) + size_of(paths[1]) <= 4000);
        AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
        assert_true(buf_read_file(&text, paths[0], &err));
        const char *at = s == 0 ? strchr(buf_text(&text), '\n') + 1 : buf_text(&text);
        if (s == 0 || size_of(paths[1]) > 0)
            CHECK_ROW(s, "its head", strncmp(at, head, sizeof head - 1) == 0);
        if (size_of(paths[1]) > 0) /* and once */
            CHECK_ROW(s, "once", !strstr(at + 1, head));
    }
    assert_true(size_of(paths[1]) > 0);
    guard_record_close(record);
    check_remove_folder(folder);
}

/* A link that somebody put there is not followed. */
static void test_a_link_is_refused(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char study[256], path[300];
    struct err err = ERR_INIT;
    struct guard_record *record = NULL;
    snprintf(study, sizeof study, "%s/x.spica", folder);
    snprintf(path, sizeof path, "%s.guard.jsonl", study);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_false(guard_record_open(study, 4000, &record, &err));
    assert_non_null(strstr(err.text, "x.spica.guard.jsonl"));
    check_remove_folder(folder);
}

/* Before: whatever kept a line from being written was called a full disk. */
static void test_another_failure_has_its_own_name(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char study[256], path[300], old[304];
    struct err err = ERR_INIT;
    struct guard_events events = {0};
    struct guard_record *record = NULL;
    snprintf(study, sizeof study, "%s/x.spica", folder);
    snprintf(path, sizeof path, "%s.guard.jsonl", study);
    snprintf(old, sizeof old, "%s.1", path);
    assert_int_equal(mkdir(old, 0700), 0); /* a file can't be renamed over a folder */
    assert_true(guard_record_open(study, 600, &record, &err));
    for (int s = 0; s < 60; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
    }
    assert_int_equal(events.count, 1);
    assert_int_equal(events.items[0].kind, EVENT_NO_RECORD);
    assert_non_null(strstr(events.items[0].text, "directory"));
    assert_int_equal(rmdir(old), 0);
    for (int s = 60; s < 75; s++) {
        struct guard_tick tick = tick_at(s);
        guard_record_add(record, &tick, refs, ARRAY_LEN(refs), &events);
    }
    assert_int_equal(events.items[1].kind, EVENT_DISK_WRITES);
    guard_record_close(record);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_bound_holds),
        cmocka_unit_test(test_each_file_has_its_head),
        cmocka_unit_test(test_a_full_disk_is_said_once),
        cmocka_unit_test(test_another_failure_has_its_own_name),
        cmocka_unit_test(test_a_link_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
