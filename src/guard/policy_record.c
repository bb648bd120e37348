/* What choosing tiers was decided on, written and read.
 *
 * A recording holds inputs and not only choices: with choices alone nobody could ask what another
 * `keep:` had done, nor tell a right choice from a wrong one. State is not recorded, it follows
 * from the inputs; only what is not in them is: a choice that HAProxy was too busy for.
 *
 * Most of a tick's bytes would be zeros and unknowns, so both are left out: each field says in the
 * table which of the two it is without a word. Numbers are rounded to six digits before they are
 * decided on (policy_input_round), not when they are written.
 *
 * Rejected: positions instead of names. A person reads this file, and a later version adds a field.
 *
 * Invariant: what is written and read again is the same input, bit for bit; whatever the bytes,
 * numbers are finite or unknown, and counts are bounded. */
#include "guard/policy_record.h"

#include "guard/tick.h"

#include <math.h>
#include <string.h>

enum kind {
    KIND_KNOWN, /* double; left out: unknown */
    KIND_ZERO,  /* double; left out: 0. null: unknown */
    KIND_WHOLE, /* uint64_t; left out: 0 */
    KIND_SIGN,  /* int, -1 to 1; left out: 0 */
    KIND_TRUTH, /* bool; left out: false */
};
struct field {
    const char *name;
    size_t offset;
    enum kind kind;
};
static const double WHOLE_MAX = 1e6; /* of answers in a window: tier_load.c holds a thousand */

#define OF_RECORD(member) offsetof(struct policy_record, member)
static const struct field record_fields[] = {
    {"rate", OF_RECORD(input.rate_rps), KIND_KNOWN},
    {"least", OF_RECORD(input.rate_low_rps), KIND_KNOWN},
    {"most", OF_RECORD(input.rate_high_rps), KIND_KNOWN},
    {"free", OF_RECORD(input.free_bytes), KIND_KNOWN},
    {"owed", OF_RECORD(input.owed_bytes), KIND_ZERO},
    {"promised", OF_RECORD(input.promised_bytes), KIND_ZERO},
    {"wish", OF_RECORD(input.wish), KIND_SIGN},
    {"frozen", OF_RECORD(input.frozen), KIND_TRUTH},
    {"others_start", OF_RECORD(input.others_start), KIND_TRUTH},
    {"others_stop", OF_RECORD(input.others_stop), KIND_TRUTH},
    {"undone", OF_RECORD(undone), KIND_TRUTH},
};

#define OF_TIER(member) offsetof(struct policy_seen, member)
static const struct field tier_fields[] = {
    {"usable", OF_TIER(usable), KIND_TRUTH},     {"resting", OF_TIER(resting), KIND_TRUTH},
    {"held", OF_TIER(held_bytes), KIND_KNOWN},   {"busy", OF_TIER(in_flight), KIND_ZERO},
    {"waiting", OF_TIER(waiting), KIND_ZERO},    {"pinned", OF_TIER(pinned_ratio), KIND_ZERO},
    {"answers", OF_TIER(answers), KIND_WHOLE},   {"over", OF_TIER(over), KIND_WHOLE},
    {"latency", OF_TIER(latency_s), KIND_KNOWN}, {"mean", OF_TIER(mean_rps), KIND_KNOWN},
    {"busiest", OF_TIER(most_rps), KIND_KNOWN},
};

static const char *const powers[] = {[POWER_OFF] = "off",
                                     [POWER_COMING] = "coming",
                                     [POWER_ON] = "on", /* left out */
                                     [POWER_GOING] = "going"};

/* ---- the front ---- */

bool policy_front_chooses(const struct spec_front *spec)
{
    return spec->tier_count > 1 && !isnan(spec->limit_s) && spec->limit_s > 0;
}

struct policy_front policy_front_of(const struct spec_front *spec)
{
    struct policy_front front = {.count = spec->tier_count,
                                 .limit_s = spec->limit_s,
                                 .quantile = isnan(spec->quantile) ? 0.95 : spec->quantile,
                                 .reserve_bytes = (double)spec->reserve_bytes,
                                 .switches_per_minute = spec->switches_per_minute,
                                 .up_after_ns = spec->up_after_ns};
    for (size_t t = 0; t < spec->tier_count; t++) {
        const struct spec_tier *tier = &spec->tiers[t];
        front.tiers[t] = (struct policy_tier){
            .name = tier->name,
            .resident = tier->resident,
            .managed = tier->unit != NULL,
            .peak_bytes = tier->memory_bytes > 0 ? (double)tier->memory_bytes : NAN,
            .curve = {.most_rps = NAN},
        };
    }
    return front;
}

/* ---- rounding ---- */

static void round_fields(void *object, const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double *number = (double *)(void *)((char *)object + fields[i].offset);
        if (fields[i].kind == KIND_KNOWN || fields[i].kind == KIND_ZERO)
            *number = guard_tick_number(*number);
    }
}

