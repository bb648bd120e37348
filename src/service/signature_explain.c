/* The numbers of a failure, and what the program was at when it happened.
 *
 * A hint's numbers are found by the words before them ("maximum model length is "), not by counting
 * all numbers of the line: messages gain numbers with versions (PyTorch's OOM line has had four
 * forms), and the third number of one version is another thing in the next. Where the words are
 * missing there is no hint: a wrong number would be worse.
 *
 * The stage is the nearest place before the line that names one: in a Python traceback the
 * innermost frame that is known. Only a bounded part of the log around the line is looked at. */
#include "service/signature_common.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

enum { BEFORE_MAX = 16 * 1024, AFTER_MAX = 4096, WORDS_MAX = 80 };

struct range {
    const char *at, *end;
};

static const char *line_end(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline : end;
}

/* A digit that begins a number: not one inside "x86", "v0.24", "cuda:0", "0x1f". */
static bool is_number(const char *at, const char *start, const char *end)
{
    if (!isdigit((unsigned char)*at))
        return false;
    if (at[0] == '0' && at + 1 < end && (at[1] == 'x' || at[1] == 'X'))
        return false;
    if (at == start)
        return true;
    unsigned char before = (unsigned char)at[-1];
    if (isalnum(before) || before == '_' || before == '.' || before == ',')
        return false;
    bool name = before == ':' && at - start >= 2 && isalpha((unsigned char)at[-2]);
    return !name;
}

/* "28.69", "1,024", "-2.8"; the end of the number that starts at `at`. */
static const char *number_end(const char *at, const char *end)
{
    while (at < end &&
           (isdigit((unsigned char)*at) ||
            ((*at == '.' || *at == ',') && at + 1 < end && isdigit((unsigned char)at[1]))))
        at++;
    return at;
}

static size_t unit_len(const char *at, const char *end)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB"};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i]);
        if ((size_t)(end - at) >= len && strncmp(at, units[i], len) == 0 &&
            (at + len == end || !isalnum((unsigned char)at[len])))
            return len;
    }
    return 0;
}

/* The unit after a number's end; "28.69/79.18 GiB" has one for both. */
static struct range unit_after(const char *at, const char *end)
{
    if (end - at > 1 && *at == '/' && isdigit((unsigned char)at[1]))
        at = number_end(at + 1, end);
    if (at < end && *at == ' ')
        at++;
    return (struct range){at, at + unit_len(at, end)};
}

/* Moves *at behind the next number and copies it with its unit; false: none is left. */
static bool next_number(const char **at, const struct range *range, char *ret_text, size_t size)
{
    for (const char *p = *at; p < range->end; p++) {
        if (!is_number(p, range->at, range->end))
            continue;
        const char *stop = number_end(p, range->end);
        bool negative =
            p > range->at && p[-1] == '-' && (p - 1 == range->at || strchr(" (=:", p[-2]) != NULL);
        struct range unit = unit_after(stop, range->end);
        size_t unit_size = (size_t)(unit.end - unit.at);
        snprintf(ret_text, size, "%s%.*s%s%.*s", negative ? "-" : "", (int)(stop - p), p,
                 unit_size ? " " : "", (int)unit_size, unit.at);
        *at = stop;
        return true;
    }
    return false;
}

static void fill_numbers(const char *at, const struct range *range, struct signature_match *match)
{
    while (match->number_count < (int)ARRAY_LEN(match->numbers) &&
           next_number(&at, range, match->numbers[match->number_count], sizeof match->numbers[0]))
        match->number_count++;
}

/* The last place of the words in the range, or the first; NULL: they are not there. */
static const char *find_words(const struct range *range, const char *words, bool last)
{
    const char *found = NULL;
    for (const char *at = range->at; at < range->end;) {
        const char *here = text_find_nocase(at, (size_t)(range->end - at), words);
        if (!here)
            break;
        found = here;
        at = here + 1;
        if (!last)
            break;
    }
    return found;
}

/* A whole number of five digits or more is easier to read in groups. */
static void add_number(struct buf *hint, const char *number)
{
    int64_t whole = 0;
    if (strlen(number) >= 5 && text_to_i64(number, &whole))
        text_add_grouped(hint, whole);
    else
        buf_add(hint, number);
}

