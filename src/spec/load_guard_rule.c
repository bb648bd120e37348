/* `rules:`: what is wrong, for how long, and what is done then.
 *
 * A rule is refused when it could never be true or would do harm by its shape: a figure that nobody
 * measures here, a percentile of more values than the probes send in a window where nothing else
 * can be seen, an `until` that holds while `when` does (it would flap), a restart of nobody in
 * particular. What a front or a server's page may tell is never refused: how much comes there is
 * known only when it does.
 *
 * Rejected: thresholds as keys (metric:, above:, below:). The file has one language for comparisons
 * already, and "free < 1GiB and growth > 0" needs it. */
#include "spec/load_guard.h"
#include "spec/load_expr.h"

#include "base/clock.h"
#include "base/text.h"
#include "spec/expr_node.h"

#include <math.h>
#include <string.h>

struct rule_draft {
    struct spec_guard_rule rule;
    int64_t clear_ns; /* -1: not given */
    int64_t at_least;
    const struct yaml_node *when, *until, *actions;
};

#define FIELD(member) offsetof(struct rule_draft, member)
static const struct spec_field rule_fields[] = {
    {"name", FIELD_TEXT, FIELD(rule.name), .required = true,
     .help = "how it is called in every message, at most 64 bytes"},
    {"when", FIELD_NODE, FIELD(when), .required = true,
     .help = "an expression over figures, as in \"stt.latency.p95 > 300ms\""},
    {"for", FIELD_DURATION, FIELD(rule.for_ns), .min = 0, .max = 86400, .fallback = "0s",
     .help = "it must hold so long without a break before it is an alarm"},
    {"until", FIELD_NODE, FIELD(until),
     .help = "it is over when this holds (default: when \"when\" does not)"},
    {"clear", FIELD_DURATION, FIELD(clear_ns), .min = 0, .max = 86400,
     .help = "and that so long (default: as \"for\")"},
    {"cool_down", FIELD_DURATION, FIELD(rule.cool_down_ns), .min = 0, .max = 604800,
     .fallback = "5m", .help = "after it was over it does not act again so soon"},
    {"at_least", FIELD_INT64, FIELD(at_least), .min = 1, .max = 1000000, .fallback = "20",
     .help = "a percentile or share of errors that stands on fewer values is no data"},
    {"do", FIELD_NODE, FIELD(actions),
     .help = "an action or a list of them; what \"act\" does not name is said and not done "
             "(default: notify, where \"act\" names it)"},
};
#undef FIELD
const struct spec_section spec_guard_rule_section = {"guard.rules[]", rule_fields,
                                                     ARRAY_LEN(rule_fields)};

struct scope {
    struct spec_loader *l;
    const struct spec_guard *g;
};

/* ---- names in expressions ---- */

/* May its server say its own metrics? What the page holds is known only when it is read. */
static bool has_page(const struct spec_study *study, const struct spec_watch *w, size_t service)
{
    const struct spec_service *s = &study->services[service];
    bool known = w->metrics_path != NULL;
    for (size_t i = 0; i < s->engine_use_count; i++)
        known |= s->engine_uses[i].engine->metrics_path != NULL;
    return known && w->kind != WATCH_NOTHING && w->port > 0;
}

/* Bit per enum guard_source: from where it can come, by what the file says of its service. */
static unsigned sources_of(const struct spec_study *study, const struct spec_guard *g,
                           const struct guard_metric_ref *ref)
{
    const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
    const struct spec_watch *w = &g->watches[ref->index];
    unsigned may = 0, asked = 0;
    if (spec_guard_front(g, ref->index))
        may |= 1u << SOURCE_REQUESTS;
    if (has_page(study, w, ref->index))
        may |= 1u << SOURCE_ENGINE;
    if (w->probe_rps > 0)
        may |= 1u << SOURCE_PROBE;
    for (size_t s = 0; s < ARRAY_LEN(info->best); s++)
        asked |= 1u << info->best[s];
    return may & (ref->source == SOURCE_NONE ? asked : 1u << ref->source);
}

