/* Facts to verdicts: one row per way in which a trial ends. What a row does not say is healthy: two
 * services, 100 requests each answered, a quiet machine, a goal that is met. */
#include "check.h"

#include "trial/judge.h"

#include <math.h>
#include <signal.h>

#define SIGNATURE(name, c, words)                                                                  \
    static const struct service_signature name = {.text = "x", .cause = (c), .meaning = (words)}
SIGNATURE(oom, CAUSE_OOM, "out of memory");
SIGNATURE(oom_host, CAUSE_OOM_HOST, "killed by the OOM killer");
SIGNATURE(refused, CAUSE_REFUSED, "flag --flash-attn was rejected");
SIGNATURE(port_busy, CAUSE_PORT_BUSY, "its port was in use");
SIGNATURE(no_library, CAUSE_MISSING_LIBRARY, "libcudnn_ops.so.9 is missing");
SIGNATURE(no_weights, CAUSE_MISSING_WEIGHTS, "the weights are missing");
SIGNATURE(bad_weights, CAUSE_BAD_WEIGHTS, "the weights can't be read");
SIGNATURE(on_cpu, CAUSE_CPU_FALLBACK, "no usable GPU found");
SIGNATURE(race, CAUSE_START_RACE, "memory changed while it sized itself");
SIGNATURE(device_lost, CAUSE_DEVICE_LOST, "the GPU has fallen off the bus");
SIGNATURE(disk_full, CAUSE_DISK_FULL, "the disk is full");
SIGNATURE(generic, CAUSE_GENERIC, "failed to start");
#define MATCH(name) .has_match = true, .match = {.signature = &(name)}, .match_line = "the line"

enum { UNKNOWN = -1 }; /* in rows: NaN */

struct facts {
    bool not_measured;
    struct judge_service a, b;
    double contention, lateness_s; /* 0: a quiet 2 %, 0.2 ms */
    const char *contenders, *worker_failure;
    const char *failed;            /* requirement, by service failed_service - 1 */
    bool failed_on_errors;
    int failed_service;
};

struct row {
    const char *name;
    struct facts facts;
    enum verdict verdict;
    int service;               /* index, -1: the whole */
    const char *summary;       /* words in it */
    const char *evidence;      /* words in one of its rows; NULL */
    bool rules_out;
};

static void fill_service(struct judge_service *s, const char *name)
{
    s->name = name;
    if (s->end != SERVICE_ENDED)
        s->exit_code = -1;
    if (s->oom_kills == 0)
        s->oom_kills = -1;
    if (s->end == SERVICE_UP && s->requests == 0) {
        s->loaded = true;
        s->requests = s->ok = 100;
    }
    if (!s->last_line)
        s->last_line = "its last words";
    if (!s->detail)
        s->detail = "what was seen";
    if (s->wer_words == 0)
        s->wer = NAN;
    if (s->max_wer == 0)
        s->max_wer = NAN;
}

static double value_or(double value, double otherwise)
{
    return value == UNKNOWN ? NAN : value == 0 ? otherwise : value;
}

static struct judge_facts facts_of(const struct facts *row)
{
    struct judge_facts f = {
        .services = {row->a, row->b},
        .service_count = 2,
        .measured = !row->not_measured && row->a.end == SERVICE_UP && row->b.end == SERVICE_UP,
        .window_s = 30,
        .contention_ratio = value_or(row->contention, 0.02),
        .contention_bound = 0.10,
        .contenders = row->contenders,
        .steal_ratio = 0.01,
        .lateness_p99_s = value_or(row->lateness_s, 0.0002),
        .lateness_bound_s = 0.001,
        .worker_failure = row->worker_failure,
        .goal = {.fitness = row->failed ? 0 : 0.7, .met = !row->failed, .failed = row->failed,
                 .failed_on_errors = row->failed_on_errors,
                 .failed_service = row->failed_service - 1},
    };
    fill_service(&f.services[0], "stt");
    fill_service(&f.services[1], "llm");
    return f;
}

