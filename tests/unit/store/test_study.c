/* The study's row, its history, events and decision. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include <math.h>

static void keeps_the_study(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    struct err err = ERR_INIT;
    struct store *store = NULL;
    struct store_study study;
    bool found = true;
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    assert_true(store_study_get(store, &found, &study, &err));
    assert_false(found);
    store_close(store);
    store = made_store(folder);
    /* Append-only: a study is written once. */
    struct store_study again = made_study();
    assert_false(store_study_put(store, &again, &err));
    store_close(store);
    err = ERR_INIT;
    assert_true(store_open(path, STORE_READ, &store, &err));
    assert_true(store_study_get(store, &found, &study, &err));
    assert_true(found);
    assert_string_equal(study.name, "night");
    assert_string_equal(study.text, "study: night\n");
    assert_null(study.device_versions);
    assert_true(study.seed == UINT64_MAX - 1);
    assert_true(isnan(study.memory_bytes));
    assert_int_equal(study.cores, 2);
    store_close(store);
    check_remove_folder(folder);
}

/* More devices may join those that a study began on; no other may take a place. */
static void widens_its_devices(void **state)
{
    (void)state;
    static const struct {
        const char *id, *name, *then;
    } rows[] = {
        {"GPU-1", "one", "GPU-1"},
        {"GPU-1 + GPU-2", "one + two", "GPU-1 + GPU-2"},
        {"GPU-1", "one", "GPU-1 + GPU-2"},
        {"GPU-3 + GPU-2 + GPU-1", "others", "GPU-1 + GPU-2"},
    };
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    struct err err = ERR_INIT;
    struct store_study study = made_study();
    bool found = false;
    AUTO(store_close) struct store *store = NULL;
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    study.device_id = "GPU-1";
    study.device_name = "one";
    assert_true(store_study_put(store, &study, &err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(store_study_widen(store, rows[i].id, rows[i].name, &err));
        assert_true(store_study_get(store, &found, &study, &err));
        CHECK_ROW_TEXT(i, rows[i].id, study.device_id, rows[i].then);
    }
    assert_string_equal(study.device_name, "one + two");
    check_remove_folder(folder);
}

static void keeps_the_history(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    AUTO(free) struct store_history_row *none = NULL;
    size_t count = 9;
    assert_true(store_history(store, &none, &count, &err));
    assert_int_equal(count, 0);
    struct store_trial trial = made_trial(arena, 1, 2);
    trial.fitness = NAN;
    trial.verdict = "contended";
    trial.ruled_out = "stt.server=x";
    assert_true(store_trial_add(store, &trial, &err));
    trial = made_trial(arena, 2, 2);
    trial.retry_of = 1;
    trial.repeat = 3;
    trial.cold = false;
    assert_true(store_trial_add(store, &trial, &err));
    AUTO(free) struct store_history_row *rows = NULL;
    assert_true(store_history(store, &rows, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].verdict, "contended");
    assert_string_equal(rows[0].ruled_out, "stt.server=x");
    assert_true(isnan(rows[0].fitness));
    assert_int_equal(rows[1].retry_of, 1);
    assert_int_equal(rows[1].repeat, 3);
    assert_null(rows[1].ruled_out);
    assert_false(rows[1].cold);
    assert_string_equal(rows[1].candidate, "stt.threads=2");
    assert_string_equal(rows[1].summary, "fine");
    assert_true(rows[1].fitness == 0.5 && rows[1].duration_s == 40 && rows[1].window_s == 30);
    check_remove_folder(folder);
}

static void keeps_events_and_the_last_decision(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    AUTO(free) char *decision = NULL;
    assert_true(store_decision_get(store, &decision, &err));
    assert_null(decision);
    assert_true(store_decision_put(store, "{\"outcome\":\"infeasible\"}", &err));
    assert_true(store_decision_put(store, "{\"outcome\":\"winner\"}", &err));
    assert_true(store_decision_get(store, &decision, &err));
    assert_string_equal(decision, "{\"outcome\":\"winner\"}");
    assert_true(store_decision_withdraw(store, &err));
    AUTO(free) char *none = NULL;
    assert_true(store_decision_get(store, &none, &err));
    assert_null(none);
    assert_true(store_event_add(store, 5, "started", NULL, &err));
    assert_true(store_event_add(store, 4, "stopped", "{\"by\":\"user\"}", &err));
    struct store_event *events = NULL;
    size_t count = 0;
    assert_true(store_read_events(store, arena, &events, &count, &err));
    assert_int_equal(count, 2);
    assert_string_equal(events[0].kind, "started");
    assert_null(events[0].detail);
    assert_int_equal(events[1].wall_us, 4); /* in order of writing: clocks may be set back */
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_study),
        cmocka_unit_test(widens_its_devices),
        cmocka_unit_test(keeps_the_history),
        cmocka_unit_test(keeps_events_and_the_last_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