/* Why nobody could ever know this figure here; NULL: somebody may. */
static const char *why_never(const struct scope *scope, const struct guard_metric_ref *ref)
{
    const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
    const struct spec_study *study = scope->l->study;
    if (info->scope == SCOPE_PROXY)
        return scope->g->proxy.given ? NULL
                                     : "there is no HAProxy: nothing stands under \"fronts\"";
    if (info->scope != SCOPE_SERVICE)
        return NULL;
    const struct spec_front *front = spec_guard_front(scope->g, ref->index);
    const struct spec_watch *w = &scope->g->watches[ref->index];
    if (ref->metric == GUARD_TIER)
        return front && front->tier_count > 0 ? NULL : "it has no tiers";
    if (ref->metric == GUARD_SPARE) {
        for (size_t i = 0; i < study->capacity_count; i++)
            if (study->capacities[i].service == ref->index)
                return NULL;
        return "the study measures no capacity of it: name it under \"capacity\"";
    }
    if (ref->source == SOURCE_REQUESTS)
        return front ? NULL : "its requests are seen by HAProxy alone: name it under \"fronts\"";
    if (ref->source == SOURCE_PROBE)
        return w->probe_rps > 0 ? NULL : "it is not probed: give its port, and a rate of probes";
    if (w->kind == WATCH_NOTHING && !front)
        return "nobody says where it runs: name it under guard.watch";
    if (!info->sources || sources_of(study, scope->g, ref))
        return NULL;
    if (ref->source == SOURCE_ENGINE)
        return "no page of its server's metrics is known: name its port and \"metrics\" under "
               "guard.watch";
    return info->largest ? "nothing sees its queue: name it under \"fronts\", or its port and "
                           "\"metrics\" under guard.watch"
                         : "nothing sees its requests: name it under \"fronts\", or give its port "
                           "and a rate of probes";
}

/* "stt.latency": a percentile is missing. "stt.p95": the words that stt has. */
static enum expr_name fail_name(const struct scope *scope, const char *name, struct err *err)
{
    struct spec_loader *l = scope->l;
    const struct spec_guard *g = scope->g;
    const char **names = arena_array(l->arena, g->metric_count, sizeof *names);
    for (size_t i = 0; i < g->metric_count; i++)
        names[i] = g->metrics[i].name;
    if (guard_metric_find(g->metrics, g->metric_count, arena_printf(l->arena, "%s.p95", name)) >=
        0) {
        err_set(err, ERR_INPUT, "\"%s\": say which: %s.p50, p95, p99", name, name);
        return EXPR_NAME_BAD;
    }
    const char *near = spec_did_you_mean(l, names, g->metric_count, name);
    const char *dot = strchr(name, '.');
    int service =
        dot ? spec_study_service(l->study, arena_strndup(l->arena, name, (size_t)(dot - name)))
            : -1;
    const char *words[GUARD_METRIC_COUNT_] = {NULL};
    size_t count = 0;
    for (int m = 0; m < GUARD_METRIC_COUNT_; m++)
        if (guard_metric_infos[m].scope == SCOPE_SERVICE)
            words[count++] = guard_metric_infos[m].word;
    if (!near[0] && service >= 0)
        near =
            arena_printf(l->arena, "; %s has %s (%s.latency.p95)", l->study->services[service].name,
                         spec_list(l, words, count), l->study->services[service].name);
    else if (!near[0])
        near = "; figures are written as in stt.latency.p95, gpu0.memory.free, proxy.up";
    err_set(err, ERR_INPUT, "\"%s\": there is no such figure%s", name, near);
    return EXPR_NAME_BAD;
}

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    const struct scope *scope = context;
    const struct spec_guard *g = scope->g;
    long found = guard_metric_find(g->metrics, g->metric_count, name);
    if (found < 0)
        return fail_name(scope, name, err);
    const char *why = why_never(scope, &g->metrics[found]);
    if (why) {
        err_set(err, ERR_INPUT, "\"%s\" would never be known: %s", name, why);
        return EXPR_NAME_BAD;
    }
    *ret_id = (size_t)found;
    return EXPR_NAME_VARIABLE;
}

