/* The built-in alarms: each is found in time from what would be seen, named, told once, and over
 * when it is over; and a quiet day is quiet. */
#include "check.h"

#include "guard/alarms.h"
#include "judged.h"

#include "base/auto.h"

#include <math.h>

#define ACT "  act: {notify: {per_hour: 20}}\n"
#define FRONT "  fronts: {llm: {port: 8079, tiers: {a: {port: 8002}}}}\n"
#define FRONTS                                                                                     \
    "  fronts: {llm: {port: 8079, keep: p95 < 1s, tiers: {a: {port: 8002}, "                       \
    "b: {port: 8005}}}, stt: {port: 8078, split: {arms: "                                          \
    "{now: {port: 8003, weight: 90}, next: {port: 8004, weight: 10}}}}}\n"

static const struct {
    const char *rule;
    int event; /* -1: none */
    int service;
    const char *text;          /* of the event */
    const char *figure;        /* NULL: none */
    double value;              /* of it */
    const char *word;          /* or this */
    int64_t within_s, over_by; /* found by then; over by then after all is well again */
} rows[] = {
    {"not on its device", EVENT_ON_CPU, 0, "pid 7 holds nothing on gpu0", NULL, 0, NULL, 1, 10},
    {"not on its device", -1, 0, NULL, "stt.placement", 0, "cpu", 5, 10},
    {"not on its device", -1, 0, NULL, "stt.placement", 0, "partial", 5, 10},
    {"out of device memory", EVENT_OOM_DEVICE, 1, "CUDA out of memory", NULL, 0, NULL, 1, 301},
    {"out of device memory", EVENT_OOM_DEVICE, -1, "CUDA out of memory", NULL, 0, NULL, 1, 301},
    {"killed for memory", EVENT_OOM_KERNEL, 0, "Killed process 7", NULL, 0, NULL, 1, 301},
    {"down", EVENT_DOWN, 0, "w.service failed", "stt.up", 0, NULL, 1, 10},
    {"down", -1, 1, NULL, "llm.up", 0, NULL, 4, 10},
    {"hangs", EVENT_HANGS, 0, "no answer in 10 s", NULL, 0, NULL, 1, 61},
    {"overloaded", EVENT_OVERLOADED, 0, "no answer in 10 s, others had one", NULL, 0, NULL, 1, 61},
    {"fails", -1, 0, NULL, "stt.errors", 0.51, NULL, 4, 11},
    {"no usable server", EVENT_UNSERVED, 1, "none of 2 servers", NULL, 0, NULL, 1, 0},
    {"arm in doubt", EVENT_ARM_DOUBT, 0, "it hears worse", NULL, 0, NULL, 1, 0},
    {"arm in doubt", EVENT_ARM_DOUBT, 1, "base did not come up", NULL, 0, NULL, 1, 0},
    {"tier does not stop", EVENT_TIER_STAYS, 1, "base does not stop", NULL, 0, NULL, 1, 901},
    {"restarted", EVENT_RESTARTED, 0, "pid 7 is 9 now", NULL, 0, NULL, 1, 61},
    {"no data", -1, 0, NULL, "stt.latency.p50", NAN, NULL, 1, 10},
    {"device full soon", -1, -1, NULL, "gpu0.memory.full_in", 14 * 60, NULL, 31, 32},
    {"throttled", -1, -1, NULL, "gpu0.throttled", 1, NULL, 31, 62},
    {"driver lost", -1, -1, NULL, "gpu0.fault", 0, "lost", 1, 12},
    {"driver lost", EVENT_DRIVER_LOST, -1, "GPU is lost", NULL, 0, NULL, 1, 20},
    {"driver error", EVENT_XID, -1, "Xid (PCI:0000:01:00): 31", NULL, 0, NULL, 1, 601},
    {"HAProxy down", EVENT_PROXY_DOWN, -1, "nobody answers", "proxy.up", 0, NULL, 1, 10},
    {"HAProxy restarted", EVENT_PROXY_RESTARTED, -1, "pid 3 is 5 now", NULL, 0, NULL, 1, 61},
    {"disk full", EVENT_DISK_FULL, -1, "No space left", NULL, 0, NULL, 1, 0},
    {"not recorded", EVENT_NO_RECORD, -1, "Input/output error", NULL, 0, NULL, 1, 0},
    {"log not read", EVENT_LOG_LOST, -1, "the journal can't be read", NULL, 0, NULL, 1, 0},
    {"clock stepped", EVENT_CLOCK_STEP, -1, "3600 s forward", NULL, 0, NULL, 1, 61},
    {"log flood", EVENT_LOG_FLOOD, -1, "1,000 lines dropped", NULL, 0, NULL, 1, 92},
    {"versions changed", EVENT_VERSIONS, -1, "vllm 0.9 was 0.8", "guard.changed.versions", 1, NULL,
     1, 2},
    {"neighbours not as studied", EVENT_OTHER_NEIGHBOURS, -1, "others hold 9 GiB",
     "guard.changed.neighbours", 1, NULL, 601, 62},
    {"load not as studied", EVENT_OTHER_LOAD, -1, "13 requests/s", "guard.changed.load", 1, NULL, 1,
     2},
    {"neighbour changed", EVENT_NEIGHBOUR, -1, "ollama came", NULL, 0, NULL, 1, 601},
};

