/*
 * What happens to which request.
 *
 * The idea: a behaviour is a row of a table (name, what its argument is, what it sets), a rule says
 * when, and every rule that matches a request adds its part; so "print this, then die at request 7"
 * is two rules and not a new behaviour. A small language with variables was rejected: a scenario
 * test must be readable as its command line.
 *
 * Invariant: the same rules, seed and request number give the same effect, whatever came before.
 */
#include "script.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"
#include "units.h"

enum action_target {
    TARGET_WORDS,
    TARGET_ENDING,
    TARGET_KEY,
    TARGET_DEED,
    TARGET_SLOW,
    TARGET_RELOAD,
    TARGET_STATUS,
    TARGET_SSE,
    TARGET_OOM
};
enum argument {
    ARG_NONE,
    ARG_TEXT,
    ARG_PIECE, /* a text that is not empty */
    ARG_TIME,
    ARG_BYTES,
    ARG_COUNT,
    ARG_SIGNAL,
    ARG_STATUS,
    ARG_SSE
};

struct action {
    const char *name;
    enum action_target target;
    int value; /* of the target's enum */
    enum argument argument;
    const char *fallback; /* argument when none is given; NULL when it must be given */
    const char *help;
};

struct script_rule {
    enum script_when when;
    double n;
    const struct action *action;
    int64_t number;   /* the argument when it is a number */
    const char *text; /* the argument when it is a text; borrowed, or the fallback */
};

static const struct action actions[] = {
    {"die", TARGET_DEED, DEED_DIE, ARG_COUNT, "1",
     "[:CODE] the process exits at once, code 1 if not given"},
    {"signal", TARGET_DEED, DEED_SIGNAL, ARG_SIGNAL, NULL,
     ":NAME it dies of SEGV, KILL, ABRT, ..."},
    {"kill-child", TARGET_DEED, DEED_KILL_CHILD, ARG_SIGNAL, "KILL",
     "[:NAME] its children get that signal, KILL if not given; it lives"},
    {"print", TARGET_DEED, DEED_PRINT, ARG_TEXT, NULL,
     ":TEXT a line on stderr, then an answer as usual"},
    {"touch", TARGET_DEED, DEED_TOUCH, ARG_TEXT, NULL, ":FILE makes an empty file"},
    {"grow", TARGET_DEED, DEED_GROW, ARG_BYTES, NULL, ":64M leaks that much memory"},
    {"freeze", TARGET_DEED, DEED_FREEZE, ARG_TIME, NULL,
     ":2s the whole process answers nothing for that time"},
    {"hang", TARGET_DEED, DEED_HANG, ARG_STATUS, "200",
     "[:STATUS] from here on no work is answered; /health keeps saying 200, or STATUS"},
    {"mute", TARGET_DEED, DEED_MUTE, ARG_NONE, NULL,
     "from here on nothing at all is answered, the port stays open"},
    {"oom", TARGET_OOM, 500, ARG_TEXT, NULL, ":TEXT printed on stderr and answered as HTTP 500"},
    {"http", TARGET_STATUS, 0, ARG_STATUS, NULL,
     ":STATUS[:TEXT] answers that status with TEXT as the error's message"},
    {"slow", TARGET_SLOW, 0, ARG_TIME, NULL, ":2s that much more latency"},
    {"reload", TARGET_RELOAD, 0, ARG_TIME, NULL,
     ":2s that much more latency, and Ollama's load_duration says so"},
    {"sse", TARGET_SSE, 0, ARG_SSE, NULL, ":VARIANTS this stream in these forms (list below)"},
    {"close", TARGET_ENDING, ENDING_CLOSE, ARG_NONE, NULL, "closes the connection without a byte"},
    {"reset", TARGET_ENDING, ENDING_RESET, ARG_NONE, NULL,
     "resets the connection (RST) without a byte"},
    {"close-mid", TARGET_ENDING, ENDING_CLOSE_MID, ARG_NONE, NULL, "closes it after half the body"},
    {"stall", TARGET_ENDING, ENDING_STALL, ARG_NONE, NULL,
     "never answers this one; its slot stays taken until the client leaves"},
    {"stall-headers", TARGET_ENDING, ENDING_STALL_HEADERS, ARG_NONE, NULL,
     "200 and headers, then silence"},
    {"stall-mid", TARGET_ENDING, ENDING_STALL_MID, ARG_NONE, NULL, "half the body, then silence"},
    {"garbage", TARGET_ENDING, ENDING_GARBAGE, ARG_NONE, NULL,
     "HTTP 200 with a body that is not of the protocol"},
    {"empty-body", TARGET_ENDING, ENDING_EMPTY_BODY, ARG_NONE, NULL, "HTTP 200 with no body"},
    {"body", TARGET_ENDING, ENDING_BODY, ARG_TEXT, NULL, ":FILE HTTP 200 with that file's bytes"},
    {"endless", TARGET_ENDING, ENDING_ENDLESS, ARG_PIECE, "0.5,",
     "[:TEXT] HTTP 200 with TEXT again and again, without an end"},
    {"not-http", TARGET_ENDING, ENDING_NOT_HTTP, ARG_NONE, NULL,
     "bytes that are not HTTP, then closed"},
    {"nonsense", TARGET_WORDS, WORDS_NONSENSE, ARG_NONE, NULL,
     "well-formed answer that is no language"},
    {"empty", TARGET_WORDS, WORDS_EMPTY, ARG_NONE, NULL, "well-formed answer with an empty text"},
    {"bang", TARGET_WORDS, WORDS_BANG, ARG_NONE, NULL, "the text is only !!!!!!"},
    {"repeat", TARGET_WORDS, WORDS_REPEAT, ARG_COUNT, "20",
     "[:N] the text is \"Thank you.\" N times, 20 if not given"},
    {"echo-key", TARGET_KEY, 0, ARG_NONE, NULL,
     "the text, or an error's message, quotes the request's Authorization header"},
    {"say", TARGET_WORDS, WORDS_SAY, ARG_TEXT, NULL, ":TEXT the text is TEXT"},
};
#define ACTION_COUNT (sizeof(actions) / sizeof(actions[0]))