static bool check_word(void *context, size_t id, const char *word, struct err *err)
{
    const struct scope *scope = context;
    const struct guard_metric_ref *ref = &scope->g->metrics[id];
    size_t count = 0;
    if (!ref->words)
        return err_set(err, ERR_INPUT, "%s is a number, \"%s\" is none", ref->name,
                       spec_quote(scope->l, word));
    for (; ref->words[count]; count++)
        if (strcmp(ref->words[count], word) == 0)
            return true;
    return err_set(err, ERR_INPUT, "%s is never \"%s\"%s; it is one of %s", ref->name,
                   spec_quote(scope->l, word), spec_did_you_mean(scope->l, ref->words, count, word),
                   spec_list(scope->l, ref->words, count));
}

static enum expr_unit unit_of(void *context, size_t id)
{
    const struct scope *scope = context;
    return guard_metric_infos[scope->g->metrics[id].metric].unit;
}

static bool load_expr(struct spec_loader *l, const struct spec_guard *g,
                      const struct yaml_node *node, const char *where, const struct expr **ret)
{
    struct scope scope = {.l = l, .g = g};
    const struct expr_names names = {
        .context = &scope, .resolve = resolve, .check_word = check_word, .unit = unit_of};
    return spec_load_expr(l, node, where, &names, "figure", ret);
}

/* ---- sense ---- */

/* A plain comparison of one figure with a number: which way, and with what. */
struct bound {
    size_t id;
    int direction; /* 1: it is true above, -1: below */
    double number;
};

static bool bound_of(const struct expr *expr, struct bound *ret)
{
    const struct expr_node *n = expr->root;
    if (n->op < OP_LT || n->op > OP_GE)
        return false;
    const bool above = n->op == OP_GT || n->op == OP_GE;
    const bool turned = n->right->op == OP_VARIABLE && n->left->op == OP_LITERAL;
    const struct expr_node *variable = turned ? n->right : n->left;
    const struct expr_node *literal = turned ? n->left : n->right;
    if (variable->op != OP_VARIABLE || literal->op != OP_LITERAL)
        return false;
    *ret = (struct bound){variable->id, above != turned ? 1 : -1, literal->literal.number};
    return true;
}

/* Where both are plain it can be seen that they never hold at once. */
static bool check_until(struct spec_loader *l, const struct yaml_node *node, const char *where,
                        const struct spec_guard_rule *rule)
{
    struct bound when, until;
    if (!bound_of(rule->when, &when) || !bound_of(rule->until, &until) || when.id != until.id)
        return true;
    if (when.direction == until.direction)
        return spec_fail(
            l, spec_place_of(node), where,
            "looks the same way as \"when\": it is over when the figure has come back");
    if ((when.number - until.number) * when.direction >= 0)
        return true;
    return spec_fail(l, spec_place_of(node), where,
                     "holds where \"when\" (%s) does: the alarm would come and go",
                     spec_quote(l, expr_text(rule->when)));
}

static bool carries_count(const struct guard_metric_ref *ref)
{
    return ref->metric == GUARD_ERRORS || !isnan(ref->quantile);
}

/* Fewer values carry no such percentile: stats_quantile_allowed(), which is above this folder. */
static double least_of(double quantile)
{
    return isnan(quantile) ? 1 : fmax(5, ceil(1 / fmin(quantile, 1 - quantile) - 1e-9));
}

/* What would do, after the reason. */
static const char *remedies(struct spec_loader *l, const struct spec_guard *g,
                            const struct guard_metric_ref *ref, double needed, bool fits_without)
{
    double rps = ceil(needed / ((double)g->window_ns / NS_PER_S) * 100 - 1e-6) / 100;
    return arena_printf(
        l->arena, "%s\"window\"%s%s",
        rps <= SPEC_PROBE_MOST_RPS
            ? arena_printf(l->arena, "\"probe: {%s: %.4g/s}\" would do, or a longer ",
                           l->study->services[ref->index].name, rps)
            : "it takes a longer ",
        fits_without ? ", or a lower \"at_least\"" : "",
        ref->source == SOURCE_PROBE
            ? ""
            : ", or more sources: \"fronts\", or its server's \"metrics\" under guard.watch");
}

