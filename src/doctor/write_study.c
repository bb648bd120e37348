/* A study file from what runs here.
 *
 * A command line is read back by the same table that writes it when a study runs (the engine's
 * options): each flag that the table knows becomes a setting, the others stay as they are under
 * `args`. What can't be had that way (no such engine, a setting that the engine's table refuses) is
 * written as a plain `command`, with the port replaced. So the file is valid as it stands, and that
 * is not hoped but tried: it is parsed before it is handed out.
 *
 * Rejected: asking the person. The file is full of words on what to change, and `spica check` says
 * the rest.
 *
 * Invariant: nothing of a service's environment is copied: it may hold secrets. */
#include "doctor/doctor.h"
#include "doctor/facts.h"
#include "doctor/process.h"

#include "base/file.h"
#include "base/text.h"
#include "spec/study.h"

#include <math.h>
#include <string.h>

enum { TEXT_MAX = 256 << 10, STUDIED_MAX = 4 };

/* A service of the file: which, and how its knobs came out. */
struct studied {
    const struct doctor_service *service;
    const struct spec_engine *engine; /* NULL: as a command */
    char name[16];
    char knob[48], baseline[48]; /* the knob that was written, and what runs today; "" */
};

struct writing {
    const struct doctor_report *report;
    const struct spec_catalog *catalog;
    struct studied studied[STUDIED_MAX];
    size_t count;
    const struct doctor_card *card; /* NULL: no GPU */
    bool plain;                     /* every service as a command */
};

/* Short forms of flags, for engines whose table holds the long ones. */
static const struct {
    const char *given, *flag;
} aliases[] = {
    {"-m", "--model"},           {"-c", "--ctx-size"},       {"-t", "--threads"},
    {"-tb", "--threads-batch"},  {"-np", "--parallel"},      {"-b", "--batch-size"},
    {"-ub", "--ubatch-size"},    {"-ngl", "--gpu-layers"},   {"--n-gpu-layers", "--gpu-layers"},
    {"-fa", "--flash-attn"},     {"-ctk", "--cache-type-k"}, {"-ctv", "--cache-type-v"},
    {"-a", "--alias"},           {"-l", "--language"},       {"-bs", "--beam-size"},
    {"-bo", "--best-of"},        {"-p", "--processors"},     {"-tp", "--tensor-parallel-size"},
    {"-nfa", "--no-flash-attn"}, {"-dev", "--device"},
};

/* Knobs worth trying, by the engine's option: the values besides today's. The first that the
 * engine has is written. */
static const struct {
    const char *option;
    const char *today; /* when the command line does not say */
    const char *others[4];
    const char *why;
} spreads[] = {
    {"gpu_memory_utilization", "0.9", {NULL}, "the share of the whole card, around today's"},
    {"slots", "1", {"1", "2", "4"}, "requests worked on at the same time"},
    {"compute_type", "default", {"default", "int8"}, "number format; int8 is smaller"},
    {"beam_size", "1", {"1", "2", "5"}, "1: greedy"},
};

static void add_quoted(struct buf *buf, const char *text, bool setting)
{
    buf_addc(buf, '"');
    for (const char *at = text; *at; at++) {
        if (*at == '"' || *at == '\\')
            buf_addc(buf, '\\');
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            buf_addf(buf, "\\x%02X", (unsigned char)*at);
        else
            buf_addc(buf, *at);
        if (*at == '{' && setting) /* a brace of its own, not a placeholder's */
            buf_addc(buf, '{');
    }
    buf_addc(buf, '"');
}

static const struct spec_option *option_of(const struct spec_engine *engine, const char *word,
                                           bool *ret_off)
{
    char flag[64];
    snprintf(flag, sizeof flag, "%.*s", (int)strcspn(word, "="), word);
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (strcmp(aliases[i].given, flag) == 0)
            snprintf(flag, sizeof flag, "%s", aliases[i].flag);
    for (size_t i = 0; i < engine->option_count; i++) {
        const struct spec_option *option = &engine->options[i];
        *ret_off = option->flag_off && strcmp(option->flag_off, flag) == 0;
        if (*ret_off || (option->flag && strcmp(option->flag, flag) == 0))
            return option;
    }
    if (strcmp(flag, "--model") == 0) /* where the engine's code handles it */
        return spec_option_find(engine->options, engine->option_count, "model");
    return NULL;
}

