/* `production:`: what it becomes, every way to write it wrong, and that no measurement depends on
 * it. */
#include "spec/study.h"

#include "base/buf.h"

#include "check.h"
#include "fixture.h"

static const char head[] = "study: s\n"
                           "services:\n"
                           "  stt: {command: [x, \"{port}\", \"{model}\", \"{threads}\"],\n"
                           "        knobs: {model: [a, b], threads: [1, 2]}, protocol: plain}\n"
                           "  llm: {command: [y, \"{port}\"]}\n"
                           "  order: {command: [z, \"{port}\"]}\n"
                           "goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}}\n"
                           "load: {stt: {rate: 1/s}}\n"
                           "baseline: none\n"; /* 9 lines */

static struct spec_study *parse(const char *production, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    struct spec_study *study = NULL;
    buf_addf(&text, "%s%s", head, production);
    if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, err))
        return NULL;
    return study;
}

/* A good service, so that rows about others say only what they are about. */
#define STT                                                                                        \
    "production:\n"                                                                                \
    "  stt: {unit: w, port: 1, environment: {M: \"{model}\", T: \"{threads}\"}}\n"

static const struct {
    const char *text, *message;
} wrong[] = {
    {"production: 3\n", "f:10:13: production: must be a mapping (key: value), this is text"},
    {"production: {}\n",
     "f:10:13: production: names no service: say where they run, as in {stt: {unit: stt.service}}"},
    {"production: {sst: {unit: w}}\n",
     "f:10:14: production: there is no key \"sst\"; did you mean stt?"},
    {"production:\n  order: {unit: w}\n",
     "f:11:3: production: a service named \"order\" can't be promoted: the word has a meaning "
     "here"},
    {"production:\n  llm: {port: 3}\n",
     "f:11:8: production.llm: needs one of unit, env_file, compose, kubernetes, command"},
    {"production:\n  llm: {unit: w, prot: 3}\n",
     "f:11:18: production.llm: there is no key \"prot\"; did you mean port?"},
    {"production:\n  llm: {unit: w, compose: c}\n",
     "f:11:15: production.llm.unit: does not go with \"compose\""},
    {"production:\n  llm: {compose: c, service: s}\n",
     "f:11:8: production.llm: \"compose\" needs \"override\""},
    {"production:\n  llm: {compose: c, service: s, override: ./c, exec: [a]}\n",
     "f:11:43: production.llm.override: is the Compose file itself: a file of its own is written"},
    {"production:\n  llm: {env_file: e, environment: {A: b}}\n",
     "f:11:8: production.llm: \"env_file\" needs \"unit\""},
    {"production:\n  llm: {env_file: e, unit: u, environment: {A: b}, exec: [a]}\n",
     "f:11:58: production.llm.exec: does not go with \"env_file\": a file of variables holds no "
     "command; use unit alone"},
    {"production:\n  llm: {unit: w}\n",
     "f:11:8: production.llm: needs \"environment\" or \"exec\": nothing would be written"},
    {"production:\n  llm: {unit: a/b, exec: [a]}\n",
     "f:11:15: production.llm.unit: \"a/b\" is no unit's name"},
    {"production:\n  llm: {unit: a.timer, exec: [a]}\n",
     "f:11:15: production.llm.unit: \"a.timer\": only a service has a command and variables"},
    {"production:\n  llm: {unit: \"a@\", exec: [a]}\n",
     "f:11:15: production.llm.unit: \"a@.service\" is a template: name an instance of it"},
    {"production:\n  llm: {unit: a, exec: run it}\n",
     "f:11:24: production.llm.exec: must be a list, as in [python3, server.py, \"{port}\"]: no "
     "shell splits one text into words"},
    {"production:\n  llm: {unit: a, exec: []}\n", "f:11:24: production.llm.exec: needs a program"},
    {"production:\n  llm: {unit: a, exec: as-measured}\n",
     "f:11:8: production.llm: exec: as-measured needs \"port\""},
    {"production:\n  llm: {kubernetes: k, deployment: d, exec: as-measured}\n",
     "f:11:45: production.llm.exec: as-measured goes with unit: a container has paths of its own; "
     "write the command as a list"},
    {"production:\n  llm: {kubernetes: k, deployment: \"d: x\", exec: [a]}\n",
     "f:11:36: production.llm.deployment: \"d: x\" is no name: letters, digits, \".\", \"_\" and "
     "\"-\""},
    {"production:\n  llm: {unit: a, environment: {1A: b}}\n",
     "f:11:32: production.llm.environment: \"1A\" is no variable's name: letters, digits and "
     "\"_\""},
    {"production:\n  llm: {unit: a, environment: {A: \"b\\nc\"}}\n",
     "f:11:35: production.llm.environment.A: must be one line"},
    {"production:\n  llm: {unit: a, environment: {A: {secrte: b}}}\n",
     "f:11:35: production.llm.environment.A: must be text, null, or {secret: TEXT}"},
    {"production:\n  llm: {unit: a, environment: {A: \"{port}\"}}\n",
     "f:11:35: production.llm.environment: {port}: say with \"port\" where it serves in "
     "production"},
    {"production:\n  llm: {unit: a, environment: {A: \"{dir}\"}}\n",
     "f:11:35: production.llm.environment: {dir} is a trial's own folder; production has none"},
    {"production:\n  stt: {unit: a, environment: {A: \"{modle}\"}}\n",
     "f:11:35: production.stt.environment.A: {modle}: stt has no knob of this name; did you mean "
     "model?"},
    {"production:\n  stt: {unit: a, exec: [\"{x\"]}\n",
     "f:11:25: production.stt.exec: \"{x\": a \"{\" opens no placeholder; \"{{\" writes a brace"},
    {"production:\n  stt: {unit: a, environment: {A: \"{model}\"}}\n",
     "f:11:8: production.stt: nothing takes stt.threads to production: put {threads} into "
     "environment or exec, or name it in \"except\""},
    {"production:\n  stt: {unit: a, environment: {A: \"{model}\"}, except: [thread]}\n",
     "f:11:56: production.stt.except: stt has no knob \"thread\"; did you mean threads?"},
    {"production:\n  llm: {command: {apply: [a]}}\n",
     "f:11:18: production.llm.command: \"rollback\" is missing: puts back what was there before; "
     "it may be run twice, and without an apply"},
    {"production:\n  llm: {command: {apply: a, rollback: [b]}}\n",
     "f:11:26: production.llm.command.apply: must be a list, as in [python3, server.py, "
     "\"{port}\"]: no shell splits one text into words"},
    {STT "  order: [llm]\n",
     "f:12:11: production.order: \"llm\" is not in \"production\" (there are stt)"},
    {STT "  order: [stt, stt]\n", "f:12:16: production.order: stt is named twice"},
    {STT "  order: []\n", "f:12:10: production.order: must name all of them: stt"},
    {STT "  llm: {unit: w, exec: [a]}\n", "f:12:8: production.llm: is the same unit as stt"},
    {STT "  verify: {widow: 3s}\n",
     "f:12:12: production.verify: there is no key \"widow\"; did you mean window?"},
    {STT "  verify: {window: 3}\n",
     "f:12:20: production.verify.window: \"3\" is not a time with its unit, as in 30s or 5m"},
    {STT "  verify: {window: 30s, within: 34s}\n",
     "f:12:33: production.verify.within: 34 s is less than measure's warm-up (5 s) and verify's "
     "window (30 s): nothing could be verified"},
    {STT "  verify: {window: 10m}\n",
     "f:12:11: production.verify.within: 600 s is less than measure's warm-up (5 s) and verify's "
     "window (600 s): nothing could be verified"},
    {STT "  before: [./a.sh]\n",
     "f:12:12: production.before: must be a list, as in [python3, server.py, \"{port}\"]: no shell "
     "splits one text into words"},
    {STT "  after: [[./a.sh, \"{model}\"]]\n",
     "f:12:20: production.after: \"{model}\": of placeholders only {study} is known here; \"{{\" "
     "writes a brace"},
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct err err = ERR_INIT;
        AUTO(spec_study_free) struct spec_study *study = parse(wrong[i].text, &err);
        assert_string_equal(err.text, wrong[i].message);
        assert_int_equal(err.code, ERR_INPUT);
    }
}

