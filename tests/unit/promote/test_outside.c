/* What commands and services say, with a plan's secrets in it. */
#include "promote/outside.h"

#include "check.h"

#include <string.h>

static const char before[] = "[Service]\nEnvironment=\"MINE=old sword x\" B=plain-text\n",
                  after[] = "[Service]\nEnvironment=\"MINE=hunter2 x\" HF_TOKEN=hunter22\n";
static const char *const run[] = {"/x", "--api-key", "swordfish", "--mode", "fast-one", NULL};

#define LONG                                                                                       \
    "exit status 1: the server that was asked has answered 401, since the key that was given to "  \
    "it is one that it does not know, namely "

static const struct {
    const char *text;
    size_t size;
    const char *shown;
} texts[] = {
    {"exit status 3: login as svc with hunter2 x failed", 200,
     "exit status 3: login as svc with <secret 37cd2b18> failed"},
    {"was old sword x, B=plain-text, fast-one", 200,
     "was <secret 327e0b08>, B=plain-text, fast-one"},
    {"key \"swordfish\": 401", 200, "key \"<secret b9f195c5>\": 401"},
    /* The longest one, and one that was cut off. */
    {"hunter22", 200, "<secret 20d2fe5e>"},
    {LONG "swordf", 200, LONG "<secret b9f195c5>"},
    {LONG "a sword, swo", 200, LONG "a sword, swo"},
    {"a short one ends in a sword", 200, "a short one ends in a sword"}, /* by itself */
    /* By its name alone, also one that the plan does not know. */
    {"a DB_PASS=abc and --password=def", 200,
     "a DB_PASS=<secret ba7816bf> and --password=<secret cb8379ac>"},
    {"swordfish", 10, "<secret b"},
    {"", 10, ""},
};

static void hides_what_the_plan_knows(void **state)
{
    static const char *const names[] = {"MINE", NULL};
    struct promote_step steps[] = {
        {.kind = PROMOTE_FILE,
         .before = {.there = true, .data = before, .len = sizeof before - 1},
         .after = {.there = true, .data = after, .len = sizeof after - 1}},
        {.kind = PROMOTE_COMMAND, .run = run},
    };
    const struct promote_plan plan = {
        .steps = steps, .step_count = ARRAY_LEN(steps), .secret_names = names};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char text[400];
        snprintf(text, sizeof text, "%s", texts[i].text);
        promote_outside_hide(&plan, text, texts[i].size);
        assert_string_equal(text, texts[i].shown);
        promote_outside_hide(&plan, text, sizeof text);
        assert_string_equal(text, texts[i].shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hides_what_the_plan_knows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
