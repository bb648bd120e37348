/* Services that speak TLS: what may be said of it, and what it is then. */
#include "check.h"
#include "fixture.h"

#define STUDY(service)                                                                             \
    "study: r\nservices:\n  t: {" service "}\n"                                                    \
    "load:\n  t: {rate: 1/s}\ngoal: {optimise: {t.latency.p50: {good: 1s, bad: 9s}}}\n"
#define PLAIN "command: [x, '{port}'], protocol: plain"
#define FRONT(watch)                                                                               \
    "guard: {" watch "fronts: {t: {port: 1, tiers: {a: {unit: a.service, port: 2, values: {}, "    \
    "resident: true}}}}}\n"

static const struct spec_protocol bytes = {
    .name = "bytes", .sources = SOURCE_ANY, .path = "", .help = "no HTTP", .never_tls = true};
static const struct spec_protocol *const protocols[] = {&bytes, &fixture_protocols[2],
                                                        &fixture_protocols[1]};
static const struct spec_catalog catalog = {
    .engines = fixture_engine_list,
    .engine_count = ARRAY_LEN(fixture_engine_list),
    .protocols = protocols,
    .protocol_count = ARRAY_LEN(protocols),
    .strategies = fixture_strategies,
    .strategy_count = ARRAY_LEN(fixture_strategies),
};

static const struct {
    const char *text;
    const char *says; /* NULL: it is fine, and then: */
    bool given;
    const char *ca, *name;
} rows[] = {
    {STUDY(PLAIN), NULL, false, NULL, NULL},
    {STUDY(PLAIN ", tls: false"), NULL, false, NULL, NULL},
    {STUDY(PLAIN ", tls: true"), NULL, true, NULL, "localhost"},
    {STUDY(PLAIN ", tls: {}"), NULL, true, NULL, "localhost"},
    {STUDY(PLAIN ", tls: {ca: /etc/ca.pem}"), NULL, true, "/etc/ca.pem", "localhost"},
    {STUDY(PLAIN ", tls: {name: stt.example.org}"), NULL, true, NULL, "stt.example.org"},
    {STUDY(PLAIN ", tls: {name: 127.0.0.1}"), NULL, true, NULL, "127.0.0.1"},
    {STUDY(PLAIN ", tls: yes"), "t.tls: \"yes\": must be one of false, true", false, NULL, NULL},
    {STUDY(PLAIN ", tls: [a]"), "t.tls: must be text, this is a list", false, NULL, NULL},
    {STUDY(PLAIN ", tls: {verify: false}"), "t.tls: there is no key \"verify\"; allowed: ca, name",
     false, NULL, NULL},
    {STUDY(PLAIN ", tls: {name: 10.0.0.7}"), "t.tls.name: \"10.0.0.7\" is no host name", false,
     NULL, NULL},
    {STUDY(PLAIN ", tls: {name: 'a/b'}"), "\"a/b\" is no host name", false, NULL, NULL},
    {STUDY(PLAIN ", tls: {name: a..b}"), "\"a..b\" is no host name", false, NULL, NULL},
    {STUDY(PLAIN ", tls: {name: 'h:1'}"), "\"h:1\" is no host name", false, NULL, NULL},
    {STUDY("command: [x, '{port}'], protocol: bytes, tls: true"),
     "t.tls: bytes is not spoken over TLS", false, NULL, NULL},
    {STUDY(PLAIN ", tls: true") FRONT(""), NULL, true, NULL, "localhost"},
    {STUDY(PLAIN ", tls: {name: 127.0.0.1}") FRONT(""),
     "guard.fronts.t: HAProxy holds a certificate against a host's name, not an address: that of t "
     "must be for one, and its tls.name say which (now 127.0.0.1)",
     false, NULL, NULL},
    {STUDY(PLAIN ", tls: true") FRONT("watch: {t: {port: 2}}, "), NULL, true, NULL, "localhost"},
    {STUDY(PLAIN ", tls: true") FRONT("watch: {t: {port: 1}}, "),
     "guard.fronts.t: t is watched at port 1 and asked over TLS, but there HAProxy takes clear "
     "text: let guard.watch.t name the port of a server behind it",
     false, NULL, NULL},
    {STUDY(PLAIN) FRONT("watch: {t: {port: 1}}, "), NULL, false, NULL, NULL},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct err err = ERR_INIT;
        bool ok = spec_study_parse("f", rows[i].text, strlen(rows[i].text), &catalog, &study, &err);
        CHECK_ROW(i, err.text, ok == !rows[i].says);
        CHECK_ROW(i, err.text, ok || strstr(err.text, rows[i].says));
        if (!ok)
            continue;
        const struct spec_tls *tls = &study->services[0].tls;
        CHECK_ROW(i, rows[i].text, tls->given == rows[i].given);
        CHECK_ROW_TEXT(i, rows[i].text, tls->ca ? tls->ca : "", rows[i].ca ? rows[i].ca : "");
        CHECK_ROW_TEXT(i, rows[i].text, tls->name ? tls->name : "",
                       rows[i].name ? rows[i].name : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
