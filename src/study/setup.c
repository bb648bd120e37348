/* What a study needs before its first trial, checked all at once: corpora with transcripts where
 * they are asked for, programs and weights of every setting. A missing file found after an hour of
 * trials would have been found at the start. */
#include "study/study.h"

#include "base/clock.h"
#include "base/file.h"
#include "load/upstream.h"
#include "search/search.h"
#include "service/engine.h"
#include "service/launch.h"

#include <math.h>
#include <string.h>

enum { SETTINGS_MAX = 4096 }; /* distinct settings of one service looked at */

char *study_folder(const struct spec_study *study, const char *given)
{
    if (given)
        return file_join(".", given);
    AUTO(buf_done) struct buf name = BUF_INIT(4096);
    buf_addf(&name, "%s.spica", study->name);
    return file_join(study->folder, buf_text(&name));
}

char *study_store_path(const char *folder)
{
    return file_join(folder, "study.db");
}

static bool wants_wer(const struct spec_study *study, size_t service)
{
    for (size_t i = 0; i < study->metric_ref_count; i++)
        if (study->metric_refs[i].service == service && study->metric_refs[i].metric == METRIC_WER)
            return true;
    return false;
}

bool study_load_corpora(const struct spec_study *study, struct arena *arena,
                        struct corpus **ret_corpora, struct err *err)
{
    struct corpus *corpora = arena_array(arena, study->service_count, sizeof *corpora);
    for (size_t i = 0; i < study->service_count; i++) {
        const struct spec_service *service = &study->services[i];
        const struct spec_load *load = &service->load;
        if (!load->given)
            continue;
        const char *where = arena_printf(arena, "load.%s.", service->name);
        const char *key = NULL;
        if (load->api_key_env && !load_upstream_key(load->api_key_env, &key, err))
            return err_wrap(err, "%sapi_key_env", where);
        if (load->after)
            continue; /* what it sends is made from answers */
        if (!corpus_load(arena, where, load, &corpora[i], err))
            return false;
        if (wants_wer(study, i) && !corpora[i].all_transcribed)
            return err_set(err, ERR_INPUT,
                           "load.%s.corpus: %s.wer is asked for, but not every clip "
                           "of %s has a transcript",
                           service->name, service->name, load->corpus ? load->corpus : "(none)");
    }
    *ret_corpora = corpora;
    return true;
}

/* Walks the values of one service's knobs only: other services' settings do not change what it
 * needs. */
struct walk {
    const struct spec_study *study;
    size_t service;
    bool fetch;
    struct buf *problems;
    struct err *err;
    int visited;
};

/* Building the launch finds the program, and whatever else the candidate leaves out. */
static bool check_program(const struct walk *walk, const struct spec_candidate *candidate)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct service_launch launch;
    struct err missing = ERR_INIT;
    if (service_launch_build(arena, walk->study, candidate, walk->service, 0, NULL, "/nonexistent",
                             "/nonexistent", &launch, &missing)) {
        const struct spec_service *service = &walk->study->services[walk->service];
        const struct spec_protocol *protocol =
            spec_candidate_protocol(walk->study, candidate, walk->service);
        if (service->load.given && protocol && protocol->needs_model && !launch.model &&
            !spec_load_model(&service->load))
            buf_addf(walk->problems,
                     "service %s: %s needs the name of a model: give load.%s.model\n",
                     service->name, protocol->name, service->name);
        return true;
    }
    if (missing.code != ERR_MISSING && missing.code != ERR_INPUT) {
        *walk->err = missing;
        return false;
    }
    buf_addf(walk->problems, "%s\n", missing.text);
    return true;
}

struct values {
    const struct spec_study *study;
    const struct spec_candidate *candidate;
};

static struct expr_operand look_up_knob(const void *context, size_t id)
{
    const struct values *values = context;
    const struct spec_value *value = spec_candidate_value(values->study, values->candidate, id);
    if (!value)
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    return (struct expr_operand){.kind = isnan(value->number) ? EXPR_TEXT : EXPR_NUMBER,
                                 .number = value->number,
                                 .text = value->label};
}

/* What constraints within the service forbid is never started, so that nothing of it need be there.
 * Constraints across services say nothing here: the others' knobs are not walked. */
static bool is_forbidden(const struct walk *walk, const struct spec_candidate *candidate)
{
    const struct spec_study *study = walk->study;
    const struct values values = {study, candidate};
    for (size_t i = 0; i < study->constraint_count; i++) {
        const struct expr *expr = study->constraints[i].expr;
        bool own = true;
        for (size_t k = 0; k < study->knob_count; k++)
            own = own && (study->knobs[k].service == walk->service || !expr_uses(expr, k));
        if (own && expr_eval(expr, look_up_knob, &values) == EXPR_FALSE)
            return true;
    }
    return false;
}

static bool walk_values(struct walk *walk, struct spec_candidate *candidate, size_t knob)
{
    const struct spec_study *study = walk->study;
    while (knob < study->knob_count && study->knobs[knob].service != walk->service)
        candidate->index[knob++] = 0;
    if (knob < study->knob_count) {
        for (size_t v = 0; v < study->knobs[knob].value_count && walk->visited < SETTINGS_MAX;
             v++) {
            candidate->index[knob] = (int)v;
            if (!walk_values(walk, candidate, knob + 1))
                return false;
        }
        return true;
    }
    walk->visited++;
    struct spec_candidate checked = *candidate;
    struct err ignored = ERR_INIT; /* called for which knobs are active */
    (void)!spec_candidate_check(study, &checked, &ignored);
    if (is_forbidden(walk, &checked))
        return true;
    return check_program(walk, &checked) &&
           engine_prepare(study, &checked, walk->service, walk->fetch, walk->problems, walk->err);
}

/* The same file is missing for many settings: said once. */
static void add_unique_lines(struct buf *all, const char *lines)
{
    for (const char *line = lines; *line;) {
        const char *end = strchrnul(line, '\n');
        AUTO(free) char *one = strndup(line, (size_t)(end - line));
        if (one && *one && !strstr(buf_text(all), one))
            buf_addf(all, "%s\n", one);
        line = *end ? end + 1 : end;
    }
}

/* Looked at before the first start: without it every candidate would be refused alike. */
static void check_authorities(const struct spec_service *service, struct buf *problems)
{
    struct err missing = ERR_INIT;
    if (service->tls.ca && !load_upstream_check_ca(service->tls.ca, &missing))
        buf_addf(problems, "service %s: tls.ca: %s\n", service->name, missing.text);
}

bool study_check_services(const struct spec_study *study, bool fetch, struct buf *ret_problems,
                          struct err *err)
{
    for (size_t i = 0; i < study->service_count; i++) {
        AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
        struct walk walk = {study, i, fetch, &problems, err, 0};
        struct spec_candidate candidate = {0};
        if (!walk_values(&walk, &candidate, 0))
            return false;
        check_authorities(&study->services[i], &problems);
        add_unique_lines(ret_problems, buf_text(&problems));
    }
    return true;
}