static void finds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct judged *j = judged_new(ACT FRONTS);
        judged_all_well(j);
        judged_steps(j, 70);
        assert_int_equal(j->total, 0);
        if (rows[i].event >= 0)
            judged_event(j, (enum guard_event_kind)rows[i].event, rows[i].service, rows[i].text);
        if (rows[i].word)
            judged_set_word(j, rows[i].figure, rows[i].word);
        else if (rows[i].figure)
            judged_set(j, rows[i].figure, rows[i].value);
        judged_steps(j, rows[i].within_s);
        CHECK_ROW(i, rows[i].rule, judged_count(j, rows[i].rule) == 1);
        const struct guard_decision *d = judged_only(j, rows[i].rule);
        CHECK_ROW(i, d->text, d->to == STATE_ALARM && d->service == rows[i].service);
        CHECK_ROW(i, d->text, d->actions == 1u << ACTION_NOTIFY);
        CHECK_ROW(i, d->text, !rows[i].text || strstr(d->text, rows[i].text));
        judged_clear(j);
        judged_all_well(j);
        judged_set(j, "gpu0.memory.full_in", NAN);
        if (rows[i].over_by > 0) {
            judged_steps(j, rows[i].over_by);
            CHECK_ROW(i, rows[i].rule, judged_count(j, rows[i].rule) == 1);
            CHECK_ROW(i, rows[i].rule, judged_only(j, rows[i].rule)->to == STATE_FINE);
        }
        judged_free(j);
    }
}

/* What production is asks for a new study where that may be asked for; events alone never do. */
static void asks_for_a_study(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *figure;
        int event;
        bool restudy;
    } cases[] = {
        {"versions changed", "guard.changed.versions", -1, true},
        {"neighbours not as studied", "guard.changed.neighbours", -1, true},
        {"load not as studied", "guard.changed.load", -1, false},
        {"neighbour changed", NULL, EVENT_NEIGHBOUR, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct judged *j = judged_new("  act: {restudy: {}}\n");
        judged_all_well(j);
        judged_steps(j, 5);
        judged_clear(j);
        if (cases[i].figure)
            judged_set(j, cases[i].figure, 1);
        else
            judged_event(j, (enum guard_event_kind)cases[i].event, -1, "ollama came");
        judged_steps(j, 2000); /* once, however long it lasts */
        uint32_t actions = 0;
        for (size_t k = 0; k < j->told_count; k++)
            if (strcmp(j->told[k].rule, cases[i].rule) == 0) {
                CHECK_ROW(i, j->told[k].text, !(actions & j->told[k].actions));
                actions |= j->told[k].actions;
            }
        CHECK_ROW(i, cases[i].rule, judged_count(j, cases[i].rule) >= 1);
        CHECK_ROW(i, cases[i].rule, actions == (cases[i].restudy ? 1u << ACTION_RESTUDY : 0));
        judged_free(j);
    }
}

