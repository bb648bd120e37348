/* A split in the daemon, fed with logged requests: harm stops it, equal arms do not, what was known
 * survives a kill, and what `spica split` decides is followed. No HAProxy here: weights are only
 * counted. */
#include "split_world.h"

#include <sys/stat.h>

static void test_harm_stops_the_second_arm(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 4000, 2);
    struct guard_split_kept kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_STOPPED);
    assert_int_equal(kept.arms[0].weight, 100);
    assert_int_equal(kept.arms[1].weight, 0);
    assert_int_equal(world.told, 1);
    assert_non_null(strstr(world.last, "stopped, all to now: harm: next is slower"));
    guard_split_kept_done(&kept);
    struct guard_status_split status;
    guard_split_status(split, &status);
    assert_string_equal(status.verdict, "harm");
    assert_int_equal(status.arms[1].weight, 0);
    guard_split_free(split);
    check_remove_folder(world.folder);
}

static void test_equal_arms_go_on_and_are_found_fine(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 12000, 1);
    guard_split_free(split);
    struct guard_split_kept kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_RUNNING);
    assert_int_equal(kept.arms[1].weight, 50);
    assert_true(kept.sums.no_harm);
    assert_int_equal(kept.arms[1].requests, 6000);
    assert_int_equal(world.told, 1);
    assert_non_null(strstr(world.last, "no harm: next is not slower"));
    guard_split_kept_done(&kept);
    check_remove_folder(world.folder);
}

static void test_a_dry_run_only_says(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    world.setup.dry_run = true;
    struct guard_split *split = open_split(&world);
    feed(&world, split, 4000, 2);
    guard_split_free(split);
    struct guard_split_kept kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_RUNNING);
    assert_int_equal(kept.arms[1].weight, 50);
    assert_int_equal(world.told, 1);
    assert_non_null(strstr(world.last, "would be stopped"));
    guard_split_kept_done(&kept);
    check_remove_folder(world.folder);
}

static void test_what_was_known_survives_a_kill(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct guard_split *killed = open_split(&world);
    feed(&world, killed, 1000, 1);
    step(&world, killed);
    struct guard_split_kept before = on_disk(&world);
    assert_true(before.arms[0].requests >= 400);
    struct guard_split *split = open_split(&world); /* the first one never says another word */
    struct guard_status_split status;
    guard_split_status(split, &status);
    assert_int_equal(status.arms[0].requests, before.arms[0].requests);
    feed(&world, split, 11000, 1);
    guard_split_free(split);
    struct guard_split_kept after = on_disk(&world);
    assert_true(after.sums.blocks > before.sums.blocks);
    assert_true(after.sums.no_harm);
    guard_split_kept_done(&before);
    guard_split_kept_done(&after);
    guard_split_free(
        killed); /* what it still held is older than the file, which keeps its counts */
    check_remove_folder(world.folder);
}

static void test_another_programs_decision_is_followed(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 400, 1);
    struct guard_split_kept kept = on_disk(&world);
    AUTO(free) char *path = guard_split_path(world.folder, &world.sample.study, 0);
    struct err err = ERR_INIT;
    assert_true(guard_split_order(&kept, &world.sample.front.split, SPLIT_ABORT, false,
                                  "asked for by anna", 7, &err));
    assert_true(guard_split_kept_write(path, &world.sample.front.split, &kept, &err));
    guard_split_kept_done(&kept);
    feed(&world, split, 400, 1);
    assert_int_equal(world.told, 1);
    assert_non_null(strstr(world.last, "asked for by anna"));
    guard_split_free(split);
    kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_ABORTED);
    assert_int_equal(kept.arms[1].weight, 0);
    guard_split_kept_done(&kept);
    check_remove_folder(world.folder);
}

static void test_what_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t front;
        int server;
        enum proxy_end end;
        bool pinned, missed;
        uint64_t requests, errors;
        int assigned; /* where it was missed */
    } rows[] = {
        {"answered", 0, 1, PROXY_OK, false, false, 1, 0, 0},
        {"of another front", 1, 1, PROXY_OK, false, false, 0, 0, 0},
        {"no server took it", 0, -1, PROXY_UNSERVED, false, false, 0, 0, 0},
        {"no such server", 0, 3, PROXY_OK, false, false, 0, 0, 0},
        {"pinned", 0, 1, PROXY_OK, true, false, 0, 0, 0},
        {"server's error", 0, 1, PROXY_SERVER_ERROR, false, false, 1, 1, 0},
        {"cut", 0, 1, PROXY_CUT, false, false, 1, 1, 0},
        {"refused", 0, 1, PROXY_REFUSED, false, false, 1, 0, 0},
        {"client left", 0, 1, PROXY_CLIENT, false, false, 0, 0, 0},
        {"stood in for", 0, 0, PROXY_OK, false, true, 1, 1, 1},
        {"stood in for, refused", 0, 0, PROXY_REFUSED, false, true, 1, 1, 1},
        {"stood in for, client left", 0, 0, PROXY_CLIENT, false, true, 0, 0, 1},
        {"its own queue's limit", 0, -1, PROXY_UNSERVED, false, true, 1, 1, 1},
        {"stands in", 0, 1, PROXY_OK, false, true, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_begin(&world);
        struct guard_split *split = open_split(&world);
        const struct proxy_request request = {.front = rows[i].front,
                                              .server = rows[i].server,
                                              .end = rows[i].end,
                                              .pinned = rows[i].pinned,
                                              .missed = rows[i].missed,
                                              .assigned = rows[i].assigned,
                                              .total_s = 0.5};
        guard_split_add(split, &request);
        struct guard_status_split status;
        guard_split_status(split, &status);
        CHECK_ROW(i, rows[i].name, status.arms[1].requests == rows[i].requests);
        CHECK_ROW(i, rows[i].name, status.arms[1].errors == rows[i].errors);
        guard_split_free(split);
        check_remove_folder(world.folder);
    }
}

