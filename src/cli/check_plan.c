/* The load of a study, written down before anything runs: who wants to know what a shape does, or
 * whether a change of the file changed the load, reads it here or compares two of them.
 *
 * Rejected: a summary in numbers. The study file says those already. */
#include "cli/check_plan.h"

#include "load/ask.h"
#include "study/study.h"

#include <stdio.h>

enum { PLAN_REQUESTS_MAX = 100000, PLAN_BYTES_MAX = 256 << 20 };

bool cli_print_plan(const struct spec_study *study, const struct spec_candidate *candidate,
                    struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct corpus *corpora = NULL;
    if (!study_load_corpora(study, arena, &corpora, err))
        return err_wrap(err, "%s", study->path);
    struct load_plan *plan = arena_alloc(arena, sizeof *plan);
    plan->seed = study->seed;
    plan->salt = "trial 1 shared"; /* as the trial names its run */
    plan->warmup_ns = study->measure.warmup_ns;
    plan->window_ns = study->measure.window_ns;
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *service = &study->services[i];
        if (!service->load.given || plan->stream_count == LOAD_STREAMS_MAX)
            continue;
        struct load_stream *stream = &plan->streams[plan->stream_count++];
        *stream = load_stream_of(service->name, &service->load);
        stream->protocol = load_protocol_find(spec_candidate_protocol(study, candidate, i)->name);
        stream->corpus = &corpora[i];
    }
    AUTO(buf_done) struct buf text = BUF_INIT(PLAN_BYTES_MAX);
    load_plan_write(plan, PLAN_REQUESTS_MAX, &text);
    fputs(buf_text(&text), stdout);
    return true;
}
