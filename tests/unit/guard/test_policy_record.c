/* What tiers were chosen on, recorded and replayed: the same choices, word for word; another
 * requirement chooses otherwise; a whole day in one go. */
#include "check.h"

#include "guard/replay.h"
#include "judged.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"

#include <math.h>

#define MIB 1048576.0

static const char fronts[] =
    "  act: {notify: {}, restart: {per_hour: 4}}\n"
    "  rules:\n"
    "    - {name: slow, when: stt.latency.p95 > 300ms, for: 10s, do: [notify, restart]}\n"
    "  fronts:\n"
    "    stt:\n"
    "      port: 8089\n"
    "      keep: p95 < %s\n"
    "      up_after: 5s\n"
    "      tiers:\n"
    "        base: {unit: b.service, port: 8101, values: {model: base}}\n"
    "        tiny: {unit: t.service, port: 8102, values: {model: tiny}, resident: true}\n";

static struct judged *judged_with(const char *keep)
{
    char text[2048];
    snprintf(text, sizeof text, fronts, keep);
    return judged_new(text);
}

static void set_curves(struct policy_front *front)
{
    static const double most[] = {10, 100}, peaks[] = {800, 100};
    for (size_t t = 0; t < front->count; t++) {
        struct policy_tier *tier = &front->tiers[t];
        tier->peak_bytes = peaks[t] * MIB / 3; /* no round number */
        tier->curve.most_rps = most[t] + 1.0 / 3;
        policy_curve_add(&tier->curve, 0.2 * most[t], 0.1 / 3);
        policy_curve_add(&tier->curve, 0.9 * most[t], 0.9 / 3);
    }
}

/* ---- there and back ---- */

static double draw(struct rng *rng, bool may_be_unknown)
{
    const uint64_t kind = rng_below(rng, may_be_unknown ? 5 : 4);
    return kind == 0 ? 0 : kind == 4 ? NAN : rng_unit(rng) * (kind == 1 ? 1e10 : 30);
}

static void draw_input(struct policy_input *input, struct rng *rng)
{
    *input = (struct policy_input){.current = (int)rng_below(rng, 3) - 1,
                                   .rate_rps = draw(rng, true),
                                   .rate_low_rps = draw(rng, true),
                                   .rate_high_rps = draw(rng, true),
                                   .free_bytes = draw(rng, true),
                                   .owed_bytes = draw(rng, false),
                                   .promised_bytes = draw(rng, true),
                                   .others_start = rng_below(rng, 2),
                                   .others_stop = rng_below(rng, 2),
                                   .frozen = rng_below(rng, 2),
                                   .wish = (int)rng_below(rng, 3) - 1};
    for (size_t t = 0; t < 2; t++)
        input->tiers[t] = (struct policy_seen){.power = (enum policy_power)rng_below(rng, 4),
                                               .usable = rng_below(rng, 2),
                                               .resting = rng_below(rng, 2),
                                               .held_bytes = draw(rng, true),
                                               .in_flight = (double)rng_below(rng, 5),
                                               .waiting = (double)rng_below(rng, 5),
                                               .pinned_ratio = rng_unit(rng),
                                               .answers = rng_below(rng, 200),
                                               .over = rng_below(rng, 20),
                                               .latency_s = draw(rng, true),
                                               .mean_rps = draw(rng, true),
                                               .most_rps = draw(rng, true)};
}