void policy_input_round(struct policy_input *input, size_t tier_count)
{
    struct policy_record record = {.input = *input};
    round_fields(&record, record_fields, ARRAY_LEN(record_fields));
    for (size_t t = 0; t < tier_count; t++)
        round_fields(&record.input.tiers[t], tier_fields, ARRAY_LEN(tier_fields));
    *input = record.input;
}

/* ---- writing ---- */

static void add_name(struct buf *buf, const char *name)
{
    if (buf->len > 0 && buf_text(buf)[buf->len - 1] != '{')
        buf_addc(buf, ',');
    buf_addf(buf, "\"%s\":", name);
}

static void add_field(struct buf *buf, const void *object, const struct field *field)
{
    const void *at = (const char *)object + field->offset;
    const double *number = at;
    switch (field->kind) {
    case KIND_KNOWN:
    case KIND_ZERO:
        if (field->kind == KIND_KNOWN ? isnan(*number) : *number == 0)
            return;
        add_name(buf, field->name);
        if (isnan(*number))
            buf_add(buf, "null");
        else
            guard_tick_add_number(buf, *number);
        return;
    case KIND_WHOLE: {
        const uint64_t *whole = at;
        if (*whole == 0)
            return;
        add_name(buf, field->name);
        buf_addf(buf, "%llu", (unsigned long long)*whole);
        return;
    }
    case KIND_SIGN: {
        const int *sign = at;
        if (*sign == 0)
            return;
        add_name(buf, field->name);
        buf_addf(buf, "%d", *sign);
        return;
    }
    case KIND_TRUTH: {
        const bool *truth = at;
        if (!*truth)
            return;
        add_name(buf, field->name);
        buf_addc(buf, '1');
        return;
    }
    }
}

static void add_tier(struct buf *buf, const struct spec_front *front, const char *name, int t)
{
    if (t < 0 || t >= (int)front->tier_count)
        return;
    add_name(buf, name);
    buf_addf(buf, "\"%s\"", front->tiers[t].name);
}

static void add_record(struct buf *buf, const struct spec_front *front,
                       const struct policy_record *record)
{
    buf_addc(buf, '{');
    add_tier(buf, front, "now", record->input.current);
    if (record->sight == POLICY_BLIND) {
        add_name(buf, "blind");
        buf_addc(buf, '1');
    }
    for (size_t i = 0; i < ARRAY_LEN(record_fields); i++)
        add_field(buf, record, &record_fields[i]);
    add_name(buf, "tiers");
    buf_addc(buf, '{');
    for (size_t t = 0; t < front->tier_count; t++) {
        const struct policy_seen *seen = &record->input.tiers[t];
        add_name(buf, front->tiers[t].name);
        buf_addc(buf, '{');
        if (seen->power != POWER_ON) {
            add_name(buf, "power");
            buf_addf(buf, "\"%s\"", powers[seen->power]);
        }
        for (size_t i = 0; i < ARRAY_LEN(tier_fields); i++)
            add_field(buf, seen, &tier_fields[i]);
        buf_addc(buf, '}');
    }
    buf_addc(buf, '}');
    add_tier(buf, front, "to", record->choice.tier);
    add_tier(buf, front, "start", record->choice.start);
    add_tier(buf, front, "stop", record->choice.stop);
    buf_addc(buf, '}');
}

void policy_records_write(const struct policy_records *records, struct buf *buf)
{
    const struct spec_study *study = records->study;
    buf_addc(buf, '{');
    for (size_t i = 0; i < records->count; i++) {
        const struct spec_front *front = &study->guard->fronts[records->items[i].front];
        add_name(buf, study->services[front->service].name);
        add_record(buf, front, &records->items[i]);
    }
    buf_addc(buf, '}');
}

/* ---- reading ---- */

static bool read_field(struct guard_scan *s, void *object, const struct field *field)
{
    void *at = (char *)object + field->offset;
    double number = NAN;
    if (!guard_scan_known(s, &number))
        return false;
    const double bounded = isnan(number) ? 0 : fmax(-WHOLE_MAX, fmin(WHOLE_MAX, number));
    switch (field->kind) {
    case KIND_KNOWN:
    case KIND_ZERO:
        *(double *)at = number;
        break;
    case KIND_WHOLE:
        *(uint64_t *)at = bounded > 0 ? (uint64_t)bounded : 0;
        break;
    case KIND_SIGN:
        *(int *)at = (bounded > 0) - (bounded < 0);
        break;
    case KIND_TRUTH:
        *(bool *)at = bounded != 0;
        break;
    }
    return true;
}

static const struct field *find_field(const struct field *fields, size_t count,
                                      struct guard_span name)
{
    for (size_t i = 0; i < count; i++)
        if (guard_span_is(name, fields[i].name))
            return &fields[i];
    return NULL;
}

