/* `guard:`: what it becomes, every way to write it wrong, and that no measurement depends on it. */
#include "spec/study.h"

#include "base/buf.h"
#include "spec/guard.h"

#include "check.h"
#include "fixture.h"

#include <math.h>

static const char head[] = "study: s\n"
                           "services:\n"
                           "  stt: {command: [x, \"{port}\", \"{model}\"], knobs: {model: [base, "
                           "tiny]}, protocol: plain}\n"
                           "  llm: {command: [y, \"{port}\"]}\n"
                           "goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}}\n"
                           "load: {stt: {rate: 1/s}}\n"
                           "baseline: none\n"; /* 7 lines */

static struct spec_study *parse(const char *more, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    struct spec_study *study = NULL;
    buf_addf(&text, "%s%s", head, more);
    if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, err))
        return NULL;
    return study;
}

/* Good parts, so that rows say only what they are about; then a rule stands on line 10. */
#define WATCH "guard:\n  watch: {stt: {unit: w, port: 8000}, llm: {port: 8001}}\n"
#define TIERS                                                                                      \
    "guard:\n  fronts: {stt: {port: 1, tiers: {base: {port: 2, resident: true, unit: b}, tiny: "   \
    "{port: 3}}}}\n"
#define RULE(text) WATCH "  rules: [" text "]\n"
#define FRONT(text) "guard:\n  fronts: {stt: " text "}\n"
#define TWO "tiers: {base: {port: 2}, tiny: {port: 3}}"
#define ASK_MORE(rate)                                                                             \
    "\"probe: {stt: " rate                                                                         \
    "/s}\" would do, or a longer \"window\", or more sources: \"fronts\", or "                     \
    "its server's \"metrics\" under guard.watch"
#define NO_SHADOW                                                                                  \
    "HAProxy can't send copies of requests by itself: its mirror (SPOE) wants an agent that no "   \
    "package of this system has, and copies only bodies of up to 16 KiB, which no recording is; "  \
    "give the arm a weight, or send it recorded requests with `spica bench`"