/* Every kind is in the table above, has words, and could be begun. */
static void all_kinds(void **state)
{
    (void)state;
    for (size_t k = 0; k < guard_alarm_kind_count; k++) {
        const struct guard_alarm_kind *kind = &guard_alarm_kinds[k];
        bool found = strcmp(kind->name, "restarts again and again") == 0;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            found |= strcmp(rows[i].rule, kind->name) == 0;
        CHECK_ROW(k, kind->name, found);
        CHECK_ROW(k, kind->name, kind->meaning && (kind->look || kind->begins));
        CHECK_ROW(k, kind->name, kind->look || kind->ends || kind->hold_ns > 0);
    }
}

/* Whoever says that requests fail is believed, from ten on; and it is said who. */
static const struct {
    const char *name, *figure;
    double ratio;
    uint64_t count;
    const char *text; /* NULL: no alarm */
} failures[] = {
    {"all well", "stt.errors", 0, 100, NULL},
    {"half", "stt.errors", 0.5, 100, NULL},
    {"more", "stt.errors", 0.6, 100, "stt: stt.errors 60.0 % of 100 requests, more than half"},
    {"too few", "stt.errors", 1, 9, NULL},
    {"just enough", "stt.errors", 1, 10, "of 10"},
    {"HAProxy's log", "stt.requests.errors", 0.7, 20, "stt.requests.errors 70.0 % of 20"},
    {"the engine", "stt.engine.errors", 0.7, 20, "stt.engine.errors 70.0 % of 20"},
    {"probes", "stt.probe.errors", 0.7, 20, "stt.probe.errors 70.0 % of 20"},
};

static void fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
        struct judged *j = judged_new(ACT);
        judged_all_well(j);
        judged_steps(j, 10);
        judged_set_count(j, failures[i].figure, failures[i].ratio, failures[i].count);
        judged_steps(j, 5);
        CHECK_ROW(i, failures[i].name, judged_count(j, "fails") == (failures[i].text ? 1 : 0));
        if (failures[i].text) {
            const struct guard_decision *d = judged_only(j, "fails");
            CHECK_ROW(i, d->text, strstr(d->text, failures[i].text));
            judged_set_count(j, failures[i].figure, 0.45, 100); /* no flutter */
            judged_steps(j, 60);
            CHECK_ROW(i, failures[i].name, judged_count(j, "fails") == 1);
        }
        judged_free(j);
    }
}

/* Three errors in a row are enough, though the window still holds a majority that went well; it is
 * over when one is answered, and not before. Before: "no data", minor, and nothing else. */
static void fails_in_a_row(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 10);
    judged_set_count(j, "stt.probe.errors", 0.5, 6);
    judged_set_count(j, "stt.errors", 0, 100);
    judged_event(j, EVENT_FAILS, 0, "3 probes in a row were answered with an error: http 500");
    judged_step(j);
    const struct guard_decision *d = judged_only(j, "fails");
    CHECK_ROW(0, d->text, d->to == STATE_ALARM && strstr(d->text, "http 500"));
    judged_steps(j, 600);
    assert_int_equal(judged_count(j, "fails"), 1);
    judged_event(j, EVENT_ANSWERS, 0, "a probe was answered again");
    judged_steps(j, 12);
    assert_int_equal(judged_count(j, "fails"), 2);
    assert_int_equal(judged_state(j, "fails", NULL), STATE_FINE);
    judged_event(j, EVENT_FAILS, 0, "again");
    judged_step(j);
    judged_set_count(j, "stt.errors", 0.9, 100); /* a figure says so too */
    judged_steps(j, 5);
    judged_event(j, EVENT_ANSWERS, 0, "a probe was answered again");
    judged_steps(j, 60);
    assert_int_equal(judged_count(j, "fails"), 3);
    judged_free(j);
}