static void goes_round(void **state)
{
    (void)state;
    struct judged *j = judged_with("500ms");
    struct rng rng = rng_init(3, "records");
    struct policy_records *then = calloc(1, sizeof *then), *now = calloc(1, sizeof *now);
    assert_true(then && now);
    then->study = now->study = j->study;
    for (int n = 0; n < 500; n++) {
        AUTO(buf_done) struct buf line = BUF_INIT(1 << 20), again = BUF_INIT(1 << 20);
        struct policy_record *record = &then->items[0];
        struct err err = ERR_INIT;
        memset(record, 0, sizeof *record);
        then->count = 1;
        draw_input(&record->input, &rng);
        record->sight = (enum policy_sight)rng_below(&rng, 2);
        record->undone = rng_below(&rng, 2);
        record->choice.tier = (int)rng_below(&rng, 3) - 1;
        record->choice.start = (int)rng_below(&rng, 3) - 1;
        record->choice.stop = (int)rng_below(&rng, 3) - 1;
        policy_input_round(&record->input, 2);
        policy_records_write(then, &line);
        struct guard_scan s = {.start = buf_text(&line),
                               .at = buf_text(&line),
                               .end = buf_text(&line) + line.len,
                               .err = &err};
        if (!policy_records_read(&s, now))
            fail_msg("%s in %s", err.text, buf_text(&line));
        assert_int_equal(now->count, 1);
        /* NaNs have several forms, and what is in the bytes is all that there is. */
        policy_records_write(now, &again);
        assert_string_equal(buf_text(&again), buf_text(&line));
        const struct policy_input *a = &record->input, *b = &now->items[0].input;
        assert_memory_equal(&a->owed_bytes, &b->owed_bytes, sizeof a->owed_bytes);
        assert_true(isnan(a->free_bytes) ? isnan(b->free_bytes) : a->free_bytes == b->free_bytes);
        assert_int_equal(a->tiers[1].answers, b->tiers[1].answers);
        assert_int_equal(a->tiers[0].power, b->tiers[0].power);
        assert_int_equal(a->current, b->current);
        assert_int_equal(record->undone, now->items[0].undone);
        assert_int_equal(record->choice.stop, now->items[0].choice.stop);
    }
    free(then);
    free(now);
    judged_free(j);
}

static void looks_so(void **state)
{
    (void)state;
    struct judged *j = judged_with("500ms");
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    struct policy_records *records = calloc(1, sizeof *records);
    assert_non_null(records);
    records->study = j->study;
    records->count = 1;
    records->items[0] = (struct policy_record){.input = {.current = 0,
                                                         .rate_rps = 2.5,
                                                         .rate_low_rps = NAN,
                                                         .rate_high_rps = NAN,
                                                         .free_bytes = NAN,
                                                         .wish = -1},
                                               .choice = {.tier = 1, .start = -1, .stop = 0}};
    for (size_t t = 0; t < 2; t++)
        records->items[0].input.tiers[t] = (struct policy_seen){.power = t ? POWER_ON : POWER_GOING,
                                                                .usable = t,
                                                                .held_bytes = NAN,
                                                                .in_flight = 3 * (double)t,
                                                                .latency_s = NAN,
                                                                .mean_rps = NAN,
                                                                .most_rps = NAN};
    j->tick.tiers = records;
    j->tick.values = j->values;
    j->tick.refusals[0] = (struct guard_refusal){.action = ACTION_RESTART, .service = 0};
    j->tick.refusals[1] = (struct guard_refusal){.action = ACTION_ROLLBACK, .service = -1};
    j->tick.refusal_count = 2;
    guard_tick_write(&j->tick, j->study->guard->metrics, j->study->guard->metric_count, &line);
    assert_string_equal(buf_text(&line),
                        "{\"t\":0.000000,\"m\":0,\"v\":{},\"r\":[{\"a\":\"restart\",\"s\":\"stt\"},"
                        "{\"a\":\"rollback\"}],\"p\":{\"stt\":{\"now\":\"base\",\"rate\":2.5,"
                        "\"wish\":-1,\"tiers\":{\"base\":{\"power\":\"going\"},\"tiny\":{"
                        "\"usable\":1,\"busy\":3}},\"to\":\"tiny\",\"stop\":\"base\"}}}");
    free(records);
    judged_free(j);
}

/* ---- a day, and what is chosen in it ---- */

struct live {
    struct judged *j;
    struct policy_front front;
    struct policy_state state;
    struct policy_records records;
    struct buf recording;
    struct policy_choice *choices; /* of each step; NULL: not kept */
    char *reasons;                 /* likewise, POLICY_REASON_SIZE each */
    size_t count;
};

static void keep_decision(void *context, const struct guard_decision *decision)
{
    (void)context;
    (void)decision;
}

