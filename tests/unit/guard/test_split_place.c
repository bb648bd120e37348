/* A split's arms are asked for their place. A card whose list is the test's own. */
#include "listen.h"
#include "split_world.h"

#include "device/kind.h"
#include "guard/split_inside.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static enum device_listed listed;
static int asked;
static bool works; /* by its CPU time */

static void card_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    (void)device;
    asked++;
    *ret_usage = (struct device_usage){.root = root,
                                       .listed = listed,
                                       .cpu_ns = works ? asked * 2 * NS_PER_S : 0,
                                       .memory_bytes = reading_known(READING_FROM_NVML, 3e9)};
}

static const struct device_ops ops = {.kind = "gpu", .usage = card_usage};

struct arms {
    struct world world;
    struct spec_watch watch;
    struct spec_candidate candidate;
    struct device card;
    struct device *cards[1];
    pid_t children[2];
    struct guard_split *split;
};

static void arms_begin(struct arms *arms, enum spec_on on, int watched)
{
    *arms = (struct arms){.card = {.ops = &ops}};
    world_begin(&arms->world);
    struct split_sample *sample = &arms->world.sample;
    for (size_t i = 0; i < 2; i++) {
        sample->arms[i].port = 0;
        arms->children[i] = check_start_server(&sample->arms[i].port);
    }
    arms->watch.kind = watched >= 0 ? WATCH_PORT : WATCH_NOTHING;
    arms->watch.port = watched >= 0 ? sample->arms[watched].port : 0;
    sample->guard.watches = &arms->watch;
    sample->service.on = on;
    sample->service.device_knob = -1;
    sample->study.devices[0] = "gpu0";
    sample->study.device_count = 1;
    arms->cards[0] = &arms->card;
    arms->world.setup.candidate = &arms->candidate;
    arms->world.setup.devices = arms->cards;
    arms->split = open_split(&arms->world);
    listed = DEVICE_LISTED_YES;
    asked = 0;
    works = true;
}

static void arms_end(struct arms *arms)
{
    guard_split_free(arms->split);
    check_end_server(arms->children[0]);
    check_end_server(arms->children[1]);
    check_remove_folder(arms->world.folder);
}

static void steps(struct arms *arms, int seconds)
{
    for (int s = 0; s < seconds; s++)
        step(&arms->world, arms->split);
}

/* Expected: an arm that is not on the card is named within ten seconds, without any request; who is
 * on it, who can't be known, who must not be there and who is watched already is not. Before: no
 * arm was asked. */
static void test_an_arm_on_the_cpu_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum spec_on on;
        int watched;
        enum device_listed now;
        const char *names[2]; /* NULL: not named */
    } rows[] = {
        {"on the card", ON_GPU, -1, DEVICE_LISTED_YES, {NULL, NULL}},
        {"not told", ON_GPU, -1, DEVICE_LISTED_UNKNOWN, {NULL, NULL}},
        {"on the CPU, both", ON_GPU, -1, DEVICE_LISTED_NO, {"now must be", "next must be"}},
        {"on the CPU, the first is watched", ON_GPU, 0, DEVICE_LISTED_NO, {NULL, "next must be"}},
        {"must be on the CPU", ON_CPU, -1, DEVICE_LISTED_NO, {NULL, NULL}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arms arms;
        arms_begin(&arms, rows[i].on, rows[i].watched);
        steps(&arms, 20);
        const int told = arms.world.told;
        listed = rows[i].now;
        steps(&arms, 10);
        const bool named = rows[i].names[0] || rows[i].names[1];
        CHECK_ROW(i, arms.world.last, arms.world.told == told + named);
        CHECK_ROW(i, rows[i].name, !named || arms.world.kind == EVENT_ARM_DOUBT);
        for (size_t a = 0; a < 2; a++)
            CHECK_ROW(i, arms.world.last,
                      !named ||
                          (rows[i].names[a] != NULL) ==
                              (strstr(arms.world.last, a ? "next must" : "now must") != NULL));
        CHECK_ROW(i, rows[i].name, asked <= 2 * 16); /* every two seconds, not each step */
        struct guard_status_split status;
        guard_split_status(arms.split, &status);
        CHECK_ROW(i, rows[i].name, status.arms[1].weight == 50); /* nothing is decided by it */
        for (size_t a = 0; a < 2; a++) {
            const struct guard_status_arm *arm = &status.arms[a];
            const bool asked_of = rows[i].watched != (int)a;
            const char *word = rows[i].now == DEVICE_LISTED_NO ? "cpu" : "unproven";
            CHECK_ROW(i, rows[i].name, !asked_of == isnan(arm->memory_bytes));
            CHECK_ROW(i, rows[i].name, !arm->over);
            CHECK_ROW(i, rows[i].name, (asked_of && rows[i].on == ON_GPU) == !!arm->placement);
            CHECK_ROW(i, rows[i].name, !arm->placement || strcmp(arm->placement, word) == 0);
        }
        arms_end(&arms);
    }
}

