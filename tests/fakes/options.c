/*
 * The command line, as a table.
 *
 * The idea: one row per option (name, argument, how it is read, where it goes, help), from which
 * parsing and --help both come. getopt was rejected: it knows names but neither types nor help, and it
 * can't read the same options from a file.
 *
 * In disguise (--as llama-server, or when called by that name) foreign options are passed over, so that
 * an engine's own command line can be given to the fake; what it shall do then comes from the file in
 * FAKE_SERVICE_SCRIPT.
 */
#define _GNU_SOURCE
#include "options.h"

#include <ctype.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"
#include "units.h"

struct row;
typedef bool (*read_fn)(struct options *options, const struct row *row, const char *text, char *why,
                        size_t why_size);

struct row {
    const char *name, *argument; /* argument NULL: a flag */
    read_fn read;
    size_t offset;
    int detail; /* for the reader */
    const char *help;
};

#define WHY_SIZE 240
#define FIELD(type, options, row) ((type *)(void *)((char *)(options) + (row)->offset))
#define READER(reader_name)                                                                       \
    static bool reader_name(struct options *options, const struct row *row, const char *text,     \
                            char *why, size_t why_size)

READER(read_flag)
{
    (void)text, (void)why, (void)why_size;
    *FIELD(bool, options, row) = true;
    return true;
}

READER(read_text)
{
    (void)why, (void)why_size;
    *FIELD(const char *, options, row) = text;
    return true;
}

READER(read_time)
{
    snprintf(why, why_size, "wants a time as 20ms or 2s, not \"%.60s\"", text);
    return units_parse_time(text, FIELD(int64_t, options, row));
}

READER(read_bytes)
{
    snprintf(why, why_size, "wants a size as 64M, not \"%.60s\"", text);
    return units_parse_bytes(text, FIELD(uint64_t, options, row));
}

READER(read_real)
{
    snprintf(why, why_size, "wants a number, not \"%.60s\"", text);
    return units_parse_real(text, FIELD(double, options, row));
}

READER(read_count)
{
    snprintf(why, why_size, "wants a whole number, not \"%.60s\"", text);
    return units_parse_count(text, FIELD(long, options, row));
}

READER(read_signal)
{
    snprintf(why, why_size, "wants SEGV, KILL, ABRT or a number, not \"%.60s\"", text);
    return units_parse_signal(text, FIELD(int, options, row));
}

READER(read_port)
{
    snprintf(why, why_size, "wants a port of 0 to 65535 (0: any free one), not \"%.60s\"", text);
    options->port_given = true;
    return units_parse_count(text, FIELD(long, options, row)) && options->port <= 65535;
}

READER(read_kind)
{
    static const char *const names[] = { [KIND_STT] = "stt", [KIND_LLM] = "llm", [KIND_BOTH] = "both" };
    (void)row;
    for (int i = KIND_STT; i <= KIND_BOTH; i++) {
        if (strcmp(text, names[i]) == 0) {
            options->kind = (enum options_kind)i;
            return true;
        }
    }
    snprintf(why, why_size, "wants stt, llm or both, not \"%.60s\"", text);
    return false;
}

static const struct {
    const char *name;
    enum options_kind kind;
} disguises[] = {
    [DISGUISE_LLAMA] = { "llama-server", KIND_LLM },
    [DISGUISE_WHISPER] = { "whisper-server", KIND_STT },
    [DISGUISE_FASTER_WHISPER] = { "faster-whisper-server", KIND_STT },
    [DISGUISE_VLLM] = { "vllm", KIND_LLM },
};

READER(read_disguise)
{
    (void)row;
    for (size_t i = DISGUISE_LLAMA; i < sizeof(disguises) / sizeof(disguises[0]); i++) {
        if (strcmp(text, disguises[i].name) == 0) {
            options->disguise = (enum options_disguise)i;
            options->kind = disguises[i].kind;
            return true;
        }
    }
    snprintf(why, why_size, "wants llama-server, whisper-server, faster-whisper-server or vllm, not \"%.60s\"", text);
    return false;
}

READER(read_print)
{
    if (options->print_count == OPTIONS_LIST_MAX) {
        snprintf(why, why_size, "at most %d of them", OPTIONS_LIST_MAX);
        return false;
    }
    options->prints[options->print_count++] =
        (struct options_print){ .is_file = row->detail != 0, .text = text };
    return true;
}

READER(read_rule)
{
    return script_add(FIELD(struct script, options, row), (enum script_when)row->detail, text, why,
                      why_size);
}