uint64_t script_hash(uint64_t a, uint64_t b)
{
    /* splitmix64's finaliser (Steele, Lea and Flood 2014). */
    uint64_t z = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x2545f4914f6cdd1d);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static const struct action *find_action(const char *name, size_t len)
{
    for (size_t i = 0; i < ACTION_COUNT; i++)
        if (strlen(actions[i].name) == len && strncmp(actions[i].name, name, len) == 0)
            return &actions[i];
    return NULL;
}

/* "503" or "503:text". */
static bool parse_status(struct script_rule *rule, const char *text)
{
    char *end = NULL;
    rule->number = strtol(text, &end, 10);
    if (end == text || (*end != '\0' && *end != ':') || rule->number < 100 || rule->number > 599)
        return false;
    rule->text = *end == ':' ? end + 1 : NULL;
    return true;
}

static bool parse_argument(struct script_rule *rule, const char *text)
{
    uint64_t bytes = 0;
    long count = 0;
    int number = 0;
    uint32_t set = 0;
    const char *bad = NULL;
    size_t bad_len = 0;
    bool good = false;
    switch (rule->action->argument) {
    case ARG_NONE:
        return text == NULL;
    case ARG_TEXT:
    case ARG_PIECE:
        rule->text = text;
        return rule->action->argument == ARG_TEXT || text[0] != '\0';
    case ARG_TIME:
        return units_parse_time(text, &rule->number);
    case ARG_STATUS:
        return parse_status(rule, text);
    case ARG_BYTES:
        good = units_parse_bytes(text, &bytes);
        rule->number = (int64_t)bytes;
        break;
    case ARG_COUNT:
        good = units_parse_count(text, &count);
        rule->number = count;
        break;
    case ARG_SIGNAL:
        good = units_parse_signal(text, &number);
        rule->number = number;
        break;
    case ARG_SSE:
        good = sse_set_parse(text, &set, &bad, &bad_len);
        rule->number = set;
        break;
    }
    return good;
}

