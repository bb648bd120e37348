/* A recorded trace: when requests came and how large they were. Two forms, both as public traces
 * have them, so that one can be replayed as it was published:
 *
 * JSON lines, with the names of Mooncake's traces and AIPerf's replay: timestamp (ms),
 * input_length, output_length, prompt (or text_input); for audio duration (s) or size (bytes).
 * Other members (hash_ids, session_id) are passed over.
 *
 * CSV with a head line: BurstGPT's columns (Timestamp in s, Request tokens, Response tokens) or
 * Azure's (TIMESTAMP as date and time, ContextTokens, GeneratedTokens). Other columns are passed
 * over; quoted fields are refused, since a comma within one would shift the rest.
 *
 * Times count from the first entry and never go back: a file that is out of order is more likely
 * cut and pasted wrongly than meant. Sizes of audio become the clip that is nearest. */
#include "load/corpus_file.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { TRACE_MAX = 2000000, COLUMNS_MAX = 64, FIELD_MAX = 64 };

/* What a column of a CSV file is. */
enum column { COLUMN_OTHER, COLUMN_SECONDS, COLUMN_DATE, COLUMN_INPUT, COLUMN_OUTPUT };

static const struct {
    const char *name;
    enum column column;
} columns[] = {
    {"Timestamp", COLUMN_SECONDS},      {"TIMESTAMP", COLUMN_DATE},
    {"Request tokens", COLUMN_INPUT},   {"ContextTokens", COLUMN_INPUT},
    {"Response tokens", COLUMN_OUTPUT}, {"GeneratedTokens", COLUMN_OUTPUT},
};

struct reading {
    struct arena *arena;
    struct corpus *corpus;
    struct corpus_request *entries; /* owned while reading */
    size_t count, cap;
    struct corpus_prompt *prompts; /* owned while reading: the trace's own */
    size_t prompt_count, prompt_cap;
    double first_ns, last_ns;
    enum column columns[COLUMNS_MAX]; /* CSV */
    size_t column_count;
};

static bool add(struct reading *r, double at_ns, struct corpus_request entry, struct err *err)
{
    if (r->count == TRACE_MAX)
        return err_set(err, ERR_INPUT, "more than %d requests", TRACE_MAX);
    if (r->count == 0)
        r->first_ns = r->last_ns = at_ns;
    if (at_ns < r->last_ns)
        return err_set(err, ERR_INPUT, "its time is before the line above");
    if (at_ns - r->first_ns > 1e17)
        return err_set(err, ERR_INPUT, "its time is over three years after the first");
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 1024;
        struct corpus_request *grown = realloc(r->entries, r->cap * sizeof *grown);
        if (!grown)
            abort();
        r->entries = grown;
    }
    entry.at_ns = llround(at_ns - r->first_ns);
    r->last_ns = at_ns;
    r->entries[r->count++] = entry;
    return true;
}

/* ---- sizes ---- */