/* A service that was said to hang, and is found to be full, does not hang. */
static void is_slow_and_does_not_hang(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 10);
    judged_event(j, EVENT_HANGS, 0, "no answer in 10 s");
    judged_step(j);
    judged_event(j, EVENT_OVERLOADED, 0, "no answer in 10 s, others had one");
    judged_step(j);
    assert_int_equal(judged_state(j, "hangs", NULL), STATE_FINE);
    assert_int_equal(judged_count(j, "overloaded"), 1);
    judged_free(j);
}

/* It stands until HAProxy says otherwise; of a service without a front nobody asks. */
static void unserved(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT FRONT);
    judged_all_well(j);
    judged_event(j, EVENT_UNSERVED, 1, "none of 1 servers");
    judged_event(j, EVENT_UNSERVED, 0, "nobody's");
    judged_steps(j, 7200);
    assert_int_equal(judged_only(j, "no usable server")->service, 1);
    judged_event(j, EVENT_SERVED, 1, "again");
    judged_step(j);
    assert_int_equal(judged_count(j, "no usable server"), 2);
    judged_free(j);
}

static void says_full_once(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_event(j, EVENT_DISK_FULL, -1, "No space left on device");
    judged_steps(j, 3000);
    assert_int_equal(judged_count(j, "disk full"), 1);
    judged_event(j, EVENT_DISK_WRITES, -1, "recording goes on");
    judged_steps(j, 62);
    assert_int_equal(judged_count(j, "disk full"), 2);
    assert_int_equal(j->total, 2);
    judged_free(j);
}

static void counts_restarts(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(judged_count(j, "restarts again and again"), 0);
        judged_event(j, EVENT_RESTARTED, 0, "again");
        judged_steps(j, 200);
    }
    assert_int_equal(judged_count(j, "restarts again and again"), 1);
    judged_steps(j, 600);
    assert_int_equal(judged_count(j, "restarts again and again"), 2); /* over */
    judged_free(j);
}

/* Beside "down" it is not said that nothing is known; and at the beginning only after a window. */
static void no_data(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_set(j, "stt.latency.p50", NAN);
    judged_steps(j, 60);
    assert_int_equal(judged_count(j, "no data"), 0);
    judged_step(j);
    assert_int_equal(judged_count(j, "no data"), 1);
    judged_free(j);
    j = judged_new(ACT);
    judged_all_well(j);
    judged_step(j);
    judged_set(j, "stt.latency.p50", NAN);
    judged_set(j, "stt.up", 0);
    judged_steps(j, 200);
    assert_int_equal(judged_count(j, "no data"), 0);
    assert_int_equal(judged_count(j, "down"), 1);
    judged_set(j, "stt.up", 1); /* its window begins anew */
    judged_steps(j, 59);
    assert_int_equal(judged_count(j, "no data"), 0);
    judged_steps(j, 2);
    assert_int_equal(judged_count(j, "no data"), 1);
    judged_free(j);
    j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 100);
    judged_set(j, "stt.latency.p50", NAN);
    judged_event(j, EVENT_RESTARTED, 0, "pid 7 is 9 now");
    judged_steps(j, 60);
    assert_int_equal(judged_count(j, "no data"), 0);
    judged_free(j);
    /* Before: a promotion, whose probes begin a window of their own, was "no data" at once. */
    j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 100);
    judged_set(j, "stt.latency.p50", NAN);
    judged_event(j, EVENT_SETTING, -1, "production runs another setting");
    judged_steps(j, 60);
    assert_int_equal(judged_count(j, "no data"), 0);
    judged_step(j);
    assert_int_equal(judged_count(j, "no data"), 1);
    judged_event(j, EVENT_SETTING, -1, "and another one");
    judged_steps(j, 120); /* unknown for a window, and still the same alarm */
    assert_int_equal(judged_count(j, "no data"), 1);
    judged_free(j);
}

/* A trend that trembles around the threshold is one alarm. */
static void full_soon_trembles(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    for (int i = 0; i < 600; i++) {
        judged_set(j, "gpu0.memory.full_in", i < 60 || i % 2 ? 14 * 60 : 18 * 60);
        judged_step(j);
    }
    assert_int_equal(judged_count(j, "device full soon"), 1);
    judged_free(j);
}