READER(read_sse)
{
    const char *bad = NULL;
    size_t bad_len = 0;
    if (sse_set_parse(text, FIELD(uint32_t, options, row), &bad, &bad_len))
        return true;
    snprintf(why, why_size, "there is no variant \"%.*s\"; --help lists them", (int)bad_len, bad);
    return false;
}

/* Splits "A:B" at the first colon; B is optional when `ret_second` may stay empty. */
static bool split(const char *text, char *ret_first, size_t size, const char **ret_second)
{
    const size_t len = strcspn(text, ":");
    if (len >= size)
        return false;
    memcpy(ret_first, text, len);
    ret_first[len] = '\0';
    *ret_second = text[len] == ':' ? text + len + 1 : NULL;
    return true;
}

READER(read_split)
{
    char first[32];
    const char *second = NULL;
    (void)row;
    snprintf(why, why_size, "wants N or N:TIME (bytes at a time, pause between), not \"%.60s\"", text);
    options->sse_split_ns = 200 * 1000;
    return split(text, first, sizeof(first), &second) &&
           units_parse_count(first, &options->sse_split) && options->sse_split > 0 &&
           (second == NULL || units_parse_time(second, &options->sse_split_ns));
}

READER(read_freeze)
{
    char first[32];
    const char *second = NULL;
    (void)row;
    snprintf(why, why_size, "wants WHEN:FOR as 10s:2s, not \"%.60s\"", text);
    struct options_freeze freeze;
    if (options->freeze_count == OPTIONS_LIST_MAX || !split(text, first, sizeof(first), &second) ||
        second == NULL || !units_parse_time(first, &freeze.at_ns) ||
        !units_parse_time(second, &freeze.for_ns))
        return false;
    options->freezes[options->freeze_count++] = freeze;
    return true;
}

READER(read_ramp)
{
    char first[32];
    const char *second = NULL;
    (void)row;
    snprintf(why, why_size, "wants SIZE:TIME as 200M:2s, not \"%.60s\"", text);
    return split(text, first, sizeof(first), &second) && second != NULL &&
           units_parse_bytes(first, &options->ramp_bytes) &&
           units_parse_time(second, &options->ramp_ns);
}

static bool read_script(struct options *options, const char *path, char *why, size_t why_size);

READER(read_script_row)
{
    (void)row;
    return read_script(options, text, why, why_size);
}