static void forget_fields(void *object, const struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].kind == KIND_KNOWN)
            *(double *)(void *)((char *)object + fields[i].offset) = NAN;
}

static int find_tier(const struct spec_front *front, struct guard_span name)
{
    for (size_t t = 0; t < front->tier_count; t++)
        if (guard_span_is(name, front->tiers[t].name))
            return (int)t;
    return -1;
}

/* Each member of a mapping by `read`, which takes its value. */
typedef bool (*read_member_fn)(struct guard_scan *s, struct guard_span key, void *context);
static bool read_mapping(struct guard_scan *s, read_member_fn read, void *context)
{
    struct guard_span key;
    if (!guard_scan_take(s, '{'))
        return guard_scan_fail(s, "\"{\" is expected");
    if (guard_scan_take(s, '}'))
        return true;
    do {
        if (!guard_scan_key(s, &key) || !read(s, key, context))
            return false;
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, '}') || guard_scan_fail(s, "\"}\" is expected");
}

static bool read_seen_member(struct guard_scan *s, struct guard_span key, void *context)
{
    struct policy_seen *seen = context;
    const struct field *field = find_field(tier_fields, ARRAY_LEN(tier_fields), key);
    struct guard_span word;
    if (!guard_span_is(key, "power"))
        return field ? read_field(s, seen, field) : guard_scan_skip(s);
    if (!guard_scan_text(s, &word))
        return false;
    for (int i = 0; i < (int)ARRAY_LEN(powers); i++)
        if (guard_span_is(word, powers[i]))
            seen->power = (enum policy_power)i;
    return true;
}

struct reading {
    const struct spec_study *study;
    const struct spec_front *front; /* that is being read */
    struct policy_record *record;
    struct policy_records *records;
    struct policy_front *policies, *policy; /* of the head */
};

static bool read_tier(struct guard_scan *s, struct guard_span key, void *context)
{
    const struct reading *r = context;
    int t = find_tier(r->front, key);
    return t < 0 ? guard_scan_skip(s)
                 : read_mapping(s, read_seen_member, &r->record->input.tiers[t]);
}