static const struct {
    const char *text, *message;
} wrong[] = {
    {"guard: 3\n", "f:8:8: guard: must be a mapping (key: value), this is text"},
    {"guard: {}\n",
     "f:8:8: guard: has nothing to watch: say where services run, as in {watch: {stt: {unit: "
     "stt.service, port: 8000}}}"},
    {"guard: {wach: {}}\n", "f:8:9: guard: there is no key \"wach\"; did you mean watch?"},
    {"guard: {every: 2s, window: 1s}\n",
     "f:8:8: guard.window: is shorter than \"every\": most of what happens would be in no window"},
    {"guard: {listen: somewhere}\n",
     "f:8:17: guard.listen: \"somewhere\" is no address in digits with a port, as in "
     "127.0.0.1:9469 or [::1]:9469"},
    {"guard: {listen: \"0.0.0.0:9469\"}\n",
     "f:8:17: guard.listen: 0.0.0.0 is no loopback address: others could read it; name with "
     "\"token_env\" the environment variable that holds a token"},
    {"guard: {token_env: T}\n", "f:8:20: guard.token_env: goes with \"listen\": nothing is served"},
    {"guard: {watch: {sst: {port: 1}}}\n",
     "f:8:17: guard.watch: there is no service \"sst\"; did you mean stt? (there are stt, llm)"},
    {"guard: {watch: {stt: {metrics: /m}}}\n",
     "f:8:22: guard.watch.stt: needs one of unit, pid, container and port"},
    {"guard: {watch: {stt: {unit: a, pid: 7}}}\n",
     "f:8:22: guard.watch.stt: say one of unit, pid and container: they could be three processes"},
    {"guard: {watch: {stt: {unit: a/b}}}\n",
     "f:8:29: guard.watch.stt.unit: \"a/b\" is no unit's name"},
    {"guard: {watch: {stt: {unit: a, metrics: /m}}}\n",
     "f:8:41: guard.watch.stt.metrics: needs \"port\""},
    {"guard: {watch: {stt: {pid: 7}}, probe: {stt: 1/s}}\n",
     "f:8:46: guard.probe.stt: nobody says at which port stt answers: name it under "
     "guard.watch.stt"},
    {"guard: {watch: {stt: {port: 7}}, probe: {stt: 99/s}}\n",
     "f:8:47: guard.probe.stt: 99/s is out of range: 0 /s to 10 /s"},
    /* rules */
    {RULE("{name: a}"), "f:10:11: guard.rules: \"when\" is missing: an expression over figures, as "
                        "in \"stt.latency.p95 > 300ms\""},
    {RULE("{name: a, when: stt.latncy.p95 > 1s}"),
     "f:10:27: guard.rules.a.when: \"stt.latncy.p95\": there is no such figure; did you mean "
     "stt.latency.p95?"},
    {RULE("{name: a, when: stt.latency > 1s}"),
     "f:10:27: guard.rules.a.when: \"stt.latency\": say which: stt.latency.p50, p95, p99"},
    {RULE("{name: a, when: stt.wer > 1}"),
     "f:10:27: guard.rules.a.when: \"stt.wer\": there is no such figure; did you mean stt.tier?"},
    {RULE("{name: a, when: stt.latency.p95 > 3}"),
     "f:10:27: guard.rules.a.when: column 17: a time on the left, a number without a unit on the "
     "right; a time needs its unit, as in 500ms"},
    {RULE("{name: a, when: stt.placement == gup}"),
     "f:10:27: guard.rules.a.when: stt.placement is never \"gup\"; did you mean gpu?; it is one of "
     "gpu, cpu, partial, unproven"},
    {RULE("{name: a, when: stt.requests.latency.p95 > 1s}"),
     "f:10:27: guard.rules.a.when: \"stt.requests.latency.p95\" would never be known: its requests "
     "are seen by HAProxy alone: name it under \"fronts\""},
    {RULE("{name: a, when: proxy.up == 0}"),
     "f:10:27: guard.rules.a.when: \"proxy.up\" would never be known: there is no HAProxy: nothing "
     "stands under \"fronts\""},
    {RULE("{name: a, when: stt.spare < 1}"),
     "f:10:27: guard.rules.a.when: \"stt.spare\" would never be known: the study measures no "
     "capacity of it: name it under \"capacity\""},
    {RULE("{name: a, when: 1 < 2}"), "f:10:27: guard.rules.a.when: \"1 < 2\" names no figure"},
    {RULE("{name: a, when: stt.latency.p95 > 1s, until: stt.latency.p95 < 2s}"),
     "f:10:56: guard.rules.a.until: holds where \"when\" (stt.latency.p95 > 1s) does: the alarm "
     "would come and go"},
    {RULE("{name: a, when: stt.latency.p95 > 1s, until: stt.latency.p95 > 2s}"),
     "f:10:56: guard.rules.a.until: looks the same way as \"when\": it is over when the figure has "
     "come back"},
    {RULE("{name: a, when: stt.probe.latency.p95 > 1s}"),
     "f:10:11: guard.rules.a: stt.probe.latency.p95 would never be known: at 0.1 /s there are 6 "
     "probes in a window of 60 s, fewer than at_least 20; \"probe: {stt: 0.34/s}\" would do, or a "
     "longer \"window\""},
    {RULE("{name: a, when: stt.latency.p95 > 300ms}"),
     "f:10:11: guard.rules.a: stt.latency.p95 would never be known: at 0.1 /s there are 6 probes, "
     "and nothing else, in a window of 60 s, fewer than at_least 20; " ASK_MORE("0.34")},
    {RULE("{name: a, when: stt.errors > 5%}"),
     "f:10:11: guard.rules.a: stt.errors would never be known: at 0.1 /s there are 6 probes, and "
     "nothing else, in a window of 60 s, fewer than at_least 20; \"probe: {stt: 0.34/s}\" would "
     "do, or a longer \"window\", or a lower \"at_least\", or more sources: \"fronts\", or its "
     "server's \"metrics\" under guard.watch"},
    {RULE("{name: a, when: stt.up == 0, until: stt.first.p99 < 1s, at_least: 1}"),
     "f:10:11: guard.rules.a: stt.first.p99 would never be known: at 0.1 /s there are 6 probes, "
     "and nothing else, in a window of 60 s, fewer than the 100 that a p99 needs; " ASK_MORE(
         "1.67")},
    {WATCH "  probe: 0.5/s\n  rules: [{name: a, when: stt.probe.latency.p99 > 1s}]\n",
     "f:11:11: guard.rules.a: stt.probe.latency.p99 would never be known: at 0.5 /s there are 30 "
     "probes in a window of 60 s, fewer than the 100 that a p99 needs; \"probe: {stt: 1.67/s}\" "
     "would do, or a longer \"window\""},
    {WATCH "  window: 4s\n  probe: 1/s\n  rules: [{name: a, when: stt.first.p50 > 1s, at_least: "
           "1}]\n",
     "f:12:11: guard.rules.a: stt.first.p50 would never be known: at 1 /s there are 4 probes, and "
     "nothing else, in a window of 4 s, fewer than the 5 that a p50 needs; " ASK_MORE("1.25")},
    {WATCH "  window: 5s\n  rules: [{name: a, when: stt.probe.first.p99 > 1s}]\n",
     "f:11:11: guard.rules.a: stt.probe.first.p99 would never be known: at 0.1 /s there are 0.5 "
     "probes in a window of 5 s, fewer than the 100 that a p99 needs; it takes a longer "
     "\"window\""},
    {RULE("{name: a, when: stt.queue.p95 > 1s}"),
     "f:10:27: guard.rules.a.when: \"stt.queue.p95\" would never be known: nothing sees its queue: "
     "name it under \"fronts\", or its port and \"metrics\" under guard.watch"},
    {RULE("{name: a, when: stt.engine.latency.p95 > 1s}"),
     "f:10:27: guard.rules.a.when: \"stt.engine.latency.p95\" would never be known: no page of its "
     "server's metrics is known: name its port and \"metrics\" under guard.watch"},
    {WATCH "  probe: 0/s\n  rules: [{name: a, when: stt.rate > 1}]\n",
     "f:11:27: guard.rules.a.when: \"stt.rate\" would never be known: nothing sees its requests: "
     "name it under \"fronts\", or give its port and a rate of probes"},
    {RULE("{name: a, when: stt.up == 0, do: restrat}"),
     "f:10:44: guard.rules.a.do: there is no action \"restrat\"; did you mean restart? (there are "
     "notify, tier-down, tier-up, restart, rollback, restudy)"},
    {RULE("{name: a, when: stt.up + llm.up < 1, do: [restart]}"),
     "f:10:53: guard.rules.a.do: restart needs exactly one service in \"when\": whom else should "
     "it concern?"},
    {RULE("{name: a, when: cpu.memory.free < 1GiB, do: [restart]}"),
     "f:10:56: guard.rules.a.do: restart needs exactly one service in \"when\": whom else should "
     "it concern?"},
    {RULE("{name: a, when: llm.up == 0, do: [restart]}"),
     "f:10:45: guard.rules.a.do: restart needs a systemd unit under guard.watch.llm, which is what "
     "it restarts (no tier's is): there is a port alone"},
    {"guard:\n  watch: {llm: {pid: 7}}\n  rules: [{name: a, when: llm.up == 0, do: restart}]\n",
     "f:10:44: guard.rules.a.do: restart needs a systemd unit under guard.watch.llm, which is what "
     "it restarts (no tier's is): there is a pid"},
    {"guard:\n  watch: {llm: {container: c}}\n"
     "  rules: [{name: a, when: llm.up == 0, do: restart}]\n",
     "f:10:44: guard.rules.a.do: restart needs a systemd unit under guard.watch.llm, which is what "
     "it restarts (no tier's is): there is a container"},
    {TIERS "  rules: [{name: a, when: stt.rate > 1, do: [restart]}]\n",
     "f:10:46: guard.rules.a.do: restart needs a systemd unit under guard.watch.stt, which is what "
     "it restarts (no tier's is): there is nothing"},
    {RULE("{name: a, when: stt.up == 0, do: [tier-down]}"),
     "f:10:45: guard.rules.a.do: tier-down needs several tiers of the service, under guard.fronts"},
    {RULE("{name: a, when: stt.up == 0, do: [rollback]}"),
     "f:10:45: guard.rules.a.do: rollback needs \"production\": else nothing was promoted"},
    {RULE("{name: a, when: stt.up == 0}, {name: a, when: llm.up == 0}"),
     "f:10:48: guard.rules: there are two rules called \"a\""},
    {TIERS "  rules: [{name: a, when: stt.tier == small}]\n",
     "f:10:27: guard.rules.a.when: stt.tier is never \"small\"; it is one of base, tiny"},
    {TIERS "  rules: [{name: a, when: stt.rate > 1, do: [tier-up, tier-down]}]\n",
     "f:10:45: guard.rules.a.do: tier-down and tier-up undo each other"},
    /* act */
    {WATCH "  act: {notfy: {}}\n",
     "f:10:9: guard.act: there is no action \"notfy\"; did you mean notify? (there are notify, "
     "tier-down, tier-up, restart, rollback, restudy)"},
    {WATCH "  act: {restart: {command: [a]}}\n",
     "f:10:28: guard.act.restart.command: goes with notify alone"},
    {WATCH "  act: {notify: {command: [\"{txt}\"]}}\n",
     "f:10:27: guard.act.notify.command: needs a program"},
    {WATCH "  act: {notify: {command: [a, \"{txt}\"]}}\n",
     "f:10:31: guard.act.notify.command: \"{txt}\": of placeholders only {rule}, {state} and "
     "{text} are known here; \"{{\" writes a brace"},
    {WATCH "  act: {restudy: {between: 2-5}}\n",
     "f:10:28: guard.act.restudy.between: \"2-5\" is no time of day, as in 02:00-05:00"},
    {WATCH "  act: {restudy: {pause: [\"a b\"]}}\n",
     "f:10:27: guard.act.restudy.pause: \"a b\" is no unit's name"},
    {WATCH "  act: {restudy: {pause: []}}\n", "f:10:26: guard.act.restudy.pause: needs a unit"},
    {WATCH "  act: {rollback: {pause: [a.service]}}\n",
     "f:10:27: guard.act.rollback.pause: goes with restudy alone"},
    {WATCH "  act: {restudy: {user: true}}\n",
     "f:10:25: guard.act.restudy.user: goes with \"pause\""},
    /* fronts */
    {WATCH "  proxy: {}\n",
     "f:10:10: guard.proxy: has nothing to carry: name a service under \"fronts\""},
    {FRONT("{port: 1}"), "f:9:17: guard.fronts.stt: needs \"tiers\", or a \"split\""},
    {FRONT("{port: 1, tiers: {base: {port: 2}}, keep: p95 < 1s}"),
     "f:9:59: guard.fronts.stt.keep: needs several tiers: there is nothing to choose"},
    {FRONT("{port: 1, " TWO ", keep: p95 > 1s}"),
     "f:9:76: guard.fronts.stt.keep: \"p95 > 1s\" is no limit, as in p95 < 300ms"},
    {FRONT("{port: 2, " TWO "}"),
     "f:9:35: guard.fronts.stt.tiers.base.port: port 2 is that of guard.fronts.stt.port already"},
    {FRONT("{port: 1, tiers: {base: {port: 2, unit: a}, tiny: {port: 3, unit: b}}}"),
     "f:9:34: guard.fronts.stt.tiers: one of them must be resident: there is always one that can "
     "answer at once"},
    {FRONT(
         "{port: 1, tiers: {base: {port: 2, unit: a, resident: true}, tiny: {port: 3, unit: a}}}"),
     "f:9:77: guard.fronts.stt.tiers.tiny: is the same unit as base"},
    {FRONT("{port: 1, tiers: {base: {port: 2, values: {modl: base}}}}"),
     "f:9:60: guard.fronts.stt.tiers.base.values: stt has no knob \"modl\"; did you mean model?"},
    {FRONT("{port: 1, tiers: {base: {port: 2, values: {model: small}}}}"),
     "f:9:67: guard.fronts.stt.tiers.base.values.model: has no value \"small\"; it has base, tiny"},
    {FRONT("{port: 1, " TWO ", split: {arms: {a: {port: 4}}}}"),
     "f:9:17: guard.fronts.stt: has tiers and a split: both would decide where a request goes"},
    {FRONT(
         "{port: 1, split: {arms: {a: {port: 4, weight: 90}, b: {port: 5, weight: 5}, c: {port: 6, "
         "weight: 5}}}}"),
     "f:9:96: guard.fronts.stt.split.arms.c: a third arm: only the second is tested against the "
     "first, and one that nobody tests could do harm for ever; one after the other"},
    {FRONT("{port: 1, split: {arms: {a: {port: 4, weight: 100}}}}"),
     "f:9:41: guard.fronts.stt.split.arms: must be a mapping of two servers, as in {now: {port: "
     "8001, weight: 90}, next: {port: 8002, weight: 10}}"},
    {FRONT("{port: 1, split: {arms: {a: {port: 4, weight: 90}, b: {port: 5, weight: 9}}}}"),
     "f:9:41: guard.fronts.stt.split.arms: the weights sum up to 99: they are percents of all "
     "requests"},
    {FRONT("{port: 1, split: {arms: {a: {port: 4, weight: 100, shadow: true}, b: {port: 5}}}}"),
     "f:9:76: guard.fronts.stt.split.arms.a.shadow: " NO_SHADOW},
    {FRONT("{port: 1, split: {arms: {a: {port: 4, weight: 100}, b: {port: 5, shadow: true}}}}"),
     "f:9:90: guard.fronts.stt.split.arms.b.shadow: " NO_SHADOW},
    {FRONT("{port: 1, split: {arms: {a: {port: 4, weight: 100}, b: {port: 5}}, stick: {}}}"),
     "f:9:91: guard.fronts.stt.split.stick: needs one of header and cookie"},
    {FRONT("{port: 1, " TWO ", pin: \"X Y\"}"),
     "f:9:75: guard.fronts.stt.pin: \"X Y\" is no name: at most 64 letters, digits, \"-\" and "
     "\"_\""},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct err err = ERR_INIT;
        AUTO(spec_study_free) struct spec_study *study = parse(wrong[i].text, &err);
        CHECK_ROW_TEXT(i, wrong[i].text, err.text, wrong[i].message);
        assert_int_equal(err.code, ERR_INPUT);
    }
}

