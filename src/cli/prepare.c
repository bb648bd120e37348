/* prepare: everything a study needs, fetched or checked before any trial. */
#include "cli/command.h"

#include "base/cancel.h"
#include "service/stray.h"
#include "study/study.h"

#include <stdio.h>

static const struct cli_option options[] = {
    {"check", 'c', NULL, "only check, fetch nothing"},
    {NULL, 0, NULL, NULL},
};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    cancel_install(); /* a fetch under way is ended, not orphaned */
    if (!service_init(err))
        return false;
    AUTO(spec_study_free) struct spec_study *study = NULL;
    if (!spec_study_load(args->arguments[0], cli_catalog(), &study, err))
        return false;
    AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
    if (!study_check_services(study, !cli_flag(&cli_prepare, args, "check"), &problems, err))
        return false;
    if (problems.len) {
        fputs(buf_text(&problems), stdout);
        return err_set(err, ERR_MISSING, "%s: not everything is there", study->path);
    }
    struct corpus *corpora = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    if (!study_load_corpora(study, arena, &corpora, err))
        return false;
    for (size_t i = 0; i < study->service_count; i++) {
        if (corpora[i].clip_count)
            printf("%-8s %zu clips%s\n", study->services[i].name, corpora[i].clip_count,
                   corpora[i].all_transcribed ? ", all with transcripts" : "");
        if (corpora[i].prompt_count)
            printf("%-8s %zu prompts\n", study->services[i].name, corpora[i].prompt_count);
    }
    printf("programs and weights of every setting are there\n");
    return true;
}

const struct cli_command cli_prepare = {
    .name = "prepare",
    .arguments = "STUDY.yaml",
    .arguments_min = 1,
    .arguments_max = 1,
    .help = "fetch or check weights and programs before any trial",
    .text = "Goes through every setting of every service. What an engine can fetch from a model "
            "hub is\n"
            "fetched now; trials themselves never download unless a service says allow_download.",
    .options = options,
    .run = run,
};
