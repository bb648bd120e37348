/* Limits that outlive guard: counted right, and read back only as they were written. */
#include "check.h"

#include "base/clock.h"
#include "base/file.h"
#include "guard/act_kept.h"

#include <sys/stat.h>

static const int64_t MINUTE_NS = 60 * NS_PER_S;

static const struct {
    const char *name;
    int ages_min[6]; /* of earlier restarts of stt, oldest first; 0 ends */
    int others;      /* restarts of llm, just now */
    struct spec_guard_limit limit;
    const char *why; /* part of it; NULL: it may */
} limits[] = {
    {"first", {0}, 0, {true, 2, 60 * NS_PER_S}, NULL},
    {"not allowed", {0}, 0, {false, 2, 0}, "not named"},
    {"back-off", {1}, 0, {true, 9, 120 * NS_PER_S}, "backs off for 60 s more"},
    {"back-off over", {3}, 0, {true, 9, 120 * NS_PER_S}, NULL},
    {"doubles", {20, 3}, 0, {true, 9, 120 * NS_PER_S}, "backs off for 60 s more"},
    {"doubled and over", {20, 5}, 0, {true, 9, 120 * NS_PER_S}, NULL},
    {"the hour is full", {50, 40}, 0, {true, 2, 0}, "2 in the last hour, at most 2"},
    {"it goes on after an hour", {61, 40}, 0, {true, 2, 0}, NULL},
    {"another service counts for the hour", {0}, 2, {true, 2, 0}, "2 in the last hour"},
    {"and not for the back-off", {0}, 1, {true, 9, 600 * NS_PER_S}, NULL},
    {"never longer than an hour", {50, 40, 30, 20, 10}, 0, {true, 9, 3600 * NS_PER_S}, "backs off"},
};

static void test_limits(void **state)
{
    (void)state;
    const int64_t now_ns = 1000 * MINUTE_NS, wall_us = INT64_C(1764000000000000);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct guard_kept kept = {.boot = "this"};
        char why[200] = "";
        for (size_t a = 0; a < 6 && limits[i].ages_min[a]; a++) {
            int64_t age_ns = limits[i].ages_min[a] * MINUTE_NS;
            guard_kept_add(&kept, ACTION_RESTART, "stt", now_ns - age_ns,
                           wall_us - age_ns / NS_PER_US);
        }
        for (int a = 0; a < limits[i].others; a++)
            guard_kept_add(&kept, ACTION_RESTART, "llm", now_ns, wall_us);
        guard_kept_add(&kept, ACTION_ROLLBACK, "stt", now_ns, wall_us);
        bool may = guard_kept_may(&kept, &limits[i].limit, ACTION_RESTART, "stt", now_ns, wall_us,
                                  why, sizeof why);
        CHECK_ROW(i, limits[i].name, may == !limits[i].why);
        CHECK_ROW(i, why, may || strstr(why, limits[i].why) != NULL);
    }
}

/* After a reboot only the wall clock is left: set back, an age is 0. */
static void test_another_boot(void **state)
{
    (void)state;
    const int64_t wall_us = INT64_C(1764000000000000);
    struct guard_kept kept = {.boot = "before"};
    struct guard_act *act = guard_kept_add(&kept, ACTION_RESTART, "stt", 7, wall_us);
    snprintf(kept.boot, sizeof kept.boot, "after");
    assert_int_equal(guard_act_age_ns(&kept, act, 5, wall_us + 1000000), NS_PER_S);
    assert_int_equal(guard_act_age_ns(&kept, act, 5, wall_us - 1000000), 0);
    assert_true(guard_act_age_ns(&kept, act, 5, wall_us + INT64_MAX / 1000) > 3600 * NS_PER_S);
}

static void test_room(void **state)
{
    (void)state;
    struct guard_kept kept = {.boot = "this"};
    for (int i = 0; i < GUARD_KEPT_MAX + 50; i++)
        guard_kept_add(&kept, ACTION_NOTIFY, "", i, i);
    assert_int_equal(kept.count, GUARD_KEPT_MAX);
    assert_int_equal(kept.acts[0].mono_ns, 50);
    guard_kept_add(&kept, ACTION_NOTIFY, "", 2 * 3600 * NS_PER_S, 0); /* all others are old */
    assert_int_equal(kept.count, 1);
}

static void test_round_trip(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *results = file_join(folder, "voice.spica");
    struct guard_kept kept, again;
    char said[240];
    struct err err = ERR_INIT;
    struct stat facts;
    assert_true(guard_kept_open(results, &kept, said, sizeof said, &err));
    assert_int_equal(kept.count, 0);
    guard_kept_add(&kept, ACTION_RESTART, "stt", 11, 22)->ended = true;
    guard_kept_add(&kept, ACTION_ROLLBACK, "", 33, 44);
    assert_true(guard_kept_write(&kept, &err));
    assert_int_equal(stat(kept.path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_true(guard_kept_open(results, &again, said, sizeof said, &err));
    assert_int_equal(again.count, 2);
    assert_true(again.acts[0].ended && !again.acts[1].ended);
    assert_string_equal(again.acts[0].service, "stt");
    assert_string_equal(again.acts[1].boot, kept.boot);
    assert_int_equal(again.acts[1].action, ACTION_ROLLBACK);
    assert_int_equal(again.acts[1].mono_ns, 33);
    assert_int_equal(again.acts[1].wall_us, 44);
    guard_kept_done(&kept);
    guard_kept_done(&again);
    check_remove_folder(folder);
}

#define ACT(action, ended)                                                                         \
    "{\"action\":" action ",\"service\":\"s\",\"ended\":" ended                                    \
    ",\"boot\":\"b\",\"mono_ns\":1,\"wall_us\":2}"
static const struct {
    const char *name, *text;
    bool good;
} texts[] = {
    {"good", "{\"version\":1,\"acts\":[" ACT("\"restart\"", "true") "]}", true},
    {"empty", "", false},
    {"cut", "{\"version\":1,\"acts\":[", false},
    {"another version", "{\"version\":2,\"acts\":[]}", false},
    {"no list", "{\"version\":1,\"acts\":{}}", false},
    {"an action that is none", "{\"version\":1,\"acts\":[" ACT("\"reboot\"", "true") "]}", false},
    {"ended?", "{\"version\":1,\"acts\":[" ACT("\"restart\"", "1") "]}", false},
    {"no object", "{\"version\":1,\"acts\":[3]}", false},
};

static void test_texts(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *results = file_join(folder, "voice.spica");
    AUTO(free) char *path = file_join(folder, "voice.spica.guard-acts.json");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct guard_kept kept;
        struct err err = ERR_INIT;
        assert_true(file_write_atomic(path, texts[i].text, strlen(texts[i].text), &err));
        char said[240];
        assert_true(guard_kept_open(results, &kept, said, sizeof said, &err));
        CHECK_ROW(i, texts[i].name, (said[0] == '\0') == texts[i].good);
        CHECK_ROW(i, said, texts[i].good || strstr(said, "voice.spica.guard-acts.json.bad"));
        CHECK_ROW(i, texts[i].name, kept.count == (texts[i].good ? 1 : 3));
        CHECK_ROW(i, texts[i].name, kept.acts[0].unknown != texts[i].good);
        guard_kept_done(&kept);
        assert_true(guard_kept_open(results, &kept, said, sizeof said, &err)); /* once is enough */
        CHECK_ROW(i, texts[i].name, said[0] == '\0' && kept.acts[0].unknown != texts[i].good);
        guard_kept_done(&kept);
    }
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits), cmocka_unit_test(test_another_boot),
        cmocka_unit_test(test_room),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