/* Some engines are known to have a page, others to have none. */
static void knows_an_engines_page(void **state)
{
    static const struct {
        const char *engine, *message;
    } rows[] = {
        {"vllm", ""},
        {"faster-whisper-server",
         "f:7:11: guard.rules.a: own.latency.p99 would never be known: at 0.1 /s there are 6 "
         "probes, and nothing else, in a window of 60 s, fewer than the 100 that a p99 needs; "
         "\"probe: {own: 1.67/s}\" would do, or a longer \"window\", or more sources: \"fronts\", "
         "or its server's \"metrics\" under guard.watch"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        struct spec_study *made = NULL;
        struct err err = ERR_INIT;
        buf_addf(&text,
                 "study: s\nservices: {own: {engine: %s, model: m, protocol: plain}}\n"
                 "goal: {optimise: {own.latency.p95: {good: 100ms, bad: 1s}}}\n"
                 "load: {own: {rate: 1/s}}\nbaseline: none\nguard: {watch: {own: {port: 8000}},\n"
                 "  rules: [{name: a, when: own.latency.p99 > 1s}]}\n",
                 rows[i].engine);
        (void)!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &made, &err);
        AUTO(spec_study_free) struct spec_study *study = made;
        CHECK_ROW_TEXT(i, rows[i].engine, err.text, rows[i].message);
    }
}