bool script_add(struct script *script, enum script_when when, const char *text, char *why,
                size_t why_size)
{
    char *end = NULL;
    struct script_rule rule = {.when = when, .n = strtod(text, &end)};
    const bool share = when == SCRIPT_SOME;
    if (end == text || *end != ':' || !(share ? rule.n >= 0 && rule.n <= 1 : rule.n >= 1)) {
        snprintf(why, why_size, "wants N:ACTION with N %s, not \"%.60s\"",
                 share ? "between 0 and 1" : "of 1 or more", text);
        return false;
    }
    const char *name = end + 1;
    const size_t len = strcspn(name, ":");
    rule.action = find_action(name, len);
    if (rule.action == NULL) {
        snprintf(why, why_size, "there is no action \"%.*s\"; --help lists them", (int)len, name);
        return false;
    }
    const char *argument = name[len] == ':' ? name + len + 1 : rule.action->fallback;
    const bool missing = argument == NULL && rule.action->argument != ARG_NONE;
    if (missing || !parse_argument(&rule, argument)) {
        snprintf(why, why_size, "%s: %s", rule.action->name, rule.action->help);
        return false;
    }
    struct script_rule *rules = realloc(script->rules, (script->count + 1) * sizeof(*rules));
    if (rules == NULL)
        abort();
    script->rules = rules;
    rules[script->count++] = rule;
    return true;
}

static bool matches(const struct script *script, const struct script_rule *rule, long n)
{
    switch (rule->when) {
    case SCRIPT_AT:
        return n == (long)rule->n;
    case SCRIPT_EVERY:
        return n % (long)rule->n == 0;
    case SCRIPT_FROM:
        return n >= (long)rule->n;
    case SCRIPT_SOME:
        break;
    }
    const uint64_t which = (uint64_t)(rule - script->rules);
    return (double)(script_hash(script->seed + which, (uint64_t)n) >> 11) * 0x1p-53 < rule->n;
}

static void add_effect(struct script_effect *effect, const struct script_rule *rule)
{
    switch (rule->action->target) {
    case TARGET_WORDS:
        effect->words = (enum script_words)rule->action->value;
        effect->text = rule->text;
        effect->count = (long)rule->number;
        break;
    case TARGET_STATUS:
        effect->status = (int)rule->number;
        effect->text = rule->text;
        break;
    case TARGET_OOM:
        effect->status = rule->action->value;
        effect->text = rule->text;
        break;
    case TARGET_ENDING:
        effect->ending = (enum script_ending)rule->action->value;
        effect->body = rule->text;
        break;
    case TARGET_KEY:
        effect->words = WORDS_SAY;
        effect->echo_key = true;
        break;
    case TARGET_SLOW:
        effect->slow_ns += rule->number;
        break;
    case TARGET_RELOAD:
        effect->slow_ns += rule->number;
        effect->load_ns += rule->number;
        break;
    case TARGET_SSE:
        effect->sse |= (uint32_t)rule->number;
        break;
    case TARGET_DEED:
        break;
    }
}

struct script_effect script_apply(const struct script *script, long n, script_deed_fn deed,
                                  void *ctx)
{
    struct script_effect effect = {.words = WORDS_RIGHT};
    for (size_t i = 0; i < script->count; i++) {
        const struct script_rule *rule = &script->rules[i];
        if (!matches(script, rule, n))
            continue;
        if (rule->action->target == TARGET_DEED)
            deed(ctx, (enum script_deed)rule->action->value, rule->number, rule->text);
        if (rule->action->target == TARGET_OOM)
            deed(ctx, DEED_PRINT, 0, rule->text);
        add_effect(&effect, rule);
    }
    return effect;
}

void script_help(FILE *out)
{
    for (size_t i = 0; i < ACTION_COUNT; i++) {
        const char *help = actions[i].help;
        const size_t argument = help[0] == ':' || help[0] == '[' ? strcspn(help, " ") : 0;
        char name[64];
        snprintf(name, sizeof(name), "%s%.*s", actions[i].name, (int)argument, help);
        fprintf(out, "  %-22s %s\n", name, help + argument + (argument > 0));
    }
}

void script_done(struct script *script)
{
    if (script == NULL)
        return;
    free(script->rules);
    *script = (struct script){.seed = script->seed};
}