/* The index behind program, interpreter and script. */
static size_t skip_program(const struct doctor_service *service)
{
    size_t at = 1;
    const char *slash = strrchr(service->argv[0], '/');
    if (text_starts_with(slash ? slash + 1 : service->argv[0], "python")) {
        while (at < service->argc && service->argv[at][0] == '-' &&
               strcmp(service->argv[at], "-m") != 0)
            at++;
        at += at < service->argc && strcmp(service->argv[at], "-m") == 0 ? 2 : 1;
    }
    return at < service->argc ? at : service->argc;
}

/* A path as anybody can use it: a relative one means nothing outside the service's own folder. */
static void add_path(struct buf *buf, const struct doctor_service *service, const char *path)
{
    bool relative = path[0] != '/' && service->folder[0];
    AUTO(free) char *whole = file_join(relative ? service->folder : "", path);
    add_quoted(buf, relative ? whole : path, true);
}

/* The program as a study names it: the script itself where that can be started. */
static void add_program(struct buf *buf, const struct doctor_service *service)
{
    size_t at = skip_program(service);
    const char *script = at > 1 && strcmp(service->argv[at - 2], "-m") != 0 ? service->argv[at - 1]
                                                                            : service->argv[0];
    if (strchr(script, '/'))
        add_path(buf, service, script);
    else
        add_quoted(buf, script, true);
}

/* A hub's name stays a name: only what is there is a path. */
static void add_value(struct buf *buf, const struct doctor_service *service,
                      const struct spec_option *option, const char *text)
{
    AUTO(free) char *there = file_join(service->folder[0] ? service->folder : ".", text);
    if ((option->type == OPTION_PATH || option->weights) && text[0] != '/' && file_exists(there))
        add_path(buf, service, text);
    else
        add_quoted(buf, text, true);
}

static bool knows_spread(const struct studied *studied, size_t spread)
{
    return studied->engine &&
           spec_option_find(studied->engine->options, studied->engine->option_count,
                            spreads[spread].option) != NULL;
}

/* Today's value of an option by the command line, else by habit. */
static const char *today_of(const struct studied *studied, size_t spread)
{
    const struct spec_option *option = spec_option_find(
        studied->engine->options, studied->engine->option_count, spreads[spread].option);
    char *const *argv = studied->service->argv;
    bool off = false;
    for (size_t i = 1; argv[i]; i++)
        if (option_of(studied->engine, argv[i], &off) == option) {
            const char *equals = strchr(argv[i], '=');
            return equals ? equals + 1 : argv[i + 1] ? argv[i + 1] : spreads[spread].today;
        }
    return spreads[spread].today;
}

/* 0.10 below to 0.10 above, today's written as it is today. */
static void add_shares(struct buf *buf, const char *today)
{
    static const double steps[] = {-0.10, -0.05, 0, 0.05, 0.10};
    double value = 0;
    bool first = true;
    if (!text_to_double(today, &value))
        value = NAN;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        double share = value + steps[i];
        if (steps[i] != 0 && !(share >= 0.05 && share <= 0.95))
            continue;
        buf_add(buf, first ? "" : ", ");
        if (steps[i] == 0)
            buf_add(buf, today);
        else
            buf_addf(buf, "%.2f", share);
        first = false;
    }
}

static void add_knobs(struct buf *buf, struct studied *studied)
{
    for (size_t i = 0; i < ARRAY_LEN(spreads); i++) {
        if (!knows_spread(studied, i))
            continue;
        const char *today = today_of(studied, i);
        buf_addf(buf, "    knobs:\n      %s: [", spreads[i].option);
        if (!spreads[i].others[0])
            add_shares(buf, today);
        else
            buf_add(buf, today);
        for (size_t v = 0; v < ARRAY_LEN(spreads[i].others) && spreads[i].others[v]; v++)
            if (strcmp(spreads[i].others[v], today) != 0)
                buf_addf(buf, ", %s", spreads[i].others[v]);
        buf_addf(buf, "]   # %s\n", spreads[i].why);
        snprintf(studied->knob, sizeof studied->knob, "%s", spreads[i].option);
        snprintf(studied->baseline, sizeof studied->baseline, "%s", today);
        return;
    }
}

