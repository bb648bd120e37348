/* Arithmetic on one request's record. Every figure comes from two stamps of the monotonic clock,
 * and a stamp that was never taken (-1) makes it NaN: a failed request has no latency, and no mean
 * can be spoilt by one. Latency counts from the intended send, because a client that waits for a
 * slow answer before it sends the next request would hide exactly the delays that matter
 * ("coordinated omission"); the figure from the actual send is kept beside it for comparison. */
#include "load/record.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>

static const char *const error_names[LOAD_ERROR_COUNT_] = {
    [LOAD_OK] = "ok",
    [LOAD_CONNECT] = "connect",
    [LOAD_TLS] = "tls",
    [LOAD_CLOSED] = "closed",
    [LOAD_TIMEOUT] = "timeout",
    [LOAD_HTTP_STATUS] = "http_status",
    [LOAD_SERVER_ERROR] = "server_error",
    [LOAD_TRUNCATED] = "truncated",
    [LOAD_MALFORMED] = "malformed",
    [LOAD_EMPTY] = "empty",
    [LOAD_LIMIT] = "limit",
    [LOAD_UNFINISHED] = "unfinished",
    [LOAD_RELOAD] = "reload",
};

const char *load_error_name(enum load_error error)
{
    return (unsigned)error < LOAD_ERROR_COUNT_ ? error_names[error] : "unknown";
}

int load_error_from_name(const char *name)
{
    return text_index(error_names, LOAD_ERROR_COUNT_, name);
}

static double between_s(int64_t from_ns, int64_t to_ns)
{
    if (from_ns < 0 || to_ns < 0)
        return NAN;
    return (double)(to_ns - from_ns) / (double)NS_PER_S;
}

double load_latency_s(const struct load_record *record)
{
    return record->error == LOAD_OK ? between_s(record->intended_ns, record->done_ns) : NAN;
}

double load_service_s(const struct load_record *record)
{
    return record->error == LOAD_OK ? between_s(record->sent_ns, record->done_ns) : NAN;
}

double load_ttft_s(const struct load_record *record)
{
    return between_s(record->intended_ns, record->first_token_ns);
}

double load_content_s(const struct load_record *record)
{
    return between_s(record->intended_ns, record->first_content_ns);
}

double load_turn_s(const struct load_record *record)
{
    return record->error == LOAD_OK ? between_s(record->turn_start_ns, record->first_token_ns)
                                    : NAN;
}

double load_lateness_s(const struct load_record *record)
{
    return record->held_back ? NAN : between_s(record->intended_ns, record->sent_ns);
}

double load_share_inside(const struct load_record *r, const int64_t *gaps_ns, int64_t start_ns,
                         int64_t end_ns)
{
    if (r->first_token_ns < 0)
        return r->done_ns >= start_ns && r->done_ns < end_ns;
    int64_t at_ns = r->first_token_ns;
    double rest = (double)r->gaps_left_out;
    double inside = at_ns >= start_ns && at_ns < end_ns;
    for (uint32_t g = 0; gaps_ns && g < r->gap_count; g++) {
        at_ns += gaps_ns[g];
        inside += at_ns >= start_ns && at_ns < end_ns;
    }
    if (rest > 0 && r->last_token_ns > at_ns) {
        int64_t from_ns = at_ns > start_ns ? at_ns : start_ns;
        int64_t to_ns = r->last_token_ns < end_ns ? r->last_token_ns : end_ns;
        double part = (double)(to_ns - from_ns) / (double)(r->last_token_ns - at_ns);
        inside += rest * fmax(part, 0);
    } else if (rest > 0 && at_ns >= start_ns && at_ns < end_ns) {
        inside += rest;
    }
    return inside / ((double)r->gap_count + rest + 1);
}
