/* proxy: HAProxy in front of a study's services, by hand: what `spica guard` does at its start, and
 * what somebody wants who runs it under systemd or only wants to read what would be written. */
#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "proxy/keep.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"within", 'w', "TIME", "stop: longest wait for answers under way (default 10m)"},
    {NULL, 0, NULL, NULL},
};

static const int64_t STOP_WITHIN_NS = 600 * NS_PER_S;

struct call {
    const struct cli_args *args;
    const struct spec_study *study;
    struct proxy *proxy;
};

static bool verb_show(const struct call *call, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4 << 20);
    (void)err;
    proxy_show(call->proxy, &text);
    fputs(buf_text(&text), stdout);
    return true;
}

static bool verb_check(const struct call *call, struct err *err)
{
    if (!proxy_check(call->proxy, err))
        return false;
    printf("HAProxy takes this configuration.\n");
    return true;
}

static bool verb_apply(const struct call *call, struct err *err)
{
    bool reloaded = false;
    struct proxy_view view;
    if (!proxy_apply(call->proxy, &reloaded, err) || !proxy_look(call->proxy, &view, err))
        return false;
    printf("HAProxy (process %lld) %s.\n", (long long)view.pid,
           reloaded ? "runs with this configuration" : "runs with it already, nothing was changed");
    return true;
}

static bool verb_stop(const struct call *call, struct err *err)
{
    int64_t within_ns = STOP_WITHIN_NS;
    const char *within = cli_value(&cli_proxy, call->args, "within");
    if (within && !text_to_duration_ns(within, &within_ns))
        return err_set(err, ERR_INPUT, "--within %.60s: a time with its unit, like 30s or 10m",
                       within);
    if (!proxy_stop(call->proxy, within_ns, err))
        return false;
    printf("HAProxy has ended.\n");
    return true;
}

/* ---- what run time sets ---- */

/* The front that the third argument names; false: none. */
static bool find_front(const struct spec_study *study, const struct cli_args *args,
                       size_t *ret_front, struct err *err)
{
    AUTO(buf_done) struct buf there = BUF_INIT(512);
    for (size_t i = 0; i < study->guard->front_count; i++) {
        const char *name = study->services[study->guard->fronts[i].service].name;
        if (strcmp(name, args->arguments[2]) == 0) {
            *ret_front = i;
            return true;
        }
        buf_addf(&there, "%s%s", i ? ", " : "", name);
    }
    return err_set(err, ERR_INPUT, "guard: fronts: has no \"%.60s\" (there are %s)",
                   args->arguments[2], buf_text(&there));
}

static bool verb_tier(const struct call *call, struct err *err)
{
    size_t front = 0;
    return find_front(call->study, call->args, &front, err) &&
           proxy_set_tier(call->proxy, front, call->args->arguments[3], err);
}

/* "90/10" */
static bool verb_weights(const struct call *call, struct err *err)
{
    size_t front = 0, count = 0;
    int weights[SPEC_ARMS_MAX] = {0};
    const char *at = call->args->arguments[3];
    if (!find_front(call->study, call->args, &front, err))
        return false;
    size_t wanted = call->study->guard->fronts[front].split.count;
    for (; count < wanted; at += strcspn(at, "/"), at += *at == '/') {
        char number[8];
        int64_t value = 0;
        snprintf(number, sizeof number, "%.*s", (int)strcspn(at, "/"), at);
        if (!text_to_i64(number, &value) || value < 0 || value > 100)
            break;
        weights[count++] = (int)value;
    }
    if (count != wanted || *at)
        return err_set(err, ERR_INPUT,
                       "weights: \"%.60s\": %zu numbers as in 90/10 that sum up to "
                       "100",
                       call->args->arguments[3], wanted);
    return proxy_set_weights(call->proxy, front, weights, err);
}

static bool set_server(const struct call *call, enum proxy_server_state state, struct err *err)
{
    size_t front = 0;
    return find_front(call->study, call->args, &front, err) &&
           proxy_set_server(call->proxy, front, call->args->arguments[3], state, err);
}

static bool verb_drain(const struct call *call, struct err *err)
{
    return set_server(call, PROXY_DRAIN_BY_HAND, err);
}

static bool verb_ready(const struct call *call, struct err *err)
{
    return set_server(call, PROXY_READY_BY_HAND, err);
}