static void xids(void **state)
{
    static const struct {
        const char *text;
        bool fatal;
    } xid_rows[] = {
        {"NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.", true},
        {"Xid (PCI:0000:44:00): 31, pid=79, MMU Fault", false},
        {"xid 119", true},
        {"gpu0 (0000:44:00): Xid 154: GPU recovery action changed from 0x0 (None) to 0x1 (GPU "
         "Reset Required)",
         true},
        {"gpu0 (0000:44:00): Xid 154: GPU recovery action changed from 0x1 (GPU Reset Required) to "
         "0x0 (None)",
         false},
        {"NVRM: Xid (PCI:0000:44:00): 154, pid='<unknown>', name=<unknown>, GPU Recovery Action "
         "changed from 0x1 (GPU Reset Required) to 0x0 (None).",
         false},
        {"Xid 154: GPU recovery action changed from None to Node Reboot Required", true},
        {"Xid 48: pid=7, DBE (None)", true},
        {"gpu0: XID 13: Graphics exception", false},
        {"nothing of the kind: 79", false},
        {"Xid", false},
        {"Xid (", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(xid_rows); i++)
        CHECK_ROW(i, xid_rows[i].text,
                  guard_alarm_xid_is_fatal(xid_rows[i].text) == xid_rows[i].fatal);
}

/* What a fatal Xid leaves behind: a card that computes no more until it was reset. */
static const struct {
    const char *name;
    const char *word; /* stt's placement while it stands; "gpu": it goes on as before */
    int service;      /* that is another process meanwhile; -1: none */
    bool read;        /* the device's memory, at the end */
    int64_t over_by;  /* after it was proven; 0: it stands */
} after_xid[] = {
    {"nothing but time", "gpu", -1, true, 0},
    {"proven before, and nobody is", NULL, -1, true, 0},
    {"away, then proven", "unproven", -1, true, 2},
    {"another process, at once proven", "gpu", 0, true, 2},
    {"another process of another service", "gpu", 1, true, 2},
    {"proven, and the driver tells nothing", "cpu", -1, false, 0},
};

static void a_fatal_xid_is_remembered(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(after_xid); i++) {
        struct judged *j = judged_new(ACT);
        judged_all_well(j);
        judged_steps(j, 5);
        judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 48: double bit");
        judged_step(j);
        judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 63: row remapping");
        judged_step(j);
        CHECK_ROW(i, after_xid[i].name, judged_count(j, "driver error") == 1);
        judged_set_word(j, "stt.placement", after_xid[i].word);
        if (after_xid[i].service >= 0)
            judged_event(j, EVENT_RESTARTED, after_xid[i].service, "pid 7 is 9 now");
        if (!after_xid[i].read)
            judged_set(j, "gpu0.memory.used", NAN);
        judged_steps(j, 900);
        CHECK_ROW(i, "before",
                  judged_count(j, "driver error") == (after_xid[i].service >= 0 ? 2 : 1));
        if (after_xid[i].word)
            judged_set_word(j, "stt.placement", "gpu");
        judged_steps(j, after_xid[i].over_by + 2);
        const bool over = after_xid[i].over_by > 0;
        CHECK_ROW(i, after_xid[i].name, judged_count(j, "driver error") == (over ? 2 : 1));
        CHECK_ROW(i, after_xid[i].name,
                  judged_state(j, "driver error", NULL) == (over ? STATE_FINE : STATE_ALARM));
        judged_free(j);
    }
}

