/* Which setting runs in production, and how much each can take, as the study's trials found it. */
#include "check.h"
#include "held.h"

#include "guard/watch_candidate.h"

#include "base/clock.h"
#include "base/file.h"
#include "promote/apply.h"
#include "promote/audit.h"
#include "store/read.h"
#include "store/store.h"
#include "study/study.h"

#include <math.h>

static struct spec_value models[] = {{.label = "base"}, {.label = "tiny"}};
static struct spec_value threads[] = {{.label = "1"}, {.label = "2"}};
static struct spec_knob knobs[] = {
    {.name = "model", .full_name = "stt.model", .service = 0, .values = models, .value_count = 2},
    {.name = "threads",
     .full_name = "llm.threads",
     .service = 1,
     .values = threads,
     .value_count = 2},
};
static struct spec_service services[] = {{.name = "stt", .device_knob = -1},
                                         {.name = "llm", .device_knob = -1}};
static struct spec_study study = {
    .services = services, .service_count = 2, .knobs = knobs, .knob_count = 2};

#define BASE1 "stt.model=base llm.threads=1"
#define BASE2 "stt.model=base llm.threads=2"
#define TINY2 "stt.model=tiny llm.threads=2"
#define RATE "rate", "latency", true, "found"
#define ALONE "rate", "latency", false, "found"
#define CLIENTS "concurrency", "latency", true, "found"

/* Before: the last trial of that setting, whatever it was. */
static void test_the_least_of_the_good(void **state)
{
    (void)state;
    const struct store_capacity found[] = {
        {"stt", RATE, 20, 40},                                   /* 0 */
        {"stt", RATE, 12, 14},                                   /* 1 */
        {"stt", RATE, 30, 40},                                   /* 2 */
        {"stt", CLIENTS, 3, 4},                                  /* 3 */
        {"stt", ALONE, 5, 6},                                    /* 4 */
        {"stt", "rate", "latency", true, "least", NAN, 1},       /* 5 */
        {"stt", "rate", "latency", true, "disturbed", NAN, NAN}, /* 6 */
        {"llm", RATE, 1, 2},                                     /* 7 */
    };
    static const struct {
        const char *name;
        struct {
            const char *candidate, *verdict;
            int found;
        } trials[4];
        const char *wanted;
        bool others_too;
        double top;
        bool rate;
    } rows[] = {
        {"none", {{BASE2, "ok", 0}}, BASE1, true, NAN, false},
        {"of any neighbours", {{BASE2, "ok", 0}}, BASE1, false, 20, true},
        {"the least",
         {{BASE1, "ok", 0}, {BASE1, "ok", 1}, {BASE1, "ok", 2}},
         BASE1,
         true,
         12,
         true},
        {"slow is measured", {{BASE1, "ok", 2}, {BASE1, "slow", 0}}, BASE1, true, 20, true},
        {"a bad one", {{BASE1, "ok", 2}, {BASE1, "contended", 1}}, BASE1, true, 30, true},
        {"another's model", {{BASE2, "ok", 2}, {TINY2, "ok", 1}}, BASE2, true, 30, true},
        {"a rate before clients", {{BASE1, "ok", 2}, {BASE1, "ok", 3}}, BASE1, true, 30, true},
        {"clients alone", {{BASE1, "ok", 3}}, BASE1, true, 3, false},
        {"beside before alone", {{BASE1, "ok", 4}, {BASE1, "ok", 3}}, BASE1, true, 3, false},
        {"not even the smallest", {{BASE1, "ok", 5}, {BASE1, "ok", 2}}, BASE1, true, 0, true},
        {"disturbed", {{BASE1, "ok", 6}, {BASE1, "ok", 2}}, BASE1, true, 30, true},
        {"disturbed alone", {{BASE1, "ok", 6}}, BASE1, true, NAN, false},
        {"another service's", {{BASE1, "ok", 7}}, BASE1, true, NAN, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct store_trial trials[4] = {{0}};
        struct spec_candidate wanted;
        size_t count = 0;
        for (; count < 4 && rows[i].trials[count].candidate; count++)
            trials[count] = (struct store_trial){.candidate = rows[i].trials[count].candidate,
                                                 .verdict = rows[i].trials[count].verdict,
                                                 .capacities = &found[rows[i].trials[count].found],
                                                 .capacity_count = 1};
        assert_true(spec_candidate_parse(&study, rows[i].wanted, &wanted, NULL));
        const struct guard_capacity least =
            guard_capacity_least(&study, 0, &wanted, rows[i].others_too, trials, count);
        CHECK_ROW(i, rows[i].name,
                  isnan(rows[i].top) ? isnan(least.top) : least.top == rows[i].top);
        CHECK_ROW(i, rows[i].name, isnan(rows[i].top) || least.rate == rows[i].rate);
    }
}

/* ---- which one runs ---- */

static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = check_make_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    check_remove_folder(folder);
    return 0;
}

