/* Records of promotions: what they hold, who may read them. */
#include "promote/audit.h"

#include "base/json.h"
#include "stage.h"

#include <string.h>
#include <sys/stat.h>

static struct stage stage;

static int set_up(void **state)
{
    (void)state;
    stage_open(&stage);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stage_close(&stage);
    return 0;
}

/* A record is its owner's; it has the changed lines alone, with secrets hidden in each word. */
static void hides_and_closes(void **state)
{
    AUTO(free) char *folder = file_join(stage.folder, "x.spica.promotions");
    AUTO_JSON json_t *records = NULL;
    struct promote_result result;
    struct err err = ERR_INIT;
    struct stat st;
    static const char *const run[] = {"before", "--password", "hunter4 TAIL", NULL};
    (void)state;
    AUTO(promote_plan_free)
    struct promote_plan *plan = stage_plan(&stage, "HF_TOKEN=hunter2hunter2\nDB_PASS=hunter3\n");
    for (size_t i = 0; i < plan->step_count; i++) {
        struct promote_step *step = &plan->steps[i];
        if (step->kind == PROMOTE_HOOK)
            step->run = run;
    }
    struct promote_hands hands = stage_hands(&stage);
    assert_true(promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err));
    assert_true(promote_audit_read(stage.results, &records, &err));
    AUTO(free) char *text = json_dump_text(records);
    assert_non_null(strstr(text, "+HF_TOKEN=<secret "));
    assert_non_null(strstr(text, "--password <secret "));
    assert_null(strstr(text, "hunter"));
    assert_null(strstr(text, "TAIL"));
    assert_null(strstr(text, "\"text\":\"HF_TOKEN"));
    AUTO(free)
    char *path = file_join(folder, json_get_text(json_array_get(records, 0), "file"));
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* What was approved is done once: undone, it is another plan, though all files are as before. */
static void ends_an_approval(void **state)
{
    struct promote_result result;
    struct err err = ERR_INIT;
    (void)state;
    AUTO(promote_plan_free) struct promote_plan *plan = stage_plan(&stage, "new");
    struct promote_hands hands = stage_hands(&stage);
    stage.verify_fails = true;
    assert_true(promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err));
    assert_int_equal(result.outcome, PROMOTE_ROLLED_BACK);
    stage.trace[0] = '\0';
    assert_false(promote_apply_by(&hands, plan, stage.results, "me", NULL, &result, &err));
    assert_int_equal(err.code, ERR_DECLINED);
    assert_non_null(strstr(err.text, "since the plan was made"));
    assert_string_equal(stage.trace, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hides_and_closes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_an_approval, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
