/* One look: no data is never fine, and probes that can't be sent are wrong. */
#include "check.h"

#include "guard/guard.h"
#include "guard/once_inside.h"
#include "guard/split_kept.h"
#include "made_study.h"

#include <arpa/inet.h>
#include <math.h>
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

/* ---- behind fronts ---- */

/* One that listens, for this process. */
static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 8) == 0 &&
                getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* Before: "Nothing wrong was seen", whatever other tiers did. */
static void test_every_tier(void **state)
{
    (void)state;
    struct look look;
    int port = 0;
    look_open(&look);
    AUTO(fd) int fd = listen_somewhere(&port);
    look.made->guard.front_count = 1;
    look.made->front.limit_s = NAN;
    look.made->services[0].on = ON_GPU;
    look.made->tiers[1].port = port;
    look_once(&look);
    assert_true(look.wrong);
    expect(&look, "stt's tier base is down: port 1: no such process runs");
    assert_null(strstr(look.text, "tier tiny is"));
    expect(&look, "whether stt's tier tiny computes on its device");
    look_close(&look);
}

static void keep_split(const struct look *look, enum guard_split_state state, const char *why)
{
    char folder[300];
    snprintf(folder, sizeof folder, "%s/voice.spica", look->folder);
    AUTO(free) char *path = guard_split_path(folder, &look->made->study, 0);
    struct guard_split_kept kept = {0};
    struct err err = ERR_INIT;
    guard_split_kept_init(&kept, &look->made->front.split, 1);
    kept.state = state;
    snprintf(kept.why, sizeof kept.why, "%s", why);
    if (!guard_split_kept_write(path, &look->made->front.split, &kept, &err))
        fail_msg("%s", err.text);
    guard_split_kept_done(&kept);
}

/* Before: a split that nobody judges, or that was stopped in the night, was "Nothing is wrong". */
static void test_every_split(void **state)
{
    static const struct {
        enum guard_split_state state; /* SPLIT_STATE_COUNT_: nothing is kept */
        bool wrong;
        const char *words;
        bool next_down; /* is told */
    } rows[] = {
        {SPLIT_STATE_COUNT_, true, "what stt's split has found (guard has kept nothing of it)",
         true},
        {SPLIT_RUNNING, true, "stt's arm next is down: port 1: ", true},
        {SPLIT_STOPPED, true, "stt's split is stopped: next fails more often", false},
        {SPLIT_ABORTED, false, "Nothing wrong was seen", false},
        {SPLIT_UNJUDGED, true, "stt's split is not judged: next fails more often", true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct look look;
        int port = 0;
        look_open(&look);
        AUTO(fd) int fd = listen_somewhere(&port);
        struct spec_arm arms[] = {{.name = "now", .port = port, .weight = 90},
                                  {.name = "next", .port = 1, .weight = 10}};
        look.made->guard.front_count = 1;
        look.made->front.tier_count = 0;
        look.made->front.limit_s = NAN;
        look.made->front.split = (struct spec_split){
            .arms = arms, .count = 2, .harm_ratio = 0.1, .error = 0.05, .quantile = 0.95};
        if (rows[i].state != SPLIT_STATE_COUNT_)
            keep_split(&look, rows[i].state, "next fails more often");
        look_once(&look);
        CHECK_ROW(i, look.text, look.wrong == rows[i].wrong);
        CHECK_ROW(i, look.text, strstr(look.text, rows[i].words) != NULL);
        CHECK_ROW(i, look.text,
                  (strstr(look.text, "arm next is down") != NULL) == rows[i].next_down);
        CHECK_ROW(i, look.text, !strstr(look.text, "arm now"));
        look_close(&look);
    }
}

static void test_the_disk(void **state)
{
    static const struct {
        double free_bytes;
        size_t wrong, unknown;
    } rows[] = {{NAN, 0, 1}, {0, 1, 0}, {65536, 1, 0}, {64 << 20, 0, 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) struct once *once = calloc(1, sizeof *once);
        assert_non_null(once);
        guard_once_tell_disk(once, rows[i].free_bytes);
        CHECK_ROW(i, "disk", once->wrong.count == rows[i].wrong);
        CHECK_ROW(i, "disk", once->unknown.count == rows[i].unknown);
        free(once->wrong.items[0]);
        free(once->unknown.items[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_data_is_not_fine),
        cmocka_unit_test(test_probes_that_cannot_be_sent),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_every_tier),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