/* Probes alone can't fill a window with more than they are. */
static bool check_count_of(struct spec_loader *l, const struct spec_guard *g, const char *where,
                           const struct spec_guard_rule *rule, const struct guard_metric_ref *ref)
{
    const double rps = g->watches[ref->index].probe_rps;
    const double most = rps * (double)g->window_ns / NS_PER_S + 1e-6;
    const double least = least_of(ref->quantile), at_least = (double)rule->at_least;
    if (sources_of(l->study, g, ref) != 1u << SOURCE_PROBE || fmax(least, at_least) <= most)
        return true;
    const char *whose = least > at_least ? arena_printf(l->arena, "the %.0f that a p%.0f needs",
                                                        least, ref->quantile * 100)
                                         : arena_printf(l->arena, "at_least %.0f", at_least);
    return spec_fail(l, rule->place, where,
                     "%s would never be known: at %.3g /s there are %.3g probes%s in a window of "
                     "%.0f s, fewer than %s; %s",
                     ref->name, rps, most - 1e-6,
                     ref->source == SOURCE_PROBE ? "" : ", and nothing else,",
                     (double)g->window_ns / NS_PER_S, whose,
                     remedies(l, g, ref, fmax(least, at_least), least <= most));
}

static bool check_count(struct spec_loader *l, const struct spec_guard *g, const char *where,
                        const struct spec_guard_rule *rule)
{
    for (size_t id = 0; id < g->metric_count; id++) {
        const struct guard_metric_ref *ref = &g->metrics[id];
        if (carries_count(ref) &&
            (expr_uses(rule->when, id) || (rule->until && expr_uses(rule->until, id))) &&
            !check_count_of(l, g, where, rule, ref))
            return false;
    }
    return true;
}

static int find_service(const struct spec_guard *g, const struct expr *when)
{
    int found = -1;
    for (size_t id = 0; id < g->metric_count; id++) {
        const struct guard_metric_ref *ref = &g->metrics[id];
        if (guard_metric_infos[ref->metric].scope != SCOPE_SERVICE || !expr_uses(when, id))
            continue;
        if (found >= 0 && (size_t)found != ref->index)
            return -1;
        found = (int)ref->index;
    }
    return found;
}

/* ---- actions ---- */

/* What a restart finds under guard.watch instead of a unit; NULL: it is one. Units of tiers are
 * started and stopped by the policy, and none of them by a rule. */
static const char *const no_unit[] = {
    [WATCH_NOTHING] = "nothing",       [WATCH_UNIT] = NULL,           [WATCH_PID] = "a pid",
    [WATCH_CONTAINER] = "a container", [WATCH_PORT] = "a port alone",
};

/* Why this rule can't have that action; NULL: it can. */
static const char *misfit(struct spec_loader *l, const struct spec_guard *g,
                          const struct spec_guard_rule *rule, enum spec_action action)
{
    if (action == ACTION_ROLLBACK)
        return l->study->promotion.given ? NULL : "needs \"production\": else nothing was promoted";
    if (action == ACTION_NOTIFY || action == ACTION_RESTUDY)
        return NULL;
    if (rule->service < 0)
        return "needs exactly one service in \"when\": whom else should it concern?";
    const struct spec_front *front = spec_guard_front(g, (size_t)rule->service);
    if (action == ACTION_RESTART)
        return no_unit[g->watches[rule->service].kind]
                   ? arena_printf(l->arena,
                                  "needs a systemd unit under guard.watch.%s, which is what it "
                                  "restarts (no tier's is): there is %s",
                                  l->study->services[rule->service].name,
                                  no_unit[g->watches[rule->service].kind])
                   : NULL;
    return front && front->tier_count > 1
               ? NULL
               : "needs several tiers of the service, under guard.fronts";
}

static bool load_action(struct spec_loader *l, const struct yaml_node *node, const char *where,
                        const struct spec_guard *g, struct spec_guard_rule *rule)
{
    const char *text = node->kind == YAML_SCALAR ? node->text : "";
    int action = text_index(spec_action_names, ACTION_COUNT_, text);
    if (action < 0)
        return spec_fail(l, spec_place_of(node), where,
                         "there is no action \"%s\"%s (there are %s)", spec_quote(l, text),
                         spec_did_you_mean(l, spec_action_names, ACTION_COUNT_, text),
                         spec_list(l, spec_action_names, ACTION_COUNT_));
    const char *why = misfit(l, g, rule, (enum spec_action)action);
    if (why)
        return spec_fail(l, spec_place_of(node), where, "%s %s", text, why);
    rule->actions |= 1u << action;
    return true;
}