/* It is named once, and once that it is there again; another process has to be seen there. */
static void test_it_is_there_again(void **state)
{
    (void)state;
    struct arms arms;
    arms_begin(&arms, ON_GPU, 0);
    listed = DEVICE_LISTED_NO;
    steps(&arms, 10);
    assert_int_equal(arms.world.kind, EVENT_ARM_DOUBT);
    const int told = arms.world.told;
    steps(&arms, 60);
    assert_int_equal(arms.world.told, told);
    check_end_server(arms.children[1]); /* restarted between two looks */
    arms.children[1] = check_start_server(&arms.world.sample.arms[1].port);
    steps(&arms, 60);
    assert_int_equal(arms.world.told, told);
    listed = DEVICE_LISTED_YES;
    steps(&arms, 10);
    assert_int_equal(arms.world.told, told + 1);
    assert_int_equal(arms.world.kind, EVENT_ARM_SOUND);
    /* The driver goes, and comes back. */
    arms.cards[0] = NULL;
    listed = DEVICE_LISTED_NO;
    steps(&arms, 60);
    assert_int_equal(arms.world.told, told + 1);
    arms.cards[0] = &arms.card;
    steps(&arms, 10);
    assert_int_equal(arms.world.told, told + 2);
    check_end_server(arms.children[1]);
    steps(&arms, 10);
    assert_int_equal(arms.world.kind, EVENT_ARM_SOUND); /* it is down, and that is HAProxy's word */
    arms.children[1] = check_start_server(&arms.world.sample.arms[1].port);
    arms_end(&arms);
}

/* Before: the split was opened anew, and knew nothing of the alarm that it had begun. */
static void test_another_setting_is_followed(void **state)
{
    (void)state;
    struct arms arms;
    arms_begin(&arms, ON_GPU, 0);
    feed(&arms.world, arms.split, 400, 1);
    listed = DEVICE_LISTED_NO;
    steps(&arms, 10);
    assert_int_equal(arms.world.kind, EVENT_ARM_DOUBT);
    const int told = arms.world.told;
    guard_split_follow(arms.split);
    steps(&arms, 20);
    assert_int_equal(arms.world.told, told);
    guard_split_follow(arms.split);
    listed = DEVICE_LISTED_YES;
    steps(&arms, 10);
    assert_int_equal(arms.world.told, told + 1);
    assert_int_equal(arms.world.kind, EVENT_ARM_SOUND);
    struct guard_split_kept kept = on_disk(&arms.world);
    assert_true(kept.arms[0].requests + kept.arms[1].requests == 400);
    guard_split_kept_done(&kept);
    arms_end(&arms);
}

static void order(struct arms *arms, enum guard_split_order what, const char *why)
{
    struct guard_split_kept kept = on_disk(&arms->world);
    struct err err = ERR_INIT;
    const struct spec_split *split = &arms->world.sample.front.split;
    AUTO(free) char *path = guard_split_path(arms->world.folder, &arms->world.sample.study, 0);
    assert_true(guard_split_order(&kept, split, what, true, why, 7, &err));
    assert_true(guard_split_kept_write(path, split, &kept, &err));
    guard_split_kept_done(&kept);
}

/* Before: "arm in doubt", a page, for as long as an arm that was stopped or aborted ran on. */
static void test_an_arm_that_gets_nothing(void **state)
{
    static const struct {
        enum guard_split_order what;
        bool before; /* it was there, and in doubt, before that */
    } rows[] = {{SPLIT_ABORT, false}, {SPLIT_STOP, false}, {SPLIT_ABORT, true}, {SPLIT_STOP, true}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arms arms;
        arms_begin(&arms, ON_GPU, 0);
        listed = rows[i].before ? DEVICE_LISTED_NO : DEVICE_LISTED_YES;
        steps(&arms, 20);
        CHECK_ROW(i, arms.world.last, !rows[i].before || arms.world.kind == EVENT_ARM_DOUBT);
        order(&arms, rows[i].what, "anna");
        arms.world.doubts = 0;
        listed = DEVICE_LISTED_NO;
        steps(&arms, 30);
        CHECK_ROW(i, arms.world.last, arms.world.doubts == 0);
        struct guard_status_split status;
        guard_split_status(arms.split, &status);
        CHECK_ROW(i, arms.world.last, status.arms[1].over && !status.arms[0].over);
        CHECK_ROW(i, arms.world.last,
                  strstr(arms.world.last, rows[i].before
                                              ? "nothing speaks against who gets requests"
                                              : "next, which gets no requests, is on the "
                                                "CPU: ") != NULL);
        const int told = arms.world.told;
        steps(&arms, 60);
        CHECK_ROW(i, arms.world.last, arms.world.told == told);
        arms_end(&arms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_arm_on_the_cpu_is_named),
        cmocka_unit_test(test_it_is_there_again),
        cmocka_unit_test(test_another_setting_is_followed),
        cmocka_unit_test(test_an_arm_that_gets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