static const char *results_of(const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static void decide(const char *results, const char *winner)
{
    struct err err = ERR_INIT;
    char text[200];
    AUTO(free) char *path = study_store_path(results);
    AUTO(store_close) struct store *store = NULL;
    assert_true(file_make_folders(results, &err));
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    if (!winner) {
        assert_true(store_decision_withdraw(store, &err));
        return;
    }
    snprintf(text, sizeof text, "{\"winner\": \"%s\"}", winner);
    assert_true(store_decision_put(store, text, &err));
}

static void journal(const char *results, enum promote_state state, const char *id,
                    const char *winner)
{
    struct err err = ERR_INIT;
    struct promote_plan plan = {.winner_text = winner, .run_folder = "/"};
    struct promote_journal written = {
        .state = state, .user = "root, by prompt", .since_wall_us = 1, .plan = &plan};
    AUTO(free) char *path = promote_journal_path(results);
    snprintf(written.plan_id, sizeof written.plan_id, "%s", id);
    assert_true(promote_journal_write(path, &written, &err));
}

static void record(const char *results, enum promote_outcome outcome, const char *id,
                   const char *winner)
{
    struct err err = ERR_INIT;
    struct promote_plan plan = {.winner_text = winner};
    const struct promote_result result = {
        .outcome = outcome, .downtime_s = NAN, .rollback_after_s = NAN};
    snprintf(plan.id, sizeof plan.id, "%s", id);
    assert_true(promote_audit_add(results, &plan, NULL, &result, "root", &err));
}

#define ID_A "aaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbb"
#define ID_C "cccccccccccccccc"
#define NOTHING PROMOTE_STATE_COUNT_ /* no journal */

static const int baseline[] = {1, 0}; /* tiny, 1 */
#define BASELINE "stt.model=tiny llm.threads=1"
#define WINNER TINY2

struct recorded {
    enum promote_outcome outcome;
    const char *id, *winner;
};

/* Before: any journal that was not "done" was passed over, and the winner taken, which is just what
 * was undone. */
static const struct {
    const char *name;
    struct recorded records[5];
    enum promote_state state;
    const char *id, *promoted;
    const char *decided; /* NULL: nothing */
    bool without_baseline;
    const char *expected, *from;
    bool under_way;
} runs[] = {
    {"nothing is known", {{0}}, NOTHING, NULL, NULL, NULL, false, BASELINE, "baseline", false},
    {"nor a baseline", {{0}}, NOTHING, NULL, NULL, NULL, true, BASE1, "first candidate", false},
    {"none promoted", {{0}}, NOTHING, NULL, NULL, WINNER, false, WINNER, "winner", false},
    {"promoted",
     {{PROMOTE_PROMOTED, ID_A, BASE2}},
     PROMOTE_DONE,
     ID_A,
     BASE2,
     WINNER,
     false,
     BASE2,
     "what was promoted",
     false},
    {"promoted, no record",
     {{0}},
     PROMOTE_DONE,
     ID_A,
     BASE2,
     WINNER,
     false,
     BASE2,
     "what was",
     false},
    {"rolled back",
     {{PROMOTE_PROMOTED, ID_A, WINNER}, {PROMOTE_ROLLED_BACK, ID_A, WINNER}},
     PROMOTE_UNDONE,
     ID_A,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     false},
    {"rolled back, no record",
     {{0}},
     PROMOTE_UNDONE,
     ID_A,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     false},
    {"rolled back, no baseline",
     {{0}},
     PROMOTE_UNDONE,
     ID_A,
     BASE1,
     BASE1,
     true,
     BASE2,
     "first candidate",
     false},
    {"rolled back to what was promoted before",
     {{PROMOTE_PROMOTED, ID_A, BASE2},
      {PROMOTE_PROMOTED, ID_B, WINNER},
      {PROMOTE_ROLLED_BACK, ID_B, WINNER}},
     PROMOTE_UNDONE,
     ID_B,
     WINNER,
     WINNER,
     false,
     BASE2,
     "promoted before",
     false},
    {"one that failed by itself takes no other along",
     {{PROMOTE_PROMOTED, ID_A, BASE2}, {PROMOTE_ROLLED_BACK, ID_B, WINNER}},
     PROMOTE_UNDONE,
     ID_B,
     WINNER,
     WINNER,
     false,
     BASE2,
     "promoted before",
     false},
    {"what was rolled back before is not what ran",
     {{PROMOTE_PROMOTED, ID_A, BASE2},
      {PROMOTE_ROLLED_BACK, ID_A, BASE2},
      {PROMOTE_PROMOTED, ID_B, WINNER},
      {PROMOTE_ROLLED_BACK, ID_B, WINNER}},
     PROMOTE_UNDONE,
     ID_B,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     false},
    {"an undoing that went only so far",
     {{PROMOTE_PROMOTED, ID_A, WINNER}, {PROMOTE_ROLLBACK_INCOMPLETE, ID_A, WINNER}},
     PROMOTE_UNDO_FAILED,
     ID_A,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     false},
    {"interrupted",
     {{0}},
     PROMOTE_APPLYING,
     ID_A,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     true},
    {"interrupted, another before",
     {{PROMOTE_PROMOTED, ID_A, BASE2}},
     PROMOTE_APPLYING,
     ID_B,
     WINNER,
     WINNER,
     false,
     BASE2,
     "promoted before",
     true},
    {"is being verified",
     {{0}},
     PROMOTE_VERIFYING,
     ID_A,
     WINNER,
     NULL,
     false,
     WINNER,
     "what was",
     false},
    {"is being undone",
     {{PROMOTE_PROMOTED, ID_A, WINNER}},
     PROMOTE_UNDOING,
     ID_A,
     WINNER,
     WINNER,
     false,
     BASELINE,
     "baseline",
     true},
};

static void check_runs(size_t i, const struct guard_candidate *found)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    spec_candidate_add_text(&text, &study, &found->candidate);
    CHECK_ROW(i, buf_text(&text), strcmp(buf_text(&text), runs[i].expected) == 0);
    CHECK_ROW(i, found->from, strstr(found->from, runs[i].from));
    CHECK_ROW(i, runs[i].name, found->under_way == runs[i].under_way);
    CHECK_ROW(i, runs[i].name, !found->journal_unread && !found->store_unread);
}

