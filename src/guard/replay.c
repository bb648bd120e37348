/* A recording judged again: what would these rules have said to that day?
 *
 * Line by line through one buffer; nothing of the day is kept. The judge is the live one and sees
 * the same ticks, so its decisions are the same; where guard began anew in between (a line says so,
 * or the machine's steady clock runs backwards) the judge begins anew as it did then.
 *
 * What became of actions back then (EVENT_ACTED) is printed between the decisions: those belong to
 * the day, whatever the rules say today. */
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
    int64_t first_ns, last_ns; /* of this judge; -1: no tick yet */
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
        if (tick->events[i].kind != EVENT_ACTED)
            continue;
        text_add_escaped(&safe, TEXT_TERMINAL, tick->events[i].text, strlen(tick->events[i].text),
                         sizeof tick->events[i].text);
        fprintf(r->out, "%s  %-8s  %s\n", clock_format_wall(tick->wall_us, when, sizeof when),
                "then", buf_text(&safe));
    }
}

static void begin_anew(struct replay *r)
{
    if (r->first_ns >= 0)
        r->result.span_ns += r->last_ns - r->first_ns;
    r->first_ns = r->last_ns = -1;
    guard_judge_free(r->judge);
    r->judge = guard_judge_new(r->options->study);
}

static bool take_line(struct replay *r, const char *line, size_t len, struct guard_tick *tick,
                      struct err *err)
{
    const struct spec_guard *g = r->options->study->guard;
    if (guard_tick_begins(line, len)) {
        begin_anew(r);
        return true;
    }
    if (!guard_tick_read(line, len, g->metrics, g->metric_count, r->values, tick, err))
        return false;
    if (tick->mono_ns < r->last_ns)
        begin_anew(r);
    if (r->first_ns < 0)
        r->first_ns = tick->mono_ns;
    r->last_ns = tick->mono_ns;
    r->result.ticks++;
    guard_judge_step(r->judge, tick, tell, r);
    tell_acted(r, tick);
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
    AUTO(free) struct guard_tick *tick = malloc(sizeof *tick);
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
    struct replay r = {.options = options, .out = out, .first_ns = -1, .last_ns = -1};
    r.values = calloc(options->study->guard->metric_count + 1, sizeof *r.values);
    r.bytes = malloc(READ_BYTES);
    if (!r.values || !r.bytes)
        abort();
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
