/* bench --capacity: how much a running service can take.
 *
 * The exit status is for scripts: 0 when it can take anything at all, 3 when not even the smallest
 * level keeps what is required, 5 after ^C, with what was known until then. */
#include "cli/bench_capacity.h"

#include "base/cancel.h"
#include "bench/capacity.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static const char *given(const struct cli_args *args, const char *name)
{
    return cli_value(&cli_bench, args, name);
}

static bool read_capacity(const struct cli_args *args, struct bench_capacity_options *ret,
                          struct err *err)
{
    const char *of = given(args, "capacity"), *most = given(args, "up-to");
    ret->of = CAPACITY_OF_COUNT_;
    for (int i = 0; i < CAPACITY_OF_COUNT_; i++)
        if (strcmp(of, spec_capacity_of_name((enum spec_capacity_of)i)) == 0)
            ret->of = (enum spec_capacity_of)i;
    if (ret->of == CAPACITY_OF_COUNT_)
        return err_set(err, ERR_INPUT, "--capacity %.60s: must be concurrency or rate", of);
    if (given(args, "compare") || given(args, "records") || given(args, "requests"))
        return err_set(err, ERR_INPUT,
                       "--capacity does not go with --compare, --records or --requests");
    if (!most)
        return true;
    bool is = metric_parse_quantity(UNIT_PER_SECOND, most, &ret->most, NULL);
    if (!is || ret->most < (ret->of == CAPACITY_OF_RATE ? 0.01 : 1) ||
        ret->most > (ret->of == CAPACITY_OF_RATE ? 100000 : 10000) ||
        (ret->of == CAPACITY_OF_CONCURRENCY && ret->most != floor(ret->most)))
        return err_set(err, ERR_INPUT,
                       "--up-to %.60s: must be a number of clients, 1 to 10,000, or a rate, 0.01/s "
                       "to 100,000/s",
                       most);
    return true;
}

static void tell_level(void *context, const char *level)
{
    (void)context;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s ...", level);
}

bool bench_capacity_run(const struct cli_args *args, struct bench_run *bench, struct arena *arena,
                        int *ret_status, struct err *err)
{
    struct bench_capacity_options wanted = {.requirements = bench->requirements,
                                            .requirement_count = bench->requirement_count,
                                            .tell = tell_level};
    struct bench_capacity found;
    if (!read_capacity(args, &wanted, err))
        return false;
    cancel_install();
    if (wanted.requirement_count > 0 && !bench_probe(bench->setup, 1, &wanted.first_request, err))
        return false;
    bool ok = bench_capacity_find(bench->setup, &wanted, arena, &found, err);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (!ok)
        return false;
    *ret_status = found.stopped            ? err_exit_status(ERR_STOPPED)
                  : isnan(found.found.low) ? err_exit_status(ERR_INFEASIBLE)
                                           : 0;
    if (!cli_flag(&cli_bench, args, "json")) {
        bench_capacity_print(&found, stdout, cli_terminal(STDOUT_FILENO));
        return true;
    }
    AUTO_JSON json_t *json = bench_capacity_json(&found);
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
        return err_sys(err, "printing");
    putchar('\n');
    return true;
}