/* What may come from a front or a page is known only when it comes, and probes may be enough. */
static void judges_what_may_come(void **state)
{
    static const char *const rows[] = {
        "guard:\n  watch: {stt: {port: 8000, metrics: /m}}\n"
        "  rules: [{name: a, when: stt.latency.p99 > 1s or stt.queue.p50 > 1s}]\n",
        "guard:\n  fronts: {stt: {port: 1, " TWO "}}\n"
        "  rules: [{name: a, when: stt.latency.p99 > 1s or stt.errors > 5%}]\n",
        WATCH "  probe: {stt: 0.3334/s}\n  rules: [{name: a, when: stt.latency.p95 > 1s}]\n",
        WATCH "  probe: {stt: 1.6667/s}\n  rules: [{name: a, when: stt.latency.p99 > 1s}]\n",
        RULE("{name: a, when: stt.probe.latency.p50 > 1s, at_least: 5}"),
        RULE("{name: a, when: stt.rate < 0.05}"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        AUTO(spec_study_free) struct spec_study *study = parse(rows[i], &err);
        CHECK_ROW_TEXT(i, rows[i], err.text, "");
    }
}

static const char whole[] =
    "guard:\n"
    "  every: 500ms\n"
    "  probe: {stt: 0.2/s, llm: 0}\n"
    "  watch: {stt: {unit: whisper, port: 8090}, llm: {pid: 4711, port: 8000, metrics: /m}}\n"
    "  listen: \"[::1]:9469\"\n"
    "  token_env: SPICA_GUARD_TOKEN\n"
    "  rules:\n"
    "    - {name: slow speech, when: stt.latency.p95 > 300ms, for: 30s,\n"
    "       until: stt.latency.p95 < 250ms, do: [notify, tier-down]}\n"
    "    - {name: both, when: stt.up == 0 and llm.up == 0, clear: 1m}\n"
    "  act:\n"
    "    notify: {command: [/usr/local/bin/tell-me, \"{rule}\", \"{text}\"], per_hour: 20}\n"
    "    restart:\n"
    "    tier-down: {per_hour: 60}\n"
    "    restudy: {between: \"22:30-05:00\", pause: [whisper.service, vllm.service], user: true}\n"
    "  proxy: {unit: spica-haproxy, user: true}\n"
    "  fronts:\n"
    "    stt:\n"
    "      port: 8089\n"
    "      keep: p95 < 300ms\n"
    "      tiers:\n"
    "        base: {unit: whisper-base, port: 8101, values: {model: base}, resident: true}\n"
    "        tiny: {port: 8102, values: {model: tiny}, memory: 300MiB, wer: 9%}\n"
    "    llm:\n"
    "      port: 8079\n"
    "      split: {arms: {now: {port: 8001, weight: 90}, next: {port: 8002, weight: 10}},\n"
    "              stick: {header: X-Session}, harm: 20%}\n";

static void becomes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *study = parse(whole, &err);
    assert_string_equal(err.text, "");
    const struct spec_guard *g = study->guard;
    assert_true(g->given);
    assert_int_equal(g->every_ns, 500000000);
    assert_int_equal(g->window_ns, INT64_C(60000000000));
    assert_int_equal(g->record_bytes, 64 << 20);
    assert_string_equal(g->listen_address, "::1");
    assert_int_equal(g->listen_port, 9469);
    assert_int_equal(g->watches[0].kind, WATCH_UNIT);
    assert_string_equal(g->watches[0].unit, "whisper.service");
    assert_true(g->watches[0].probe_rps == 0.2);
    assert_int_equal(g->watches[0].probe_within_ns, INT64_C(10000000000));
    assert_int_equal(g->watches[1].kind, WATCH_PID);
    assert_int_equal(g->watches[1].pid, 4711);
    assert_string_equal(g->watches[1].metrics_path, "/m");
    assert_true(g->watches[1].probe_rps == 0);
    assert_int_equal(g->rule_count, 2);
    assert_int_equal(g->rules[0].service, 0);
    assert_int_equal(g->rules[0].actions, 1u << ACTION_NOTIFY | 1u << ACTION_TIER_DOWN);
    assert_int_equal(g->rules[0].clear_ns, INT64_C(30000000000));
    assert_int_equal(g->rules[0].at_least, 20);
    assert_int_equal(g->rules[1].service, -1);
    assert_int_equal(g->rules[1].actions, 1u << ACTION_NOTIFY); /* since it is allowed */
    assert_int_equal(g->rules[1].clear_ns, INT64_C(60000000000));
    assert_null(g->rules[1].until);
    assert_true(g->limits[ACTION_NOTIFY].allowed);
    assert_int_equal(g->limits[ACTION_NOTIFY].per_hour, 20);
    assert_int_equal(g->limits[ACTION_RESTART].per_hour, 2);
    assert_int_equal(g->limits[ACTION_RESTART].back_off_ns, INT64_C(60000000000));
    assert_false(g->limits[ACTION_ROLLBACK].allowed);
    assert_int_equal(g->notify_count, 3);
    assert_int_equal(g->restudy.from_min, 22 * 60 + 30);
    assert_int_equal(g->restudy.to_min, 300);
    assert_string_equal(g->restudy.pause, "whisper.service,vllm.service");
    assert_true(g->restudy.pause_user);
    assert_string_equal(g->proxy.unit, "spica-haproxy.service");
    assert_int_equal(g->proxy.folder[0], '/');
}