/* One "{WORDS}" or "{<WORDS|2}", without its braces. */
static bool add_found(struct buf *hint, const char *text, size_t len, const struct range *before,
                      const struct range *here)
{
    char words[WORDS_MAX], number[32];
    bool back = len > 0 && text[0] == '<';
    int count = 1;
    if (len > 2 && text[len - 2] == '|' && isdigit((unsigned char)text[len - 1])) {
        count = text[len - 1] - '0';
        len -= 2;
    }
    snprintf(words, sizeof words, "%.*s", (int)len - back, text + back);
    const struct range *range = back ? before : here;
    const char *at = find_words(range, words, back);
    if (!at)
        return false;
    at += strlen(words);
    const struct range rest = {range->at, back ? line_end(at, range->end) : range->end};
    for (int i = 0; i < count; i++)
        if (!next_number(&at, &rest, number, sizeof number))
            return false;
    add_number(hint, number);
    return true;
}

static bool fill_hint(const char *pattern, const struct range *before, const struct range *here,
                      char *ret_hint, size_t size)
{
    AUTO(buf_done) struct buf hint = BUF_INIT(4096);
    for (const char *at = pattern; *at; at++) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (!close) {
            buf_addc(&hint, *at);
            continue;
        }
        if (!add_found(&hint, at + 1, (size_t)(close - at - 1), before, here))
            return false;
        at = close;
    }
    snprintf(ret_hint, size, "%s", buf_text(&hint));
    return true;
}

/* Names of functions as they stand in tracebacks, and words of logs. */
static const struct stage {
    const char *text, *stage;
} stages[] = {
    {"in capture_model", "capturing CUDA graphs"},
    {"in _capture_cudagraphs", "capturing CUDA graphs"},
    {"in _dummy_sampler_run", "warming up its sampler"},
    {"in profile_run", "measuring how much memory it needs"},
    {"in determine_available_memory", "measuring how much memory it needs"},
    {"in initialize_kv_cache", "making its cache"},
    {"in _allocate_kv_cache", "making its cache"},
    {"in load_model", "loading its weights"},
    {"in execute_model", "working on a request"},
    {"llama_model_load_from_file_impl:", "loading its weights"},
    {"load_tensors:", "loading its weights"},
    {"llama_kv_cache:", "making its cache"},
    {"sched_reserve:", "making its buffers"},
    {"getting device memory data for initial parameters", "fitting its settings to the memory"},
    {"warming up the model with an empty run", "warming up"},
    {"slot launch_slot_:", "working on a request"},
};

/* Some say it afterwards, in the error that follows from the first. */
static const struct stage later_stages[] = {
    {"when warming up sampler", "warming up its sampler"},
};

static const char *find_stage(const struct range *before, const struct range *after)
{
    for (size_t i = 0; i < ARRAY_LEN(later_stages); i++)
        if (find_words(after, later_stages[i].text, false))
            return later_stages[i].stage;
    const char *nearest = NULL, *stage = NULL;
    for (size_t i = 0; i < ARRAY_LEN(stages); i++) {
        const char *at = find_words(before, stages[i].text, true);
        if (at && (!nearest || at > nearest)) {
            nearest = at;
            stage = stages[i].stage;
        }
    }
    return stage;
}

void signature_explain(const char *log, size_t len, size_t after, struct signature_match *match)
{
    const char *line = log + match->line_start, *end = log + len;
    const char *stop = line + match->line_len;
    const struct range next = {stop < end ? stop + 1 : end,
                               stop < end ? line_end(stop + 1, end) : end};
    const struct range rest = {line, stop}, here = {line, next.end};
    size_t back = match->line_start < BEFORE_MAX ? match->line_start : BEFORE_MAX;
    size_t ahead = (size_t)(end - line) < AFTER_MAX ? (size_t)(end - line) : AFTER_MAX;
    const struct range before = {line - back, line}, around = {line, line + ahead};
    fill_numbers(log + after, &rest, match);
    if (match->number_count == 0)
        fill_numbers(next.at, &next, match);
    for (size_t i = 0; i < ARRAY_LEN(match->signature->hints); i++)
        if (!match->hint[0] && match->signature->hints[i])
            (void)!fill_hint(match->signature->hints[i], &before, &here, match->hint,
                             sizeof match->hint);
    if (match->signature->cause == CAUSE_OOM)
        match->stage = find_stage(&before, &around);
}