static bool read_record_member(struct guard_scan *s, struct guard_span key, void *context)
{
    const struct reading *r = context;
    struct policy_record *record = r->record;
    const struct {
        const char *name;
        int *tier;
    } names[] = {{"now", &record->input.current},
                 {"to", &record->choice.tier},
                 {"start", &record->choice.start},
                 {"stop", &record->choice.stop}};
    const struct field *field = find_field(record_fields, ARRAY_LEN(record_fields), key);
    double number = 0;
    struct guard_span word;
    if (field)
        return read_field(s, record, field);
    if (guard_span_is(key, "tiers"))
        return read_mapping(s, read_tier, context);
    if (guard_span_is(key, "blind")) {
        if (!guard_scan_known(s, &number))
            return false;
        record->sight = number != 0 ? POLICY_BLIND : POLICY_SEES;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (guard_span_is(key, names[i].name)) {
            if (!guard_scan_text(s, &word))
                return false;
            *names[i].tier = find_tier(r->front, word);
            return true;
        }
    return guard_scan_skip(s);
}

static int find_front(const struct spec_study *study, struct guard_span name)
{
    for (size_t f = 0; f < study->guard->front_count; f++) {
        const struct spec_front *front = &study->guard->fronts[f];
        if (policy_front_chooses(front) &&
            guard_span_is(name, study->services[front->service].name))
            return (int)f;
    }
    return -1;
}

static bool read_record(struct guard_scan *s, struct guard_span key, void *context)
{
    struct reading *r = context;
    int f = find_front(r->study, key);
    if (f < 0 || r->records->count >= SPEC_FRONTS_MAX)
        return guard_scan_skip(s);
    r->front = &r->study->guard->fronts[f];
    r->record = &r->records->items[r->records->count++];
    *r->record = (struct policy_record){.front = (size_t)f,
                                        .input = {.current = -1},
                                        .choice = {.tier = -1, .start = -1, .stop = -1}};
    forget_fields(r->record, record_fields, ARRAY_LEN(record_fields));
    for (size_t t = 0; t < r->front->tier_count; t++) {
        r->record->input.tiers[t].power = POWER_ON;
        forget_fields(&r->record->input.tiers[t], tier_fields, ARRAY_LEN(tier_fields));
    }
    return read_mapping(s, read_record_member, r);
}

bool policy_records_read(struct guard_scan *s, struct policy_records *records)
{
    struct reading reading = {.study = records->study, .records = records};
    records->count = 0;
    return read_mapping(s, read_record, &reading);
}

/* ---- the line of its own ---- */

static const char head_begins[] = "{\"fronts\":";

bool policy_head_is(const char *line, size_t len)
{
    return len >= sizeof head_begins - 1 && memcmp(line, head_begins, sizeof head_begins - 1) == 0;
}

static void add_curve(struct buf *buf, const struct policy_tier *tier)
{
    buf_addc(buf, '{');
    if (!isnan(tier->peak_bytes)) {
        add_name(buf, "peak");
        guard_tick_add_number(buf, tier->peak_bytes);
    }
    if (!isnan(tier->curve.most_rps)) {
        add_name(buf, "most");
        guard_tick_add_number(buf, tier->curve.most_rps);
    }
    add_name(buf, "curve");
    buf_addc(buf, '[');
    for (size_t i = 0; i < tier->curve.count; i++) {
        buf_add(buf, i ? ",[" : "[");
        guard_tick_add_number(buf, tier->curve.points[i].rate_rps);
        buf_addc(buf, ',');
        guard_tick_add_number(buf, tier->curve.points[i].latency_s);
        buf_addc(buf, ']');
    }
    buf_add(buf, "]}");
}

void policy_head_write(const struct spec_study *study, const struct policy_front *const *fronts,
                       struct buf *buf)
{
    buf_addf(buf, "%s{", head_begins);
    for (size_t f = 0; f < study->guard->front_count; f++) {
        if (!fronts[f])
            continue;
        add_name(buf, study->services[study->guard->fronts[f].service].name);
        buf_addc(buf, '{');
        add_name(buf, "reserve");
        guard_tick_add_number(buf, fronts[f]->reserve_bytes);
        add_name(buf, "tiers");
        buf_addc(buf, '{');
        for (size_t t = 0; t < fronts[f]->count; t++) {
            add_name(buf, fronts[f]->tiers[t].name);
            add_curve(buf, &fronts[f]->tiers[t]);
        }
        buf_add(buf, "}}");
    }
    buf_add(buf, "}}");
}

static bool read_points(struct guard_scan *s, struct policy_curve *curve)
{
    double rate = 0, latency = 0;
    if (!guard_scan_take(s, '['))
        return guard_scan_fail(s, "\"[\" is expected");
    curve->count = 0;
    if (guard_scan_take(s, ']'))
        return true;
    do {
        if (!guard_scan_take(s, '[') || !guard_scan_number(s, &rate) || !guard_scan_take(s, ',') ||
            !guard_scan_number(s, &latency) || !guard_scan_take(s, ']'))
            return guard_scan_fail(s, "[rate, latency] is expected");
        policy_curve_add(curve, rate, latency);
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, ']') || guard_scan_fail(s, "\"]\" is expected");
}

static bool read_curve_member(struct guard_scan *s, struct guard_span key, void *context)
{
    struct policy_tier *tier = context;
    return guard_span_is(key, "peak")    ? guard_scan_known(s, &tier->peak_bytes)
           : guard_span_is(key, "most")  ? guard_scan_known(s, &tier->curve.most_rps)
           : guard_span_is(key, "curve") ? read_points(s, &tier->curve)
                                         : guard_scan_skip(s);
}

static bool read_head_tier(struct guard_scan *s, struct guard_span key, void *context)
{
    const struct reading *r = context;
    int t = find_tier(r->front, key);
    return t < 0 ? guard_scan_skip(s) : read_mapping(s, read_curve_member, &r->policy->tiers[t]);
}

static bool read_head_member(struct guard_scan *s, struct guard_span key, void *context)
{
    const struct reading *r = context;
    return guard_span_is(key, "reserve") ? guard_scan_known(s, &r->policy->reserve_bytes)
           : guard_span_is(key, "tiers") ? read_mapping(s, read_head_tier, context)
                                         : guard_scan_skip(s);
}

static bool read_head_front(struct guard_scan *s, struct guard_span key, void *context)
{
    struct reading *r = context;
    int f = find_front(r->study, key);
    if (f < 0)
        return guard_scan_skip(s);
    r->front = &r->study->guard->fronts[f];
    r->policy = &r->policies[f];
    *r->policy = policy_front_of(r->front);
    return read_mapping(s, read_head_member, context);
}

static bool read_head(struct guard_scan *s, struct guard_span key, void *context)
{
    return guard_span_is(key, "fronts") ? read_mapping(s, read_head_front, context)
                                        : guard_scan_skip(s);
}

bool policy_head_read(const char *line, size_t len, const struct spec_study *study,
                      struct policy_front *fronts, struct err *err)
{
    struct guard_scan s = {.start = line, .at = line, .end = line + len, .err = err};
    struct reading reading = {.study = study, .policies = fronts};
    if (memchr(line, '\0', len))
        return guard_scan_fail(&s, "a zero byte in it");
    return read_mapping(&s, read_head, &reading) &&
           (guard_scan_peek(&s) == '\0' || guard_scan_fail(&s, "the end is expected"));
}