#define AT(field) offsetof(struct options, field)
static const struct row rows[] = {
    { NULL, "who and where", NULL, 0, 0, NULL },
    { "--port", "P", read_port, AT(port), 0, "port to listen on; 0 takes a free one and prints it" },
    { "--host", "H", read_text, AT(host), 0, "address to listen on (127.0.0.1)" },
    { "--kind", "K", read_kind, AT(kind), 0, "stt, llm or both (both): which endpoints exist" },
    { "--as", "SERVER", read_disguise, AT(disguise), 0, "speaks like llama-server, whisper-server, faster-whisper-server or vllm and passes over their options" },
    { "--name", "NAME", read_text, AT(name), 0, "its name where several share a --share-dir (the kind)" },
    { "--model", "ID", read_text, AT(model), 0, "model id that it reports (fake-model)" },
    { "--inference-path", "PATH", read_text, AT(inference_path), 0, "one more path for transcriptions" },
    { "--no-reuse-address", NULL, read_flag, AT(no_reuse_address), 0, "binds without SO_REUSEADDR: old connections can hold the port" },
    { "--script", "FILE", read_script_row, 0, 0, "more of these options, one per line, # comments" },

    { NULL, "time", NULL, 0, 0, NULL },
    { "--latency", "TIME", read_time, AT(latency_ns), 0, "time to the answer, or to its first token" },
    { "--latency-jitter", "SIGMA", read_real, AT(jitter_sigma), 0, "lognormal factor on it (median 1)" },
    { "--latency-per-token", "TIME", read_time, AT(per_token_ns), 0, "time between tokens" },
    { "--latency-per-audio", "RATIO", read_real, AT(audio_ratio), 0, "seconds more per second of audio" },
    { "--tokens", "N", read_count, AT(tokens), 0, "tokens of an LLM answer (the request's max_tokens, else 16)" },
    { "--slots", "N", read_count, AT(slots), 0, "requests served at once, others queue (no limit)" },
    { "--seed", "N", read_count, AT(seed), 0, "for everything drawn (1)" },
    { "--share-dir", "DIR", read_text, AT(share_dir), 0, "where fakes that share a device see each other" },
    { "--share-factor", "X", read_real, AT(share_factor), 0, "times as slow while others there are busy" },
    { "--interfere", "FILE", read_text, AT(interfere_file), 0, "times --share-factor (2) while the file exists" },

    { NULL, "start", NULL, 0, 0, NULL },
    { "--print", "TEXT", read_print, 0, 0, "a line on stderr at the start; repeatable" },
    { "--print-file", "FILE", read_print, 0, 1, "copies a recorded log to stderr; repeatable" },
    { "--start-delay", "TIME", read_time, AT(start_delay_ns), 0, "port closed until then" },
    { "--loading", "TIME", read_time, AT(loading_ns), 0, "port open, /health 503 \"Loading model\" until then" },
    { "--progress", "TIME", read_time, AT(progress_ns), 0, "logs a line of progress that often until ready" },
    { "--never-ready", NULL, read_flag, AT(never_ready), 0, "loads for ever" },
    { "--lie-ready", NULL, read_flag, AT(lie_ready), 0, "/health is 200 while loading, work still 503" },
    { "--health-blocks", NULL, read_flag, AT(health_blocks), 0, "/health waits for a free slot like work" },
    { "--exit-at-start", "CODE", read_count, AT(exit_at_start), 0, "exits so after printing and --start-delay" },
    { "--signal-at-start", "NAME", read_signal, AT(signal_at_start), 0, "dies so: SEGV, KILL, ABRT, ..." },
    { "--ready-then-die", "TIME", read_time, AT(ready_then_die_ns), 0, "exits with 1 that long after it was ready" },
    { "--bind-fail", NULL, read_flag, AT(bind_fail), 0, "says that the port is taken, exits with 1" },
    { "--bind-text", "TEXT", read_text, AT(bind_text), 0, "says this instead when the port is taken" },
    { "--background", NULL, read_flag, AT(background), 0, "a copy serves, the process that was started exits with 0" },

    { NULL, "request n (1 is the first piece of work; /health and the like don't count)", NULL, 0, 0, NULL },
    { "--at", "N:ACTION", read_rule, AT(script), SCRIPT_AT, "request N; repeatable, actions below" },
    { "--every", "N:ACTION", read_rule, AT(script), SCRIPT_EVERY, "every Nth request" },
    { "--from", "N:ACTION", read_rule, AT(script), SCRIPT_FROM, "request N and all later ones" },
    { "--some", "RATIO:ACTION", read_rule, AT(script), SCRIPT_SOME, "that share of the requests, drawn by the seed" },
    { "--sse", "VARIANTS", read_sse, AT(sse), 0, "forms of every stream, comma-separated, list below" },
    { "--sse-split", "N[:TIME]", read_split, 0, 0, "streams leave N bytes at a time, TIME apart (200us)" },
    { "--ping-every", "TIME", read_time, AT(ping_every_ns), 0, "pings and empty events are repeated that often before the first token" },
    { "--role-early", NULL, read_flag, AT(role_early), 0, "headers and role chunk leave at once, before the latency" },
    { "--drop-idle", NULL, read_flag, AT(drop_idle), 0, "closes every kept-alive connection right after its answer" },
    { "--drop-reused", NULL, read_flag, AT(drop_reused), 0, "closes a connection without a byte on its second request" },
    { "--idle-timeout", "TIME", read_time, AT(idle_timeout_ns), 0, "closes connections idle for that long" },

    { NULL, "the process", NULL, 0, 0, NULL },
    { "--freeze-at", "WHEN:FOR", read_freeze, 0, 0, "WHEN after ready answers nothing for FOR; repeatable" },
    { "--rss", "SIZE", read_bytes, AT(rss_bytes), 0, "memory touched at the start" },
    { "--rss-ramp", "SIZE:TIME", read_ramp, 0, 0, "memory touched bit by bit after ready" },
    { "--grow", "SIZE", read_bytes, AT(grow_bytes), 0, "memory leaked per request" },
    { "--fork-child", NULL, read_flag, AT(fork_child), 0, "an ordinary child" },
    { "--fork-setsid", NULL, read_flag, AT(fork_setsid), 0, "a child in a session of its own with a worker, both titled as vLLM's and deaf to TERM" },
    { "--double-fork", NULL, read_flag, AT(double_fork), 0, "a daemon whose parent is gone" },
    { "--child-holds-memory", "SIZE", read_bytes, AT(child_bytes), 0, "memory that each of these touches" },
    { "--child-life", "TIME", read_time, AT(child_life_ns), 0, "after which these end by themselves (10m)" },
    { "--orphan-lives", NULL, read_flag, AT(orphan_lives), 0, "these stay when it ends in good order, too" },
    { "--ignore-term", NULL, read_flag, AT(ignore_term), 0, "deaf to TERM and INT" },
    { "--term-delay", "TIME", read_time, AT(term_delay_ns), 0, "ends that long after TERM" },
    { "--term-exit", "CODE", read_count, AT(term_exit), 0, "exit code after TERM (0)" },
    { "--life", "TIME", read_time, AT(life_ns), 0, "ends by itself (SIGALRM) after that" },
    { "--spin", "THREADS", read_count, AT(spin_threads), 0, "threads that burn CPU all the time" },
    { "--spin-per-request", "TIME", read_time, AT(spin_request_ns), 0, "CPU time burnt per request, serving nobody else" },

    { NULL, "logs", NULL, 0, 0, NULL },
    { "--flood", "RATE", read_bytes, AT(flood_bytes_per_s), 0, "bytes per second, half to stdout, half to stderr" },
    { "--log-binary", NULL, read_flag, AT(log_binary), 0, "binary bytes and terminal escapes, ten times a second" },
    { "--log-long-line", "SIZE", read_bytes, AT(long_line_bytes), 0, "one line of that length at the start" },
    { "--log-requests", NULL, read_flag, AT(log_requests), 0, "a line per request" },

    { NULL, "answers", NULL, 0, 0, NULL },
    { "--transcripts", "FILE", read_text, AT(transcripts), 0, "JSON lines with audio_filepath, text, duration" },
    { "--wer", "RATIO", read_real, AT(wer), 0, "share of words dropped or replaced" },
    { "--say", "TEXT", read_text, AT(say), 0, "text of every answer" },
    { "--metrics-style", "STYLE", read_text, AT(metrics_style), 0, "of /metrics: plain, old (names), odd (exemplars, NaN, _created)" },
    { "--arrivals", "FILE", read_text, AT(arrivals), 0, "per request: ns of its first byte, ns when complete, path, number" },
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* What foreign command lines call the same thing. */
static const struct {
    const char *theirs, *ours;
} aliases[] = {
    { "-m", "--model" },        { "--alias", "--model" }, { "-np", "--slots" },
    { "--parallel", "--slots" }, { "-s", "--seed" },       { "--max-num-seqs", "--slots" },
};

static const struct row *find_row(const char *name, size_t len, bool disguised)
{
    for (size_t i = 0; disguised && i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strlen(aliases[i].theirs) == len && strncmp(aliases[i].theirs, name, len) == 0) {
            name = aliases[i].ours;
            len = strlen(name);
        }
    }
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (rows[i].name != NULL && strlen(rows[i].name) == len &&
            strncmp(rows[i].name, name, len) == 0)
            return &rows[i];
    return NULL;
}

