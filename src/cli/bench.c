/* bench: load on a service that already runs, without a study file.
 *
 * Options that are keys of a study's load are passed to its table as they are (spec/load_alone.h);
 * --load reaches every other key, so that what a study learns needs nothing here. The exit status
 * is for scripts: 3 a requirement is missed, 6 nothing answers, a requirement can't be told or a
 * tolerance is exceeded, 5 stopped by the user after printing what there was. */
#include "cli/command.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "bench/records.h"
#include "bench/run.h"
#include "cli/bench_capacity.h"
#include "cli/bench_live.h"
#include "cli/bench_study.h"
#include "device/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"protocol", 'p', "NAME", "how the service is spoken to, as in a study file: openai-chat, ..."},
    {"url", 'u', "URL",
     "where it is: http://127.0.0.1:8000; without a path the protocol's own is taken "
     "(not for a program: --option command=...)"},
    {"model", 'm', "NAME", "model to ask for (default: none is named)"},
    {"service", 0, "NAME",
     "with a study: which of its services runs at the URL (default: the only one)"},
    {"candidate", 0, "LABELS", "with a study: the settings it runs with (default: the baseline's)"},
    {"rate", 'r', "N/s",
     "requests per second, whatever the answers do (default: clients wait for their answers)"},
    {"concurrency", 'c', "N",
     "clients that each wait for their answer (default 1); with --rate: most requests in flight"},
    {"arrivals", 0, "KIND", "with a rate: poisson (default) or constant"},
    {"for", 'd', "TIME", "how long is measured (default 30s)"},
    {"requests", 'n', "N", "stop after so many requests (without --for: only then)"},
    {"warmup", 0, "TIME", "load before that, not counted (default: a tenth of --for, at most 5s)"},
    {"prompts", 0, "FILE", "prompts to send: JSONL, or a .txt with one a line (default: built in)"},
    {"prompt", 0, "TEXT", "the one prompt to send"},
    {"corpus", 0, "FOLDER", "audio to send, each clip with its transcript in a .txt"},
    {"max-tokens", 0, "N", "longest answer (default: as the prompt says; built-in ones: 128)"},
    {"timeout", 0, "TIME", "of one request, from its intended send (default 60s)"},
    {"api-key-env", 0, "NAME", "environment variable with the API key; never stored or shown"},
    {"ca", 0, "FILE", "https: certificates of the authorities to trust (default: the system's)"},
    {"option", 'o', "KEY=VALUE", "option of the protocol, as in a study file; may be repeated",
     .lines = true},
    {"load", 0, "KEY=VALUE", "any other key of a study file's load; may be repeated",
     .lines = true},
    {"require", 0, "TEXT",
     "\"latency.p95 < 300ms\": met, missed (exit 3) or can't be told (exit 6); may be repeated",
     .lines = true},
    {"capacity", 0, "OF",
     "how much it can take while every --require holds: concurrency or rate; --for is then one "
     "level's window (default 10s)"},
    {"up-to", 0, "N", "with --capacity: the largest level that is tried (default 256, 10000/s)"},
    {"compare", 0, "FILE", "an earlier run's --json: what is different for certain"},
    {"tolerance", 0, "SHARE", "with --compare: certainly worse by more than this is exit 6"},
    {"records", 0, "FILE", "one JSON line per request (AIPerf's names)"},
    {"json", 'j', NULL, "print the result as JSON"},
    {"workers", 0, "N",
     "processes that share the sending (default: 1, and again with 2 or 4 when we were late)"},
    {"seed", 0, "N", "of arrivals, order and lengths (default 1): the same seed, the same load"},
    {"text-salt", 0, "TEXT",
     "of made-up prompts: the same seed and salt, the same words (default: new ones in every run, "
     "so that no prefix cache holds them)"},
    {NULL, 0, NULL, NULL},
};

static const char *given(const struct cli_args *args, const char *name)
{
    return cli_value(&cli_bench, args, name);
}

/* ---- options to a load ---- */

enum { PAIRS_MAX = 64 };
struct pairs {
    struct spec_pair list[PAIRS_MAX];
    size_t count;
};

static bool add_pair(struct pairs *pairs, struct spec_pair pair, struct err *err)
{
    if (pairs->count == PAIRS_MAX)
        return err_set(err, ERR_INPUT, "more than %d options of the load", PAIRS_MAX);
    pairs->list[pairs->count++] = pair;
    return true;
}

