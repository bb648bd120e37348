/* Pages of real servers, and the syntax that trips parsers of this format. */
#include "check.h"

#include "base/buf.h"
#include "service/engine_metrics.h"

#include <math.h>

#define NONE NAN
struct expected {
    double cache, preemptions, running, waiting, prompt, generation;
};

static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-12 * fabs(b);
}

static void check(size_t row, const char *name, const struct engine_metrics *m, struct expected e)
{
    if (!same(m->kv_cache_ratio, e.cache) || !same(m->preemptions, e.preemptions) ||
        !same(m->requests_running, e.running) || !same(m->requests_waiting, e.waiting) ||
        !same(m->prompt_tokens, e.prompt) || !same(m->generation_tokens, e.generation))
        fail_msg("row %zu (%s): %g %g %g %g %g %g", row, name, m->kv_cache_ratio, m->preemptions,
                 m->requests_running, m->requests_waiting, m->prompt_tokens, m->generation_tokens);
}

static void test_recordings(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        struct expected expected;
    } rows[] = {
        {"vllm/metrics.txt", {0, 0, 0, 0, 22, 48}},
        {"llama-server/metrics.txt", {NONE, NONE, 0, 0, 32, 24}},
        {"vllm/models.json", {NONE, NONE, NONE, NONE, NONE, NONE}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", RECORDINGS, rows[i].file);
        AUTO(buf_done) struct buf page = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].file, buf_read_file(&page, path, &err));
        struct engine_metrics metrics;
        engine_metrics_parse(buf_text(&page), page.len, &metrics);
        check(i, rows[i].file, &metrics, rows[i].expected);
    }
}

static void test_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *page;
        struct expected expected;
    } rows[] = {
        {"vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.25\n",
         {0.25, NONE, NONE, NONE, NONE, NONE}},
        {"vllm:kv_cache_usage_perc 9.75e-06", {9.75e-06, NONE, NONE, NONE, NONE, NONE}},
        /* Two engines: the fullest cache, the sum of the rest. */
        {"vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.75\n"
         "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n",
         {0.75, NONE, 7, NONE, NONE, NONE}},
        {"vllm:num_preemptions_created{engine=\"0\"} 1.75e+09\nvllm:num_preemptions 7\n"
         "vllm:prompt_tokens_total_created 1.75e+09\n",
         {NONE, NONE, NONE, NONE, NONE, NONE}},
        {"vllm:num_preemptions_created 1.75e+09\nvllm:num_preemptions_total 2\n",
         {NONE, 2, NONE, NONE, NONE, NONE}},
        {"vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9\nvllm:num_requests_waiting "
         "1\n",
         {NONE, NONE, NONE, 1, NONE, NONE}},
        /* Exemplars, time stamps, tabs, blank lines, carriage returns, the end mark. */
        {"\n\t\nvllm:generation_tokens_total{a=\"b\"}\t12 1795622811000 # {trace_id=\"x 99\"} 1 "
         "2\r\n"
         "# EOF\n",
         {NONE, NONE, NONE, NONE, NONE, 12}},
        {" vllm:prompt_tokens_total \t 5 # {t=\"1\"} 0.0013 1.66e+09\n",
         {NONE, NONE, NONE, NONE, 5, NONE}},
        {"vllm:prompt_tokens_total{model=\"a } \\\" 9\",b=\"\\\\\"} 6\n",
         {NONE, NONE, NONE, NONE, 6, NONE}},
        {"vllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} 9\n"
         "vllm:num_requests_running{le=\"+Inf\"} 2\n",
         {NONE, NONE, 2, NONE, NONE, NONE}},
        /* No data is no number. */
        {"vllm:kv_cache_usage_perc NaN\nvllm:num_requests_running +Inf\n"
         "vllm:num_requests_waiting -1\nvllm:num_preemptions_total x\nvllm:prompt_tokens_total\n",
         {NONE, NONE, NONE, NONE, NONE, NONE}},
        {"vllm:kv_cache_usage_perc NaN\nvllm:kv_cache_usage_perc 0.5\n",
         {0.5, NONE, NONE, NONE, NONE, NONE}},
        {"vllm:kv_cache_usage_perc 97\n", {NONE, NONE, NONE, NONE, NONE, NONE}},
        /* Cut off. */
        {"vllm:prompt_tokens_total{a=\"b", {NONE, NONE, NONE, NONE, NONE, NONE}},
        {"vllm:prompt_tokens_total{a=\"b\n\"} 4\nvllm:prompt_tokens_total 3",
         {NONE, NONE, NONE, NONE, 3, NONE}},
        {"# HELP vllm:prompt_tokens_total 7\n#vllm:prompt_tokens_total 7\n",
         {NONE, NONE, NONE, NONE, NONE, NONE}},
        {"", {NONE, NONE, NONE, NONE, NONE, NONE}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine_metrics metrics;
        engine_metrics_parse(rows[i].page, strlen(rows[i].page), &metrics);
        check(i, rows[i].page, &metrics, rows[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recordings),
        cmocka_unit_test(test_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