static void fronts(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *study = parse(whole, &err);
    const struct spec_front *stt = &study->guard->fronts[0], *llm = &study->guard->fronts[1];
    assert_int_equal(stt->tier_count, 2);
    assert_true(stt->quantile == 0.95 && stt->limit_s == 0.3);
    assert_int_equal(stt->reserve_bytes, 256 << 20);
    assert_string_equal(stt->tiers[0].values[0].name, "model");
    assert_string_equal(stt->tiers[0].values[0].text, "base");
    assert_true(isnan(stt->tiers[0].wer));
    assert_true(stt->tiers[1].resident && stt->tiers[1].wer == 0.09);
    assert_int_equal(stt->tiers[1].memory_bytes, 300 << 20);
    assert_string_equal(stt->address, "127.0.0.1");
    assert_int_equal(llm->service, 1);
    assert_int_equal(llm->split.count, 2);
    assert_true(isnan(llm->limit_s));
    assert_int_equal(llm->split.arms[1].weight, 10);
    assert_string_equal(llm->split.sticky_header, "X-Session");
    assert_true(llm->split.harm_ratio == 0.2 && llm->split.error == 0.05);
}

/* Where production is written down already. */
static void follows_production(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free)
    struct spec_study *study =
        parse("production:\n"
              "  stt: {unit: w, user: true, port: 8090, environment: {M: \"{model}\"}}\n"
              "  llm: {compose: c, service: s, override: o, port: 8000, exec: [a]}\n"
              "guard:\n  watch: {llm: none}\n",
              &err);
    assert_string_equal(err.text, "");
    const struct spec_watch *w = study->guard->watches;
    assert_int_equal(w[0].kind, WATCH_UNIT);
    assert_true(w[0].user);
    assert_int_equal(w[0].port, 8090);
    assert_true(w[0].probe_rps == 0.1);
    assert_int_equal(w[1].kind, WATCH_NOTHING);
    assert_true(w[1].probe_rps == 0);
    for (int i = 0; i < ACTION_COUNT_; i++)
        assert_false(study->guard->limits[i].allowed);
}