static const struct row rows[] = {
    {"healthy", {0}, VERDICT_OK, -1, "", NULL, false},
    {"a requirement failed",
     {.failed = "stt.latency.p95 is 612 ms, required < 500 ms", .failed_service = 1}, VERDICT_SLOW, 0,
     "612 ms, required < 500 ms", NULL, false},

    /* --- before it was ready --- */
    {"exits at once", {.a = {.end = SERVICE_ENDED, .exit_code = 1}}, VERDICT_CRASHED_START, 0,
     "exit status 1 before it was ready; last words: its last words", "exit status 1", false},
    {"exits with 0", {.a = {.end = SERVICE_ENDED, .exit_code = 0}}, VERDICT_CRASHED_START, 0,
     "exit status 0", NULL, false},
    {"killed by SEGV", {.b = {.end = SERVICE_ENDED, .exit_code = -1, .term_signal = SIGSEGV}},
     VERDICT_CRASHED_START, 1, "ended by SIGSEGV", NULL, false},
    {"out of memory in the log", {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(oom)}},
     VERDICT_OOM_START, 1, "out of memory (exit status 1 before it was ready)", "the line", false},
    {"a rejected flag", {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(refused)}},
     VERDICT_REFUSED, 1, "--flash-attn", "the line", false},
    {"a library is missing", {.a = {.end = SERVICE_ENDED, .exit_code = 127, MATCH(no_library)}},
     VERDICT_ENV_FAULT, 0, "libcudnn_ops", "the line", true},
    {"weights are missing", {.a = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(no_weights)}},
     VERDICT_ENV_FAULT, 0, "weights are missing", NULL, true},
    {"weights are broken", {.a = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(bad_weights)}},
     VERDICT_ENV_FAULT, 0, "can't be read", NULL, true},
    {"the device is lost", {.a = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(device_lost)}},
     VERDICT_ENV_FAULT, 0, "fallen off", NULL, false},
    {"the disk is full", {.a = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(disk_full)}},
     VERDICT_ENV_FAULT, 0, "disk is full", NULL, false},
    {"its port was taken each time", {.a = {.end = SERVICE_PORT_TAKEN, .detail = "held by 4242"}},
     VERDICT_ENV_FAULT, 0, "every port tried was taken: held by 4242", NULL, false},
    {"its port was busy (log)", {.a = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(port_busy)}},
     VERDICT_ENV_FAULT, 0, "in use", NULL, false},
    {"its program is missing", {.a = {.end = SERVICE_UNSTARTABLE, .detail = "no such program: x"}},
     VERDICT_ENV_FAULT, 0, "can't be started: no such program: x", "no such program", true},
    {"a race for memory", {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(race)}},
     VERDICT_CRASHED_START, 1, "sized itself", NULL, false},
    {"only a generic last line", {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(generic)}},
     VERDICT_CRASHED_START, 1, "failed to start (exit status 1", NULL, false},
    {"where it computed is no reason to end",
     {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(on_cpu)}}, VERDICT_CRASHED_START, 1,
     "exit status 1 before it was ready; last words", NULL, false},
    {"never ready", {.a = {.end = SERVICE_NOT_READY, .detail = "last seen on port 9: status 503"}},
     VERDICT_NOT_READY, 0, "not ready in time, last seen on port 9: status 503", "503", false},
    {"never ready, says that a flag is bad", {.a = {.end = SERVICE_NOT_READY, MATCH(refused)}},
     VERDICT_REFUSED, 0, "--flash-attn", "the line", false},
    {"never ready, says that memory is out", {.a = {.end = SERVICE_NOT_READY, MATCH(oom)}},
     VERDICT_OOM_START, 0, "stays alive", "the line", false},
    {"never ready, its runner was killed", {.a = {.end = SERVICE_NOT_READY, .oom_kills = 1}},
     VERDICT_OOM_HOST, 0, "killed for memory", "oom_kill 1", false},
    {"never ready, some library is missing: it lives, so the words prove nothing",
     {.a = {.end = SERVICE_NOT_READY, MATCH(no_library)}}, VERDICT_NOT_READY, 0, "not ready", NULL,
     false},
    {"killed at its memory limit",
     {.b = {.end = SERVICE_ENDED, .exit_code = -1, .term_signal = SIGKILL, .oom_kills = 2}},
     VERDICT_OOM_HOST, 1, "killed at its memory limit (ended by SIGKILL", "oom_kill 2", false},
    {"killed by the kernel",
     {.b = {.end = SERVICE_ENDED, .exit_code = -1, .term_signal = SIGKILL, .kernel_oom = true}},
     VERDICT_OOM_HOST, 1, "killed by the kernel", "kernel log", false},
    {"the journal's words only",
     {.b = {.end = SERVICE_ENDED, .exit_code = 1, MATCH(oom_host)}}, VERDICT_OOM_HOST, 1,
     "OOM killer", NULL, false},
    {"the kernel beats the log",
     {.b = {.end = SERVICE_ENDED, .exit_code = -1, .term_signal = SIGKILL, .oom_kills = 1,
            MATCH(refused)}},
     VERDICT_OOM_HOST, 1, "memory limit", NULL, false},
    {"killed, nobody knows by whom",
     {.b = {.end = SERVICE_ENDED, .exit_code = -1, .term_signal = SIGKILL}}, VERDICT_CRASHED_START, 1,
     "SIGKILL", NULL, false},
    {"our keeper was killed", {.b = {.end = SERVICE_KEEPER_LOST}}, VERDICT_INSTRUMENT, 1, "keeper",
     NULL, false},

    /* --- at the first request and under load --- */
    {"aborts at its first request",
     {.a = {.end = SERVICE_ENDED, .phase = PHASE_PROBE, .exit_code = -1, .term_signal = SIGABRT}},
     VERDICT_CRASHED_LOAD, 0, "SIGABRT at its first request", NULL, false},
    {"aborts at its first request for want of a library",
     {.a = {.end = SERVICE_ENDED, .phase = PHASE_PROBE, .exit_code = -1, .term_signal = SIGABRT,
            MATCH(no_library)}},
     VERDICT_ENV_FAULT, 0, "libcudnn_ops", NULL, true},
    {"crashes under load", {.a = {.end = SERVICE_ENDED, .phase = PHASE_MEASURE, .exit_code = 139}},
     VERDICT_CRASHED_LOAD, 0, "exit status 139 under load", NULL, false},
    {"out of memory under load",
     {.a = {.end = SERVICE_ENDED, .phase = PHASE_MEASURE, .exit_code = 1, MATCH(oom)}},
     VERDICT_OOM_LOAD, 0, "out of memory", NULL, false},
    {"silent at its first request",
     {.a = {.end = SERVICE_SILENT, .phase = PHASE_PROBE, .detail = "no answer to one request"}},
     VERDICT_HUNG, 0, "never answered", "no answer to one request", false},
    {"out of memory at its first request, and lives on",
     {.a = {.end = SERVICE_SILENT, .phase = PHASE_PROBE, MATCH(oom)}}, VERDICT_OOM_LOAD, 0,
     "out of memory, but it stays alive", "the line", false},
    {"its runner was killed at the first request",
     {.a = {.end = SERVICE_SILENT, .phase = PHASE_PROBE, .oom_kills = 1}}, VERDICT_OOM_HOST, 0,
     "killed for memory", NULL, false},
    {"a probe answered with an error",
     {.a = {.requests = 1, .errors = {[LOAD_HTTP_STATUS] = 1}, .first_http_status = 500},
      .not_measured = true},
     VERDICT_ERRORS, 0, "1 of 1 requests failed: 1 http_status (status 500)", NULL, false},
    {"a probe answered with nonsense",
     {.a = {.requests = 1, .errors = {[LOAD_MALFORMED] = 1}, .first_error = "<html>"},
      .not_measured = true},
     VERDICT_BAD_ANSWERS, 0, "1 of 1 answers were empty or not what", "<html>", false},
    {"alive, answers nothing under load",
     {.b = {.requests = 40, .errors = {[LOAD_TIMEOUT] = 38, [LOAD_UNFINISHED] = 2}}}, VERDICT_HUNG, 1,
     "answered none of 40", "38 timeout, 2 unfinished", false},
    {"falls silent half way",
     {.b = {.requests = 40, .ok = 20, .errors = {[LOAD_TIMEOUT] = 20}, .silent_s = 16}},
     VERDICT_HUNG, 1, "silent for the last 16 s", NULL, false},
    {"pauses, but comes back",
     {.b = {.requests = 100, .ok = 97, .errors = {[LOAD_TIMEOUT] = 3}, .silent_s = 2}}, VERDICT_OK, -1,
     "", NULL, false},
    {"falls silent out of memory",
     {.b = {.requests = 40, .ok = 20, .errors = {[LOAD_TIMEOUT] = 20}, .silent_s = 20, MATCH(oom)}},
     VERDICT_OOM_LOAD, 1, "stays alive", "20 timeout", false},
    {"answers 500 always",
     {.b = {.requests = 40, .errors = {[LOAD_HTTP_STATUS] = 40}, .first_http_status = 500,
            .first_error = "Internal Server Error"}},
     VERDICT_ERRORS, 1, "40 of 40 requests failed: 40 http_status (status 500)", "Internal", false},
    {"answers 500 since its runner was killed",
     {.b = {.requests = 40, .ok = 5, .errors = {[LOAD_HTTP_STATUS] = 35}, .oom_kills = 1}},
     VERDICT_OOM_HOST, 1, "a process of it was killed", "oom_kill 1", false},
    {"answers 500 with the journal's words",
     {.b = {.requests = 40, .ok = 5, .errors = {[LOAD_HTTP_STATUS] = 35}, MATCH(oom_host)}},
     VERDICT_OOM_HOST, 1, "a process of it was killed", "the line", false},
    {"an error under status 200",
     {.b = {.requests = 40, .ok = 10, .errors = {[LOAD_SERVER_ERROR] = 30}, .first_http_status = 200}},
     VERDICT_ERRORS, 1, "30 of 40 requests failed: 30 server_error", NULL, false},
    {"streams without an end",
     {.b = {.requests = 40, .ok = 30, .errors = {[LOAD_TRUNCATED] = 10}}}, VERDICT_ERRORS, 1,
     "10 truncated", NULL, false},
    {"closes connections",
     {.b = {.requests = 40, .ok = 30, .errors = {[LOAD_CLOSED] = 4, [LOAD_CONNECT] = 6}}},
     VERDICT_ERRORS, 1, "6 connect, 4 closed", NULL, false},
    {"one failure in a hundred passes",
     {.b = {.requests = 100, .ok = 99, .errors = {[LOAD_CLOSED] = 1}}}, VERDICT_OK, -1, "", NULL,
     false},
    {"unless it is required that there be none",
     {.b = {.requests = 100, .ok = 99, .errors = {[LOAD_CLOSED] = 1}},
      .failed = "llm.errors is 1, required == 0", .failed_on_errors = true, .failed_service = 2},
     VERDICT_ERRORS, 1, "1 of 100 requests failed: 1 closed", NULL, false},
    {"another's failures are not this one's",
     {.a = {.requests = 100, .ok = 99, .errors = {[LOAD_CLOSED] = 1}},
      .failed = "llm.errors is unknown, required == 0", .failed_on_errors = true,
      .failed_service = 2},
     VERDICT_SLOW, 1, "unknown", NULL, false},
    {"a living service that once spoke of memory",
     {.b = {MATCH(oom)}}, VERDICT_OK, -1, "", NULL, false},

    /* --- answers --- */
    {"empty answers",
     {.b = {.requests = 40, .ok = 30, .errors = {[LOAD_EMPTY] = 10}}}, VERDICT_BAD_ANSWERS, 1,
     "10 of 40 answers were empty", NULL, false},
    {"!!!!!!",
     {.b = {.requests = 40, .ok = 40, .degenerate = 40, .bad_example = "!!!!!!!!"}},
     VERDICT_BAD_ANSWERS, 1, "40 of 40 answers only repeat", "!!!!!!!!", false},
    {"loops",
     {.a = {.requests = 40, .ok = 40, .repeating = 5, .bad_example = "thank you thank you"}},
     VERDICT_BAD_ANSWERS, 0, "5 of 40", "thank you", false},
    {"one odd answer in forty", {.a = {.requests = 40, .ok = 40, .repeating = 2}}, VERDICT_OK, -1, "",
     NULL, false},
    {"words all wrong", {.a = {.wer = 0.93, .wer_words = 300}}, VERDICT_BAD_ANSWERS, 0,
     "word error rate 93 % over the limit of 80 %", NULL, false},
    {"over the study's limit", {.a = {.wer = 0.30, .wer_words = 300, .max_wer = 0.25}},
     VERDICT_BAD_ANSWERS, 0, "30 % over the limit of 25 %", NULL, false},
    {"under the study's limit", {.a = {.wer = 0.90, .wer_words = 300, .max_wer = 1}}, VERDICT_OK, -1,
     "", NULL, false},
    {"too few words to tell", {.a = {.wer = 1, .wer_words = 19}}, VERDICT_OK, -1, "", NULL, false},

    /* --- surroundings --- */
    {"contended", {.contention = 0.37, .contenders = "cc1 (pid 77, 0.70 cores)"}, VERDICT_CONTENDED,
     -1, "37 % of the core time went elsewhere, 10 % allowed: cc1 (pid 77", "steal 1.0 %", false},
    {"late sends", {.lateness_s = 0.004}, VERDICT_INSTRUMENT, -1, "p99 4.00 ms, bound 1.00 ms", NULL,
     false},
    {"the worker died", {.worker_failure = "it was killed", .not_measured = true}, VERDICT_INSTRUMENT,
     -1, "the load worker failed: it was killed", NULL, false},
    {"contention unknown", {.contention = UNKNOWN}, VERDICT_OK, -1, "", "contention unknown", false},
    {"lateness unknown", {.lateness_s = UNKNOWN}, VERDICT_OK, -1, "", "lateness is unknown", false},
    {"nothing was measured, and nobody knows why", {.not_measured = true}, VERDICT_INSTRUMENT, -1,
     "not measured", NULL, false},

    /* --- where it computed --- */
    {"on the CPU, rightly", {.a = {.probed = true, .proof = {PLACEMENT_CPU, {"x", "y"}}}}, VERDICT_OK,
     -1, "", NULL, false},
    {"on the CPU, though asked for the GPU",
     {.b = {.on = ON_GPU, .probed = true, .proof = {PLACEMENT_CPU, {"0 of 33 layers", "no memory"}}}},
     VERDICT_CPU_FALLBACK, 1, "asked for the GPU; 0 of 33 layers", "no memory", false},
    {"in part",
     {.b = {.on = ON_GPU, .probed = true, .proof = {PLACEMENT_PARTIAL, {"49 of 63 layers", ""}}}},
     VERDICT_PARTIAL_OFFLOAD, 1, "49 of 63 layers", NULL, false},
    {"unproven",
     {.b = {.on = ON_GPU, .probed = true, .proof = {PLACEMENT_UNPROVEN, {"no second evidence", ""}}}},
     VERDICT_PLACEMENT_UNPROVEN, 1, "no second evidence", NULL, false},
    {"never probed", {.b = {.on = ON_GPU}}, VERDICT_PLACEMENT_UNPROVEN, 1, "never probed", NULL,
     false},
    {"proven", {.b = {.on = ON_GPU, .probed = true, .proof = {PLACEMENT_GPU, {"x", "y"}}}}, VERDICT_OK,
     -1, "", NULL, false},

    /* --- what beats what --- */
    {"the earliest in start order speaks",
     {.a = {.end = SERVICE_ENDED, .exit_code = 3}, .b = {.end = SERVICE_NOT_READY}},
     VERDICT_CRASHED_START, 0, "exit status 3", NULL, false},
    {"a crash beats contention",
     {.a = {.end = SERVICE_ENDED, .phase = PHASE_MEASURE, .exit_code = 3}, .contention = 0.9},
     VERDICT_CRASHED_LOAD, 0, "exit status 3", NULL, false},
    {"the wrong place beats contention",
     {.b = {.on = ON_GPU, .probed = true, .proof = {PLACEMENT_CPU, {"x", "y"}}}, .contention = 0.9},
     VERDICT_CPU_FALLBACK, 1, "asked for the GPU", NULL, false},
    {"contention beats silence",
     {.b = {.requests = 4, .errors = {[LOAD_TIMEOUT] = 4}}, .contention = 0.9}, VERDICT_CONTENDED, -1,
     "went elsewhere", NULL, false},
    {"contention beats errors",
     {.b = {.requests = 40, .ok = 20, .errors = {[LOAD_CLOSED] = 20}}, .contention = 0.9},
     VERDICT_CONTENDED, -1, "went elsewhere", NULL, false},
    {"contention beats the goal",
     {.contention = 0.9, .failed = "slow", .failed_service = 1}, VERDICT_CONTENDED, -1, "elsewhere",
     NULL, false},
    {"contention beats lateness, which it may have caused", {.contention = 0.9, .lateness_s = 0.5},
     VERDICT_CONTENDED, -1, "elsewhere", NULL, false},
    {"a dead worker beats contention",
     {.contention = 0.9, .worker_failure = "killed"}, VERDICT_INSTRUMENT, -1, "worker", NULL, false},
    {"lateness beats errors",
     {.b = {.requests = 40, .ok = 20, .errors = {[LOAD_CLOSED] = 20}}, .lateness_s = 0.5},
     VERDICT_INSTRUMENT, -1, "late", NULL, false},
    {"silence of the second beats bad answers of the first",
     {.a = {.requests = 40, .ok = 40, .degenerate = 40},
      .b = {.requests = 4, .errors = {[LOAD_TIMEOUT] = 4}}},
     VERDICT_HUNG, 1, "none of 4", NULL, false},
    {"bad answers of the second beat errors of the first",
     {.a = {.requests = 40, .ok = 20, .errors = {[LOAD_CLOSED] = 20}},
      .b = {.requests = 40, .ok = 40, .degenerate = 40}},
     VERDICT_BAD_ANSWERS, 1, "40 of 40", NULL, false},
    {"errors beat the goal",
     {.a = {.requests = 40, .ok = 20, .errors = {[LOAD_CLOSED] = 20}}, .failed = "slow",
      .failed_service = 1},
     VERDICT_ERRORS, 0, "20 closed", NULL, false},
};