static bool is_knob(const struct studied *studied, const char *option)
{
    for (size_t i = 0; i < ARRAY_LEN(spreads); i++)
        if (knows_spread(studied, i)) /* the first that is known */
            return strcmp(spreads[i].option, option) == 0;
    return false;
}

/* Where it listens is the study's to say, what computes on which card too. */
static bool is_ours(const char *word, const char *value)
{
    static const char *const flags = "--host --port --config --uri";
    char *const one[] = {(char *)"x", (char *)word, (char *)value, NULL};
    return doctor_argv_has(one, flags);
}

static bool takes_value(const struct doctor_service *service, size_t i)
{
    return !strchr(service->argv[i], '=') && i + 1 < service->argc &&
           (service->argv[i + 1][0] != '-' || service->argv[i + 1][1] == '\0' ||
            strspn(service->argv[i + 1] + 1, "0123456789") > 0);
}

/* Flags as settings, in the order of the command line; the rest into `rest`. */
static void add_settings(struct buf *buf, struct buf *rest, const struct studied *studied)
{
    const struct doctor_service *service = studied->service;
    bool off = false, model = false;
    for (size_t i = skip_program(service); i < service->argc; i++) {
        const char *word = service->argv[i], *equals = strchr(word, '=');
        const struct spec_option *option = option_of(studied->engine, word, &off);
        if (word[0] != '-') { /* "serve", or a bare model */
            if (strcmp(word, "serve") == 0 || model || !service->model[0])
                continue;
            option =
                spec_option_find(studied->engine->options, studied->engine->option_count, "model");
            equals = word - 1;
        }
        bool value =
            word[0] == '-' && !(option && option->type == OPTION_BOOL) && takes_value(service, i);
        const char *text = equals ? equals + 1 : value ? service->argv[i + 1] : "";
        if (is_ours(word, text)) {
            i += value;
        } else if (option && option->type == OPTION_BOOL) {
            buf_addf(buf, "    %s: %s\n", option->name, off ? "false" : "true");
        } else if (option) {
            model = model || strcmp(option->name, "model") == 0;
            if (!is_knob(studied, option->name)) {
                buf_addf(buf, "    %s: ", option->name);
                add_value(buf, service, option, text);
                buf_addc(buf, '\n');
            }
            i += value;
        } else {
            buf_add(rest, rest->len ? ", " : "");
            add_quoted(rest, word, true);
            if (value) {
                buf_add(rest, ", ");
                add_quoted(rest, service->argv[++i], true);
            }
        }
    }
    if (!model && service->model[0]) {
        buf_add(buf, "    model: ");
        add_quoted(buf, service->model, true);
        buf_addc(buf, '\n');
    }
}

static void add_engine(struct buf *buf, struct studied *studied)
{
    AUTO(buf_done) struct buf rest = BUF_INIT(TEXT_MAX);
    buf_addf(buf, "    engine: %s\n    program: ", studied->engine->name);
    add_program(buf, studied->service);
    buf_addc(buf, '\n');
    add_settings(buf, &rest, studied);
    if (rest.len)
        buf_addf(buf, "    args: [%s]\n", buf_text(&rest));
    add_knobs(buf, studied);
}

/* "8000" or what ends with ":8000", with the number as a placeholder; false: not on the line. */
static bool add_argument(struct buf *buf, const struct doctor_service *service, const char *word)
{
    char port[16];
    int len = snprintf(port, sizeof port, "%d", service->port);
    size_t size = strlen(word);
    if (service->port && text_ends_with(word, port) &&
        (size == (size_t)len || strchr(":=", word[size - (size_t)len - 1]))) {
        AUTO(buf_done) struct buf head = BUF_INIT(TEXT_MAX);
        char *start = strndup(word, size - (size_t)len);
        if (!start)
            abort();
        add_quoted(&head, start, true);
        free(start);
        buf_addf(buf, "%.*s{port}\"", (int)head.len - 1, buf_text(&head));
        return true;
    }
    add_quoted(buf, word, true);
    return false;
}