static bool load_actions(struct spec_loader *l, const struct yaml_node *node, const char *where,
                         const struct spec_guard *g, struct spec_guard_rule *rule)
{
    const uint32_t ladder = 1u << ACTION_TIER_DOWN | 1u << ACTION_TIER_UP;
    if (!node) {
        rule->actions = g->limits[ACTION_NOTIFY].allowed ? 1u << ACTION_NOTIFY : 0;
        return true;
    }
    if (node->kind == YAML_SCALAR && !load_action(l, node, where, g, rule))
        return false;
    if (node->kind == YAML_MAP)
        return spec_fail(l, spec_place_of(node), where,
                         "must be an action or a list of them, as in [notify, restart]");
    for (const struct yaml_entry *e = node->kind == YAML_LIST ? node->first : NULL; e; e = e->next)
        if (!load_action(l, e->value, where, g, rule))
            return false;
    if ((rule->actions & ladder) == ladder)
        return spec_fail(l, spec_place_of(node), where, "tier-down and tier-up undo each other");
    return true;
}

/* ---- one rule ---- */

static bool check_name(struct spec_loader *l, const struct yaml_node *node,
                       const struct spec_guard *g, const char *name)
{
    const struct spec_place place = spec_place_of(spec_yaml_get(node, "name"));
    size_t len = strlen(name);
    bool fine = len <= 64;
    uint32_t code = 0;
    for (size_t at = 0; at < len && fine;) {
        size_t step = text_utf8_next(name + at, len - at, &code);
        fine = step > 0 && code >= 0x20 && code != 0x7F;
        at += step;
    }
    if (!fine)
        return spec_fail(l, place, "guard.rules", "a name is at most 64 bytes of one line");
    for (size_t i = 0; i < g->rule_count; i++)
        if (strcmp(g->rules[i].name, name) == 0)
            return spec_fail(l, place, "guard.rules", "there are two rules called \"%s\"",
                             spec_quote(l, name));
    return true;
}

static bool load_rule(struct spec_loader *l, const struct yaml_node *node, struct spec_guard *g)
{
    struct rule_draft draft = {.clear_ns = -1};
    if (!spec_bind(l, node, "guard.rules", &spec_guard_rule_section, (struct spec_extra){0},
                   &draft) ||
        !check_name(l, node, g, draft.rule.name))
        return false;
    struct spec_guard_rule rule = draft.rule;
    const char *where = arena_printf(l->arena, "guard.rules.%s", spec_quote(l, rule.name));
    rule.place = spec_place_of(node);
    rule.clear_ns = draft.clear_ns >= 0 ? draft.clear_ns : rule.for_ns;
    rule.at_least = (uint64_t)draft.at_least;
    if (!load_expr(l, g, draft.when, spec_join(l, where, "when"), &rule.when))
        return false;
    if (draft.until && (!load_expr(l, g, draft.until, spec_join(l, where, "until"), &rule.until) ||
                        !check_until(l, draft.until, spec_join(l, where, "until"), &rule)))
        return false;
    rule.service = find_service(g, rule.when);
    if (!check_count(l, g, where, &rule) ||
        !load_actions(l, draft.actions, spec_join(l, where, "do"), g, &rule))
        return false;
    g->rules[g->rule_count++] = rule;
    return true;
}

bool spec_load_guard_rules(struct spec_loader *l, const struct yaml_node *rules,
                           struct spec_guard *g)
{
    if (!rules || spec_yaml_is_null(rules))
        return true;
    if (rules->kind != YAML_LIST || rules->count > SPEC_RULES_MAX)
        return spec_fail(l, spec_place_of(rules), "guard.rules",
                         "must be a list of at most %d rules, as in [{name: slow, when: "
                         "\"%s.latency.p95 > 1s\"}]",
                         SPEC_RULES_MAX, l->study->services[0].name);
    g->rules = arena_array(l->arena, rules->count, sizeof *g->rules);
    for (const struct yaml_entry *e = rules->first; e; e = e->next)
        if (!load_rule(l, e->value, g))
            return false;
    return true;
}