/* Every figure has a name of its own, and is found by it. */
static void names(void **state)
{
    static const char *const some[] = {
        "stt.latency.p95",      "stt.probe.latency.p99",
        "llm.engine.queue.p50", "llm.errors",
        "llm.requests.rate",    "stt.tier",
        "cpu.memory.full_in",   "proxy.up",
        "guard.disk.free",
    };
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *study = parse(whole, &err);
    const struct spec_guard *g = study->guard;
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        long found = guard_metric_find(g->metrics, g->metric_count, some[i]);
        CHECK_ROW(i, some[i], found >= 0);
        assert_string_equal(g->metrics[found].name, some[i]);
    }
    for (size_t i = 0; i < g->metric_count; i++) {
        assert_int_equal(guard_metric_find(g->metrics, g->metric_count, g->metrics[i].name), i);
        const struct guard_metric_info *info = &guard_metric_infos[g->metrics[i].metric];
        assert_int_equal(info->quantiles, !isnan(g->metrics[i].quantile));
        assert_int_equal(info->unit == EXPR_UNIT_TEXT, g->metrics[i].words != NULL);
    }
    for (int m = 0; m < GUARD_METRIC_COUNT_; m++)
        assert_true(guard_metric_infos[m].word && guard_metric_infos[m].help);
}

