/* A study's load on a service that somebody else runs: "is production as fast as the study said?".
 *
 * What a candidate changes in the requests (a protocol's option with a knob in it) is filled in as
 * in a trial; what it changes in the server is the server's affair. Other services' load is not
 * sent: `spica bench` has one service, and says so by its name.
 *
 * Rejected: options that change the study's load. A load that is neither the study's nor written
 * down compares with nothing; whoever wants another one has all of --load without a study. */
#include "cli/bench_study.h"

#include "base/buf.h"
#include "spec/space.h"

#include <string.h>

static const char *given(const struct cli_args *args, const char *name)
{
    return cli_value(&cli_bench, args, name);
}

static bool refuse_load_options(const struct cli_args *args, struct err *err)
{
    static const char *const names[] = {"protocol", "rate",   "concurrency", "arrivals",
                                        "prompts",  "prompt", "corpus",      "max-tokens",
                                        "timeout",  "option", "load",        "api-key-env"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (given(args, names[i]))
            return err_set(err, ERR_INPUT,
                           "--%s: the study's load says it: leave it out, or bench without a study",
                           names[i]);
    return true;
}

/* The one that is named, or the only one that has a load of its own. */
static bool choose_service(const struct cli_args *args, const struct spec_study *study,
                           size_t *ret_index, struct err *err)
{
    const char *name = given(args, "service");
    AUTO(buf_done) struct buf names = BUF_INIT(2048);
    size_t loaded = 0, last = 0;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *service = &study->services[i];
        if (!service->load.given)
            continue;
        buf_addf(&names, "%s%s", loaded++ ? ", " : "", service->name);
        if (!name || strcmp(service->name, name) == 0)
            last = i;
    }
    const struct spec_service *found = &study->services[last];
    if (name && (!found->load.given || strcmp(found->name, name) != 0))
        return err_set(err, ERR_INPUT, "--service %.60s: %s has a load for %s", name, study->path,
                       buf_text(&names));
    if (!name && loaded > 1)
        return err_set(err, ERR_INPUT, "%s has a load for %s: say which one runs there, --service",
                       study->path, buf_text(&names));
    if (found->by_request || found->load.after)
        return err_set(err, ERR_INPUT, "%s: %s: %s", study->path, found->name,
                       found->by_request ? "is a program that is run for each request: there is "
                                           "nowhere to ask"
                                         : "its requests are made from another service's answers");
    *ret_index = last;
    return true;
}

static bool choose_candidate(const struct cli_args *args, const struct spec_study *study,
                             struct spec_candidate *ret, struct err *err)
{
    const char *text = given(args, "candidate");
    if (text)
        return (spec_candidate_parse(study, text, ret, err) &&
                spec_candidate_check(study, ret, err)) ||
               err_wrap(err, "--candidate");
    if (!study->baseline && study->knob_count > 0)
        return err_set(err, ERR_INPUT,
                       "%s has no baseline: say what runs there, as in --candidate "
                       "\"stt.model=tiny.en\"",
                       study->path);
    *ret = (struct spec_candidate){0};
    if (study->baseline)
        memcpy(ret->index, study->baseline, study->knob_count * sizeof *ret->index);
    return true;
}

static const struct spec_load *load_of(const struct spec_study *study,
                                       const struct spec_candidate *candidate, size_t service,
                                       struct arena *arena)
{
    struct spec_load *load = arena_alloc(arena, sizeof *load);
    *load = study->services[service].load;
    struct spec_setting *settings = arena_array(arena, load->setting_count, sizeof *settings);
    size_t count = 0;
    for (size_t i = 0; i < load->setting_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        if (!spec_setting_expand(study, candidate, service, load->settings[i].text, 0, ".", &text))
            continue;
        settings[count] = load->settings[i];
        settings[count++].text = arena_strdup(arena, buf_text(&text));
    }
    load->settings = settings;
    load->setting_count = count;
    return load;
}

/* With the service's own path, where it has one. */
static const struct spec_protocol *protocol_of(const struct spec_study *study,
                                               const struct spec_candidate *candidate,
                                               size_t service, struct arena *arena)
{
    const char *path = study->services[service].protocol_path;
    struct spec_protocol *protocol = arena_alloc(arena, sizeof *protocol);
    *protocol = *spec_candidate_protocol(study, candidate, service);
    if (path)
        protocol->path = path;
    return protocol;
}

bool cli_bench_study(const struct cli_args *args, struct arena *arena,
                     struct spec_study **ret_study, struct bench_options *options, struct err *err)
{
    AUTO(spec_study_free) struct spec_study *study = NULL;
    struct spec_candidate candidate;
    size_t service = 0;
    if (!refuse_load_options(args, err) ||
        !spec_study_load(args->arguments[0], cli_catalog(), &study, err) ||
        !choose_service(args, study, &service, err) ||
        !choose_candidate(args, study, &candidate, err))
        return false;
    AUTO(buf_done) struct buf label = BUF_INIT(1 << 16);
    spec_candidate_add_text(&label, study, &candidate);
    const struct spec_pair shown[] = {
        {"study", arena_strdup(arena, study->path), true},
        {"service", study->services[service].name, true},
        {"candidate", arena_strdup(arena, buf_text(&label)), true},
    };
    struct spec_pair *pairs = arena_array(arena, ARRAY_LEN(shown), sizeof *pairs);
    memcpy(pairs, shown, sizeof shown);
    options->load = load_of(study, &candidate, service, arena);
    options->protocol = protocol_of(study, &candidate, service, arena);
    options->unchecked = study->services[service].answers_unchecked;
    options->api_key_env = options->load->api_key_env;
    if (!options->ca && options->url && strncasecmp(options->url, "https://", 8) == 0)
        options->ca = study->services[service].tls.ca;
    options->seed = study->seed;
    options->window_ns = study->measure.window_ns;
    options->warmup_ns = given(args, "requests") ? -1 : study->measure.warmup_ns;
    options->pairs = pairs;
    options->pair_count = ARRAY_LEN(shown);
    *ret_study = TAKE(study);
    return true;
}
