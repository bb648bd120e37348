/* split: a traffic split looked at, taken a step on, or ended. Guard need not run: what is decided
 * stands in the split's file, which guard follows, and HAProxy is told from here. */
#include "cli/promotion.h"
#include "cli/split_show.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "proxy/keep.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"service", 's', "NAME",
     "the split of this service (default: all for status, else the only one)"},
    {"anyway", 'a', NULL, "advance: also without a verdict, or after harm: at your own risk"},
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {"json", 'j', NULL, "print JSON"},
    {NULL, 0, NULL, NULL},
};

enum verb { VERB_STATUS, VERB_ADVANCE, VERB_ABORT, VERB_COUNT_ };
static const char *const verbs[VERB_COUNT_] = {
    [VERB_STATUS] = "status", [VERB_ADVANCE] = "advance", [VERB_ABORT] = "abort"};

struct call {
    const struct cli_args *args;
    const struct spec_study *study;
    const char *folder, *name;
    enum verb verb;
    json_t *list; /* of JSON; NULL: text is printed */
};

static bool is_flag(const struct call *call, const char *name)
{
    return cli_flag(&cli_split, call->args, name);
}

/* ---- which ---- */

static const char *service_name(const struct spec_study *study, size_t front)
{
    return study->services[study->guard->fronts[front].service].name;
}

/* Fronts with a split that are meant; false: none, or not one alone where one is needed. */
static bool choose(const struct call *call, bool ret_chosen[SPEC_FRONTS_MAX], struct err *err)
{
    const struct spec_guard *guard = call->study->guard;
    const char *wanted = cli_value(&cli_split, call->args, "service");
    AUTO(buf_done) struct buf there = BUF_INIT(512);
    size_t chosen = 0, splits = 0;
    for (size_t i = 0; guard && i < guard->front_count; i++) {
        bool has = guard->fronts[i].split.count > 0;
        if (has)
            buf_addf(&there, "%s%s", splits++ ? ", " : "", service_name(call->study, i));
        ret_chosen[i] = has && (!wanted || strcmp(service_name(call->study, i), wanted) == 0);
        chosen += ret_chosen[i];
    }
    if (splits == 0)
        return err_set(err, ERR_INPUT, "%s: no front under guard: has a split", call->name);
    if (chosen == 0)
        return err_set(err, ERR_INPUT, "--service %.60s: no such split (there are %s)",
                       wanted ? wanted : "", buf_text(&there));
    if (chosen > 1 && call->verb != VERB_STATUS)
        return err_set(err, ERR_INPUT, "%s: %zu splits: say which by --service (there are %s)",
                       call->name, chosen, buf_text(&there));
    return true;
}

/* ---- looking ---- */

static double age_of(const char *path)
{
    struct stat stat_buf;
    if (stat(path, &stat_buf) != 0)
        return NAN;
    double kept_s = (double)stat_buf.st_mtim.tv_sec + 1e-9 * (double)stat_buf.st_mtim.tv_nsec;
    return fmax((double)clock_now_wall_us() / 1e6 - kept_s, 0);
}

static void show(const struct call *call, size_t front, const char *path,
                 const struct guard_split_kept *kept, bool found)
{
    AUTO(proxy_close) struct proxy *proxy = NULL;
    struct proxy_view view = {0};
    struct err ignored = ERR_INIT; /* a split is worth seeing without HAProxy too */
    bool up =
        proxy_open(call->study, &proxy, &ignored) && proxy_look(proxy, &view, &ignored) && view.up;
    const struct cli_split_view shown = {.study = call->study,
                                         .front = front,
                                         .kept = kept,
                                         .found = found,
                                         .age_s = found ? age_of(path) : NAN,
                                         .live = up ? &view.fronts[front] : NULL,
                                         .name = call->name};
    if (call->list)
        json_array_append_new(call->list, cli_split_json(&shown));
    else
        cli_split_print(&shown, stdout, cli_terminal(STDOUT_FILENO));
}

/* ---- deciding ---- */

static bool set_weights(const struct call *call, size_t front, const struct guard_split_kept *kept,
                        struct err *err)
{
    AUTO(proxy_close) struct proxy *proxy = NULL;
    int weights[SPEC_ARMS_MAX] = {0};
    for (size_t i = 0; i < kept->arm_count; i++)
        weights[i] = kept->arms[i].weight;
    if (!proxy_open(call->study, &proxy, err) || !proxy_set_weights(proxy, front, weights, err))
        return false;
    if (proxy_unsaved(proxy))
        log_write(LOG_WARNING, "split",
                  "HAProxy was told, but that is not kept, and a restart of HAProxy forgets it: %s",
                  proxy_unsaved(proxy));
    return true;
}

static bool put_back(const char *path, bool found, const struct buf *before)
{
    struct err ignored = ERR_INIT;
    return found ? file_write_atomic(path, buf_text(before), before->len, &ignored)
                 : unlink(path) == 0;
}

