/* The one place where a trial waits. Services' keepers and the load worker are descriptors to
 * poll(2); readings and progress have due times. A trial's phases are straight-line code that calls
 * this, which reads better than a state machine spread over callbacks, and nothing here has to be
 * fast: sends are timed in the worker's own process. */
#include "trial/attempt.h"

#include "base/cancel.h"
#include "base/clock.h"

#include <math.h>
#include <poll.h>
#include <string.h>

/* Reading the PSS of a large tree makes the kernel walk its page tables (about 14 ms of CPU per
 * GiB): the pause grows with the cost, so that readings stay under half a percent of a core. */
static const int64_t SAMPLE_EVERY_NS = NS_PER_S;
static const int64_t SAMPLE_PAUSE_PER_COST = 200;
static const int64_t PROGRESS_EVERY_NS = NS_PER_S / 5;

void attempt_progress(struct attempt *attempt, enum trial_phase phase, const char *service,
                      double expected_s)
{
    attempt->progress.phase = phase;
    attempt->progress.service = service;
    attempt->progress.elapsed_s = 0;
    attempt->progress.expected_s = expected_s;
    attempt->progress_due_ns = 0;
}

static void sample_memory(struct attempt *attempt)
{
    struct trial_runner *runner = attempt->runner;
    int64_t begin_ns = clock_now_ns(), begin_cpu_ns = clock_cpu_ns();
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        if (!runner->services[i].process)
            continue;
        struct device_usage usage;
        device_usage(attempt_device(attempt, i),
                     service_process_status(runner->services[i].process)->keeper, &usage);
        double bytes = reading_value(usage.memory_bytes);
        double *peak = &attempt->peak_memory_bytes[i];
        if (!isnan(bytes) && !(*peak >= bytes))
            *peak = bytes;
    }
    int64_t pause_ns = SAMPLE_PAUSE_PER_COST * (clock_cpu_ns() - begin_cpu_ns);
    attempt->sample_due_ns = begin_ns + (pause_ns > SAMPLE_EVERY_NS ? pause_ns : SAMPLE_EVERY_NS);
}

static void keep_answer(struct attempt *attempt, const struct load_result *result)
{
    if (!attempt->answers)
        return;
    struct answer_list *list = &attempt->answers[result->record.stream];
    list->items = attempt_grow(attempt->arena, list->items, list->count, &list->capacity,
                               sizeof *list->items);
    struct trial_answer *answer = &list->items[list->count++];
    answer->record = result->record;
    answer->text = arena_strndup(attempt->arena, result->text, result->record.text_len);
    int64_t *gaps = arena_array(attempt->arena, result->record.gap_count, sizeof *gaps);
    if (result->record.gap_count)
        memcpy(gaps, result->gaps_ns, result->record.gap_count * sizeof *gaps);
    answer->gaps_ns = gaps;
}

/* True when the worker has ended. */
static bool drain_worker(struct attempt *attempt)
{
    struct load_result result;
    for (;;) {
        switch (load_worker_next(attempt->worker, &result)) {
        case LOAD_NEWS_RESULT:
            keep_answer(attempt, &result);
            break;
        case LOAD_NEWS_END:
            return true;
        case LOAD_NEWS_NONE:
            return false;
        }
    }
}

static void report_progress(struct attempt *attempt, int64_t since_ns, int64_t now_ns)
{
    const struct trial_options *options = &attempt->runner->options;
    attempt->progress_due_ns = now_ns + PROGRESS_EVERY_NS;
    attempt->progress.elapsed_s = (double)(now_ns - since_ns) / NS_PER_S;
    for (size_t s = 0; attempt->worker && attempt->answers && s < LOAD_STREAMS_MAX; s++) {
        size_t service = attempt->stream_service[s];
        if (service == SIZE_MAX)
            continue;
        struct load_progress p = load_worker_progress(attempt->worker, s);
        attempt->progress.loads[service] = (struct load_counts){p.answered, p.failed};
    }
    if (options->progress)
        options->progress(options->context, &attempt->progress);
}

static bool find_ended(struct attempt *attempt, size_t *ret_service)
{
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        struct service_process *process = attempt->runner->services[i].process;
        if (!process)
            continue;
        service_process_poll(process);
        if (service_process_status(process)->state != PROCESS_RUNNING) {
            *ret_service = i;
            return true;
        }
    }
    return false;
}

static size_t poll_set(struct attempt *attempt, struct pollfd *fds)
{
    size_t count = 0;
    for (size_t i = 0; i < attempt->study->service_count; i++)
        if (attempt->runner->services[i].process)
            fds[count++] = (struct pollfd){
                .fd = service_process_fd(attempt->runner->services[i].process), .events = POLLIN};
    if (attempt->worker)
        fds[count++] = (struct pollfd){.fd = load_worker_fd(attempt->worker), .events = POLLIN};
    return count;
}

enum wait_end attempt_wait(struct attempt *attempt, int64_t until_ns, size_t *ret_service)
{
    int64_t since_ns = clock_now_ns();
    for (;;) {
        if (cancel_level() != CANCEL_NONE)
            return WAIT_CANCEL;
        if (find_ended(attempt, ret_service))
            return WAIT_SERVICE;
        if (attempt->worker && drain_worker(attempt))
            return WAIT_WORKER;
        int64_t now_ns = clock_now_ns();
        if (now_ns >= until_ns)
            return WAIT_TIME;
        if (now_ns >= attempt->sample_due_ns)
            sample_memory(attempt);
        if (now_ns >= attempt->progress_due_ns)
            report_progress(attempt, since_ns, now_ns);

        int64_t wake_ns = until_ns;
        if (attempt->sample_due_ns < wake_ns)
            wake_ns = attempt->sample_due_ns;
        if (attempt->progress_due_ns < wake_ns)
            wake_ns = attempt->progress_due_ns;
        int64_t sleep_ns = wake_ns > now_ns ? wake_ns - now_ns : 0;
        struct timespec timeout = {.tv_sec = sleep_ns / NS_PER_S, .tv_nsec = sleep_ns % NS_PER_S};
        struct pollfd fds[SPEC_SERVICES_MAX + 1];
        size_t count = poll_set(attempt, fds);
        ppoll(fds, count, &timeout, NULL); /* EINTR is a signal: the loop looks at cancel_level() */
    }
}