static void print_front(const struct call *call, size_t at, const struct proxy_front *front)
{
    const struct spec_front *its = &call->study->guard->fronts[at];
    for (size_t i = 0; i < front->server_count; i++) {
        const struct proxy_server *server = &front->servers[i];
        printf("%s %s: %s%s%s", call->study->services[its->service].name, server->name,
               server->usable ? "usable" : "not usable",
               server->by_hand   ? ", drained by hand"
               : server->drained ? ", drained"
                                 : "",
               front->tier && strcmp(front->tier, server->name) == 0 ? ", takes new requests" : "");
        if (its->split.count)
            printf(", weight %d", server->weight);
        printf("; %llu in flight, %llu waiting; %llu so far, %llu errors\n",
               (unsigned long long)server->in_flight, (unsigned long long)server->waiting,
               (unsigned long long)server->total, (unsigned long long)server->errors);
    }
}

static bool verb_look(const struct call *call, struct err *err)
{
    struct proxy_view view;
    if (!proxy_look(call->proxy, &view, err))
        return false;
    const char *theirs = call->study->guard->proxy.attach_socket;
    if (!view.up && theirs)
        return err_set(err, ERR_PROBLEM,
                       "HAProxy does not answer at %s: does it run, with that stats socket?",
                       theirs);
    if (!view.up)
        return err_set(err, ERR_PROBLEM,
                       "HAProxy does not answer: `spica proxy %s apply` starts it, or says why not",
                       call->args->arguments[0]);
    printf("HAProxy (process %lld) runs for %lld s\n", (long long)view.pid,
           (long long)view.uptime_s);
    for (size_t i = 0; i < call->study->guard->front_count; i++)
        print_front(call, i, &view.fronts[i]);
    return true;
}

static const struct {
    const char *word;
    const char *example; /* of the two words after it; NULL: it takes none */
    bool (*run)(const struct call *call, struct err *err);
} verbs[] = {
    {"apply", NULL, verb_apply},
    {"show", NULL, verb_show},
    {"check", NULL, verb_check},
    {"look", NULL, verb_look},
    {"stop", NULL, verb_stop},
    {"tier", "stt tiny", verb_tier},
    {"weights", "stt 90/10", verb_weights},
    {"drain", "stt tiny", verb_drain},
    {"ready", "stt tiny", verb_ready},
};

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
        return err_set(err, ERR_INPUT,
                       "proxy: \"%.60s\" is none of apply, show, check, look, stop, tier, weights, "
                       "drain, ready",
                       args->arguments[1]);
    const char *example = verbs[verb].example;
    if (args->argument_count != (example ? 4 : 2))
        return err_set(err, ERR_INPUT, "proxy: %s %s%s%s%s", verbs[verb].word,
                       example ? "wants a front and what to set, as in: " : "takes nothing more",
                       example ? verbs[verb].word : "", example ? " " : "", example ? example : "");
    if (!spec_study_load(args->arguments[0], cli_catalog(), &study, err) ||
        !proxy_open(study, &proxy, err))
        return false;
    if (!verbs[verb].run(&(struct call){args, study, proxy}, err))
        return false;
    if (proxy_unsaved(proxy))
        log_write(LOG_WARNING, "proxy",
                  "HAProxy was told, but that is not kept, and a restart of HAProxy forgets it: %s",
                  proxy_unsaved(proxy));
    return true;
}

const struct cli_command cli_proxy = {
    .name = "proxy",
    .arguments = "STUDY.yaml VERB [FRONT WHAT]",
    .arguments_min = 2,
    .arguments_max = 4,
    .help = "HAProxy before services: check, run, reload, switch",
    .text =
        "Makes HAProxy's configuration from the study file's guard: fronts:. show prints it; "
        "check has HAProxy check it; apply writes it and starts HAProxy or reloads the one that "
        "runs, without failing or cutting a request, and changes nothing when it is as it "
        "should be; look says how its servers do; stop ends one that spica runs once its answers "
        "are over. By hand, for a front and its tier or arm: tier FRONT TIER, weights FRONT "
        "90/10, drain FRONT SERVER, ready FRONT SERVER. Which tier and weights are set now is "
        "kept over all of these. HAProxy goes on whatever becomes of spica.",
    .options = options,
    .run = run,
};
