/* The plan as JSON: what a pipeline reads, and what the plan's id is made of (with the bytes).
 *
 * Secrets are hidden before the two sides of a file are compared, not in the diff: there a value
 * stands behind a sign, and the scanner would have to know of diffs. */
#include "promote/json.h"
#include "promote/surroundings.h"

#include "base/json.h"
#include "promote/diff.h"
#include "promote/secret.h"

#include <math.h>
#include <string.h>

enum { PLAN_FORMAT_VERSION = 1, DIFF_MAX = 16 << 20 };

const char *promote_service_name(const struct promote_plan *plan, int service)
{
    return service < 0 || !plan->study ? NULL : plan->study->services[service].name;
}

static char *hidden(const struct promote_plan *plan, const struct promote_bytes *bytes)
{
    AUTO(buf_done) struct buf text = BUF_INIT(PROMOTE_FILE_MAX), shown = BUF_INIT(DIFF_MAX);
    if (!bytes->there)
        return NULL;
    if (!buf_append(&text, bytes->data, bytes->len))
        return strdup("(longer than is shown)\n");
    promote_hide_secrets(buf_text(&text), plan->secret_names, &shown);
    return buf_take(&shown);
}

void promote_step_add_diff(struct buf *buf, const struct promote_plan *plan,
                           const struct promote_step *step)
{
    AUTO(free) char *before = hidden(plan, &step->before);
    AUTO(free) char *after = hidden(plan, &step->after);
    promote_diff_add(buf, step->path, before, after);
}

double promote_plan_downtime_s(const struct promote_plan *plan)
{
    double sum = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        if ((step->kind == PROMOTE_RESTART && step->was_up) || step->kind == PROMOTE_COMPOSE ||
            step->kind == PROMOTE_COMMAND)
            sum += step->downtime_s;
    }
    return sum;
}

/* ---- steps ---- */

static json_t *words_json(const struct promote_plan *plan, const char *const *words)
{
    json_t *list = words ? json_array() : json_null();
    for (size_t i = 0; words && words[i]; i++) {
        AUTO(buf_done) struct buf word = BUF_INIT(DIFF_MAX);
        promote_hide_word(i ? words[i - 1] : NULL, words[i], plan->secret_names, &word);
        json_array_append_new(list, json_text_or_null(buf_text(&word)));
    }
    return list;
}

static void add_file(json_t *object, const struct promote_plan *plan,
                     const struct promote_step *step)
{
    AUTO(buf_done) struct buf diff = BUF_INIT(DIFF_MAX);
    char mode[16];
    promote_step_add_diff(&diff, plan, step);
    snprintf(mode, sizeof mode, "%04o", (unsigned)step->after.mode);
    json_object_set_new(object, "path", json_text_or_null(step->path));
    json_object_set_new(object, "change",
                        json_string(!step->after.there    ? "removed"
                                    : !step->before.there ? "made"
                                                          : "replaced"));
    json_object_set_new(object, "makes_folder", json_boolean(step->makes_folder));
    json_object_set_new(object, "mode", step->after.there ? json_string(mode) : json_null());
    json_object_set_new(object, "diff", json_text_or_null(buf_text(&diff)));
}

static json_t *step_json(const struct promote_plan *plan, const struct promote_step *step)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", json_string(promote_kind_name(step->kind)));
    json_object_set_new(object, "service",
                        json_text_or_null(promote_service_name(plan, step->service)));
    json_object_set_new(object, "why", json_text_or_null(step->why));
    if (step->kind == PROMOTE_FILE)
        add_file(object, plan, step);
    if (step->kind == PROMOTE_RELOAD || step->kind == PROMOTE_RESTART)
        json_object_set_new(object, "systemd", json_string(host_scope_names[step->scope]));
    if (step->kind == PROMOTE_RESTART) {
        json_object_set_new(object, "unit", json_text_or_null(step->unit));
        json_object_set_new(object, "was_up", json_boolean(step->was_up));
        json_object_set_new(object, "dependents", json_text_or_null(step->dependents));
    }
    if (step->port || step->kind == PROMOTE_RESTART) {
        json_object_set_new(object, "port", step->port ? json_integer(step->port) : json_null());
        json_object_set_new(object, "ready_path", json_text_or_null(step->ready_path));
        if (step->tls.given)
            json_object_set_new(object, "tls",
                                json_pack("{s:o, s:s}", "ca", json_text_or_null(step->tls.ca),
                                          "name", step->tls.name));
    }
    if (step->run) {
        json_object_set_new(object, "run", words_json(plan, step->run));
        json_object_set_new(object, "undo", words_json(plan, step->undo));
        json_object_set_new(object, "verify", words_json(plan, step->verify));
    }
    if (step->within_ns)
        json_object_set_new(object, "within_s", json_real((double)step->within_ns / 1e9));
    if (step->kind != PROMOTE_FILE && step->kind != PROMOTE_RELOAD && step->kind != PROMOTE_HOOK)
        json_object_set_new(object, "downtime_s", json_real_or_null(step->downtime_s));
    return object;
}