/* The hold is the least: what is proven at once does not make it shorter. */
static void a_fatal_xid_holds(void **state)
{
    (void)state;
    char text[240];
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 5);
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 79: off the bus");
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 31: pid=7");
    judged_step(j);
    assert_int_equal(judged_state(j, "driver error", text), STATE_ALARM);
    assert_non_null(strstr(text, "Xid 79")); /* the gravest */
    judged_event(j, EVENT_RESTARTED, 0, "pid 7 is 9 now");
    judged_steps(j, 590);
    assert_int_equal(judged_count(j, "driver error"), 1);
    judged_clear(j);
    judged_steps(j, 15);
    const struct guard_decision *d = judged_only(j, "driver error");
    CHECK_ROW(0, d->text, d->to == STATE_FINE && strstr(d->text, "is over after"));
    judged_clear(j);
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 31: pid=9");
    judged_step(j);
    judged_clear(j);
    judged_steps(j, 605);
    d = judged_only(j, "driver error");
    CHECK_ROW(1, d->text, strstr(d->text, "not again for"));
    judged_free(j);
}

static const char asked[] =
    "gpu0 (0000:44:00): Xid 154: GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset "
    "Required)";
static const char taken_back[] =
    "gpu0 (0000:44:00): Xid 154: GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 "
    "(None)";

/* Expected: a driver that has asked for a reset and takes it back has said that the card is well;
 * of what it did not ask for, and of another card, it says nothing. It begins no alarm. */
static void a_driver_takes_its_word_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *second;
        bool over;
    } words[] = {
        {"asked, and taken back", asked, taken_back, true},
        {"never asked", "gpu0 (0000:44:00): Xid 79: off the bus", taken_back, false},
        {"another card's", asked, "a card of no service here (0000:55:00): Xid 154: (None)", false},
        {"not taken back", asked, NULL, false},
        {"no error before", NULL, taken_back, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct judged *j = judged_new(ACT);
        judged_all_well(j);
        judged_steps(j, 5);
        if (words[i].first)
            judged_event(j, EVENT_XID, -1, words[i].first);
        judged_steps(j, 5);
        if (words[i].second)
            judged_event(j, EVENT_XID_OVER, -1, words[i].second);
        judged_steps(j, 5);
        CHECK_ROW(i, words[i].name, judged_count(j, "driver error") == (words[i].first != NULL));
        judged_steps(j, 900);
        CHECK_ROW(i, words[i].name,
                  (judged_state(j, "driver error", NULL) == STATE_FINE) == words[i].over);
        judged_free(j);
    }
}

/* "Restart that service" becomes "reboot". Before: it was not told, the alarm stood already. */
static void a_fatal_xid_is_told_after_others(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_steps(j, 5);
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 31: pid=7");
    judged_steps(j, 20);
    judged_clear(j);
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 79: off the bus");
    judged_step(j);
    const struct guard_decision *d = judged_only(j, "driver error");
    CHECK_ROW(0, d->text, d->to == STATE_ALARM && strstr(d->text, "Xid 79"));
    CHECK_ROW(0, d->text, d->actions == 1u << ACTION_NOTIFY);
    judged_event(j, EVENT_XID, -1, "gpu0 (0000:44:00): Xid 79: off the bus");
    judged_steps(j, 20); /* once */
    assert_int_equal(judged_count(j, "driver error"), 1);
    judged_free(j);
}

/* Nobody here is on that card. */
static void an_xid_of_another_card(void **state)
{
    (void)state;
    struct judged *j = judged_new(ACT);
    judged_all_well(j);
    judged_event(j, EVENT_XID, -1, "a card of no service here (0000:55:00): Xid 79: off the bus");
    judged_steps(j, 5);
    assert_int_equal(j->total, 0);
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(all_kinds),
        cmocka_unit_test(asks_for_a_study),
        cmocka_unit_test(no_data),
        cmocka_unit_test(fails),
        cmocka_unit_test(fails_in_a_row),
        cmocka_unit_test(is_slow_and_does_not_hang),
        cmocka_unit_test(unserved),
        cmocka_unit_test(says_full_once),
        cmocka_unit_test(counts_restarts),
        cmocka_unit_test(xids),
        cmocka_unit_test(a_fatal_xid_is_remembered),
        cmocka_unit_test(a_fatal_xid_holds),
        cmocka_unit_test(a_driver_takes_its_word_back),
        cmocka_unit_test(a_fatal_xid_is_told_after_others),
        cmocka_unit_test(an_xid_of_another_card),
        cmocka_unit_test(full_soon_trembles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
