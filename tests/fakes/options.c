/*
 * The command line and the script files, read by the table of options.
 *
 * The idea: a script file holds the same options, one per line, so that there is nothing to learn
 * twice.
 *
 * In disguise (--as llama-server, or when called by that name) foreign options are passed over, so
 * that an engine's own command line can be given to the fake; what it shall do then comes from the
 * file in FAKE_SERVICE_SCRIPT.
 */
#include "options.h"

#include <ctype.h>
#include <libgen.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options_table.h"
#include "sse.h"
#include "units.h"

#define WHY_SIZE 240

/* What foreign command lines call the same thing. */
static const struct {
    const char *theirs, *ours;
} aliases[] = {
    {"-m", "--model"},
    {"--alias", "--model"},
    {"-np", "--slots"},
    {"--parallel", "--slots"},
    {"-s", "--seed"},
    {"--max-num-seqs", "--slots"},
    {"--served-model-name", "--model"},
};

static const struct options_row *find_row(const char *name, size_t len, bool disguised)
{
    for (size_t i = 0; disguised && i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strlen(aliases[i].theirs) == len && strncmp(aliases[i].theirs, name, len) == 0) {
            name = aliases[i].ours;
            len = strlen(name);
        }
    }
    for (size_t i = 0; i < options_row_count; i++)
        if (options_rows[i].name != NULL && strlen(options_rows[i].name) == len &&
            strncmp(options_rows[i].name, name, len) == 0)
            return &options_rows[i];
    return NULL;
}

static void help(void)
{
    puts("fake-service: a scriptable speech-to-text and LLM server for tests\n\n"
         "usage: fake-service --port P [options]\n");
    for (size_t i = 0; i < options_row_count; i++) {
        char left[64];
        if (options_rows[i].name == NULL) {
            printf("%s%s:\n", i > 0 ? "\n" : "", options_rows[i].argument);
            continue;
        }
        snprintf(left, sizeof(left), "%s %s", options_rows[i].name,
                 options_rows[i].argument ? options_rows[i].argument : "");
        printf("  %-26s %s\n", left, options_rows[i].help);
    }
    puts("\nactions (rules that match the same request add up):");
    script_help(stdout);
    puts("\nvariants of a stream:");
    sse_help(stdout);
    puts("\nDisguised (--as), or called by a server's name, it passes over options that it does "
         "not\n"
         "know. The file named by FAKE_SERVICE_SCRIPT is read as if by --script, after them all.");
}

static bool read_one(struct options *options, const struct options_row *row, const char *text,
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
    const struct options_row *row = find_row(name, strlen(name), false);
    if (row == NULL) {
        snprintf(why, why_size, "%sunknown option %s", where, name);
        return false;
    }
    const char *text = line + name_len;
    text += strspn(text, *text == '=' ? "=" : " \t");
    return read_one(options, row, *text != '\0' ? keep(options, text) : NULL, where, why, why_size);
}

bool options_read_script(struct options *options, const char *path, char *why, size_t why_size)
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
        const struct options_row *row = find_row(argv[i], len, disguised);
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
        .host = "127.0.0.1",
        .kind = KIND_BOTH,
        .model = "fake-model",
        .seed = 1,
        .share_factor = 1,
        .exit_at_start = -1,
        .child_life_ns = INT64_C(600000000000),
        .metrics_style = "plain",
        .gpu_sm = 30,
        .gpu_cpu_ns = 40 * INT64_C(1000000),
    };
}

/* Ollama has no option for its port: OLLAMA_HOST=127.0.0.1:8080. */
static void take_ollama_host(struct options *options)
{
    const char *host = getenv("OLLAMA_HOST");
    const char *colon = host != NULL ? strrchr(host, ':') : NULL;
    if (options->disguise == DISGUISE_OLLAMA && colon != NULL && !options->port_given)
        options->port_given = units_parse_count(colon + 1, &options->port);
}

enum options_end options_read(struct options *options, int argc, char **argv)
{
    char why[400] = "";
    set_defaults(options);
    const char *called = argc > 0 ? basename(argv[0]) : "";
    (void)options_disguise(options, called);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            help();
            return OPTIONS_HELPED;
        }
    }
    const char *script = getenv("FAKE_SERVICE_SCRIPT");
    bool good = read_arguments(options, argc, argv, why, sizeof(why)) &&
                (script == NULL || *script == '\0' ||
                 options_read_script(options, script, why, sizeof(why)));
    take_ollama_host(options);
    if (good && !options->port_given && !options->gpu_alone && options->disguise == DISGUISE_NONE) {
        snprintf(why, sizeof(why), "--port is missing; --help lists all options");
        good = false;
    }
    if (good && options->gpu_alone && options->gpu_dir == NULL) {
        snprintf(why, sizeof(why), "--gpu-hold wants --gpu");
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