/* A guard that can't read what was known does not end: the second arm gets nothing, since it may
 * have been stopped, and nobody is judged until a person says how it goes on. */
static void test_a_damaged_file_is_set_aside(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{\"format\":\"spica split\"", "[1]"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct world world;
        struct err err = ERR_INIT;
        struct guard_status_split status;
        world_begin(&world);
        AUTO(free) char *path = guard_split_path(world.folder, &world.sample.study, 0);
        char bad[512];
        snprintf(bad, sizeof bad, "%s.bad", path);
        assert_true(file_write_atomic(path, texts[i], strlen(texts[i]), &err));
        struct guard_split *split = open_split(&world);
        feed(&world, split, 4000, 2);
        CHECK_ROW(i, texts[i], file_exists(bad));
        CHECK_ROW(i, texts[i], world.told == 1 && strstr(world.last, "split not judged: "));
        guard_split_status(split, &status);
        CHECK_ROW(i, texts[i], strstr(status.text, "not judged: ") == status.text);
        CHECK_ROW(i, texts[i], status.arms[1].weight == 0 && status.arms[1].requests == 2000);
        guard_split_free(split);
        split = open_split(&world); /* the next guard knows it still */
        struct guard_split_kept kept = on_disk(&world);
        CHECK_ROW(i, texts[i], kept.state == SPLIT_UNJUDGED);
        assert_true(guard_split_order(&kept, &world.sample.front.split, SPLIT_ADVANCE, true, "anna",
                                      7, &err));
        CHECK_ROW(i, texts[i], kept.state == SPLIT_RUNNING && kept.arms[1].weight == 10);
        guard_split_kept_done(&kept);
        guard_split_free(split);
        check_remove_folder(world.folder);
    }
}

/* Damaged while guard runs: it has all in memory. */
static void test_a_file_damaged_under_way_is_written_anew(void **state)
{
    (void)state;
    struct world world;
    struct err err = ERR_INIT;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 400, 1);
    AUTO(free) char *path = guard_split_path(world.folder, &world.sample.study, 0);
    assert_true(file_write_atomic(path, "{", 1, &err));
    feed(&world, split, 400, 1);
    guard_split_free(split);
    struct guard_split_kept kept = on_disk(&world);
    assert_int_equal(kept.state, SPLIT_RUNNING);
    assert_int_equal(kept.arms[0].requests, 400);
    guard_split_kept_done(&kept);
    check_remove_folder(world.folder);
}

/* Each write is a file and an fsync. */
static void test_nothing_new_is_not_written(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 400, 1);
    for (int i = 0; i < 10; i++)
        step(&world, split);
    AUTO(free) char *path = guard_split_path(world.folder, &world.sample.study, 0);
    struct stat before, after;
    assert_int_equal(stat(path, &before), 0);
    for (int i = 0; i < 20; i++)
        step(&world, split);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    assert_int_equal(unlink(path), 0); /* but one that is gone is */
    for (int i = 0; i < 6; i++)
        step(&world, split);
    assert_int_equal(stat(path, &after), 0);
    guard_split_free(split);
    check_remove_folder(world.folder);
}

/* The first arm stands in for it: the clients notice nothing, the split does. */
static void test_a_dead_arm_is_harm(void **state)
{
    (void)state;
    struct world world;
    struct guard_status_split status;
    world_begin(&world);
    struct guard_split *split = open_split(&world);
    feed(&world, split, 200, 1);
    for (int i = 0; i < 1000; i++) {
        const struct proxy_request request = {
            .missed = i % 2, .assigned = i % 2, .end = PROXY_OK, .status = 200, .total_s = 0.1};
        guard_split_add(split, &request);
        if (i % 40 == 39)
            step(&world, split);
    }
    guard_split_status(split, &status);
    assert_string_equal(status.verdict, "harm");
    assert_int_equal(status.arms[1].weight, 0);
    assert_non_null(strstr(world.last, "harm: next fails more often than now"));
    assert_int_equal(status.arms[0].requests, 600);
    guard_split_free(split);
    check_remove_folder(world.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harm_stops_the_second_arm),
        cmocka_unit_test(test_equal_arms_go_on_and_are_found_fine),
        cmocka_unit_test(test_a_dry_run_only_says),
        cmocka_unit_test(test_what_was_known_survives_a_kill),
        cmocka_unit_test(test_another_programs_decision_is_followed),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_a_dead_arm_is_harm),
        cmocka_unit_test(test_a_damaged_file_is_set_aside),
        cmocka_unit_test(test_a_file_damaged_under_way_is_written_anew),
        cmocka_unit_test(test_nothing_new_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