static void help(void)
{
    puts("fake-service: a scriptable speech-to-text and LLM server for tests\n\n"
         "usage: fake-service --port P [options]\n");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char left[64];
        if (rows[i].name == NULL) {
            printf("%s%s:\n", i > 0 ? "\n" : "", rows[i].argument);
            continue;
        }
        snprintf(left, sizeof(left), "%s %s", rows[i].name, rows[i].argument ? rows[i].argument : "");
        printf("  %-26s %s\n", left, rows[i].help);
    }
    puts("\nactions (rules that match the same request add up):");
    script_help(stdout);
    puts("\nvariants of a stream:");
    sse_help(stdout);
    puts("\nDisguised, or called by a server's name, it reads its own options from the file named by "
         "FAKE_SERVICE_SCRIPT.");
}

static bool read_one(struct options *options, const struct row *row, const char *text,
                     const char *where, char *line, size_t line_size)
{
    char why[WHY_SIZE] = "";
    if (row->argument != NULL && text == NULL) {
        snprintf(line, line_size, "%s%s wants %s", where, row->name, row->argument);
        return false;
    }
    if (row->read(options, row, text, why, sizeof(why)))
        return true;
    snprintf(line, line_size, "%s%s: %s", where, row->name, why);
    return false;
}

/* A copy that lives as long as the options, which borrow their texts. */
static const char *keep(struct options *options, const char *text)
{
    char **kept = realloc(options->kept, (options->kept_count + 1) * sizeof(*kept));
    char *copy = strdup(text);
    if (kept == NULL || copy == NULL)
        abort();
    options->kept = kept;
    kept[options->kept_count++] = copy;
    return copy;
}