/* "KEY=VALUE" lines. */
static bool add_lines(struct pairs *pairs, const char *name, const char *lines, bool literal,
                      struct arena *arena, struct err *err)
{
    for (const char *at = lines; at && *at;) {
        size_t len = strcspn(at, "\n"), key = strcspn(at, "=\n");
        if (key == 0 || key >= len)
            return err_set(err, ERR_INPUT, "--%s %.*s: must be KEY=VALUE", name, (int)len, at);
        struct spec_pair pair = {arena_strndup(arena, at, key),
                                 arena_strndup(arena, at + key + 1, len - key - 1), literal};
        if (!add_pair(pairs, pair, err))
            return false;
        at += len + (at[len] == '\n');
    }
    return true;
}

static bool collect_pairs(const struct cli_args *args, struct arena *arena, struct pairs *pairs,
                          struct err *err)
{
    static const struct {
        const char *option, *key;
    } keys[] = {{"rate", "rate"},         {"concurrency", "concurrency"},
                {"arrivals", "arrivals"}, {"prompts", "prompts"},
                {"corpus", "corpus"},     {"max-tokens", "max_tokens"},
                {"timeout", "timeout"}};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *text = given(args, keys[i].option);
        if (text && !add_pair(pairs, (struct spec_pair){keys[i].key, text, true}, err))
            return false;
    }
    return add_lines(pairs, "option", given(args, "option"), true, arena, err) &&
           add_lines(pairs, "load", given(args, "load"), false, arena, err);
}

/* ---- options of our own ---- */

static bool read_time(const struct cli_args *args, const char *name, int64_t least_ns,
                      int64_t *ret_ns, struct err *err)
{
    const char *text = given(args, name);
    int64_t ns = 0;
    if (!text)
        return true;
    if (!text_to_duration_ns(text, &ns) || ns < least_ns || ns > 86400 * NS_PER_S)
        return err_set(err, ERR_INPUT,
                       "--%s %.60s: must be a time with its unit, as in 30s or 5m (at most 24h)",
                       name, text);
    *ret_ns = ns;
    return true;
}

static bool read_count(const struct cli_args *args, const char *name, int64_t least,
                       uint64_t *ret_count, struct err *err)
{
    const char *text = given(args, name);
    int64_t count = 0;
    if (!text)
        return true;
    if (!text_to_i64(text, &count) || count < least || count > 100000000)
        return err_set(err, ERR_INPUT, "--%s %.60s: must be a whole number from %d to 100,000,000",
                       name, text, (int)least);
    *ret_count = (uint64_t)count;
    return true;
}

static bool find_protocol(const struct cli_args *args, const struct spec_protocol **ret_protocol,
                          struct err *err)
{
    const struct spec_catalog *catalog = cli_catalog();
    const char *name = given(args, "protocol"), *names[64];
    AUTO(buf_done) struct buf known = BUF_INIT(2048);
    size_t count = 0;
    for (; count < catalog->protocol_count && count < ARRAY_LEN(names); count++) {
        names[count] = catalog->protocols[count]->name;
        buf_addf(&known, "%s%s", count ? ", " : "", names[count]);
    }
    if (!name)
        return err_set(err, ERR_INPUT, "bench: --protocol is missing: %s", buf_text(&known));
    *ret_protocol = spec_catalog_protocol(catalog, name);
    if (*ret_protocol)
        return true;
    const char *nearest = text_nearest(names, count, name);
    return err_set(err, ERR_INPUT, "--protocol: there is no \"%.60s\"%s%s%s (there are %s)", name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "",
                   buf_text(&known));
}

static bool read_tolerance(const struct cli_args *args, double *ret_tolerance, struct err *err)
{
    const char *text = given(args, "tolerance");
    double tolerance = NAN;
    if (text && !given(args, "compare"))
        return err_set(err, ERR_INPUT, "--tolerance goes with --compare");
    if (text && (!metric_parse_quantity(UNIT_RATIO, text, &tolerance, NULL) || tolerance < 0 ||
                 tolerance > 10))
        return err_set(err, ERR_INPUT, "--tolerance %.60s: must be a share, as in 10%%", text);
    *ret_tolerance = tolerance;
    return true;
}

static bool refuse_study_options(const struct cli_args *args, struct err *err)
{
    const char *name = given(args, "service") ? "service" : "candidate";
    return !given(args, name) ||
           err_set(err, ERR_INPUT, "--%s goes with a study: spica bench STUDY.yaml", name);
}