static void test_what_runs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        char name[32], results[4096];
        struct guard_candidate found;
        snprintf(name, sizeof name, "%zu.spica", i);
        results_of(name, results, sizeof results);
        study.baseline = runs[i].without_baseline ? NULL : (int *)baseline;
        if (runs[i].decided)
            decide(results, runs[i].decided);
        for (const struct recorded *r = runs[i].records; r->id; r++)
            record(results, r->outcome, r->id, r->winner);
        if (runs[i].state != NOTHING)
            journal(results, runs[i].state, runs[i].id, runs[i].promoted);
        guard_candidate_find(&study, results, &found);
        check_runs(i, &found);
    }
    study.baseline = NULL;
}

/* ---- while guard runs ---- */

struct running {
    struct guard_candidate_look look;
    struct guard_candidate found;
    int64_t now_ns;
    char results[4096];
};

static void check_step(struct running *running, unsigned news, const char *expected)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    running->now_ns += 10 * NS_PER_S;
    assert_int_equal(guard_candidate_step(&running->look, &study, running->results, running->now_ns,
                                          &running->found),
                     news);
    spec_candidate_add_text(&text, &study, &running->found.candidate);
    assert_string_equal(buf_text(&text), expected);
}

/* Before: it was found once, when guard began. */
static void test_what_runs_changes(void **state)
{
    (void)state;
    struct running running = {.now_ns = 1};
    results_of("r.spica", running.results, sizeof running.results);
    study.baseline = (int *)baseline;
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, BASELINE);
    check_step(&running, 0, BASELINE);
    decide(running.results, WINNER);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, WINNER);
    check_step(&running, 0, WINNER);
    /* Half of a promotion is nothing to go by. */
    journal(running.results, PROMOTE_APPLYING, ID_A, BASE2);
    check_step(&running, 0, WINNER);
    journal(running.results, PROMOTE_VERIFYING, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER, BASE2);
    record(running.results, PROMOTE_PROMOTED, ID_A, BASE2);
    journal(running.results, PROMOTE_DONE, ID_A, BASE2);
    check_step(&running, 0, BASE2);
    /* Measured again: there is no decision meanwhile, then another one, and nothing is promoted. */
    decide(running.results, NULL);
    check_step(&running, 0, BASE2);
    decide(running.results, BASE1);
    check_step(&running, DECISION_IS_ANOTHER, BASE2);
    journal(running.results, PROMOTE_UNDOING, ID_A, BASE2);
    check_step(&running, 0, BASE2);
    journal(running.results, PROMOTE_UNDONE, ID_A, BASE2);
    record(running.results, PROMOTE_ROLLED_BACK, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER, BASELINE);
    check_step(&running, 0, BASELINE);
    study.baseline = NULL;
}