/* A disk that takes nothing does not keep an arm: HAProxy is told, and that it is not kept is an
 * error all the same. */
static bool abort_unkept(const struct call *call, size_t front, const struct guard_split_kept *kept,
                         struct err *err)
{
    const struct err why = *err;
    *err = ERR_INIT;
    return set_weights(call, front, kept, err) &&
           err_set(err, why.code,
                   "HAProxy gives everything to %s now, but that is not kept, and a guard that "
                   "starts anew gives it back: abort again when the disk takes it: %.400s",
                   kept->arms[0].name, why.text);
}

/* The file first, then HAProxy: whoever dies between has left what is to be done. */
static bool decide(const struct call *call, size_t front, const char *path,
                   struct guard_split_kept *kept, struct err *err)
{
    const struct spec_split *split = &call->study->guard->fronts[front].split;
    AUTO(buf_done) struct buf before = BUF_INIT(1 << 20), why = BUF_INIT(512);
    AUTO(fd) int lock = -1;
    bool found = false;
    struct err ignored = ERR_INIT;
    buf_addf(&why, "%s by ", call->verb == VERB_ADVANCE ? "advanced" : "aborted");
    cli_promotion_add_user(&why);
    if (!guard_split_lock(path, &lock, err) ||
        !guard_split_kept_read(path, split, kept, &found, err))
        return false;
    bool was_there = buf_read_file(&before, path, &ignored);
    if (!guard_split_order(kept, split, call->verb == VERB_ADVANCE ? SPLIT_ADVANCE : SPLIT_ABORT,
                           is_flag(call, "anyway"), buf_text(&why), clock_now_wall_us(), err))
        return false;
    if (!guard_split_kept_write(path, split, kept, err))
        return call->verb == VERB_ABORT && abort_unkept(call, front, kept, err);
    if (set_weights(call, front, kept, err))
        return true;
    /* Refused: it is not done and won't be. Else HAProxy was not reached: guard sets them later. */
    if (err->code == ERR_DECLINED && put_back(path, was_there, &before))
        return err_wrap(err, "nothing was changed");
    return err_wrap(err, "decided and kept in %s, but HAProxy does not know yet", path);
}

static bool handle(const struct call *call, size_t front, struct err *err)
{
    const struct spec_split *split = &call->study->guard->fronts[front].split;
    AUTO(free) char *path = guard_split_path(call->folder, call->study, front);
    struct guard_split_kept kept;
    bool found = false;
    guard_split_kept_init(&kept, split, clock_now_wall_us());
    bool ok = call->verb == VERB_STATUS ? guard_split_kept_read(path, split, &kept, &found, err)
                                        : decide(call, front, path, &kept, err);
    if (ok)
        show(call, front, path, &kept, found || call->verb != VERB_STATUS);
    guard_split_kept_done(&kept);
    return ok;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    struct cli_study found_study = {0};
    AUTO(cli_study_done) struct cli_study *found = &found_study;
    AUTO_JSON json_t *list = NULL;
    bool chosen[SPEC_FRONTS_MAX] = {false};
    const char *word = args->argument_count > 1 ? args->arguments[1] : verbs[VERB_STATUS];
    int verb = text_index(verbs, VERB_COUNT_, word);
    (void)ret_status;
    if (verb < 0)
        return err_set(err, ERR_INPUT, "split: \"%.60s\" is none of status, advance, abort", word);
    if (!cli_study_find(args->arguments[0], cli_value(&cli_split, args, "out"), found, err))
        return false;
    if (cli_flag(&cli_split, args, "json"))
        list = json_array();
    const struct call call = {args, found->study, found->folder, args->arguments[0], verb, list};
    if (!choose(&call, chosen, err))
        return false;
    for (size_t i = 0; i < SPEC_FRONTS_MAX; i++)
        if (chosen[i] && !handle(&call, i, err))
            return false;
    if (!list)
        return true;
    AUTO_JSON json_t *object = json_pack("{s:s, s:i, s:s, s:O}", "format", "spica splits",
                                         "version", 1, "study", found->study->name, "splits", list);
    return cli_promotion_dump(object, err);
}

const struct cli_command cli_split = {
    .name = "split",
    .arguments = "STUDY.yaml [status|advance|abort]",
    .arguments_min = 1,
    .arguments_max = 2,
    .help = "a traffic split: how its arms do, a step on, or back",
    .text =
        "status shows the arms of each split under guard: fronts:, with intervals that hold "
        "however "
        "often one looks, and the verdict: whether the second arm does harm (slower than the first "
        "by more than the file allows, or failing more often). advance gives the second arm the "
        "next of 10, 25, 50 and 100 percent, once it is certain that it does no harm at the "
        "present "
        "weights. abort gives everything back to the first arm. Spica guard counts, and stops an "
        "arm "
        "that does harm by itself; it need not run for this command. Declined (9) when a verdict "
        "is "
        "missing, or when an arm would get all requests that HAProxy finds down.",
    .options = options,
    .run = run,
};