static bool make_setup(const struct cli_args *args, struct arena *arena,
                       struct spec_study **ret_study, struct bench_setup **ret_setup,
                       struct err *err)
{
    struct pairs *pairs = arena_alloc(arena, sizeof *pairs);
    struct bench_options o = {.url = given(args, "url"),
                              .model = given(args, "model"),
                              .api_key_env = given(args, "api-key-env"),
                              .ca = given(args, "ca"),
                              .prompt = given(args, "prompt"),
                              .text_salt = given(args, "text-salt"),
                              .warmup_ns = -1,
                              .seed = 1};
    if (args->argument_count > 0
            ? !cli_bench_study(args, arena, ret_study, &o, err)
            : !find_protocol(args, &o.protocol, err) || !refuse_study_options(args, err))
        return false;
    if (o.url && o.protocol->runs_program)
        return err_set(err, ERR_INPUT,
                       "--url: %s runs a program for each request, so there is nowhere to ask",
                       o.protocol->name);
    if (!o.url && !o.protocol->runs_program)
        return err_set(
            err, ERR_INPUT,
            "bench: --url is missing: where the service is, as in http://127.0.0.1:8000");
    uint64_t workers = 0;
    if (given(args, "capacity") && !o.load)
        o.window_ns = 10 * NS_PER_S;
    if (!collect_pairs(args, arena, pairs, err) ||
        !read_time(args, "for", NS_PER_S / 10, &o.window_ns, err) ||
        !read_time(args, "warmup", 0, &o.warmup_ns, err) ||
        !read_count(args, "requests", 1, &o.requests, err) ||
        !read_count(args, "workers", 1, &workers, err) ||
        !read_count(args, "seed", 0, &o.seed, err))
        return false;
    if (o.load && o.requests > 0 && !given(args, "for"))
        o.window_ns = 0; /* the number of requests ends it, as without a study */
    if (workers > LOAD_WORKERS_MAX)
        return err_set(err, ERR_INPUT, "--workers %.60s: at most %d", given(args, "workers"),
                       LOAD_WORKERS_MAX);
    o.workers = (int)workers;
    if (!o.load) {
        o.pairs = pairs->list;
        o.pair_count = pairs->count;
    }
    return bench_setup_make(&o, cli_catalog(), arena, ret_setup, err);
}

static bool make_requirements(const struct cli_args *args, const struct bench_setup *setup,
                              struct arena *arena, struct bench_run *run, struct err *err)
{
    enum { MOST = 64 };
    struct bench_requirement *list = arena_array(arena, MOST, sizeof *list);
    for (const char *at = given(args, "require"); at && *at;) {
        size_t len = strcspn(at, "\n");
        if (run->requirement_count == MOST)
            return err_set(err, ERR_INPUT, "--require: at most %d", MOST);
        if (!bench_require_parse(arena_strndup(arena, at, len),
                                 setup->plan.streams[0].protocol->spec, bench_sources(setup), arena,
                                 &list[run->requirement_count++], err))
            return false;
        at += len + (at[len] == '\n');
    }
    run->requirements = list;
    return true;
}

/* ---- the run ---- */

struct under_way {
    struct bench_live live;
    const struct bench_run *run; /* set by measure_once() */
    FILE *records;               /* NULL: none are wanted */
    int64_t wall_offset_ns;
    bool unwritable;
};

static bool on_result(void *context, const struct load_result *result,
                      const struct bench_results *so_far)
{
    (void)so_far;
    struct under_way *u = context;
    bench_sent_add(u->run->sent, &result->record);
    if (u->records && !bench_records_write(u->records, result, u->wall_offset_ns))
        u->unwritable = true;
    return !u->unwritable;
}

static void on_tick(void *context, const struct bench_results *so_far)
{
    struct under_way *u = context;
    bench_live_draw(&u->live, (struct bench_results *)(uintptr_t)so_far);
}

/* One window; its records stand alone in the file. */
static bool measure_once(struct bench_run *run, struct under_way *u,
                         struct bench_results **ret_results, struct err *err)
{
    u->run = run;
    run->started_wall_us = clock_now_wall_us();
    run->text_salt = run->setup->plan.text_salt;
    u->live = bench_live_init(run->setup, stderr);
    u->wall_offset_ns = run->started_wall_us * NS_PER_US - clock_now_ns();
    const struct bench_hooks hooks = {u, on_result, on_tick, NS_PER_S};
    AUTO(bench_results_free) struct bench_results *results = NULL;
    bool ok = bench_window(&run->setup->plan, &hooks, &results, err);
    bench_live_clear(&u->live);
    if (!ok)
        return false;
    if (results->end == BENCH_BROKEN)
        return err_set(err, ERR_INTERNAL, "%s",
                       results->report.failure[0] ? results->report.failure
                                                  : "the load worker broke off");
    *ret_results = TAKE(results);
    return true;
}

