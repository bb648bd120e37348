/* The order of a trial's phases, and nothing else: start, probe, load, alone, capacity, judge; then
 * stop.
 *
 * A phase that finds a service down ends the trial there: what is in attempt->facts by then is what
 * the judge sees. Our own failures travel as err and store nothing. */
#include "trial/watch.h"

#include "base/clock.h"
#include "base/rng.h"
#include "device/kernel_log.h"
#include "device/neighbour.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const int64_t ALONE_WARMUP_MAX_NS = 3 * NS_PER_S;

/* A program's name means those that were there before us: one that comes while we measure is no
 * part of what stays, whatever it is called. */
static void take_neighbours(struct trial_runner *runner)
{
    const struct trial_options *options = &runner->options;
    const struct spec_study *study = options->study;
    struct proc_stat self;
    bool known = proc_read_stat("/proc", options->root ? options->root : getpid(), &self);
    runner->neighbours = calloc(study->neighbour_count + 1, sizeof *runner->neighbours);
    if (!runner->neighbours)
        abort();
    for (size_t i = 0; i < study->neighbour_count; i++) {
        runner->neighbours[i] = study->neighbours[i];
        runner->neighbours[i].by_ticks = known && !options->any_neighbours ? self.start_ticks : 0;
    }
    for (size_t d = 0; options->neighbours_most_bytes && d < study->device_count; d++)
        runner->neighbours_most_bytes[d] = options->neighbours_most_bytes[d];
}

struct trial_runner *trial_runner_new(const struct trial_options *options)
{
    struct trial_runner *runner = calloc(1, sizeof *runner);
    if (!runner)
        abort();
    runner->options = *options;
    take_neighbours(runner);
    return runner;
}

struct trial_runner *trial_runner_free(struct trial_runner *runner)
{
    if (!runner)
        return NULL;
    struct arena *arena = arena_new();
    /* Memory-takers were started last: they go first. */
    for (size_t i = runner->options.study->service_count; i-- > 0;) {
        const char *left = NULL;
        attempt_stop_service(runner, i, arena, &left);
    }
    attempt_forget_versions(runner);
    arena_free(arena);
    free(runner->neighbours);
    free(runner);
    return NULL;
}

void attempt_init(struct attempt *attempt, struct trial_runner *runner,
                  const struct trial_request *request, struct arena *arena)
{
    const struct spec_study *study = runner->options.study;
    *attempt = (struct attempt){
        .runner = runner,
        .study = study,
        .request = request,
        .arena = arena,
        .started_ns = clock_now_ns(),
        .kernel_mark_s = device_kernel_mark(),
        .progress = {.number = request->number, .expected_s = NAN},
        .own_cpu_s = NAN,
        .worker_cpu_s = NAN,
        .lateness_p99_s = NAN,
        .stall_p99_s = NAN,
        .stall_max_s = NAN,
        .facts = {.service_count = study->service_count,
                  .contention_ratio = NAN,
                  .contention_bound = study->measure.contention_ratio,
                  .lateness_p99_s = NAN,
                  .stall_p99_s = NAN,
                  .lateness_bound_s = (double)study->measure.lateness_ns / NS_PER_S,
                  .steal_ratio = NAN},
    };
    for (size_t i = 0; i < study->service_count; i++) {
        attempt->facts.services[i] = (struct judge_service){
            .name = study->services[i].name,
            .exit_code = -1,
            .oom_kills = -1,
            .on = study->services[i].on,
            .by_request = study->services[i].by_request,
            .unchecked = study->services[i].answers_unchecked,
            .median_s = NAN,
            .silent_s = NAN,
            .wer = NAN,
            .max_wer = study->services[i].load.max_wer,
        };
        attempt->window_cpu_s[i] = NAN;
    }
}

struct device *attempt_device(const struct attempt *attempt, size_t i)
{
    return attempt->runner->options
        .devices[spec_candidate_device(attempt->study, &attempt->request->candidate, i)];
}