static void becomes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free)
    struct spec_study *study =
        parse("production:\n"
              "  stt: {env_file: w.env, unit: w@1, user: true, within: 3m,\n"
              "        environment: {M: \"{model}\", K: {secret: \"a{b\"}, OLD: null},\n"
              "        except: [threads]}\n"
              "  llm: {command: {apply: [./a, \"{study}\"], rollback: [./b]}, port: 8000}\n"
              "  order: [llm, stt]\n"
              "  before: [[./tell, now]]\n",
              &err);
    assert_string_equal(err.text, "");
    assert_non_null(study);
    const struct spec_production *stt = &study->production[0], *llm = &study->production[1];
    assert_int_equal(stt->kind, PRODUCTION_ENV_FILE);
    assert_string_equal(stt->unit, "w@1.service");
    assert_true(stt->user);
    assert_int_equal(stt->file[0], '/');
    assert_int_equal(stt->within_ns, INT64_C(180000000000));
    assert_int_equal(stt->environment_count, 3);
    assert_string_equal(stt->environment[1].text, "a{{b");
    assert_true(stt->secret[1]);
    assert_false(stt->secret[0]);
    assert_null(stt->environment[2].text);
    assert_int_equal(stt->except, 2);
    assert_int_equal(llm->kind, PRODUCTION_COMMAND);
    assert_int_equal(llm->port, 8000);
    assert_int_equal(llm->apply.count, 2);
    assert_int_equal(llm->within_ns, INT64_C(60000000000)); /* the service's */
    assert_int_equal(study->production[2].kind, PRODUCTION_NONE);
    const struct spec_promotion *p = &study->promotion;
    assert_true(p->given);
    assert_int_equal(p->order_count, 2);
    assert_int_equal(p->order[0], 1);
    assert_int_equal(p->before_count, 1);
    assert_int_equal(p->window_ns, INT64_C(30000000000));
}

