/*
 * The endpoints that are not work: health, models, metrics, properties.
 *
 * The idea: a path is a row. What they say is what the real servers say (llama-server, vLLM,
 * whisper), including the lies: an engine that is dead behind a front that answers 200.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service.h"

typedef void (*control_fn)(struct service *service, struct http_conn *conn);

static const long long OLLAMA_SIZE = 190948608;
static const char json_type[] = "application/json; charset=utf-8";

static void send_buf(struct http_conn *conn, const char *type, struct buf *body)
{
    http_reply(conn, 200, type, body->data, body->len);
    buf_done(body);
}

static void health(struct service *service, struct http_conn *conn)
{
    static const char ok[] = "{\"status\":\"ok\"}";
    const bool loading = service->state == SERVICE_LOADING && !service->options->lie_ready;
    if (loading)
        service_refuse(conn, 503, "Loading model");
    else if (service->state == SERVICE_HUNG && service->hung_status != 200)
        service_refuse(conn, service->hung_status, "EngineDeadError");
    else
        http_reply(conn, 200, json_type, ok, sizeof(ok) - 1);
}

static void models(struct service *service, struct http_conn *conn)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"object\":\"list\",\"data\":[{\"id\":\"");
    buf_add_json(&body, service->options->model, strlen(service->options->model));
    buf_add_text(&body,
                 "\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"fake-service\"}]}");
    send_buf(conn, json_type, &body);
}

static void props(struct service *service, struct http_conn *conn)
{
    struct buf body = {0};
    const long slots = service->options->slots > 0 ? service->options->slots : 1;
    buf_printf(
        &body,
        "{\"default_generation_settings\":{\"n_ctx\":2048},\"total_slots\":%ld,\"model_path\":\"",
        slots);
    buf_add_json(&body, service->options->model, strlen(service->options->model));
    buf_add_text(&body, "\",\"build_info\":\"fake-1\"}");
    send_buf(conn, json_type, &body);
}

static void version(struct service *service, struct http_conn *conn)
{
    static const char body[] = "{\"version\":\"0.0.0-fake\"}";
    (void)service;
    http_reply(conn, 200, json_type, body, sizeof(body) - 1);
}

static void ollama_version(struct service *service, struct http_conn *conn)
{
    static const char body[] = "{\"version\":\"0.0.0-fake\"}";
    (void)service;
    http_reply(conn, 200, json_type, body, sizeof(body) - 1);
}

/* Of the one model, how much is in device memory: the layers that are said to be there, all of it
 * on a card that is seen, else nothing. */
static long long ollama_vram(const struct service *service)
{
    const char *layers = service->options->gpu_layers;
    if (service->gpu == NULL || service->gpu->uuid[0] == '\0')
        return 0;
    if (layers == NULL || strchr(layers, '/') == NULL)
        return OLLAMA_SIZE;
    const long on = strtol(layers, NULL, 10), of = strtol(strchr(layers, '/') + 1, NULL, 10);
    return of > 0 ? OLLAMA_SIZE * on / of : 0;
}

static void ollama_models(struct service *service, struct http_conn *conn)
{
    struct buf body = {0};
    buf_add_text(&body, "{\"models\":[{\"name\":\"");
    buf_add_json(&body, service->options->model, strlen(service->options->model));
    buf_add_text(&body, "\",\"model\":\"");
    buf_add_json(&body, service->options->model, strlen(service->options->model));
    buf_printf(&body, "\",\"size\":%lld,\"size_vram\":%lld,\"context_length\":4096}]}", OLLAMA_SIZE,
               ollama_vram(service));
    send_buf(conn, json_type, &body);
}

static void add_metric(struct buf *body, const char *name, const char *type, const char *labels,
                       double value)
{
    buf_printf(body, "# TYPE %s %s\n%s%s %.17g\n", name, type, name, labels, value);
}

static void add_odd_metrics(struct buf *body, const struct service *service)
{
    buf_printf(body,
               "\n# TYPE vllm:e2e_request_latency_seconds histogram\n"
               "vllm:e2e_request_latency_seconds_bucket{le=\"0.002\"} %ld # {trace_id=\"4bf92f\"} "
               "0.0013 1.66e+09\n"
               "vllm:e2e_request_latency_seconds_bucket{le=\"+Inf\"} %ld\n"
               "vllm:request_success_created{engine=\"0\",model_name=\"fake\"} 1.75e+09\n"
               "vllm:spec_decode_draft_acceptance_rate\t{engine=\"0\"}\tNaN\n\n",
               service->done, service->done);
}

static void metrics(struct service *service, struct http_conn *conn)
{
    static const char engine[] = "{engine=\"0\",model_name=\"fake\"}";
    struct buf body = {0};
    const bool old = strcmp(service->options->metrics_style, "old") == 0;
    const bool odd = strcmp(service->options->metrics_style, "odd") == 0;
    add_metric(&body, "fake_requests_total", "counter", "", (double)service->count);
    add_metric(&body, "fake_requests_failed_total", "counter", "", (double)service->failed);
    add_metric(&body, "fake_requests_busy", "gauge", "", (double)service->busy);
    add_metric(&body, "fake_requests_queued", "gauge", "", (double)service->queued);
    if ((service->options->kind & KIND_LLM) != 0) {
        add_metric(&body, "llamacpp:prompt_tokens_total", "counter", "",
                   (double)service->prompt_tokens);
        add_metric(&body, "llamacpp:tokens_predicted_total", "counter", "",
                   (double)service->tokens);
        add_metric(&body, "llamacpp:requests_processing", "gauge", "", (double)service->busy);
        add_metric(&body, "llamacpp:requests_deferred", "gauge", "", (double)service->queued);
        add_metric(&body, "vllm:num_requests_running", "gauge", engine, (double)service->busy);
        add_metric(&body, "vllm:num_requests_waiting", "gauge", engine, (double)service->queued);
        add_metric(&body, "vllm:request_success_total", "counter", engine, (double)service->done);
        add_metric(&body, "vllm:generation_tokens_total", "counter", engine,
                   (double)service->tokens);
        add_metric(&body, old ? "vllm:gpu_cache_usage_perc" : "vllm:kv_cache_usage_perc", "gauge",
                   engine, service->busy > 0 ? 9.75e-06 * (double)service->busy : 0);
    }
    if (odd)
        add_odd_metrics(&body, service);
    if (odd)
        buf_add_text(&body, "# EOF\n");
    send_buf(conn, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static const struct {
    const char *path;
    control_fn answer;
} controls[] = {
    {"/health", health},        {"/v1/health", health},       {"/v1/models", models},
    {"/models", models},        {"/metrics", metrics},        {"/props", props},
    {"/version", version},      {"/v2/health/ready", health}, {"/api/version", ollama_version},
    {"/api/ps", ollama_models}, {"/api/tags", ollama_models},
};

bool control_is_health(const struct http_conn *conn)
{
    return strcmp(conn->request.path, "/health") == 0;
}

bool control_answer(struct service *service, struct http_conn *conn)
{
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (strcmp(controls[i].path, conn->request.path) == 0) {
            controls[i].answer(service, conn);
            return true;
        }
    }
    return false;
}