static void note_neighbours(struct attempt *attempt)
{
    const struct spec_study *study = attempt->study;
    attempt->neighbours =
        arena_array(attempt->arena, study->neighbour_count, sizeof *attempt->neighbours);
    for (size_t i = 0; i < study->neighbour_count; i++)
        attempt->neighbours[i].seen = device_neighbour_main(
            "/proc", &attempt->runner->neighbours[i], &attempt->neighbours[i].main);
}

/* Measured without the program that stays beside them, a setting wins that does not fit. Memory
 * held unseen has no process to look for. */
static void note_missing_neighbours(struct attempt *attempt)
{
    const struct spec_study *study = attempt->study;
    for (size_t i = 0; i < study->neighbour_count; i++) {
        const struct spec_neighbour *neighbour = &study->neighbours[i];
        if (attempt->neighbours[i].seen || neighbour->unseen_bytes > 0 ||
            attempt->facts.device_fault)
            continue;
        const char *name = neighbour->unit ? neighbour->unit
                           : neighbour->command
                               ? neighbour->command
                               : arena_printf(attempt->arena, "pid %" PRId64, neighbour->pid);
        attempt->facts.device_fault = arena_printf(
            attempt->arena,
            "declared neighbour %s is not running%s: start it again, or take it out of "
            "neighbours:",
            name,
            neighbour->command ? " (one that started after spica run counts from the "
                                 "next spica run on)"
                               : "");
    }
}

static void note_harm(struct attempt *attempt)
{
    const struct spec_study *study = attempt->study;
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    for (size_t i = 0; i < study->neighbour_count; i++) {
        const struct neighbour_seen *then = &attempt->neighbours[i];
        if (!then->seen || device_neighbour_lives("/proc", &then->main))
            continue;
        buf_addf(&text, "%s%s%sneighbour process %d (%s)", text.len ? ", " : "",
                 study->neighbours[i].unit ? study->neighbours[i].unit : "",
                 study->neighbours[i].unit ? ": " : "", (int)then->main.pid, then->main.comm);
    }
    attempt->facts.harmed = text.len ? arena_strdup(attempt->arena, buf_text(&text)) : NULL;
}

static bool start_all(struct attempt *attempt, bool *ret_up, struct err *err)
{
    int64_t started_ns = clock_now_ns();
    *ret_up = true;
    for (size_t i = 0; i < attempt->study->service_count && *ret_up; i++) {
        if (!attempt_start_service(attempt, i, ret_up, err))
            return false;
        /* Another that was up may have ended meanwhile. */
        for (size_t k = 0; k < attempt->study->service_count; k++)
            *ret_up = *ret_up && attempt->facts.services[k].end == SERVICE_UP;
    }
    attempt_phase(attempt, PHASE_START, started_ns, *ret_up ? NULL : "failed");
    if (*ret_up)
        watch_note_idle(attempt);
    return true;
}

static bool probe_all(struct attempt *attempt, bool *ret_answered, struct err *err)
{
    int64_t started_ns = clock_now_ns();
    *ret_answered = true;
    for (size_t i = 0; i < attempt->study->service_count && *ret_answered; i++) {
        if (!attempt->study->services[i].load.given)
            continue;
        if (!attempt_probe(attempt, i, ret_answered, err))
            return false;
        const struct judge_service *facts = &attempt->facts.services[i];
        if (!*ret_answered || facts->on != ON_GPU || facts->proof.placement == PLACEMENT_GPU)
            continue;
        *ret_answered = false;
        /* What becomes of it under that load is evidence as well, and no other verdict. */
        struct judge_facts before = attempt->facts;
        if (!attempt_measure_fallback(attempt, i, err))
            return false;
        attempt->facts = before;
    }
    attempt_phase(attempt, PHASE_PROBE, started_ns, *ret_answered ? NULL : "failed");
    return true;
}