/* Requests swing, memory is taken and given back, a tier comes and goes: as the policy says. */
static void live_input(struct live *live, struct rng *rng, int i, struct policy_input *input)
{
    const double rate = i / 200 % 3 == 1 ? 15 : 2;
    input->now_ns = (1000 + i) * NS_PER_S;
    input->rate_rps = rate * (0.8 + 0.4 * rng_unit(rng));
    input->rate_low_rps = 0.8 * input->rate_rps;
    input->rate_high_rps = 1.1 * input->rate_rps;
    input->free_bytes = (i / 700 % 2 ? 100 : 2000) * MIB * (1 + rng_unit(rng) / 3);
    input->owed_bytes = rng_below(rng, 5) ? 0 : 100 * MIB * rng_unit(rng);
    input->wish = rng_below(rng, 300) == 0 ? -1 : 0;
    input->frozen = i / 1000 % 5 == 4;
    for (size_t t = 0; t < 2; t++) {
        struct policy_seen *seen = &input->tiers[t];
        if (seen->power == POWER_COMING && rng_below(rng, 4) == 0)
            seen->power = POWER_ON;
        else if (seen->power == POWER_GOING && rng_below(rng, 4) == 0)
            seen->power = POWER_OFF;
        seen->usable = seen->power == POWER_ON;
        seen->held_bytes = seen->power == POWER_OFF ? NAN : live->front.tiers[t].peak_bytes;
        seen->in_flight = (double)rng_below(rng, 3);
        seen->answers = (int)t == input->current ? 20 + rng_below(rng, 30) : 0;
        seen->over = rng_below(rng, seen->answers / 10 + 1);
        seen->latency_s = (int)t == input->current ? rng_unit(rng) * 0.5 : NAN;
        seen->mean_rps = seen->most_rps = (int)t == input->current ? input->rate_rps : NAN;
    }
}

static void live_step(struct live *live, struct rng *rng, int i)
{
    static struct policy_input input;
    struct policy_record *record = &live->records.items[0];
    const struct policy_state before = live->state;
    if (i == 0) {
        memset(&input, 0, sizeof input);
        input.current = 1;
        input.tiers[1].power = POWER_ON;
    }
    live_input(live, rng, i, &input);
    policy_input_round(&input, 2);
    const bool blind = i / 150 % 20 == 19;
    struct policy_choice choice = blind ? policy_step_blind(&live->state, &live->front, &input)
                                        : policy_step(&live->state, &live->front, &input);
    *record = (struct policy_record){.input = input,
                                     .sight = blind ? POLICY_BLIND : POLICY_SEES,
                                     .undone = choice.switched && rng_below(rng, 4) == 0,
                                     .choice = choice};
    live->records.count = 1;
    if (live->choices) {
        live->choices[live->count] = choice;
        memcpy(live->reasons + live->count * POLICY_REASON_SIZE, choice.reason, POLICY_REASON_SIZE);
    }
    live->count++;
    if (record->undone) {
        live->state = before;
        return;
    }
    input.current = choice.tier;
    if (choice.start >= 0)
        input.tiers[choice.start].power = POWER_COMING;
    if (choice.stop >= 0)
        input.tiers[choice.stop].power = POWER_GOING;
}

static void play(struct live *live, int ticks)
{
    const struct spec_guard *g = live->j->study->guard;
    struct judged *j = live->j;
    struct rng rng = rng_init(11, "day");
    const struct policy_front *all[SPEC_FRONTS_MAX] = {&live->front};
    live->front = policy_front_of(&g->fronts[0]);
    live->state = policy_init();
    live->records.study = j->study;
    set_curves(&live->front);
    live->front.reserve_bytes = 200 * MIB; /* another front's */
    buf_add(&live->recording, GUARD_TICK_BEGINS "\n");
    policy_head_write(j->study, all, &live->recording);
    buf_addc(&live->recording, '\n');
    for (int i = 0; i < ticks; i++) {
        live_step(live, &rng, i);
        judged_set_count(j, "stt.latency.p95", i / 400 % 2 ? 0.5 : 0.1, 50);
        j->tick.values = j->values;
        j->tick.mono_ns = (1000 + i) * NS_PER_S;
        j->tick.wall_us = 1764000000000000 + i * INT64_C(1000000);
        j->tick.tiers = &live->records;
        guard_tick_write(&j->tick, g->metrics, g->metric_count, &live->recording);
        buf_addc(&live->recording, '\n');
        guard_judge_step(j->judge, &j->tick, keep_decision, NULL);
    }
    assert_false(live->recording.over);
}