/* One line of a script: "--name value" or "--name=value" or "name value". */
static bool read_line(struct options *options, char *line, const char *where, char *why,
                      size_t why_size)
{
    while (isspace((unsigned char)*line))
        line++;
    size_t len = strlen(line);
    while (len > 0 && isspace((unsigned char)line[len - 1]))
        line[--len] = '\0';
    if (len == 0 || *line == '#')
        return true;
    const size_t name_len = strcspn(line, " \t=");
    char name[64];
    snprintf(name, sizeof(name), "%s%.*s", line[0] == '-' ? "" : "--", (int)name_len, line);
    const struct row *row = find_row(name, strlen(name), false);
    if (row == NULL) {
        snprintf(why, why_size, "%sunknown option %s", where, name);
        return false;
    }
    const char *text = line + name_len;
    text += strspn(text, *text == '=' ? "=" : " \t");
    return read_one(options, row, *text != '\0' ? keep(options, text) : NULL, where, why, why_size);
}

static bool read_script(struct options *options, const char *path, char *why, size_t why_size)
{
    static int depth;
    FILE *file = depth < 4 ? fopen(path, "re") : NULL;
    if (file == NULL) {
        snprintf(why, why_size, "can't read %.180s", path);
        return false;
    }
    depth++;
    bool good = true;
    char *line = NULL;
    size_t size = 0;
    for (int number = 1; good && getline(&line, &size, file) >= 0; number++) {
        char where[120];
        snprintf(where, sizeof(where), "%.90s:%d: ", path, number);
        good = read_line(options, line, where, why, why_size);
    }
    free(line);
    fclose(file);
    depth--;
    return good;
}

/* True when the next word is the value of a foreign option and not an option itself. */
static bool is_value(const char *word)
{
    return word != NULL && (word[0] != '-' || isdigit((unsigned char)word[1]));
}

static bool read_arguments(struct options *options, int argc, char **argv, char *why, size_t size)
{
    for (int i = 1; i < argc; i++) {
        const size_t len = strcspn(argv[i], "=");
        const bool disguised = options->disguise != DISGUISE_NONE;
        const struct row *row = find_row(argv[i], len, disguised);
        const char *equals = argv[i][len] == '=' ? argv[i] + len + 1 : NULL;
        if (row == NULL && disguised) {
            i += argv[i][0] == '-' && equals == NULL && is_value(argv[i + 1]);
            continue;
        }
        if (row == NULL || (equals != NULL && row->argument == NULL)) {
            snprintf(why, size, "unknown option %.100s; --help lists them", argv[i]);
            return false;
        }
        const char *text = equals;
        if (row->argument != NULL && text == NULL && i + 1 < argc)
            text = argv[++i];
        if (!read_one(options, row, text, "", why, size))
            return false;
    }
    return true;
}

static void set_defaults(struct options *options)
{
    *options = (struct options){
        .host = "127.0.0.1", .kind = KIND_BOTH, .model = "fake-model", .seed = 1,
        .share_factor = 1, .exit_at_start = -1, .child_life_ns = INT64_C(600000000000),
        .metrics_style = "plain",
    };
}

enum options_end options_read(struct options *options, int argc, char **argv)
{
    char why[400] = "";
    set_defaults(options);
    const char *called = argc > 0 ? basename(argv[0]) : "";
    for (size_t i = DISGUISE_LLAMA; i < sizeof(disguises) / sizeof(disguises[0]); i++)
        if (strcmp(called, disguises[i].name) == 0)
            read_disguise(options, NULL, called, why, sizeof(why));
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            help();
            return OPTIONS_HELPED;
        }
    }
    const char *script = getenv("FAKE_SERVICE_SCRIPT");
    bool good = read_arguments(options, argc, argv, why, sizeof(why)) &&
                (script == NULL || *script == '\0' || read_script(options, script, why, sizeof(why)));
    if (good && !options->port_given && options->disguise == DISGUISE_NONE) {
        snprintf(why, sizeof(why), "--port is missing; --help lists all options");
        good = false;
    }
    if (!good) {
        fprintf(stderr, "fake-service: %s\n", why);
        return OPTIONS_WRONG;
    }
    if (!options->port_given)
        options->port = 8080;
    if (options->interfere_file != NULL && options->share_factor == 1)
        options->share_factor = 2;
    options->script.seed = (uint64_t)options->seed;
    return OPTIONS_GO;
}

void options_done(struct options *options)
{
    if (options == NULL)
        return;
    script_done(&options->script);
    for (size_t i = 0; i < options->kept_count; i++)
        free(options->kept[i]);
    free(options->kept);
    options->kept = NULL;
    options->kept_count = 0;
}