/* The clip nearest to a duration, or to a size in bytes. */
static uint32_t nearest_clip(const struct corpus *corpus, double duration_s, double bytes)
{
    size_t best = 0;
    double least = INFINITY;
    for (size_t i = 0; i < corpus->clip_count; i++) {
        const struct corpus_clip *clip = &corpus->clips[i];
        double distance = isnan(duration_s) ? fabs((double)clip->len - bytes)
                                            : fabs(clip->duration_s - duration_s);
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return corpus->clip_count ? (uint32_t)best : CORPUS_NO_ITEM;
}

static bool take_tokens(double value, const char *name, int32_t *ret_tokens, struct err *err)
{
    if (isnan(value))
        return true;
    if (!(value >= 0 && value <= SPEC_TOKENS_MAX) || value != floor(value))
        return err_set(err, ERR_INPUT, "\"%s\" is not a number of tokens from 0 to %d", name,
                       SPEC_TOKENS_MAX);
    *ret_tokens = (int32_t)value;
    return true;
}

/* ---- JSON lines ---- */

static uint32_t add_prompt(struct reading *r, const char *text)
{
    if (r->prompt_count == r->prompt_cap) {
        r->prompt_cap = r->prompt_cap ? 2 * r->prompt_cap : 256;
        struct corpus_prompt *grown = realloc(r->prompts, r->prompt_cap * sizeof *grown);
        if (!grown)
            abort();
        r->prompts = grown;
    }
    r->prompts[r->prompt_count] = (struct corpus_prompt){.prompt = arena_strdup(r->arena, text)};
    return (uint32_t)(r->corpus->prompt_count + r->prompt_count++);
}

static bool check_numbers(const json_t *root, struct err *err)
{
    static const char *const names[] = {"timestamp", "input_length", "output_length", "duration",
                                        "size"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *value = json_object_get(root, names[i]);
        if (value && !json_is_null(value) && !json_is_number(value))
            return err_set(err, ERR_INPUT, "\"%s\" is not a number", names[i]);
    }
    return true;
}

static bool take_object(struct reading *r, const json_t *root, struct err *err)
{
    struct corpus_request entry = {.clip = CORPUS_NO_ITEM, .prompt = CORPUS_NO_ITEM};
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, "not a JSON object; wants {\"timestamp\": 0, ...}");
    double at_ms = json_get_real(root, "timestamp");
    double duration_s = json_get_real(root, "duration"), bytes = json_get_real(root, "size");
    const char *prompt = json_get_text(root, "prompt");
    prompt = prompt ? prompt : json_get_text(root, "text_input");
    if (!check_numbers(root, err))
        return false;
    if (isnan(at_ms))
        return err_set(err, ERR_INPUT, "lacks \"timestamp\", in ms");
    if (!take_tokens(json_get_real(root, "input_length"), "input_length", &entry.prompt_tokens,
                     err) ||
        !take_tokens(json_get_real(root, "output_length"), "output_length", &entry.output_tokens,
                     err))
        return false;
    if (!isnan(duration_s) || !isnan(bytes))
        entry.clip = nearest_clip(r->corpus, duration_s, bytes);
    if (prompt && *prompt)
        entry.prompt = add_prompt(r, prompt);
    return add(r, at_ms * (double)NS_PER_MS, entry, err);
}

static bool take_json_line(void *ctx, const char *line, size_t len, struct err *err)
{
    json_error_t problem;
    AUTO_JSON json_t *root = json_loadb(line, len, JSON_DECODE_ANY, &problem);
    if (!root)
        return err_set(err, ERR_INPUT, "not JSON: %s", problem.text);
    return take_object(ctx, root, err);
}

/* ---- CSV ---- */

/* The next field, as text; false at the line's end. */
static bool next_field(const char **at, const char *end, char ret_field[FIELD_MAX])
{
    if (!*at)
        return false;
    const char *comma = memchr(*at, ',', (size_t)(end - *at));
    size_t len = (size_t)((comma ? comma : end) - *at);
    if (len >= FIELD_MAX)
        len = FIELD_MAX - 1;
    memcpy(ret_field, *at, len);
    ret_field[len] = '\0';
    *at = comma ? comma + 1 : NULL;
    return true;
}

/* "2023-11-16 18:15:46.6805900", as UTC: only differences are used. */
static bool read_date(const char *text, double *ret_ns)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    double fraction_s = 0;
    size_t digits = rest && *rest == '.' ? strspn(rest + 1, "0123456789") : 0;
    if (digits > 0) {
        char part[FIELD_MAX];
        snprintf(part, sizeof part, "0.%.*s", (int)digits, rest + 1);
        if (!text_to_double(part, &fraction_s))
            return false;
        rest += 1 + digits;
    }
    if (!rest || (*rest != '\0' && *rest != '+' && *rest != 'Z'))
        return false;
    *ret_ns = ((double)timegm(&tm) + fraction_s) * (double)NS_PER_S;
    return true;
}