/* How late we were in a whole window, of the bound; 0: not too late. */
static double lateness_of(struct bench_results *results)
{
    double p99_s, bound_s;
    if (!bench_is_late(results, &p99_s, &bound_s))
        return 0;
    return fmax(p99_s, results->report.stall_p99_s) / bound_s;
}

/* A window in which we were late says little of the service: the same load again, shared out. */
static bool try_again(struct bench_run *run, struct bench_results *results)
{
    double p99_s, bound_s;
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (results->end != BENCH_WHOLE || !bench_is_late(results, &p99_s, &bound_s) ||
        !bench_setup_add_workers(&run->setup->plan, run->setup, device_machine_cores()))
        return false;
    run->tried_again++;
    text_add_duration(&text, fmax(p99_s, results->report.stall_p99_s));
    buf_add(&text, " (p99), over the bound of ");
    text_add_duration(&text, bound_s);
    fprintf(stderr, "we were late ourselves by %s: the same load again, sent by %d workers\n",
            buf_text(&text), run->setup->plan.workers);
    return true;
}

/* What is in the file stays there until something is measured. NULL: errno says why. */
static FILE *open_records(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file && fd >= 0) {
        int sys = errno;
        close(fd);
        errno = sys;
    }
    return file;
}

static bool start_over(FILE *records, struct err *err)
{
    rewind(records);
    if (ftruncate(fileno(records), 0) != 0 && errno != EINVAL) /* EINVAL: a pipe */
        return err_sys(err, "--records");
    return true;
}

/* The file is that of the window which counts. */
static bool take_records(FILE *from, FILE *to, struct err *err)
{
    char piece[1 << 14];
    rewind(from);
    if (!start_over(to, err))
        return false;
    for (size_t len = sizeof piece; len == sizeof piece;) {
        len = fread(piece, 1, sizeof piece, from);
        if (fwrite(piece, 1, len, to) != len)
            return err_sys(err, "--records");
    }
    return !ferror(from) || err_sys(err, "--records");
}

/* While we are late more workers may do better, or worse: the best window counts. One that was
 * broken off is the last, and counts by the user's wish. */
static bool measure_again(struct bench_run *run, FILE *records, struct arena *arena,
                          struct bench_results **best, struct err *err)
{
    int workers = run->setup->plan.workers;
    while (try_again(run, *best)) {
        AUTO(bench_results_free) struct bench_results *results = NULL;
        AUTO(fclose) FILE *own = records ? tmpfile() : NULL;
        const int64_t best_started_us = run->started_wall_us;
        const char *best_salt = run->text_salt;
        /* Sent again word for word it would be answered from a cache, and be the least late. */
        bench_setup_say_anew(run->setup, run->tried_again, arena);
        struct under_way u = {.records = own};
        if (records && !own)
            return err_sys(err, "a file for records");
        if (!measure_once(run, &u, &results, err))
            return false;
        if (u.unwritable)
            return err_set(err, ERR_INTERNAL, "records of a second window: write error");
        if (results->end == BENCH_WHOLE && lateness_of(results) >= lateness_of(*best)) {
            run->started_wall_us = best_started_us;
            run->text_salt = best_salt;
            run->setup->plan.workers = workers;
            run->more_were_late = true;
            fputs("more workers were no better: the window before counts\n", stderr);
            return true;
        }
        if (own && !take_records(own, records, err))
            return false;
        run->fewer_were_late = true;
        workers = run->setup->plan.workers;
        bench_results_free(*best);
        *best = TAKE(results);
    }
    return true;
}

static bool measure(const struct cli_args *args, struct bench_run *run, struct arena *arena,
                    struct bench_results **ret_results, struct err *err)
{
    AUTO(fclose) FILE *records = NULL;
    AUTO(bench_results_free) struct bench_results *results = NULL;
    const char *path = given(args, "records");
    if (path) {
        records = open_records(path);
        if (!records) {
            int sys = errno;
            return err_set(err, ERR_INPUT, "--records %s: %s", path, strerror(sys));
        }
    }
    struct load_record first;
    if (!bench_probe(run->setup, 1, &first, err))
        return false;
    run->first_request_s = load_latency_s(&first);
    run->sent = bench_sent_new(&run->setup->plan.streams[0], arena);
    bench_sent_add(run->sent, &first);
    struct under_way u = {.records = records};
    if (records && !start_over(records, err))
        return false;
    if (!measure_once(run, &u, &results, err) || !measure_again(run, records, arena, &results, err))
        return false;
    if (records && (fflush(records) != 0 || u.unwritable))
        return err_set(err, ERR_INTERNAL, "--records %s: write error", path);
    *ret_results = TAKE(results);
    return true;
}