/* Each loaded service alone, in an order drawn per trial. */
static bool load_alone(struct attempt *attempt, struct err *err)
{
    const struct spec_measure *measure = &attempt->study->measure;
    size_t order[SPEC_SERVICES_MAX], count = 0, loaded = 0;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        const struct spec_load *load = &attempt->study->services[i].load;
        loaded += load->given;
        if (load->given && !load->after) /* which has nothing to answer when it is alone */
            order[count++] = i;
    }
    if (loaded < 2 || measure->alone_ns == 0)
        return true;
    char stream[64];
    snprintf(stream, sizeof stream, "alone %" PRId64, attempt->request->number);
    struct rng rng = rng_init(attempt->study->seed, stream);
    rng_shuffle(&rng, order, count);
    for (size_t k = 0; k < count; k++) {
        struct load_window window = {
            .warmup_ns =
                measure->warmup_ns < ALONE_WARMUP_MAX_NS ? measure->warmup_ns : ALONE_WARMUP_MAX_NS,
            .window_ns = measure->alone_ns,
            .mode = "alone",
            .only = (int)order[k],
        };
        enum load_end end;
        if (!attempt_load(attempt, &window, &end, err))
            return false;
        if (end != LOAD_RAN)
            return true; /* the judge sees who ended */
    }
    return true;
}

static void add_value(struct attempt *attempt, size_t i, enum metric metric, double value)
{
    if (isnan(value))
        return;
    struct store_metric row = {.service = attempt->study->services[i].name,
                               .mode = "shared",
                               .metric = metric_facts(metric)->name,
                               .stat = "",
                               .value = value,
                               .low = NAN,
                               .high = NAN,
                               .count = 1};
    attempt_add_metric(attempt, &row);
}

void attempt_add_service_metrics(struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        const struct running *running = &attempt->runner->services[i];
        add_value(attempt, i, METRIC_MEMORY, running->peak_memory_bytes);
        add_value(attempt, i, METRIC_MEMORY_IDLE, running->idle_memory_bytes);
        add_value(attempt, i, METRIC_MEMORY_GROWTH, watch_growth(attempt, i));
        add_value(attempt, i, METRIC_HOST_MEMORY, running->peak_host_bytes);
        add_value(attempt, i, METRIC_CPU, attempt->window_cpu_s[i] / attempt->facts.window_s);
        add_value(attempt, i, METRIC_READY, running->ready_s);
        add_value(attempt, i, METRIC_FIRST_REQUEST, running->first_request_s);
    }
}

static bool all_up(const struct attempt *attempt)
{
    for (size_t i = 0; i < attempt->study->service_count; i++)
        if (attempt->facts.services[i].end != SERVICE_UP)
            return false;
    return true;
}

static bool measure(struct attempt *attempt, struct err *err)
{
    bool up = false, answered = false;
    watch_begin(attempt);
    if (attempt->facts.dirty || attempt->facts.device_fault)
        return true;
    if (!start_all(attempt, &up, err))
        return false;
    if (!up)
        return true;
    if (!probe_all(attempt, &answered, err))
        return false;
    if (!answered)
        return true;
    struct load_window window = {
        .warmup_ns = attempt->study->measure.warmup_ns,
        .window_ns = attempt->request->window_ns,
        .mode = "shared",
        .only = -1,
    };
    enum load_end end;
    if (!attempt_load(attempt, &window, &end, err))
        return false;
    if (end != LOAD_RAN || !attempt->facts.measured)
        return true;
    attempt_add_service_metrics(attempt);
    attempt->facts.goal =
        goal_evaluate(attempt->study, attempt->metrics, attempt->metric_count, attempt->arena);
    /* A window that was left has no times to hold against requirements: the check's word counts. */
    if (attempt->facts.left_early && !attempt->facts.goal.failed_on_errors)
        attempt->facts.goal = attempt->facts.left_goal;
    if (attempt->request->alone && !load_alone(attempt, err))
        return false;
    return !attempt->request->capacity || !all_up(attempt) || attempt_capacities(attempt, err);
}

