/* `spica bench STUDY.yaml`: protocol and load of one of the study's services. */
#pragma once

#include "bench/setup.h"
#include "cli/command.h"

/* Fills what the study says and the command line does not. What it says in both is refused.
 * *ret_study is the caller's and has to outlive the setup. */
NODISCARD bool cli_bench_study(const struct cli_args *args, struct arena *arena,
                               struct spec_study **ret_study, struct bench_options *options,
                               struct err *err);