/* The digest names what was measured: how it is promoted may be written, and mended, afterwards. */
static void leaves_the_digest(void **state)
{
    static const char *const same[] = {
        STT,
        "\n# how it runs\n\n" STT,
        STT "  order: [stt]\n# the end\n",
    };
    (void)state;
    struct err err = ERR_INIT;
    AUTO(spec_study_free) struct spec_study *plain = parse("", &err);
    assert_non_null(plain);
    assert_false(plain->promotion.given);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        AUTO(spec_study_free) struct spec_study *study = parse(same[i], &err);
        assert_non_null(study);
        assert_string_equal(study->text, plain->text);
        assert_string_equal(study->digest, plain->digest);
    }
    AUTO(spec_study_free) struct spec_study *middle = parse(STT "seed: 2\n", &err);
    AUTO(spec_study_free) struct spec_study *other = parse("seed: 2\n", &err);
    assert_string_equal(middle->digest, other->digest);
    assert_string_not_equal(middle->digest, plain->digest);
}

/* Where `production:` can't be cut out of what is stored, it may hold no secret. */
static void stores_no_secret(void **state)
{
    static const struct {
        const char *value, *error;
    } rows[] = {
        {"b", ""},
        {"{secret: hunter2}",
         "f:5:65: production: A is a secret, and would be stored with the study: only a "
         "\"production:\" at the beginning of a line, in a file that is not in flow style "
         "(\"{...}\"), is left out of what is stored"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        AUTO(spec_study_free) struct spec_study *study = NULL;
        buf_addf(&text,
                 "{study: s, baseline: none, load: {stt: {rate: 1/s}},\n"
                 "services: {stt: {command: [x, \"{port}\", \"{m}\"], knobs: {m: [a, b]},\n"
                 "protocol: plain}},\n"
                 "goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}},\n"
                 "production: {stt: {unit: w, environment: {M: \"{m}\", A: %s}}}}\n",
                 rows[i].value);
        bool good =
            spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &study, &err);
        assert_string_equal(err.text, rows[i].error);
        assert_int_equal(good, i == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(becomes),
        cmocka_unit_test(leaves_the_digest),
        cmocka_unit_test(stores_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
