/* What a protocol's answers carry depends on whether they are streamed. */
#include "spec/service.h"

#include "check.h"

static const struct spec_option offered[] = {
    {.name = "stream", .type = OPTION_BOOL, .help = "in pieces"}};
static const struct spec_option offered_on[] = {
    {.name = "stream", .type = OPTION_BOOL, .value = "true", .help = "in pieces"}};
static const struct spec_protocol off = {.sources = SOURCE_AUDIO,
                                         .streamed_sources = SOURCE_TEXT,
                                         .options = offered,
                                         .option_count = 1};
static const struct spec_protocol on = {.sources = SOURCE_AUDIO,
                                        .streamed_sources = SOURCE_TEXT,
                                        .options = offered_on,
                                        .option_count = 1};
static const struct spec_protocol never = {.sources = SOURCE_AUDIO};

static const struct {
    const char *name;
    const struct spec_protocol *protocol;
    struct spec_setting set;
    size_t count;
    unsigned sources;
} rows[] = {
    {"not set", &off, {0}, 0, SOURCE_AUDIO},
    {"set", &off, {.name = "stream", .text = "true"}, 1, SOURCE_AUDIO | SOURCE_TEXT},
    {"set to false", &off, {.name = "stream", .text = "false"}, 1, SOURCE_AUDIO},
    {"a knob: not for every candidate", &off, {.name = "stream", .text = "{s}"}, 1, SOURCE_AUDIO},
    {"on by itself", &on, {0}, 0, SOURCE_AUDIO | SOURCE_TEXT},
    {"left out", &on, {.name = "stream", .text = NULL}, 1, SOURCE_AUDIO},
    {"another option", &off, {.name = "language", .text = "true"}, 1, SOURCE_AUDIO},
    {"a protocol that does not stream",
     &never,
     {.name = "stream", .text = "true"},
     1,
     SOURCE_AUDIO},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct spec_setting set = rows[i].set;
        struct spec_load load = {.settings = &set, .setting_count = rows[i].count};
        CHECK_ROW(i, rows[i].name, spec_load_sources(rows[i].protocol, &load) == rows[i].sources);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
