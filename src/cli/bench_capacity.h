/* bench --capacity. */
#pragma once

#include "bench/run.h"
#include "cli/command.h"

/* Instead of one run; `bench` has its setup and requirements. */
NODISCARD bool bench_capacity_run(const struct cli_args *args, struct bench_run *bench,
                                  struct arena *arena, int *ret_status, struct err *err);
