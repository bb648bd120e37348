/*
 * The table of options: one row per option (name, argument, how it is read, where it goes, help),
 * from which parsing and --help both come.
 *
 * The idea: a reader knows one kind of value (a time, a size, a rule) and is told by the row where
 * to put it. A new option is a field and a row. getopt was rejected: it knows names, but neither
 * types nor help, and can't read the same options from a file.
 *
 * Invariant: a reader that fails has filled `why`, which says what is wanted.
 */
#include "options_table.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "sse.h"
#include "units.h"

#define FIELD(type, options, row) ((type *)(void *)((char *)(options) + (row)->offset))
#define READER(reader_name)                                                                        \
    static bool reader_name(struct options *options, const struct options_row *row,                \
                            const char *text, char *why, size_t why_size)

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

static const struct {
    const char *name;
    enum options_kind kind;
} kinds[] = {
    {"stt", KIND_STT},   {"llm", KIND_LLM},
    {"both", KIND_BOTH}, {"embeddings", KIND_EMBEDDINGS},
    {"tts", KIND_TTS},   {"kserve", KIND_KSERVE},
    {"all", KIND_ALL},
};

const char *options_kind_name(enum options_kind kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].kind == kind)
            return kinds[i].name;
    return "fake";
}

READER(read_kind)
{
    (void)row;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(text, kinds[i].name) == 0) {
            options->kind = kinds[i].kind;
            return true;
        }
    }
    snprintf(why, why_size, "wants stt, llm, both, embeddings, tts, kserve or all, not \"%.60s\"",
             text);
    return false;
}

READER(read_style)
{
    snprintf(why, why_size, "wants plain, old or odd, not \"%.60s\"", text);
    *FIELD(const char *, options, row) = text;
    return strcmp(text, "plain") == 0 || strcmp(text, "old") == 0 || strcmp(text, "odd") == 0;
}

static const struct {
    const char *name;
    enum options_kind kind;
} disguises[] = {
    [DISGUISE_LLAMA] = {"llama-server", KIND_LLM},
    [DISGUISE_WHISPER] = {"whisper-server", KIND_STT},
    [DISGUISE_FASTER_WHISPER] = {"faster-whisper-server", KIND_STT},
    [DISGUISE_VLLM] = {"vllm", KIND_LLM},
    [DISGUISE_OLLAMA] = {"ollama", KIND_LLM},
};

bool options_disguise(struct options *options, const char *name)
{
    for (size_t i = DISGUISE_LLAMA; i < sizeof(disguises) / sizeof(disguises[0]); i++) {
        if (strcmp(name, disguises[i].name) == 0) {
            options->disguise = (enum options_disguise)i;
            options->kind = disguises[i].kind;
            options->term_exit = i == DISGUISE_FASTER_WHISPER ? 143 : options->term_exit;
            return true;
        }
    }
    return false;
}

READER(read_disguise)
{
    (void)row;
    snprintf(
        why, why_size,
        "wants llama-server, whisper-server, faster-whisper-server, vllm or ollama, not \"%.60s\"",
        text);
    return options_disguise(options, text);
}