#define STT "production:\n  stt: {unit: w, environment: {M: \"{model}\"}}\n"

/* How it is watched may be written, and mended, after the study has run. */
static void leaves_the_digest(void **state)
{
    static const char *const same[] = {
        WATCH,
        "\n# watched\n\n" WATCH,
        "\n" STT "\n# and watched\n" WATCH "# the end\n",
        "\n" WATCH "\n# and promoted\n" STT,
        STT "    # with an anchor\n  verify: &v {window: 10s}\n" WATCH "  act: {notify: }\n",
    };
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *plain = parse("", &err);
    assert_non_null(plain);
    assert_null(plain->guard);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        AUTO(spec_study_free) struct spec_study *study = parse(same[i], &err);
        assert_string_equal(err.text, "");
        CHECK_ROW_TEXT(i, same[i], study->text, plain->text);
        assert_string_equal(study->digest, plain->digest);
    }
}

/* One part that uses an anchor of the other is left out all the same. */
static void follows_anchors(void **state)
{
    static const char *const rows[] = {
        "production:\n  stt: {unit: &u w, environment: {M: \"{model}\", S: {secret: x}}}\n"
        "guard:\n  watch: {stt: {unit: *u}}\n",
        "guard:\n  watch: {stt: {unit: &u w}}\n"
        "production:\n  stt: {unit: *u, environment: {M: \"{model}\", S: {secret: x}}}\n",
    };
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *plain = parse("", &err);
    assert_non_null(plain);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(spec_study_free) struct spec_study *study = parse(rows[i], &err);
        assert_string_equal(err.text, "");
        assert_non_null(study);
        assert_string_equal(study->digest, plain->digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(judges_what_may_come),
        cmocka_unit_test(knows_an_engines_page),
        cmocka_unit_test(becomes),
        cmocka_unit_test(fronts),
        cmocka_unit_test(follows_production),
        cmocka_unit_test(names),
        cmocka_unit_test(leaves_the_digest),
        cmocka_unit_test(follows_anchors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
