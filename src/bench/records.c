/* AIPerf's request_latency and time_to_first_token start at the actual send, so ours of that name
 * do as well; what counts from the intended send stands beside them under "effective_". A time that
 * was never reached is left out, as there. */
#include "bench/records.h"

#include "base/clock.h"
#include "base/json.h"

#include <inttypes.h>
#include <math.h>

static json_t *quantity(double value, const char *unit)
{
    return json_pack("{s:f, s:s}", "value", value, "unit", unit);
}

static void add_ms(json_t *metrics, const char *name, int64_t from_ns, int64_t to_ns)
{
    if (from_ns >= 0 && to_ns >= 0)
        json_object_set_new(metrics, name,
                            quantity((double)(to_ns - from_ns) / (double)NS_PER_MS, "ms"));
}

static void add_count(json_t *metrics, const char *name, int64_t count, const char *unit)
{
    if (count >= 0)
        json_object_set_new(metrics, name,
                            json_pack("{s:I, s:s}", "value", (json_int_t)count, "unit", unit));
}

static json_t *wall_ns(int64_t at_ns, int64_t offset_ns)
{
    return at_ns < 0 ? json_null() : json_integer(at_ns + offset_ns);
}

static json_t *metadata_of(const struct load_record *r, int64_t offset_ns)
{
    char conversation[32]; /* there it is a name, of what was sent */
    snprintf(conversation, sizeof conversation, r->made ? "made_%06" PRIu32 : "item_%06" PRIu32,
             r->made ? r->session : r->item);
    return json_pack(
        "{s:s, s:I, s:i, s:o, s:o, s:o, s:o, s:s, s:b, s:o, s:b}", "conversation_id", conversation,
        "session_num", (json_int_t)r->session, "turn_index", (int)r->turn, "credit_issued_ns",
        wall_ns(r->intended_ns, offset_ns), "request_start_ns", wall_ns(r->sent_ns, offset_ns),
        "request_ack_ns", wall_ns(r->first_byte_ns, offset_ns), "request_end_ns",
        wall_ns(r->done_ns, offset_ns), "benchmark_phase",
        r->part == LOAD_WARMUP ? "warmup" : "profiling", "was_cancelled",
        r->error == LOAD_UNFINISHED, "item",
        r->made ? json_null() : json_integer((json_int_t)r->item), "held_back", r->held_back);
}

static json_t *gaps_of(const struct load_result *result)
{
    json_t *values = json_array();
    for (uint32_t g = 0; g < result->record.gap_count; g++)
        json_array_append_new(values, json_real((double)result->gaps_ns[g] / (double)NS_PER_MS));
    return json_pack("{s:o, s:s}", "value", values, "unit", "ms");
}

static json_t *metrics_of(const struct load_result *result)
{
    const struct load_record *r = &result->record;
    json_t *metrics = json_object();
    if (!r->held_back)
        add_ms(metrics, "lateness", r->intended_ns, r->sent_ns);
    if (r->error != LOAD_OK)
        return metrics;
    add_ms(metrics, "request_latency", r->sent_ns, r->done_ns);
    add_ms(metrics, "effective_latency", r->intended_ns, r->done_ns);
    add_ms(metrics, "time_to_first_token", r->sent_ns, r->first_token_ns);
    add_ms(metrics, "effective_time_to_first_token", r->intended_ns, r->first_token_ns);
    add_ms(metrics, "time_to_first_output_token", r->sent_ns, r->first_content_ns);
    add_ms(metrics, "effective_time_to_first_output_token", r->intended_ns, r->first_content_ns);
    if (r->tokens > 1 && r->first_token_ns >= 0) /* its mean, by tokens and not by events */
        json_object_set_new(metrics, "inter_token_latency",
                            quantity((double)(r->done_ns - r->first_token_ns) /
                                         (double)(r->tokens - 1) / (double)NS_PER_MS,
                                     "ms"));
    if (r->gap_count > 0) {
        add_ms(metrics, "time_to_second_token", 0, result->gaps_ns[0]);
        json_object_set_new(metrics, "inter_chunk_latency", gaps_of(result));
    }
    add_count(metrics, "output_sequence_length", r->tokens, "tokens");
    add_count(metrics, "input_sequence_length", r->prompt_tokens, "tokens");
    add_count(metrics, "response_bytes", r->bytes, "bytes");
    if (r->audio_s > 0)
        json_object_set_new(metrics, "audio_duration", quantity(r->audio_s, "s"));
    return metrics;
}

static json_t *error_of(const struct load_result *result)
{
    const struct load_record *r = &result->record;
    if (r->error == LOAD_OK)
        return json_null();
    json_t *error = json_pack("{s:s, s:o}", "type", load_error_name(r->error), "message",
                              json_text_or_null(result->text ? result->text : ""));
    if (r->http_status)
        json_object_set_new(error, "code", json_integer(r->http_status));
    return error;
}

bool bench_records_write(FILE *file, const struct load_result *result, int64_t wall_offset_ns)
{
    AUTO_JSON json_t *line =
        json_pack("{s:o, s:o, s:o}", "metadata", metadata_of(&result->record, wall_offset_ns),
                  "metrics", metrics_of(result), "error", error_of(result));
    AUTO(free) char *text = json_dump_text(line);
    return fprintf(file, "%s\n", text) > 0;
}