bool trial_run(struct trial_runner *runner, const struct trial_request *request,
               struct arena *arena, struct store_trial *ret_trial, struct err *err)
{
    struct attempt *attempt = arena_alloc(arena, sizeof *attempt);
    attempt_init(attempt, runner, request, arena);
    note_neighbours(attempt);
    note_missing_neighbours(attempt);
    if (!measure(attempt, err))
        return false;
    if (!attempt->facts.measured || !all_up(attempt))
        watch_note_failure(attempt);
    note_harm(attempt);
    watch_end(attempt);
    struct judgement judgement = judge_trial(&attempt->facts, arena);
    attempt_finish_rows(attempt, &judgement, ret_trial);
    return true;
}

static bool keeps(const struct trial_runner *runner, const struct store_trial *trial,
                  const struct trial_request *next, size_t i)
{
    int verdict = verdict_from_name(trial->verdict);
    return next && !next->cold && verdict >= 0 &&
           verdict_facts((enum verdict)verdict)->has_fitness &&
           attempt_service_matches(runner, &next->candidate, i);
}

/* What was stopped must give its memory back before the next start: a server sizes itself by what
 * is free. Returns what is missing, or `survived`. */
static const char *await_memory(struct trial_runner *runner, struct arena *arena,
                                struct store_trial *trial, const char *survived)
{
    struct store_reading after[2 * SPEC_DEVICES_MAX];
    size_t count = 0;
    const char *missing = watch_await_memory(runner, arena, after, &count);
    struct store_reading *readings =
        arena_array(arena, trial->reading_count + count, sizeof *readings);
    if (trial->reading_count)
        memcpy(readings, trial->readings, trial->reading_count * sizeof *readings);
    if (count)
        memcpy(readings + trial->reading_count, after, count * sizeof *after);
    trial->readings = readings;
    trial->reading_count += count;
    return survived ? survived : missing;
}

void trial_finish(struct trial_runner *runner, const struct trial_request *next,
                  struct arena *arena, struct store_trial *trial)
{
    int64_t started_ns = clock_now_ns();
    const char *survived = NULL;
    bool stopped = false;
    for (size_t i = runner->options.study->service_count; i-- > 0;) {
        if (keeps(runner, trial, next, i))
            continue;
        const char *left = NULL;
        stopped = stopped || runner->services[i].process || runner->services[i].by_request;
        attempt_stop_service(runner, i, arena, &left);
        survived = left ? left : survived;
    }
    if (stopped)
        survived = await_memory(runner, arena, trial, survived);
    if (survived) {
        struct store_evidence *evidence =
            arena_array(arena, trial->evidence_count + 1, sizeof *evidence);
        if (trial->evidence_count)
            if (trial->evidence_count)
                memcpy(evidence, trial->evidence, trial->evidence_count * sizeof *evidence);
        evidence[trial->evidence_count] = (struct store_evidence){NULL, "stop", survived};
        trial->evidence = evidence;
        trial->evidence_count++;
        trial->verdict = verdict_facts(VERDICT_LEAK)->name;
        trial->summary = survived;
        trial->fitness = NAN;
    }
    double stop_s = (double)(clock_now_ns() - started_ns) / NS_PER_S;
    struct store_phase *phases = arena_array(arena, trial->phase_count + 1, sizeof *phases);
    if (trial->phase_count)
        if (trial->phase_count)
            memcpy(phases, trial->phases, trial->phase_count * sizeof *phases);
    phases[trial->phase_count] =
        (struct store_phase){trial_phase_name(PHASE_STOP), trial->duration_s, stop_s, NULL};
    trial->phases = phases;
    trial->phase_count++;
    trial->duration_s += stop_s;
}