READER(read_print)
{
    if (options->print_count == OPTIONS_LIST_MAX) {
        snprintf(why, why_size, "at most %d of them", OPTIONS_LIST_MAX);
        return false;
    }
    options->prints[options->print_count++] =
        (struct options_print){.is_file = row->detail != 0, .text = text};
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
    snprintf(why, why_size, "wants N or N:TIME (bytes at a time, pause between), not \"%.60s\"",
             text);
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

static bool add_change(struct options *options, struct options_change change)
{
    if (options->gpu_change_count == OPTIONS_CHANGES_MAX)
        return false;
    options->gpu_changes[options->gpu_change_count++] = change;
    return true;
}

READER(read_hold)
{
    (void)row;
    snprintf(why, why_size, "wants a size as 5G, not \"%.60s\"", text);
    options->gpu_alone = true;
    return units_parse_bytes(text, &options->gpu_bytes);
}

READER(read_grow_at)
{
    char first[32];
    const char *second = NULL;
    struct options_change change = {.kind = CHANGE_HOLD};
    (void)row;
    snprintf(why, why_size, "wants WHEN:SIZE as 3s:10G, not \"%.60s\"", text);
    return split(text, first, sizeof(first), &second) && second != NULL &&
           units_parse_time(first, &change.at_ns) && units_parse_bytes(second, &change.bytes) &&
           add_change(options, change);
}

READER(read_work_at)
{
    char first[32];
    const char *second = NULL;
    struct options_change begin = {.kind = CHANGE_WORK}, end = {.kind = CHANGE_REST};
    (void)row;
    snprintf(why, why_size, "wants WHEN or WHEN:FOR as 3s:2s, not \"%.60s\"", text);
    if (!split(text, first, sizeof(first), &second) || !units_parse_time(first, &begin.at_ns) ||
        (second != NULL && !units_parse_time(second, &end.at_ns)) || !add_change(options, begin))
        return false;
    end.at_ns += begin.at_ns;
    return second == NULL || add_change(options, end);
}

READER(read_script_row)
{
    (void)row;
    return options_read_script(options, text, why, why_size);
}

#define AT(field) offsetof(struct options, field)
const struct options_row options_rows[] = {
    {NULL, "who and where", NULL, 0, 0, NULL},
    {"--port", "P", read_port, AT(port), 0, "port to listen on; 0 takes a free one and prints it"},
    {"--host", "H", read_text, AT(host), 0, "address to listen on (127.0.0.1)"},
    {"--kind", "K", read_kind, AT(kind), 0,
     "stt, llm, both, embeddings, tts, kserve or all (both): which endpoints exist"},
    {"--as", "SERVER", read_disguise, AT(disguise), 0,
     "speaks like llama-server, whisper-server, faster-whisper-server, vllm or ollama and passes "
     "over their options"},
    {"--name", "NAME", read_text, AT(name), 0,
     "its name where several share a --share-dir (the kind)"},
    {"--model", "ID", read_text, AT(model), 0, "model id that it reports (fake-model)"},
    {"--only-model", NULL, read_flag, AT(only_model), 0,
     "refuses requests of text that ask for another model"},
    {"--inference-path", "PATH", read_text, AT(inference_path), 0,
     "one more path for transcriptions"},
    {"--no-reuse-address", NULL, read_flag, AT(no_reuse_address), 0,
     "binds without SO_REUSEADDR: old connections can hold the port"},
    {"--script", "FILE", read_script_row, 0, 0, "more of these options, one per line, # comments"},

    {NULL, "time", NULL, 0, 0, NULL},
    {"--latency", "TIME", read_time, AT(latency_ns), 0,
     "time to the answer, or to its first token"},
    {"--latency-jitter", "SIGMA", read_real, AT(jitter_sigma), 0,
     "lognormal factor on it (median 1)"},
    {"--latency-per-token", "TIME", read_time, AT(per_token_ns), 0, "time between tokens"},
    {"--latency-per-prompt-token", "TIME", read_time, AT(per_prompt_token_ns), 0,
     "more per word of an LLM's prompt"},
    {"--prefix-cache", NULL, read_flag, AT(prefix_cache), 0,
     "but not for a beginning, of whole blocks of 16 words, that came before"},
    {"--latency-per-audio", "RATIO", read_real, AT(audio_ratio), 0,
     "seconds more per second of audio"},
    {"--tokens", "N", read_count, AT(tokens), 0,
     "tokens of an LLM answer (the request's max_tokens, else 16)"},
    {"--slots", "N", read_count, AT(slots), 0, "requests served at once, others queue (no limit)"},
    {"--seed", "N", read_count, AT(seed), 0, "for everything drawn (1)"},
    {"--share-dir", "DIR", read_text, AT(share_dir), 0,
     "where fakes that share a device see each other"},
    {"--share-factor", "X", read_real, AT(share_factor), 0,
     "times as slow while others there are busy"},
    {"--interfere", "FILE", read_text, AT(interfere_file), 0,
     "times --share-factor (2) while the file exists"},

    {NULL, "start", NULL, 0, 0, NULL},
    {"--print", "TEXT", read_print, 0, 0, "a line on stderr at the start; repeatable"},
    {"--print-file", "FILE", read_print, 0, 1, "copies a recorded log to stderr; repeatable"},
    {"--start-delay", "TIME", read_time, AT(start_delay_ns), 0, "port closed until then"},
    {"--loading", "TIME", read_time, AT(loading_ns), 0,
     "port open, /health 503 \"Loading model\" until then"},
    {"--progress", "TIME", read_time, AT(progress_ns), 0,
     "logs a line of progress that often until ready"},
    {"--never-ready", NULL, read_flag, AT(never_ready), 0, "loads for ever"},
    {"--lie-ready", NULL, read_flag, AT(lie_ready), 0,
     "/health is 200 while loading, work still 503"},
    {"--health-blocks", NULL, read_flag, AT(health_blocks), 0,
     "/health waits for a free slot like work"},
    {"--exit-at-start", "CODE", read_count, AT(exit_at_start), 0,
     "exits so after printing and --start-delay"},
    {"--signal-at-start", "NAME", read_signal, AT(signal_at_start), 0,
     "dies so: SEGV, KILL, ABRT, ..."},
    {"--ready-then-die", "TIME", read_time, AT(ready_then_die_ns), 0,
     "exits with 1 that long after it was ready"},
    {"--bind-fail", NULL, read_flag, AT(bind_fail), 0, "says that the port is taken, exits with 1"},
    {"--bind-text", "TEXT", read_text, AT(bind_text), 0,
     "says this instead when the port is taken"},
    {"--background", NULL, read_flag, AT(background), 0,
     "a copy serves, the process that was started exits with 0"},

    {NULL, "request n (1 is the first piece of work; /health and the like don't count)", NULL, 0, 0,
     NULL},
    {"--at", "N:ACTION", read_rule, AT(script), SCRIPT_AT, "request N; repeatable, actions below"},
    {"--every", "N:ACTION", read_rule, AT(script), SCRIPT_EVERY, "every Nth request"},
    {"--from", "N:ACTION", read_rule, AT(script), SCRIPT_FROM, "request N and all later ones"},
    {"--some", "RATIO:ACTION", read_rule, AT(script), SCRIPT_SOME,
     "that share of the requests, drawn by the seed"},
    {"--sse", "VARIANTS", read_sse, AT(sse), 0,
     "forms of every stream, comma-separated, list below"},
    {"--sse-split", "N[:TIME]", read_split, 0, 0,
     "streams leave N bytes at a time, TIME apart (200us)"},
    {"--ping-every", "TIME", read_time, AT(ping_every_ns), 0,
     "pings and empty events are repeated that often before the first token"},
    {"--role-early", NULL, read_flag, AT(role_early), 0,
     "headers and role chunk leave at once, before the latency"},
    {"--drop-idle", NULL, read_flag, AT(drop_idle), 0,
     "closes every kept-alive connection right after its answer"},
    {"--drop-reused", NULL, read_flag, AT(drop_reused), 0,
     "closes a connection without a byte on its second request"},
    {"--idle-timeout", "TIME", read_time, AT(idle_timeout_ns), 0,
     "closes connections idle for that long"},

    {NULL, "the process", NULL, 0, 0, NULL},
    {"--freeze-at", "WHEN:FOR", read_freeze, 0, 0,
     "WHEN after ready answers nothing for FOR; repeatable"},
    {"--rss", "SIZE", read_bytes, AT(rss_bytes), 0, "memory touched at the start"},
    {"--rss-ramp", "SIZE:TIME", read_ramp, 0, 0, "memory touched bit by bit after ready"},
    {"--grow", "SIZE", read_bytes, AT(grow_bytes), 0, "memory leaked per request"},
    {"--fork-child", NULL, read_flag, AT(fork_child), 0, "an ordinary child"},
    {"--fork-setsid", NULL, read_flag, AT(fork_setsid), 0,
     "a child in a session of its own with a worker, both titled as vLLM's and deaf to TERM"},
    {"--double-fork", NULL, read_flag, AT(double_fork), 0, "a daemon whose parent is gone"},
    {"--child-holds-memory", "SIZE", read_bytes, AT(child_bytes), 0,
     "memory that each of these touches"},
    {"--child-life", "TIME", read_time, AT(child_life_ns), 0,
     "after which these end by themselves (10m)"},
    {"--orphan-lives", NULL, read_flag, AT(orphan_lives), 0,
     "these stay when it ends in good order, too"},
    {"--ignore-term", NULL, read_flag, AT(ignore_term), 0, "deaf to TERM and INT"},
    {"--term-delay", "TIME", read_time, AT(term_delay_ns), 0, "ends that long after TERM"},
    {"--term-exit", "CODE", read_count, AT(term_exit), 0, "exit code after TERM (0)"},
    {"--touch-at-start", "FILE", read_text, AT(start_file), 0,
     "it makes an empty file once it has looked at the card"},
    {"--touch-at-end", "FILE", read_text, AT(end_file), 0, "after TERM it makes an empty file"},
    {"--life", "TIME", read_time, AT(life_ns), 0, "ends by itself (SIGALRM) after that"},
    {"--spin", "THREADS", read_count, AT(spin_threads), 0, "threads that burn CPU all the time"},
    {"--spin-per-request", "TIME", read_time, AT(spin_request_ns), 0,
     "CPU time burnt per request, serving nobody else"},

    {NULL, "the card (nvml/README.md)", NULL, 0, 0, NULL},
    {"--gpu", "DIR", read_text, AT(gpu_dir), 0, "world folder whose cards it finds, as CUDA does"},
    {"--gpu-memory", "SIZE", read_bytes, AT(gpu_bytes), 0,
     "memory taken there before it listens; the server's own words when there is not so much"},
    {"--gpu-memory-utilization", "RATIO", read_real, AT(gpu_ratio), 0,
     "the same as vLLM sizes it: a share of the whole card"},
    {"--gpu-first", "SIZE", read_bytes, AT(gpu_first_bytes), 0, "more at the first request"},
    {"--gpu-grow", "SIZE", read_bytes, AT(gpu_grow_bytes), 0, "more at every request"},
    {"--gpu-oom-lives", NULL, read_flag, AT(gpu_oom_lives), 0,
     "under load it answers 500 when there is no more, and lives"},
    {"--gpu-sm", "PERCENT", read_count, AT(gpu_sm), 0,
     "of the card's SMs while it works (30); 0: it computes on the CPU"},
    {"--gpu-device", "N", read_count, AT(gpu_device), 0, "which of the cards that it sees (0)"},
    {"--gpu-child", NULL, read_flag, AT(gpu_child), 0,
     "its first child holds the memory (--fork-child, --fork-setsid)"},
    {"--gpu-layers", "N/M", read_text, AT(gpu_layers), 0, "says so, as llama-server does"},
    {"--gpu-cpu-build", NULL, read_flag, AT(gpu_cpu_build), 0, "built without CUDA: finds no card"},
    {"--gpu-cpu", "TIME", read_time, AT(gpu_cpu_ns), 0,
     "CPU time per request when it found no card (40ms)"},
    {"--gpu-profiles", NULL, read_flag, AT(gpu_profiles), 0,
     "ends as vLLM when memory was given back during its --start-delay"},
    {"--gpu-linger", "TIME", read_time, AT(gpu_linger_ns), 0, "its memory comes back so late"},
    {"--gpu-leak", "SIZE", read_bytes, AT(gpu_leak_bytes), 0, "so much of it never comes back"},
    {"--gpu-hold", "SIZE", read_hold, 0, 0, "a program that serves nothing and holds that much"},
    {"--gpu-grow-at", "WHEN:SIZE", read_grow_at, 0, 0,
     "WHEN after its start it holds SIZE altogether; repeatable"},
    {"--gpu-work-at", "WHEN[:FOR]", read_work_at, 0, 0, "works from then on, or for so long"},
    {"--gpu-when", "FILE", read_text, AT(gpu_when), 0,
     "these two count from when FILE is there; it is removed, and they count anew with the next"},

    {NULL, "logs", NULL, 0, 0, NULL},
    {"--flood", "RATE", read_bytes, AT(flood_bytes_per_s), 0,
     "bytes per second, half to stdout, half to stderr"},
    {"--log-binary", NULL, read_flag, AT(log_binary), 0,
     "binary bytes and terminal escapes, ten times a second"},
    {"--log-long-line", "SIZE", read_bytes, AT(long_line_bytes), 0,
     "one line of that length at the start"},
    {"--log-requests", NULL, read_flag, AT(log_requests), 0, "a line per request"},

    {NULL, "answers", NULL, 0, 0, NULL},
    {"--transcripts", "FILE", read_text, AT(transcripts), 0,
     "JSON lines with audio_filepath, text, duration"},
    {"--wer", "RATIO", read_real, AT(wer), 0, "share of words dropped or replaced"},
    {"--require-field", "NAME", read_text, AT(require_field), 0,
     "transcriptions without this form field are answered 422"},
    {"--say", "TEXT", read_text, AT(say), 0, "text of every answer"},
    {"--metrics-style", "STYLE", read_style, AT(metrics_style), 0,
     "of /metrics: plain, old (names), odd (exemplars, NaN, _created)"},
    {"--arrivals", "FILE", read_text, AT(arrivals), 0,
     "per request: ns of its first byte, ns when complete, path, number"},
    {"--served", "FILE", read_text, AT(served), 0,
     "per answer: number, and ns: first byte, complete, started, sent, last sent, late; pieces"},
};
const size_t options_row_count = sizeof(options_rows) / sizeof(options_rows[0]);