/* ---- what is expected, what differs ---- */

static json_t *expectation_json(const struct promote_expectation *e)
{
    static const char *const units[] = {
        [UNIT_SECONDS] = "s",        [UNIT_BYTES] = "bytes",
        [UNIT_RATIO] = "ratio",      [UNIT_COUNT] = "count",
        [UNIT_PER_SECOND] = "per_s", [UNIT_BYTES_PER_SECOND] = "bytes_per_s",
    };
    json_t *object = json_object();
    json_object_set_new(object, "metric", json_text_or_null(e->metric));
    json_object_set_new(object, "unit", json_string(units[e->unit]));
    json_object_set_new(object, "now", json_real_or_null(e->now));
    json_object_set_new(object, "then", json_real_or_null(e->then));
    json_object_set_new(object, "low", json_real_or_null(e->then_low));
    json_object_set_new(object, "high", json_real_or_null(e->then_high));
    json_object_set_new(object, "change", json_text_or_null(e->words));
    return object;
}

static json_t *difference_json(const struct promote_difference *d)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_text_or_null(d->name));
    json_object_set_new(object, "measured", json_text_or_null(d->measured));
    json_object_set_new(object, "found", json_text_or_null(d->found));
    json_object_set_new(object, "accepted", json_boolean(d->accepted));
    return object;
}

static void add_lists(json_t *object, const struct promote_plan *plan)
{
    json_t *steps = json_array(), *expected = json_array(), *differ = json_array(),
           *reads = json_array();
    for (size_t i = 0; i < plan->step_count; i++)
        json_array_append_new(steps, step_json(plan, &plan->steps[i]));
    for (size_t i = 0; i < plan->expectation_count; i++)
        json_array_append_new(expected, expectation_json(&plan->expectations[i]));
    for (size_t i = 0; i < plan->difference_count; i++)
        json_array_append_new(differ, difference_json(&plan->differences[i]));
    for (size_t i = 0; i < plan->witness_count; i++) {
        json_t *read = json_object();
        json_object_set_new(read, "path", json_text_or_null(plan->witnesses[i].path));
        json_object_set_new(
            read, "sha256",
            json_text_or_null(plan->witnesses[i].digest[0] ? plan->witnesses[i].digest : NULL));
        json_array_append_new(reads, read);
    }
    json_object_set_new(object, "steps", steps);
    json_object_set_new(object, "expected", expected);
    json_object_set_new(object, "differences", differ);
    json_object_set_new(object, "reads", reads);
}

/* How it is found to work or not, and where commands run. */
static void add_terms(json_t *object, const struct promote_plan *plan)
{
    json_t *verify = json_null();
    if (plan->study) {
        const struct spec_promotion *p = &plan->study->promotion;
        verify = json_object();
        json_object_set_new(verify, "window_s", json_real((double)p->window_ns / 1e9));
        json_object_set_new(verify, "rate_per_s", json_real(p->probe_rate_rps));
        json_object_set_new(verify, "within_s", json_real((double)p->within_ns / 1e9));
    }
    json_t *surroundings = json_array();
    for (size_t i = 0; plan->surroundings && plan->surroundings[i]; i++) {
        AUTO(buf_done) struct buf word = BUF_INIT(4096);
        promote_surroundings_add(&word, plan->surroundings[i]);
        json_array_append_new(surroundings, json_text_or_null(buf_text(&word)));
    }
    json_object_set_new(object, "verify", verify);
    json_object_set_new(object, "environment", surroundings);
    json_object_set_new(object, "folder", json_text_or_null(plan->run_folder));
    json_object_set_new(object, "last_record", json_text_or_null(plan->last_record));
}

json_t *promote_plan_json(const struct promote_plan *plan)
{
    json_t *object = json_object(), *memory = json_object();
    json_object_set_new(object, "format", json_string("spica promotion plan"));
    json_object_set_new(object, "version", json_integer(PLAN_FORMAT_VERSION));
    if (plan->id[0])
        json_object_set_new(object, "id", json_string(plan->id));
    json_object_set_new(object, "study", json_text_or_null(plan->study ? plan->study->name : NULL));
    json_object_set_new(object, "candidate", json_text_or_null(plan->winner_text));
    json_object_set_new(object, "nothing", json_text_or_null(plan->nothing));
    json_object_set_new(object, "empty", json_boolean(promote_plan_is_empty(plan)));
    json_object_set_new(object, "downtime_s", json_real_or_null(promote_plan_downtime_s(plan)));
    json_object_set_new(memory, "now_bytes", json_real_or_null(plan->memory_before_bytes));
    json_object_set_new(memory, "then_bytes", json_real_or_null(plan->memory_after_bytes));
    json_object_set_new(object, "memory", memory);
    add_terms(object, plan);
    add_lists(object, plan);
    return object;
}
