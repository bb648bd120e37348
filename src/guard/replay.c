/* A recording judged again: what would these rules have said to that day?
 *
 * Line by line through one buffer; nothing of the day is kept. The judge is the live one and sees
 * the same ticks, so its decisions are the same; where guard began anew in between (a line says so,
 * or the machine's steady clock runs backwards) the judge begins anew as it did then.
 *
 * Tiers are chosen again likewise, each front from the inputs that were recorded; what the study
 * told of its tiers stands in a line of its own. What was chosen then is shown beside it where it
 * differs: the study file may be another one now, or the recording begins in the middle.
 *
 * What became of actions back then (EVENT_ACTED), and when production came to run another setting,
 * is printed between the decisions: those belong to the day, whatever the rules say today. */
#include "guard/replay.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 20 }; /* and the longest line */

void guard_decision_print(const struct spec_study *study, const struct guard_decision *decision,
                          bool json, FILE *out)
{
    char when[32];
    if (!json) {
        AUTO(buf_done) struct buf safe = BUF_INIT(4096);
        text_add_escaped(&safe, TEXT_TERMINAL, decision->text, strlen(decision->text),
                         sizeof decision->text);
        fprintf(out, "%s  %-8s  %s\n", clock_format_wall(decision->wall_us, when, sizeof when),
                decision->from == STATE_ALARM && decision->to == STATE_ALARM
                    ? "still"
                    : guard_state_names[decision->to],
                buf_text(&safe));
        return;
    }
    AUTO_JSON json_t *actions = json_array(), *withheld = json_array();
    for (int i = 0; i < ACTION_COUNT_; i++) {
        if (decision->actions >> i & 1)
            json_array_append_new(actions, json_string(spec_action_names[i]));
        if (decision->withheld >> i & 1)
            json_array_append_new(withheld, json_string(spec_action_names[i]));
    }
    AUTO_JSON json_t *object = json_pack(
        "{s:s, s:f, s:o, s:o, s:s, s:s, s:O, s:O, s:o}", "is", "decision", "t",
        (double)decision->wall_us / 1e6, "rule", json_text_or_null(decision->rule), "service",
        json_text_or_null(decision->service >= 0 ? study->services[decision->service].name : NULL),
        "from", guard_state_names[decision->from], "to", guard_state_names[decision->to], "actions",
        actions, "withheld", withheld, "text", json_text_or_null(decision->text));
    AUTO(free) char *line = json_dump_text(object);
    fprintf(out, "%s\n", line);
}

struct replay {
    const struct guard_replay_options *options;
    FILE *out;
    struct guard_judge *judge;  /* owned */
    struct guard_value *values; /* owned */
    char *bytes;                /* owned; read and not judged yet */
    size_t len;
    uint64_t line;
    int64_t first_ns, last_ns;                     /* of this judge; -1: no tick yet */
    struct policy_records records;                 /* of the tick */
    struct policy_front policies[SPEC_FRONTS_MAX]; /* of the study's fronts */
    struct policy_state states[SPEC_FRONTS_MAX];
    struct guard_replay_result result;
};

static void tell(void *context, const struct guard_decision *decision)
{
    struct replay *r = context;
    r->result.decisions++;
    r->result.alarms += decision->to == STATE_ALARM && decision->from != STATE_ALARM;
    if (r->out)
        guard_decision_print(r->options->study, decision, r->options->json, r->out);
    if (r->options->tell)
        r->options->tell(r->options->context, decision);
}

static void tell_acted(struct replay *r, const struct guard_tick *tick)
{
    char when[32];
    for (size_t i = 0; i < tick->event_count && r->out && !r->options->json; i++) {
        AUTO(buf_done) struct buf safe = BUF_INIT(2048);
        if (tick->events[i].kind != EVENT_ACTED && tick->events[i].kind != EVENT_SETTING)
            continue;
        text_add_escaped(&safe, TEXT_TERMINAL, tick->events[i].text, strlen(tick->events[i].text),
                         sizeof tick->events[i].text);
        fprintf(r->out, "%s  %-8s  %s\n", clock_format_wall(tick->wall_us, when, sizeof when),
                "then", buf_text(&safe));
    }
}