struct compared {
    const struct live *live;
    size_t at, same;
};

static void compare(void *context, const struct policy_record *then,
                    const struct policy_choice *now)
{
    struct compared *c = context;
    const struct policy_choice *was = &c->live->choices[c->at];
    const char *reason = c->live->reasons + c->at * POLICY_REASON_SIZE;
    assert_int_equal(then->choice.tier, was->tier);
    c->same += was->tier == now->tier && was->start == now->start && was->stop == now->stop &&
               strcmp(reason, now->reason) == 0;
    c->at++;
}

static void replay(const struct live *live, const struct spec_study *study,
                   struct compared *compared, struct guard_replay_result *ret_result)
{
    AUTO(free) char *path = strdup("/tmp/spica-day-XXXXXX");
    struct err err = ERR_INIT;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(file_write_private(path, buf_text(&live->recording), live->recording.len, &err));
    const struct guard_replay_options how = {
        .study = study, .path = path, .tell_tier = compared ? compare : NULL, .context = compared};
    if (!guard_replay(&how, NULL, ret_result, &err))
        fail_msg("%s", err.text);
    unlink(path);
}

static void live_begin(struct live *live, int ticks, bool keeps)
{
    *live = (struct live){.j = judged_with("500ms"), .recording = BUF_INIT(128 << 20)};
    if (keeps) {
        live->choices = calloc((size_t)ticks, sizeof *live->choices);
        live->reasons = calloc((size_t)ticks, POLICY_REASON_SIZE);
        assert_true(live->choices && live->reasons);
    }
    play(live, ticks);
}

static void live_end(struct live *live)
{
    buf_done(&live->recording);
    free(live->choices);
    free(live->reasons);
    judged_free(live->j);
}

static void chooses_as_live(void **state)
{
    enum { TICKS = 6000 };
    (void)state;
    struct live *live = calloc(1, sizeof *live);
    struct guard_replay_result result;
    assert_non_null(live);
    live_begin(live, TICKS, true);
    struct compared compared = {.live = live};
    replay(live, live->j->study, &compared, &result);
    assert_int_equal(compared.at, TICKS);
    assert_int_equal(compared.same, TICKS);
    assert_int_equal(result.tier_steps, TICKS);
    assert_int_equal(result.tier_others, 0);
    assert_true(result.tier_choices > 30);
    /* Another requirement chooses otherwise, at each look from where it stood then. */
    struct judged *other = judged_with("20ms");
    replay(live, other->study, NULL, &result);
    assert_in_range(result.tier_others, 50, TICKS);
    judged_free(other);
    live_end(live);
    free(live);
}

/* As guard makes it in a day, once a second. How long it takes is the bench's to say. */
static void a_day(void **state)
{
    enum { TICKS = 86400 };
    (void)state;
    struct live *live = calloc(1, sizeof *live);
    struct guard_replay_result result;
    assert_non_null(live);
    live_begin(live, TICKS, false);
    replay(live, live->j->study, NULL, &result);
    assert_int_equal(result.ticks, TICKS);
    assert_int_equal(result.span_ns, (TICKS - 1) * NS_PER_S);
    assert_int_equal(result.tier_steps, TICKS);
    assert_int_equal(result.tier_others, 0);
    assert_in_range(result.alarms, TICKS / 800 - 2, TICKS / 800 + 2);
    live_end(live);
    free(live);
}

/* ---- other files ---- */