/* Before: the loop stood still for ten seconds, and what each can take was unknown for good. */
static void test_somebody_holds_the_results(void **state)
{
    (void)state;
    struct running running = {.now_ns = 1};
    struct spec_guard guard = {0};
    struct guard_capacities capacities;
    results_of("h.spica", running.results, sizeof running.results);
    study.baseline = (int *)baseline;
    study.guard = &guard;
    study.capacity_count = 1;
    decide(running.results, WINNER);
    AUTO(free) char *path = study_store_path(running.results);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, WINNER);
    sqlite3 *holder = check_hold_database(path);
    journal(running.results, PROMOTE_APPLYING, ID_A, BASE2); /* so that it looks */
    check_step(&running, 0, WINNER);
    check_step(&running, 0, WINNER);
    assert_false(
        guard_capacities_find(&study, running.results, &running.found.candidate, &capacities));
    assert_true(isnan(capacities.services[0].top));
    sqlite3_close(holder);
    decide(running.results, BASE1);
    journal(running.results, PROMOTE_DONE, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, BASE2);
    assert_true(
        guard_capacities_find(&study, running.results, &running.found.candidate, &capacities));
    study.baseline = NULL;
    study.guard = NULL;
    study.capacity_count = 0;
}

/* Measured anew and broken off, or running for hours: what ran before is known by its records. */
static void test_a_rollback_without_a_decision(void **state)
{
    (void)state;
    struct running running = {.now_ns = 1};
    results_of("n.spica", running.results, sizeof running.results);
    study.baseline = (int *)baseline;
    decide(running.results, WINNER);
    record(running.results, PROMOTE_PROMOTED, ID_A, BASE2);
    journal(running.results, PROMOTE_DONE, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, BASE2);
    decide(running.results, NULL);
    check_step(&running, 0, BASE2);
    record(running.results, PROMOTE_ROLLED_BACK, ID_A, BASE2);
    journal(running.results, PROMOTE_UNDONE, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER, BASELINE);
    decide(running.results, WINNER); /* the same again */
    check_step(&running, 0, BASELINE);
    decide(running.results, BASE1);
    check_step(&running, DECISION_IS_ANOTHER, BASELINE);
    study.baseline = NULL;
}

/* Before: study.db is as it was for as long as somebody has it open, and so was the decision. */
static void test_a_decision_in_the_log(void **state)
{
    (void)state;
    struct running running = {.now_ns = 1};
    struct err err = ERR_INIT;
    struct store *store = NULL;
    results_of("w.spica", running.results, sizeof running.results);
    decide(running.results, WINNER);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, WINNER);
    AUTO(free) char *path = study_store_path(running.results);
    assert_true(store_open(path, STORE_WRITE, &store, &err));
    check_step(&running, 0, WINNER);
    assert_true(store_decision_put(store, "{\"winner\": \"" BASE1 "\"}", &err));
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, BASE1);
    const struct stat log = running.look.log;
    check_step(&running, 0, BASE1);
    assert_true(log.st_size > 0);
    assert_memory_equal(&log.st_mtim, &running.look.log.st_mtim, sizeof log.st_mtim);
    store_close(store);
    check_step(&running, 0, BASE1);
    assert_int_equal(running.look.log.st_size, 0);
}

/* What can't be read says nothing: what is known stays. */
static void test_what_can_t_be_read(void **state)
{
    (void)state;
    struct running running = {.now_ns = 1};
    struct err err = ERR_INIT;
    results_of("u.spica", running.results, sizeof running.results);
    AUTO(free) char *path = promote_journal_path(running.results);
    decide(running.results, WINNER);
    journal(running.results, PROMOTE_DONE, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER, BASE2);
    assert_true(file_write_private(path, "{", 1, &err));
    check_step(&running, 0, BASE2);
    journal(running.results, PROMOTE_DONE, ID_C, TINY2);
    check_step(&running, CANDIDATE_IS_ANOTHER, TINY2);
    AUTO(free) char *db = study_store_path(running.results);
    assert_true(file_write_private(db, "no database", 11, &err));
    check_step(&running, 0, TINY2);
    assert_true(running.look.again_ns > 0); /* so that it is read again, more and more seldom */
    for (int i = 0; i < 20; i++)
        check_step(&running, 0, TINY2);
    assert_true(running.look.wait_ns == 60 * NS_PER_S);
    /* A promotion is followed all the same. Before: not, while there was no decision. */
    journal(running.results, PROMOTE_DONE, ID_A, BASE2);
    check_step(&running, CANDIDATE_IS_ANOTHER, BASE2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_runs_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_somebody_holds_the_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_can_t_be_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_rollback_without_a_decision, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_decision_in_the_log, set_up, tear_down),
        cmocka_unit_test(test_the_least_of_the_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