static bool take_head(struct reading *r, const char *line, size_t len, struct err *err)
{
    const char *at = line, *end = line + len;
    char field[FIELD_MAX];
    bool timed = false;
    while (r->column_count < COLUMNS_MAX && next_field(&at, end, field)) {
        enum column *column = &r->columns[r->column_count++];
        for (size_t i = 0; i < ARRAY_LEN(columns); i++)
            if (strcmp(columns[i].name, field) == 0)
                *column = columns[i].column;
        timed |= *column == COLUMN_SECONDS || *column == COLUMN_DATE;
    }
    return timed || err_set(err, ERR_INPUT,
                            "its first line has no column Timestamp (s) or TIMESTAMP (date and "
                            "time)");
}

static bool take_field(enum column column, const char *field, double *at_ns,
                       struct corpus_request *entry, struct err *err)
{
    double number = NAN;
    if (column == COLUMN_OTHER)
        return true;
    if (column == COLUMN_DATE)
        return read_date(field, at_ns) ||
               err_set(err, ERR_INPUT, "\"%s\" is no date and time, as in 2023-11-16 18:15:46.68",
                       field);
    if (!text_to_double(field, &number))
        return err_set(err, ERR_INPUT, "\"%s\" is not a number", field);
    if (column == COLUMN_INPUT)
        return take_tokens(number, "input tokens", &entry->prompt_tokens, err);
    if (column == COLUMN_OUTPUT)
        return take_tokens(number, "output tokens", &entry->output_tokens, err);
    *at_ns = number * (double)NS_PER_S;
    return true;
}

static bool take_csv_line(void *ctx, const char *line, size_t len, struct err *err)
{
    struct reading *r = ctx;
    if (memchr(line, '"', len))
        return err_set(err, ERR_INPUT, "quoted fields are not supported");
    if (r->column_count == 0)
        return take_head(r, line, len, err);
    struct corpus_request entry = {.clip = CORPUS_NO_ITEM, .prompt = CORPUS_NO_ITEM};
    const char *at = line, *end = line + len;
    char field[FIELD_MAX];
    double at_ns = NAN;
    for (size_t i = 0; i < r->column_count && next_field(&at, end, field); i++)
        if (!take_field(r->columns[i], field, &at_ns, &entry, err))
            return false;
    if (isnan(at_ns))
        return err_set(err, ERR_INPUT, "lacks its time");
    return add(r, at_ns, entry, err);
}

/* ---- the whole ---- */

/* The trace's own prompts stand behind the corpus's. */
static void keep(struct reading *r)
{
    struct corpus *corpus = r->corpus;
    size_t all = corpus->prompt_count + r->prompt_count;
    corpus->trace = arena_array(r->arena, r->count, sizeof *r->entries);
    memcpy(corpus->trace, r->entries, r->count * sizeof *r->entries);
    corpus->trace_count = r->count;
    if (r->prompt_count == 0)
        return;
    struct corpus_prompt *prompts = arena_array(r->arena, all, sizeof *prompts);
    if (corpus->prompt_count > 0)
        memcpy(prompts, corpus->prompts, corpus->prompt_count * sizeof *prompts);
    memcpy(prompts + corpus->prompt_count, r->prompts, r->prompt_count * sizeof *prompts);
    corpus->prompts = prompts;
    corpus->prompt_count = all;
}

bool corpus_load_trace(struct arena *arena, const char *path, struct corpus *corpus,
                       struct err *err)
{
    struct reading r = {.arena = arena, .corpus = corpus};
    bool csv = text_ends_with(path, ".csv");
    bool good = corpus_lines(path, csv ? take_csv_line : take_json_line, &r, err);
    if (good && r.count == 0)
        good = err_set(err, ERR_INPUT, "%s: holds no request", path);
    if (good)
        keep(&r);
    free(r.entries);
    free(r.prompts);
    return good;
}