/* ---- tiers ---- */

static const char *tier_name(const struct policy_front *front, int t)
{
    return t >= 0 && t < (int)front->count ? front->tiers[t].name : NULL;
}

static bool is_same(const struct policy_choice *a, const struct policy_choice *b)
{
    return a->tier == b->tier && a->start == b->start && a->stop == b->stop;
}

static void print_tier(const struct replay *r, const struct policy_record *then,
                       const struct policy_choice *now, int64_t wall_us)
{
    const struct spec_study *study = r->options->study;
    const struct policy_front *front = &r->policies[then->front];
    const char *service = study->services[study->guard->fronts[then->front].service].name;
    const bool same = is_same(&then->choice, now);
    char when[32];
    if (r->options->json) {
        AUTO_JSON json_t *object = json_pack(
            "{s:s, s:f, s:s, s:o, s:o, s:o, s:b, s:o}", "is", "tier", "t", (double)wall_us / 1e6,
            "service", service, "tier", json_text_or_null(tier_name(front, now->tier)), "start",
            json_text_or_null(tier_name(front, now->start)), "stop",
            json_text_or_null(tier_name(front, now->stop)), "as_then", same, "text",
            json_text_or_null(now->reason));
        AUTO(free) char *line = json_dump_text(object);
        fprintf(r->out, "%s\n", line);
        return;
    }
    AUTO(buf_done) struct buf safe = BUF_INIT(4096);
    text_add_escaped(&safe, TEXT_TERMINAL, now->reason, strlen(now->reason), sizeof now->reason);
    if (!same) {
        const char *tier = tier_name(front, then->choice.tier);
        const char *start = tier_name(front, then->choice.start);
        const char *stop = tier_name(front, then->choice.stop);
        buf_addf(&safe, "%s(then: %s", safe.len ? " " : "", tier ? tier : "no tier");
        if (start)
            buf_addf(&safe, ", %s started", start);
        if (stop)
            buf_addf(&safe, ", %s stopped", stop);
        buf_addc(&safe, ')');
    }
    fprintf(r->out, "%s  %-8s  %s: %s\n", clock_format_wall(wall_us, when, sizeof when), "tier",
            service, buf_text(&safe));
}

static void step_tier(struct replay *r, struct policy_record *then, const struct guard_tick *tick)
{
    const struct policy_front *front = &r->policies[then->front];
    struct policy_state *state = &r->states[then->front];
    const struct policy_state before = *state;
    then->input.now_ns = tick->mono_ns;
    const struct policy_choice now = then->sight == POLICY_SEES
                                         ? policy_step(state, front, &then->input)
                                         : policy_step_blind(state, front, &then->input);
    if (then->undone)
        *state = before;
    const bool chosen = now.switched || now.start >= 0 || now.stop >= 0;
    const bool same = is_same(&then->choice, &now);
    r->result.tier_steps++;
    r->result.tier_choices += chosen;
    r->result.tier_others += !same;
    /* A choice that differs is shown when it is made, not for as long as it lasts. */
    if (r->out && (now.reason[0] || (chosen && !same)))
        print_tier(r, then, &now, tick->wall_us);
    if (r->options->tell_tier)
        r->options->tell_tier(r->options->context, then, &now);
}

static void begin_tiers(struct replay *r)
{
    const struct spec_guard *g = r->options->study->guard;
    for (size_t f = 0; f < g->front_count; f++) {
        r->policies[f] = policy_front_of(&g->fronts[f]);
        r->states[f] = policy_init();
    }
}

/* ---- lines ---- */

