/* proxy: HAProxy in front of a study's services, by hand: what `spica guard` does at its start, and
 * what somebody wants who runs it under systemd or only wants to read what would be written. */
#include "cli/command.h"

#include "base/clock.h"
#include "base/text.h"
#include "proxy/proxy.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"within", 'w', "TIME", "stop: longest wait for answers under way (default 10m)"},
    {NULL, 0, NULL, NULL},
};

static const int64_t STOP_WITHIN_NS = 600 * NS_PER_S;

static bool verb_show(struct proxy *proxy, const struct cli_args *args, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4 << 20);
    (void)args;
    (void)err;
    proxy_show(proxy, &text);
    fputs(buf_text(&text), stdout);
    return true;
}

static bool verb_check(struct proxy *proxy, const struct cli_args *args, struct err *err)
{
    (void)args;
    if (!proxy_check(proxy, err))
        return false;
    printf("HAProxy takes this configuration.\n");
    return true;
}

static bool verb_apply(struct proxy *proxy, const struct cli_args *args, struct err *err)
{
    bool reloaded = false;
    struct proxy_view view;
    (void)args;
    if (!proxy_apply(proxy, &reloaded, err) || !proxy_look(proxy, &view, err))
        return false;
    printf("HAProxy (process %lld) %s.\n", (long long)view.pid,
           reloaded ? "runs with this configuration" : "runs with it already, nothing was changed");
    return true;
}

static bool verb_stop(struct proxy *proxy, const struct cli_args *args, struct err *err)
{
    int64_t within_ns = STOP_WITHIN_NS;
    const char *within = cli_value(&cli_proxy, args, "within");
    if (within && !text_to_duration_ns(within, &within_ns))
        return err_set(err, ERR_INPUT, "--within %.60s: a time with its unit, like 30s or 10m",
                       within);
    if (!proxy_stop(proxy, within_ns, err))
        return false;
    printf("HAProxy has ended.\n");
    return true;
}

static const struct {
    const char *word;
    bool (*run)(struct proxy *proxy, const struct cli_args *args, struct err *err);
} verbs[] = {
    {"apply", verb_apply}, {"show", verb_show}, {"stop", verb_stop}, {"check", verb_check}};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(proxy_close) struct proxy *proxy = NULL;
    const char *words[ARRAY_LEN(verbs)];
    (void)ret_status;
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        words[i] = verbs[i].word;
    int verb = text_index(words, (int)ARRAY_LEN(verbs), args->arguments[1]);
    if (verb < 0)
        return err_set(err, ERR_INPUT, "proxy: \"%.60s\" is none of apply, show, stop, check",
                       args->arguments[1]);
    return spec_study_load(args->arguments[0], cli_catalog(), &study, err) &&
           proxy_open(study, &proxy, err) && verbs[verb].run(proxy, args, err);
}

const struct cli_command cli_proxy = {
    .name = "proxy",
    .arguments = "STUDY.yaml apply|show|stop|check",
    .arguments_min = 2,
    .arguments_max = 2,
    .help = "HAProxy in front of the services: write, check, run, reload",
    .text =
        "Makes HAProxy's configuration from the study file's guard: fronts:. show prints it; "
        "check has HAProxy check it; apply writes it and starts HAProxy or reloads the one that "
        "runs, without failing or cutting a request, and changes nothing when it is as it "
        "should be; stop ends one that spica runs once its answers are over. Which tier and "
        "weights are set now is kept over all of these. HAProxy goes on whatever becomes of "
        "spica.",
    .options = options,
    .run = run,
};