static void reads_as_far_as_it_goes(void **state)
{
    static const struct {
        const char *line, *error;
        size_t fronts;
    } rows[] = {
        {"{\"t\":1,\"m\":1}", NULL, 0}, /* from before there was any of it */
        {"{\"t\":1,\"m\":1,\"p\":{}}", NULL, 0},
        {"{\"t\":1,\"m\":1,\"p\":{\"gone\":{\"x\":[1,{}]},\"llm\":{}}}", NULL, 0},
        {"{\"t\":1,\"m\":1,\"p\":{\"stt\":{}}}", NULL, 1},
        {"{\"t\":1,\"m\":1,\"p\":{\"stt\":{\"new\":7,\"now\":\"gone\",\"tiers\":{\"gone\":{},"
         "\"base\":{\"new\":{},\"power\":\"odd\",\"answers\":1e300,\"over\":-4}}}}}",
         NULL, 1},
        {"{\"t\":1,\"m\":1,\"r\":[{\"a\":\"dance\"},{\"a\":\"restart\",\"s\":\"gone\"}]}", NULL, 0},
        {"{\"t\":1,\"m\":1,\"p\":7}", "column 18: \"{\" is expected", 0},
        {"{\"t\":1,\"m\":1,\"p\":{\"stt\":{\"rate\":\"a\"}}}", "column 33: a number is expected",
         0},
        {"{\"t\":1,\"m\":1,\"p\":{\"stt\":{\"rate\":1", "column 34: \"}\" is expected", 0},
        {"{\"t\":1,\"m\":1,\"r\":{}}", "column 18: \"[\" is expected", 0},
    };
    (void)state;
    struct judged *j = judged_with("500ms");
    struct policy_records *records = calloc(1, sizeof *records);
    assert_non_null(records);
    records->study = j->study;
    const struct spec_guard *g = j->study->guard;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        j->tick.tiers = records;
        bool ok = guard_tick_read(rows[i].line, strlen(rows[i].line), g->metrics, g->metric_count,
                                  j->values, &j->tick, &err);
        CHECK_ROW(i, rows[i].line, ok == !rows[i].error);
        if (!ok)
            CHECK_ROW_TEXT(i, rows[i].line, err.text, rows[i].error);
        else
            CHECK_ROW(i, rows[i].line, records->count == rows[i].fronts);
        CHECK_ROW(i, rows[i].line, j->tick.refusal_count == 0);
        const struct policy_seen *base = &records->items[0].input.tiers[0];
        if (strstr(rows[i].line, "1e300"))
            CHECK_ROW(i, "bounded", base->answers == 1000000 && base->over == 0);
    }
    free(records);
    judged_free(j);
}

static void reads_a_head(void **state)
{
    static const struct {
        const char *line, *error;
        double peak, reserve;
        size_t points;
    } rows[] = {
        {"{\"fronts\":{}}", NULL, NAN, 256 * MIB, 0},
        {"{\"fronts\":{\"gone\":{},\"stt\":{\"new\":1,\"tiers\":{\"gone\":{},\"base\":{\"new\":2}}}"
         "}}",
         NULL, NAN, 256 * MIB, 0},
        {"{\"fronts\":{\"stt\":{\"reserve\":7,\"tiers\":{\"base\":{\"peak\":5,\"curve\":[[1,2],"
         "[3,4]]}}}}}",
         NULL, 5, 7, 2},
        {"{\"fronts\":{\"stt\":{\"tiers\":{\"base\":{\"curve\":[[1]]}}}}}",
         "column 47: [rate, latency] is expected", 0, 0, 0},
        {"{\"fronts\":{}", "column 13: \"}\" is expected", 0, 0, 0},
        {"{\"fronts\":{}} x", "column 15: the end is expected", 0, 0, 0},
    };
    (void)state;
    struct judged *j = judged_with("500ms");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_front fronts_read[SPEC_FRONTS_MAX] = {
            policy_front_of(&j->study->guard->fronts[0])};
        struct err err = ERR_INIT;
        const char *line = rows[i].line;
        CHECK_ROW(i, line, policy_head_is(line, strlen(line)));
        bool ok = policy_head_read(line, strlen(line), j->study, fronts_read, &err);
        CHECK_ROW(i, line, ok == !rows[i].error);
        if (!ok) {
            CHECK_ROW_TEXT(i, line, err.text, rows[i].error);
            continue;
        }
        const struct policy_tier *base = &fronts_read[0].tiers[0];
        CHECK_ROW(i, line,
                  isnan(rows[i].peak) ? isnan(base->peak_bytes) : base->peak_bytes == rows[i].peak);
        CHECK_ROW(i, line, fronts_read[0].reserve_bytes == rows[i].reserve);
        CHECK_ROW(i, line, base->curve.count == rows[i].points);
    }
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_round),
        cmocka_unit_test(looks_so),
        cmocka_unit_test(chooses_as_live),
        cmocka_unit_test(a_day),
        cmocka_unit_test(reads_as_far_as_it_goes),
        cmocka_unit_test(reads_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
