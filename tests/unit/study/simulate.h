/* Whole studies without processes: what comes next is asked, a made-up machine answers, the answer
 * is appended as a stored row would be. */
#pragma once

#include "check.h"

#include "search/space.h"
#include "study/decide.h"
#include "study/history.h"
#include "study/plan.h"

struct sim_answer {
    enum verdict verdict;
    double fitness;
    const char *ruled_out;
};
/* How the trial `request` ends; `tries` counts the tries of its request, from 1. */
typedef struct sim_answer (*sim_machine)(void *context, const struct trial_request *request,
                                         spec_code code, int tries);

struct sim {
    struct arena *arena;
    struct spec_study *study;
    struct study_plan plan;
    struct history history;
    sim_machine machine;
    void *context;
    double trial_s;
};

static inline void sim_init(struct sim *sim, size_t services, const struct space_knob *knobs,
                            size_t knob_count, sim_machine machine, void *context)
{
    struct arena *arena = arena_new();
    *sim = (struct sim){.arena = arena, .machine = machine, .context = context, .trial_s = 10};
    sim->study = space_study(arena, services, knobs, knob_count);
    sim->plan.study = sim->study;
    sim->plan.codes = space_codes(sim->study, arena, &sim->plan.code_count);
}

static inline void sim_baseline(struct sim *sim, spec_code code)
{
    sim->plan.has_baseline = true;
    sim->plan.baseline = code;
}

static inline void sim_done(struct sim *sim)
{
    arena_free(sim->arena);
}

static inline struct study_step sim_next(struct sim *sim)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    return study_next(&sim->plan, &sim->history, scratch);
}

static inline void sim_append(struct sim *sim, const struct trial_request *request,
                              const struct sim_answer *answer)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, sim->study, &request->candidate);
    const struct store_trial row = {
        .number = request->number,
        .candidate = buf_text(&text),
        .purpose = request->purpose,
        .round = request->round,
        .repeat = request->repeat,
        .retry_of = request->retry_of,
        .workers = request->workers,
        .verdict = verdict_facts(answer->verdict)->name,
        .cold = true,
        .fitness = answer->fitness,
        .ruled_out = answer->ruled_out,
        .duration_s = sim->trial_s,
    };
    struct err err = ERR_INIT;
    if (!history_append(&sim->history, sim->study, &row, sim->arena, &err))
        fail_msg("%s", err.text);
}

/* One trial; false when there is nothing more to do. */
static inline bool sim_step(struct sim *sim)
{
    const struct study_step step = sim_next(sim);
    if (step.stage == STAGE_DONE)
        return false;
    assert_int_equal(step.request.number, sim->history.count + 1);
    int tries = 1;
    for (size_t i = 0; i < sim->history.count; i++)
        tries +=
            step.request.retry_of && (sim->history.trials[i].number == step.request.retry_of ||
                                      sim->history.trials[i].retry_of == step.request.retry_of);
    const struct sim_answer answer =
        sim->machine(sim->context, &step.request,
                     spec_candidate_code(sim->study, &step.request.candidate), tries);
    sim_append(sim, &step.request, &answer);
    return true;
}

static inline void sim_run(struct sim *sim)
{
    for (int i = 0; sim_step(sim); i++)
        if (i > 5000)
            fail_msg("the study does not end");
}

/* The decision; the caller owns it. */
static inline json_t *sim_decide(struct sim *sim, enum study_outcome *ret_outcome)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    json_t *decision = study_decide(&sim->plan, &sim->history, scratch, ret_outcome);
    return decision;
}