static bool add_command(struct buf *buf, const struct doctor_service *service)
{
    bool port = false;
    if (service->folder[0]) {
        buf_add(buf, "    folder: ");
        add_quoted(buf, service->folder, false);
        buf_addc(buf, '\n');
    }
    buf_add(buf, "    command: [");
    for (size_t i = 0; i < service->argc; i++) {
        buf_add(buf, i ? ", " : "");
        port |= add_argument(buf, service, service->argv[i]);
    }
    buf_addf(buf, "]\n    protocol: %s\n    ready: {http: %s, within: 300s}\n",
             service->kind->protocol, service->kind->health);
    return port;
}

static void add_service(struct buf *buf, const struct writing *w, struct studied *studied)
{
    const struct doctor_service *service = studied->service;
    buf_addf(buf, "  %s:%*s# %s, pid %d", studied->name, 36 - (int)strlen(studied->name), "",
             service->kind->name, (int)service->pid);
    if (service->owner.unit[0])
        buf_addf(buf, ", %s", service->owner.unit);
    buf_addf(buf, "\n    role: %s\n", spec_role_names[service->kind->role]);
    if (studied->engine)
        add_engine(buf, studied);
    else
        add_command(buf, service);
    if (w->card)
        buf_addf(buf, "    on: %s\n",
                 service->asks == ASKS_CPU ? "cpu"
                                           : "gpu   # a trial fails where it is not proven");
}

/* Can a trial start it on another port? */
static bool can_study(const struct doctor_service *service, const struct spec_engine *engine)
{
    AUTO(buf_done) struct buf unused = BUF_INIT(TEXT_MAX);
    return service->kind->role != ROLE_OTHER && service->kind->protocol &&
           (engine || add_command(&unused, service));
}

static void choose(struct writing *w)
{
    size_t seen[ROLE_COUNT_] = {0};
    for (size_t i = 0; i < w->report->service_count && w->count < STUDIED_MAX; i++) {
        const struct doctor_service *service = &w->report->services[i];
        const struct spec_engine *engine =
            service->kind->engine && !w->plain && service->model[0]
                ? spec_catalog_engine(w->catalog, service->kind->engine)
                : NULL;
        if (!can_study(service, engine))
            continue;
        struct studied *studied = &w->studied[w->count++];
        *studied = (struct studied){.service = service, .engine = engine};
        size_t number = ++seen[service->kind->role];
        snprintf(studied->name, sizeof studied->name, number > 1 ? "%s%zu" : "%s",
                 spec_role_names[service->kind->role], number);
        for (size_t c = 0; c < w->report->card_count && !w->card; c++)
            if (service->listed[c] == SEEN_YES)
                w->card = &w->report->cards[c];
    }
    if (!w->card && w->report->card_count)
        w->card = &w->report->cards[0];
}

static bool is_studied(const struct writing *w, int service)
{
    for (size_t i = 0; i < w->count; i++)
        if (service >= 0 && w->studied[i].service == &w->report->services[service])
            return true;
    return false;
}

/* Whoever else holds memory on the card stays and is not to be touched. */
static void add_neighbours(struct buf *buf, const struct writing *w)
{
    AUTO(buf_done) struct buf list = BUF_INIT(8192), one = BUF_INIT(512);
    for (size_t h = 0; w->card && h < w->card->holder_count; h++) {
        const struct doctor_holder *holder = &w->card->holders[h];
        if (is_studied(w, holder->service) || !holder->comm[0])
            continue;
        buf_clear(&one);
        bool unit = text_ends_with(holder->owner.unit, ".service");
        buf_add(&one, unit ? "{unit: " : "{command: ");
        add_quoted(&one, unit ? holder->owner.unit : holder->comm, false);
        buf_addc(&one, '}');
        if (!strstr(buf_text(&list), buf_text(&one)))
            buf_addf(&list, "%s%s", list.len ? ", " : "", buf_text(&one));
    }
    if (list.len)
        buf_addf(buf, "# These hold memory on the card too; they stay.\nneighbours: [%s]\n",
                 buf_text(&list));
}

