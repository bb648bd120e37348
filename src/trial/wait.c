/* The one place where a trial waits. Services' keepers and the load worker are descriptors to
 * poll(2); readings and progress have due times. A trial's phases are straight-line code that calls
 * this, which reads better than a state machine spread over callbacks, and nothing here has to be
 * fast: sends are timed in the worker's own process. */
#include "trial/live.h"
#include "trial/watch.h"

#include "base/cancel.h"
#include "base/clock.h"

#include <math.h>
#include <poll.h>
#include <string.h>

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
    if (live_has_ended(attempt, ret_service))
        return true;
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
            watch_sample(attempt);
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