static bool has_evidence(const struct judgement *j, const char *words)
{
    for (size_t i = 0; i < j->evidence_count; i++)
        if (strstr(j->evidence[i].text, words))
            return true;
    return false;
}

static void test_table(void **state)
{
    (void)state;
    bool reached[VERDICT_COUNT_] = {false};
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        const struct row *row = &rows[r];
        AUTO(arena_free) struct arena *arena = arena_new();
        struct judge_facts facts = facts_of(&row->facts);
        struct judgement j = judge_trial(&facts, arena);
        reached[j.verdict] = true;
        CHECK_ROW_TEXT(r, row->name, verdict_facts(j.verdict)->name, verdict_facts(row->verdict)->name);
        CHECK_ROW(r, row->name, j.service == row->service);
        CHECK_ROW(r, row->name, j.summary);
        if (!strstr(j.summary, row->summary) || (!*row->summary && *j.summary))
            fail_msg("row %zu (%s): summary is \"%s\"", r, row->name, j.summary);
        CHECK_ROW(r, row->name, !strchr(j.summary, '\n'));
        CHECK_ROW(r, row->name, !row->evidence || has_evidence(&j, row->evidence));
        CHECK_ROW(r, row->name, j.rules_out == row->rules_out);
        /* Only ok and slow carry a fitness, slow always 0. */
        CHECK_ROW(r, row->name, verdict_facts(j.verdict)->has_fitness == !isnan(j.fitness));
        CHECK_ROW(r, row->name, j.verdict != VERDICT_SLOW || j.fitness == 0);
        CHECK_ROW(r, row->name, j.verdict != VERDICT_OK || j.fitness == 0.7);
        /* A failure comes with evidence or with its numbers in the summary. */
        CHECK_ROW(r, row->name, j.verdict == VERDICT_OK || *j.summary);
    }
    static const enum verdict by_others[] = { /* trial.c and study/ give these */
        VERDICT_NEIGHBOUR_HARMED, VERDICT_DEVICE_DIRTY, VERDICT_LEAK, VERDICT_STOPPED};
    for (int v = 0; v < VERDICT_COUNT_; v++) {
        bool other = false;
        for (size_t k = 0; k < ARRAY_LEN(by_others); k++)
            other = other || (int)by_others[k] == v;
        CHECK_ROW(v, verdict_facts(v)->name, reached[v] == !other);
    }
}

/* Texts from outside are bounded before they become evidence. */
static void test_long_answer(void **state)
{
    (void)state;
    static char answer[20000];
    memset(answer, '!', sizeof answer - 1);
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct facts row = {
        .b = {.requests = 40, .ok = 40, .degenerate = 40, .bad_example = answer}};
    struct judge_facts facts = facts_of(&row);
    struct judgement j = judge_trial(&facts, arena);
    assert_int_equal(j.verdict, VERDICT_BAD_ANSWERS);
    for (size_t i = 0; i < j.evidence_count; i++)
        assert_true(strlen(j.evidence[i].text) <= 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_long_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