static void add_head(struct buf *buf, const struct writing *w)
{
    buf_add(buf,
            "# Written by spica init from what runs on this machine: today's settings are the "
            "baseline.\n"
            "# Change the knobs to what you want to know; spica check FILE says the rest.\n"
            "# The running ones hold the card and their ports: stop them before spica run, or\n"
            "# spica run --pause their units.\n"
            "study: found-here\ndevice: ");
    if (w->card && w->card->identity.instance)
        add_quoted(buf, w->card->identity.uuid, false);
    else
        buf_add(buf, w->card ? w->card->name : "cpu");
    buf_addc(buf, '\n');
    add_neighbours(buf, w);
}

static void add_loads(struct buf *buf, const struct writing *w)
{
    buf_add(buf, "\nload:                                   # make it like your own\n");
    for (size_t i = 0; i < w->count; i++)
        buf_addf(buf,
                 w->studied[i].service->kind->role == ROLE_STT
                     ? "  %s: {corpus: speech, arrivals: poisson, rate: 1/s}\n"
                     : "  %s: {prompts: prompts.jsonl, concurrency: 4, max_tokens: 64}\n",
                 w->studied[i].name);
    buf_add(buf, "\nmeasure: {warmup: 10s, window: 60s}\n\ngoal:\n  optimise:\n");
    for (size_t i = 0; i < w->count; i++) {
        const char *name = w->studied[i].name;
        if (w->studied[i].service->kind->role == ROLE_STT)
            buf_addf(buf,
                     "    %s.latency.p95: {good: 100ms, bad: 2s, weight: 2}\n"
                     "    %s.wer: {good: 5%%, bad: 25%%}\n",
                     name, name);
        else
            buf_addf(buf, "    %s.ttft.p95: {good: 100ms, bad: 2s}\n", name);
    }
    buf_add(buf, "  require: [");
    for (size_t i = 0; i < w->count; i++)
        buf_addf(buf, "%s\"%s.errors == 0\"", i ? ", " : "", w->studied[i].name);
    buf_add(buf, "]\n\nbaseline: {");
    bool any = false;
    for (size_t i = 0; i < w->count; i++) {
        if (!w->studied[i].knob[0])
            continue;
        buf_addf(buf, "%s%s.%s: %s", any ? ", " : "", w->studied[i].name, w->studied[i].knob,
                 w->studied[i].baseline);
        any = true;
    }
    buf_add(buf, "}\n\nsearch: {strategy: tournament, trials: 24, time: 45m, finalists: 3}\n"
                 "seed: 1\n");
}

static bool write_all(struct writing *w, struct buf *text, struct err *err)
{
    AUTO(spec_study_free) struct spec_study *study = NULL;
    choose(w);
    if (w->count == 0)
        return err_set(err, ERR_MISSING,
                       "no server was found that a study could start again; see: spica doctor, or "
                       "begin with a template: spica init --list");
    add_head(text, w);
    buf_add(text, "\nservices:\n");
    for (size_t i = 0; i < w->count; i++)
        add_service(text, w, &w->studied[i]);
    add_loads(text, w);
    if (text->over)
        return err_set(err, ERR_LIMIT, "the command lines found do not fit into a study file");
    return spec_study_parse("found", buf_text(text), text->len, w->catalog, &study, err);
}

bool doctor_write_study(const struct doctor_report *report, const struct spec_catalog *catalog,
                        struct buf *buf, struct err *err)
{
    for (int plain = 0; plain < 2; plain++) {
        struct writing w = {.report = report, .catalog = catalog, .plain = plain == 1};
        struct err refused = ERR_INIT;
        AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
        if (write_all(&w, &text, &refused)) {
            buf_add(buf, buf_text(&text));
            return true;
        }
        if (plain == 1 || refused.code == ERR_MISSING)
            return err_set(err, refused.code == ERR_MISSING ? ERR_MISSING : ERR_INTERNAL, "%s",
                           refused.text);
    }
    return false;
}
