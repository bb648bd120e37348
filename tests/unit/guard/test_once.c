/* One look: no data is never fine, and probes that can't be sent are wrong. */
#include "check.h"

#include "guard/guard.h"
#include "made_study.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct look {
    struct made_study *made;
    char *folder;
    bool wrong;
    char text[8192];
};

/* `stt` is watched by nobody, `llm` is this process. */
static void look_open(struct look *look)
{
    *look = (struct look){.folder = check_make_folder()};
    setenv("SPICA_NVML_LIBRARY", "/nowhere/libnvidia-ml.so.1", 1);
    setenv("SPICA_KERNEL_LOG", "/nowhere/kmsg", 1);
    setenv("SPICA_JOURNAL", "/nowhere", 1);
    setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1);
    setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
    unsetenv("SPICA_NO_SUCH_KEY");
    look->made = made_study_new(look->folder);
    look->made->guard.front_count = 0;
    look->made->study.devices[0] = "cpu";
    look->made->services[0].on = ON_CPU;
    look->made->watches[0] = (struct spec_watch){.kind = WATCH_NOTHING};
    look->made->watches[1].pid = getpid();
}

static void look_once(struct look *look)
{
    char folder[300];
    struct err err = ERR_INIT;
    snprintf(folder, sizeof folder, "%s/voice.spica", look->folder);
    const struct guard_options options = {
        .study = &look->made->study, .folder = folder, .width = 4000};
    FILE *out = tmpfile();
    assert_non_null(out);
    if (!guard_once(&options, out, &look->wrong, &err))
        fail_msg("%s", err.text);
    rewind(out);
    look->text[fread(look->text, 1, sizeof look->text - 1, out)] = '\0';
    fclose(out);
}

static void look_close(struct look *look)
{
    made_study_free(look->made);
    check_remove_folder(look->folder);
}

static void expect(const struct look *look, const char *words)
{
    if (!strstr(look->text, words))
        fail_msg("no \"%s\" in:\n%s", words, look->text);
}

/* Before: "Nothing is wrong." */
static void test_no_data_is_not_fine(void **state)
{
    (void)state;
    struct look look;
    look_open(&look);
    look_once(&look);
    assert_false(look.wrong);
    expect(&look, "Nothing wrong was seen; not known: stt, which is not watched; "
                  "how fast llm answers (it is not probed); what can't be seen from here.");
    look_close(&look);
}

/* Before: "Nothing is wrong.", exit status 0. */
static void test_probes_that_cannot_be_sent(void **state)
{
    (void)state;
    struct look look;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 8) == 0 &&
                getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    look_open(&look);
    look.made->watches[1].port = ntohs(address.sin_port);
    look.made->watches[1].probe_rps = 1;
    look.made->services[1].load.given = true;
    look.made->services[1].load.api_key_env = "SPICA_NO_SUCH_KEY";
    look_once(&look);
    assert_true(look.wrong);
    expect(&look, "llm: no probe could be sent: ");
    expect(&look, "SPICA_NO_SUCH_KEY");
    expect(&look, "1 thing is wrong. Not known: ");
    look_close(&look);
    close(fd);
}

/* ---- rules of the file ---- */

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    const struct spec_guard *guard = context;
    long at = guard_metric_find(guard->metrics, guard->metric_count, name);
    (void)err;
    *ret_id = (size_t)at;
    return at >= 0 ? EXPR_NAME_VARIABLE : EXPR_NAME_WORD;
}

static struct spec_guard_rule rule_of(struct look *look, const char *name, const char *when)
{
    const struct expr_names names = {.context = &look->made->guard, .resolve = resolve};
    struct spec_guard_rule rule = {.name = name, .for_ns = 30000000000, .at_least = 20};
    struct expr *expr = NULL;
    struct err err = ERR_INIT;
    if (!expr_parse(look->made->arena, when, &names, &expr, &err))
        fail_msg("%s", err.text);
    rule.when = expr;
    return rule;
}

/* Before: none of them was judged, and nobody said so. */
static void test_rules(void **state)
{
    (void)state;
    struct look look;
    look_open(&look);
    struct spec_guard_rule rules[] = {
        rule_of(&look, "it runs", "llm.up == 1"),
        rule_of(&look, "it does not", "llm.up == 0"),
        rule_of(&look, "slow", "llm.latency.p95 > 300ms"),
        rule_of(&look, "again and again", "llm.restarts > 3"),
        rule_of(&look, "one of two", "llm.restarts > 3 or llm.up == 1"),
    };
    look.made->guard.rules = rules;
    look.made->guard.rule_count = ARRAY_LEN(rules);
    look_once(&look);
    assert_true(look.wrong);
    expect(&look, "rule \"it runs\" holds: llm.up 1");
    expect(&look, " s of 30");
    expect(&look, "rule \"one of two\" holds: ");
    expect(&look, "2 things are wrong. Not known: ");
    expect(&look, "rule \"slow\" (llm.latency.p95 ");
    expect(&look, "rule \"again and again\" (llm.restarts takes longer than one look)");
    assert_null(strstr(look.text, "it does not"));
    look_close(&look);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_data_is_not_fine),
        cmocka_unit_test(test_probes_that_cannot_be_sent),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
