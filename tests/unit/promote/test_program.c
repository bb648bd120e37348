/* Programs that a promotion runs: whose they may be, by links, folders and modes; and still the
 * same when they are run. */
#include "check.h"

#include "promote/program.h"

#include "base/digest.h"
#include "base/file.h"

#include <sys/stat.h>

static char *folder;

static int set_up(void **state)
{
    (void)state;
    umask(022);
    folder = check_make_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    check_remove_folder(folder);
    return 0;
}

/* What is made: "d NAME MODE UID", "f ...", "l NAME TARGET"; then the program that is asked about,
 * and what is said of it (NULL: it is fine). */
static const struct {
    const char *name;
    struct thing {
        char kind;
        const char *name, *target;
        mode_t mode;
        uid_t uid;
    } things[5];
    const char *program, *says;
} rows[] = {
    {"a plain one", {{'f', "x", NULL, 0755, 0}}, "x", NULL},
    {"a link in a folder of ours",
     {{'d', "in", NULL, 0755, 0}, {'f', "in/x", NULL, 0755, 0}, {'l', "y", "in/x", 0, 0}},
     "y",
     NULL},
    {"links that go up and on",
     {{'d', "in", NULL, 0755, 0}, {'f', "x", NULL, 0755, 0}, {'l', "in/y", "../x", 0, 0}},
     "in/y",
     NULL},
    {"somebody else's", {{'f', "x", NULL, 0755, 1234}}, "x", "x belongs to another user"},
    {"written by its group", {{'f', "x", NULL, 0775, 0}}, "x", "x may be written by others"},
    {"in somebody else's folder",
     {{'d', "in", NULL, 0755, 1234}, {'f', "in/x", NULL, 0755, 0}},
     "in/x",
     "a folder on the way to it belongs to another user"},
    {"in everybody's folder",
     {{'d', "in", NULL, 01777, 0}, {'f', "in/x", NULL, 0755, 0}},
     "in/x",
     "may be written by others"},
    {"below everybody's folder with the sticky bit",
     {{'d', "in", NULL, 01777, 0}, {'d', "in/a", NULL, 0755, 0}, {'f', "in/a/x", NULL, 0755, 0}},
     "in/a/x",
     NULL},
    {"somebody else's link",
     {{'f', "x", NULL, 0755, 0}, {'l', "y", "x", 0, 1234}},
     "y",
     "y belongs to another user"},
    {"a link out of somebody else's folder",
     {{'f', "x", NULL, 0755, 0}, {'d', "in", NULL, 0755, 1234}, {'l', "in/y", "../x", 0, 0}},
     "in/y",
     "belongs to another user"},
    {"a link into one",
     {{'d', "in", NULL, 0755, 1234}, {'f', "in/x", NULL, 0755, 0}, {'l', "y", "in/x", 0, 0}},
     "y",
     "belongs to another user"},
    {"links in a circle", {{'l', "x", "y", 0, 0}, {'l', "y", "x", 0, 0}}, "x", "can't be followed"},
    {"a folder", {{'d', "x", NULL, 0755, 0}}, "x", "is not a file"},
    {"nothing", {{0}}, "x", "No such file"},
};

static void make(const struct thing *thing)
{
    AUTO(free) char *path = file_join(folder, thing->name);
    struct err err = ERR_INIT;
    if (thing->kind == 'l')
        assert_int_equal(symlink(thing->target, path), 0);
    else if (thing->kind == 'd')
        assert_int_equal(mkdir(path, 0755), 0);
    else
        assert_true(file_write_atomic(path, "#!/bin/sh\n", 10, &err));
    if (thing->kind != 'l')
        assert_int_equal(chmod(path, thing->mode), 0);
    if (thing->uid != 0)
        assert_int_equal(lchown(path, thing->uid, thing->uid), 0);
}

static void test_whose(void **state)
{
    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        tear_down(state);
        set_up(state);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].things) && rows[i].things[k].kind; k++)
            make(&rows[i].things[k]);
        AUTO(free) char *path = file_join(folder, rows[i].program);
        bool fine = promote_program_check(path, &err);
        if (fine != !rows[i].says || (rows[i].says && !strstr(err.text, rows[i].says)))
            fail_msg("%s: %s", rows[i].name, fine ? "taken" : err.text);
    }
}

static void test_same(void **state)
{
    AUTO(free) char *script = file_join(folder, "a.py");
    struct err err = ERR_INIT;
    struct promote_witness witness = {.path = script};
    struct promote_plan plan = {.run_folder = folder, .witnesses = &witness, .witness_count = 1};
    const char *const argv[] = {"/bin/true", "-x", "--config=a.py", NULL};
    (void)state;
    assert_true(file_write_atomic(script, "1", 1, &err));
    assert_true(digest_file(script, witness.digest, &err));
    assert_true(promote_program_same(&plan, argv, &err));
    assert_true(file_write_atomic(script, "2", 1, &err));
    assert_false(promote_program_same(&plan, argv, &err));
    assert_non_null(strstr(err.text, "a.py has changed since the plan was approved"));
    /* Somebody takes it as it is: but not what others may write. */
    plan.any_program = true;
    err = ERR_INIT;
    assert_true(promote_program_same(&plan, argv, &err));
    assert_int_equal(chmod(script, 0666), 0);
    assert_false(promote_program_same(&plan, argv, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whose, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