static void judge(struct bench_run *run, struct arena *arena)
{
    struct bench_judgement *list = arena_array(arena, run->requirement_count + 1, sizeof *list);
    const struct finding_limits limits =
        bench_require_limits(run->requirements, run->requirement_count);
    bench_results_grade(run->results, &limits);
    for (size_t i = 0; i < run->requirement_count; i++)
        list[i] = bench_require_judge(&run->requirements[i], run->results, arena);
    run->judgements = list;
}

static bool compare(const struct cli_args *args, const json_t *old, double tolerance,
                    struct bench_run *run, struct arena *arena, struct err *err)
{
    struct bench_comparison *comparison = NULL;
    if (!old)
        return true;
    AUTO_JSON json_t *now = bench_json(run);
    if (!bench_compare(given(args, "compare"), old, now, tolerance, arena, &comparison, err))
        return false;
    run->comparison = comparison;
    return true;
}

static int status_of(const struct bench_run *run)
{
    bool missed = false, untold = false;
    for (size_t i = 0; i < run->requirement_count; i++) {
        missed = missed || run->judgements[i].answer == BENCH_MISSED;
        untold = untold || run->judgements[i].answer == BENCH_UNTOLD;
    }
    if (run->results->end == BENCH_STOPPED)
        return err_exit_status(ERR_STOPPED);
    if (missed)
        return err_exit_status(ERR_INFEASIBLE);
    bool nothing = run->results->ok == 0;
    bool over = run->comparison && (run->comparison->over || run->comparison->untold);
    return untold || nothing || over ? err_exit_status(ERR_PROBLEM) : 0;
}

static bool show(const struct cli_args *args, const struct bench_run *run, struct err *err)
{
    if (!cli_flag(&cli_bench, args, "json")) {
        bench_print(run, stdout, cli_terminal(STDOUT_FILENO));
        return true;
    }
    AUTO_JSON json_t *json = bench_json(run);
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
        return err_sys(err, "printing");
    putchar('\n');
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(bench_results_free) struct bench_results *results = NULL;
    AUTO_JSON json_t *old = NULL;
    AUTO(spec_study_free) struct spec_study *study = NULL;
    struct bench_setup *setup = NULL;
    struct bench_run bench = {.first_request_s = NAN};
    double tolerance = NAN;
    /* All that can be wrong with what was typed is said before anything is sent. */
    if (!make_setup(args, arena, &study, &setup, err) ||
        !make_requirements(args, setup, arena, &bench, err) ||
        !read_tolerance(args, &tolerance, err) ||
        (given(args, "compare") && !bench_compare_load(given(args, "compare"), &old, err)))
        return false;
    bench.setup = setup;
    if (given(args, "capacity"))
        return bench_capacity_run(args, &bench, arena, ret_status, err);
    if (given(args, "up-to"))
        return err_set(err, ERR_INPUT, "--up-to goes with --capacity");
    cancel_install();
    if (!measure(args, &bench, arena, &results, err))
        return false;
    bench.results = results;
    judge(&bench, arena);
    if (!compare(args, old, tolerance, &bench, arena, err) || !show(args, &bench, err))
        return false;
    *ret_status = status_of(&bench);
    return true;
}

const struct cli_command cli_bench = {
    .name = "bench",
    .arguments = "[STUDY.yaml]",
    .arguments_max = 1,
    .help = "load on a service that runs: percentiles with intervals",
    .text =
        "Sends requests to a service that already runs and prints what came back: latency from the "
        "instant each request was meant to leave, so that a service which stalls is charged for "
        "those that had to wait; percentiles with 95 % intervals, none that the sample can't "
        "carry; failures by kind; our own lateness. With nothing but --protocol and --url one "
        "client asks for 30 s. ^C prints what there is. Exits with 3 when a requirement is missed, "
        "with 6 when nothing answers, a requirement can't be told or the tolerance is exceeded, "
        "with 5 after ^C.\n\n"
        "With a study file, its protocol, load, window and seed for one of its services, as a "
        "trial "
        "of --candidate sends them: is production as fast as the study said?",
    .options = options,
    .run = run,
};
