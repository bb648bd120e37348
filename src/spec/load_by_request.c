/* A service that is a program, run once for each request (protocols `command`, `command-audio`).
 *
 * Nobody starts it, so it is never ready, listens nowhere and is stopped by its own end: keys about
 * that are refused by name, rather than read and ignored. Its `command:` is the one that each
 * request runs, so the load's own option of that name, which is for where there is no study, is
 * refused as well.
 *
 * Rejected: an engine "command", which would be a server in every list that names engines. */
#include "spec/loader.h"

#include <string.h>

enum { CHAINS_MAX = 8 };

bool spec_check_by_request(struct spec_loader *l, struct spec_service_draft *draft)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"engine", "an engine is a server: give the program as \"command\", a list"},
        {"container", "no container is started for each request: give the program as \"command\", "
                      "a list"},
        {"ready", "nobody starts it, so nothing is waited for"},
        {"path", "it has no HTTP path"},
        {"stop_grace", "each run ends by itself, or is killed at its request's timeout"},
        {"memory_limit", "there is no process tree that lasts: let the program limit itself"},
        {"fresh", "each request starts it anew"},
    };
    struct spec_service *s = &draft->service;
    if (!s->protocol || !s->protocol->runs_program)
        return true;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct yaml_node *node = spec_yaml_get(draft->node, refused[i].key);
        if (node)
            return spec_fail(l, spec_place_of(node), spec_join(l, s->name, refused[i].key),
                             "protocol %s runs a program for each request: %s", s->protocol->name,
                             refused[i].why);
    }
    s->by_request = true;
    return true;
}

static bool has_placeholder(const struct spec_service *s, const char *placeholder)
{
    for (size_t i = 0; i < s->command_count; i++)
        if (strstr(s->command[i].text, placeholder))
            return true;
    return false;
}

static bool is_fed(const struct spec_load *load)
{
    for (size_t i = 0; i < load->setting_count; i++)
        if (strcmp(load->settings[i].name, "stdin") == 0 && load->settings[i].text &&
            strcmp(load->settings[i].text, "true") == 0)
            return true;
    return false;
}

/* What it is given, by an argument or on its standard input. */
static bool check_input(struct spec_loader *l, const struct spec_service *s)
{
    bool audio = s->protocol->sources & SOURCE_AUDIO;
    const char *where = spec_join(l, s->name, "command");
    const char *wanted = audio ? "{audio}" : "{prompt} or {text_file}";
    static const char *const of_text[] = {"{prompt}", "{text_file}"};
    bool text = has_placeholder(s, of_text[0]) || has_placeholder(s, of_text[1]);
    bool clip = has_placeholder(s, "{audio}");
    if (audio ? text : clip)
        return spec_fail(l, s->command[0].place, where, "%s has no %s; it has %s",
                         s->protocol->name,
                         !audio                           ? "{audio}"
                         : has_placeholder(s, of_text[0]) ? of_text[0]
                                                          : of_text[1],
                         wanted);
    if (!text && !clip && !is_fed(&s->load))
        return spec_fail(l, s->command[0].place, where,
                         "it is given nothing: put %s into it, or stdin: true into load.%s", wanted,
                         s->name);
    return true;
}

static bool check_run_load(struct spec_loader *l, const struct spec_service *s)
{
    const struct spec_load *load = &s->load;
    const char *where = arena_printf(l->arena, "load.%s", s->name);
    if (!load->given)
        return spec_fail(l, s->place, s->name,
                         "it is run for each request, so it needs a load that makes some");
    for (size_t i = 0; i < load->setting_count; i++)
        if (strcmp(load->settings[i].name, "command") == 0)
            return spec_fail(l, load->settings[i].place, spec_join(l, where, "command"),
                             "the program that is run is services.%s.command", s->name);
    if (load->reuse_connection)
        return spec_fail(l, load->place, where, "%s has no connection that could be reused",
                         s->protocol->name);
    if (load->concurrency > SPEC_PROGRAMS_MAX)
        return spec_fail(l, load->place, where, "a concurrency of %d programs; at most %d",
                         load->concurrency, SPEC_PROGRAMS_MAX);
    return check_input(l, s);
}

static size_t head_of(const struct spec_study *study, size_t service)
{
    while (study->services[service].load.after) /* checked: not a circle */
        service = study->services[service].load.after_service;
    return service;
}

bool spec_check_runs(struct spec_loader *l)
{
    const struct spec_study *study = l->study;
    const struct spec_service *of_chain[SPEC_SERVICES_MAX] = {NULL};
    int chains = 0;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *s = &study->services[i];
        if (!s->by_request)
            continue;
        if (!check_run_load(l, s))
            return false;
        const struct spec_service **seen = &of_chain[head_of(study, i)];
        if (*seen)
            return spec_fail(l, s->place, s->name,
                             "one chain of requests runs the programs of %s and %s, which can't be "
                             "told apart: one of them has to be a server, or to have a load of its "
                             "own",
                             (*seen)->name, s->name);
        *seen = s;
        if (++chains > CHAINS_MAX)
            return spec_fail(l, s->place, s->name, "at most %d services are run for each request",
                             CHAINS_MAX);
    }
    return true;
}
