/* Facts to verdicts: one row per way in which a trial ends. What a row does not say is healthy: two
 * services, 100 requests answered, a quiet machine, a goal that is met. */
#pragma once

#include "check.h"
#include "trial/judge.h"

#include <math.h>
#include <signal.h>

#define SIGNATURE(name, c, words)                                                                  \
    static const struct service_signature name = {.text = "x", .cause = (c), .meaning = (words)}
#define MATCH(name) .has_match = true, .match = {.signature = &(name)}, .match_line = "the line"
enum { UNKNOWN = -1 }; /* in rows: NaN */
#define VALUE_OR(v, other) ((v) == UNKNOWN ? NAN : (v) == 0 ? (other) : (v))
struct facts {
    bool not_measured, failed_on_errors;
    struct judge_service a, b;
    double contention, lateness_s, stall_s; /* 0: a quiet 2 %, 0.2 ms */
    const char *contenders, *worker_failure, *readings_failure, *harmed;
    const char *dirty, *device_fault, *device_contention, *others_grew, *no_room, *neighbour_left;
    const char *failed; /* requirement, by service failed_service - 1 */
    int failed_service;
};

struct row {
    const char *name;
    struct facts facts;
    enum verdict verdict;
    int service;          /* index, -1: the whole */
    const char *summary;  /* words in it */
    const char *evidence; /* words in one of its rows; NULL */
    bool rules_out;
};

static inline void fill_service(struct judge_service *s, const char *name)
{
    s->name = name;
    s->exit_code = s->end == SERVICE_ENDED ? s->exit_code : -1;
    if (s->oom_kills == 0)
        s->oom_kills = -1;
    if (s->end == SERVICE_UP && s->requests == 0) {
        s->loaded = true;
        s->requests = s->ok = 100;
    }
    if (!s->last_line)
        s->last_line = "its last words";
    if (!s->detail)
        s->detail = "what was seen";
    if (s->wer_words == 0)
        s->wer = NAN;
    if (s->max_wer == 0)
        s->max_wer = NAN;
}

static inline struct judge_facts facts_of(const struct facts *row)
{
    struct judge_facts f = {
        .services = {row->a, row->b},
        .service_count = 2,
        .measured = !row->not_measured && row->a.end == SERVICE_UP && row->b.end == SERVICE_UP,
        .window_s = 30,
        .contention_ratio = VALUE_OR(row->contention, 0.02),
        .contention_bound = 0.10,
        .contenders = row->contenders,
        .harmed = row->harmed,
        .dirty = row->dirty,
        .device_fault = row->device_fault,
        .device_contention = row->device_contention,
        .others_grew = row->others_grew,
        .no_room = row->no_room,
        .neighbour_left = row->neighbour_left,
        .steal_ratio = 0.01,
        .lateness_p99_s = VALUE_OR(row->lateness_s, 0.0002),
        .lateness_bound_s = 0.001,
        .stall_p99_s = VALUE_OR(row->stall_s, 0.0002),
        .worker_failure = row->worker_failure,
        .readings_failure = row->readings_failure,
        .goal = {.fitness = row->failed ? 0 : 0.7,
                 .met = !row->failed,
                 .failed = row->failed,
                 .failed_on_errors = row->failed_on_errors,
                 .failed_service = row->failed_service - 1},
    };
    fill_service(&f.services[0], "stt");
    fill_service(&f.services[1], "llm");
    return f;
}

static inline bool has_evidence(const struct judgement *j, const char *words)
{
    for (size_t i = 0; i < j->evidence_count; i++)
        if (strstr(j->evidence[i].text, words))
            return true;
    return false;
}

static inline void judge_rows(const struct row *rows, size_t count, bool reached[VERDICT_COUNT_])
{
    for (size_t r = 0; r < count; r++) {
        const struct row *row = &rows[r];
        AUTO(arena_free) struct arena *arena = arena_new();
        struct judge_facts facts = facts_of(&row->facts);
        struct judgement j = judge_trial(&facts, arena);
        reached[j.verdict] = true;
        CHECK_ROW_TEXT(r, row->name, verdict_facts(j.verdict)->name,
                       verdict_facts(row->verdict)->name);
        CHECK_ROW(r, row->name, j.service == row->service);
        CHECK_ROW(r, row->name, j.summary);
        if (!strstr(j.summary, row->summary) || (!*row->summary && *j.summary))
            fail_msg("row %zu (%s): summary is \"%s\"", r, row->name, j.summary);
        CHECK_ROW(r, row->name, !strchr(j.summary, '\n'));
        CHECK_ROW(r, row->name, !row->evidence || has_evidence(&j, row->evidence));
        CHECK_ROW(r, row->name, j.rules_out == row->rules_out);
        CHECK_ROW(r, row->name, verdict_facts(j.verdict)->has_fitness == !isnan(j.fitness));
        CHECK_ROW(r, row->name, j.verdict != VERDICT_SLOW || j.fitness == 0);
        CHECK_ROW(r, row->name, j.verdict != VERDICT_OK || j.fitness == 0.7);
        CHECK_ROW(r, row->name, j.verdict == VERDICT_OK || *j.summary);
    }
}