static void begin_anew(struct replay *r)
{
    if (r->first_ns >= 0)
        r->result.span_ns += r->last_ns - r->first_ns;
    r->first_ns = r->last_ns = -1;
    guard_judge_free(r->judge);
    r->judge = guard_judge_new(r->options->study);
    for (size_t f = 0; f < SPEC_FRONTS_MAX; f++)
        r->states[f] = policy_init();
}

static bool take_line(struct replay *r, const char *line, size_t len, struct guard_tick *tick,
                      struct err *err)
{
    const struct spec_guard *g = r->options->study->guard;
    if (guard_tick_begins(line, len)) {
        begin_anew(r);
        return true;
    }
    if (policy_head_is(line, len))
        return policy_head_read(line, len, r->options->study, r->policies, err);
    tick->tiers = &r->records;
    if (!guard_tick_read(line, len, g->metrics, g->metric_count, r->values, tick, err))
        return false;
    if (tick->mono_ns < r->last_ns)
        begin_anew(r);
    if (r->first_ns < 0)
        r->first_ns = tick->mono_ns;
    r->last_ns = tick->mono_ns;
    r->result.ticks++;
    for (size_t i = 0; i < tick->refusal_count; i++)
        guard_judge_refused(r->judge, tick->refusals[i].action, tick->refusals[i].service);
    guard_judge_step(r->judge, tick, tell, r);
    tell_acted(r, tick);
    for (size_t i = 0; i < r->records.count; i++)
        step_tier(r, &r->records.items[i], tick);
    return true;
}

/* The whole lines of what has been read; the rest goes to the front. */
static bool take_lines(struct replay *r, struct guard_tick *tick, struct err *err)
{
    const char *at = r->bytes, *end = r->bytes + r->len;
    for (;;) {
        const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!stop)
            break;
        r->line++;
        if (stop > at && !take_line(r, at, (size_t)(stop - at), tick, err))
            return err_wrap(err, "%s:%llu", r->options->path, (unsigned long long)r->line);
        at = stop + 1;
    }
    r->len = (size_t)(end - at);
    memmove(r->bytes, at, r->len);
    return r->len < READ_BYTES ||
           err_set(err, ERR_INPUT, "%s:%llu: a line of over 1 MiB: this is no recording",
                   r->options->path, (unsigned long long)r->line + 1);
}

static bool read_lines(struct replay *r, FILE *file, struct err *err)
{
    AUTO(free) struct guard_tick *tick = calloc(1, sizeof *tick);
    if (!tick)
        abort();
    for (;;) {
        errno = 0;
        const size_t got = fread(r->bytes + r->len, 1, READ_BYTES - r->len, file);
        r->len += got;
        if (got == 0)
            return !ferror(file) || err_sys(err, "%s", r->options->path);
        if (!take_lines(r, tick, err))
            return false;
    }
}

bool guard_replay(const struct guard_replay_options *options, FILE *out,
                  struct guard_replay_result *ret_result, struct err *err)
{
    const bool standard = strcmp(options->path, "-") == 0;
    AUTO(fclose)
    FILE *file = standard ? fdopen(dup(STDIN_FILENO), "re") : fopen(options->path, "re");
    if (!file)
        return err_set(err, ERR_INPUT, "%s: %s", options->path, strerror(errno));
    struct replay r = {.options = options,
                       .out = out,
                       .first_ns = -1,
                       .last_ns = -1,
                       .records = {.study = options->study}};
    r.values = calloc(options->study->guard->metric_count + 1, sizeof *r.values);
    r.bytes = malloc(READ_BYTES);
    if (!r.values || !r.bytes)
        abort();
    begin_tiers(&r);
    begin_anew(&r);
    const bool ok = read_lines(&r, file, err);
    if (r.first_ns >= 0)
        r.result.span_ns += r.last_ns - r.first_ns;
    guard_judge_free(r.judge);
    free(r.values);
    free(r.bytes);
    if (ok)
        *ret_result = r.result;
    return ok;
}
