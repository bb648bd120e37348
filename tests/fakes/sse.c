/*
 * Server-sent events in every dress that servers were seen to give them.
 *
 * The idea: an event is made here and nowhere else, so that a variant (line ends, a missing space,
 * several data lines, keep-alives) is one bit that holds for every kind of answer. Recorded streams
 * were rejected: they can't be combined with each other, split at any byte, or timed.
 *
 * Invariant: with the empty set the form is the one of llama-server: `data: JSON` LF LF.
 */
#include "sse.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name, *help;
} variants[] = {
    [SSE_CRLF] = {"crlf", "lines end in CR LF"},
    [SSE_CR] = {"cr", "lines end in a bare CR, as the standard allows"},
    [SSE_BOM] = {"bom", "a byte order mark opens the stream"},
    [SSE_NO_SPACE] = {"no-space", "data:{...} without the space"},
    [SSE_PING] = {"ping", "comment lines (:, : ping, one behind id:) before and between data"},
    [SSE_EVENT_PING] = {"event-ping", "event: ping with data: {} before and between data"},
    [SSE_EMPTY_DATA] = {"empty-data", "events with an empty data: line"},
    [SSE_MULTI_DATA] = {"multi-data", "each event in several data: lines"},
    [SSE_HUGE] = {"huge", "the first content event carries 1 MiB"},
    [SSE_ERR_FIELD] = {"err-field", "error: {...} then [DONE], under HTTP 200"},
    [SSE_DATA_ERROR] = {"data-error",
                        "data: {\"error\":...} after half the tokens, under HTTP 200"},
    [SSE_REASONING] = {"reasoning", "the first half of the tokens as delta.reasoning"},
    [SSE_REASONING_CONTENT] = {"reasoning_content", "the same as delta.reasoning_content"},
    [SSE_REASONING_ONLY] = {"reasoning-only",
                            "with one of both: no content ever, finish by length"},
    [SSE_NO_USAGE] = {"no-usage", "no usage although include_usage asks for it"},
    [SSE_USAGE_EMPTY_CHOICES] = {"usage-empty-choices",
                                 "usage in a chunk with choices: [], always"},
    [SSE_USAGE_BESIDE_CHOICES] = {"usage-beside-choices", "usage in the finish chunk"},
    [SSE_USAGE_NULL] = {"usage-null", "\"usage\":null in every chunk before the last"},
    [SSE_NO_DONE] = {"no-done", "ends in good order after the finish chunk, without [DONE]"},
    [SSE_NO_DONE_OPEN] = {"no-done-open", "finish chunk, then silence with the socket open"},
    [SSE_TRUNCATED] = {"truncated", "ends after half the tokens: no finish_reason, no [DONE]"},
    [SSE_HALF_JSON] = {"half-json", "ends in the middle of an event after half the tokens"},
    [SSE_TAIL_NO_BLANK] = {"tail-no-blank", "data: [DONE] without any line end"},
    [SSE_CHUNKS] = {"chunks", "a transcript in pieces as vLLM's chunks with choices, then [DONE]"},
};
static_assert(sizeof(variants) / sizeof(variants[0]) == SSE_VARIANT_COUNT_, "one row per variant");
static_assert(SSE_VARIANT_COUNT_ <= 32, "the set is 32 bits");

static bool has(uint32_t set, enum sse_variant variant)
{
    return (set & SSE_BIT(variant)) != 0;
}

bool sse_set_parse(const char *text, uint32_t *io_set, const char **ret_bad, size_t *ret_bad_len)
{
    uint32_t set = *io_set;
    while (*text != '\0') {
        const size_t len = strcspn(text, ",");
        int found = -1;
        for (int i = 0; i < SSE_VARIANT_COUNT_; i++)
            if (strlen(variants[i].name) == len && strncmp(variants[i].name, text, len) == 0)
                found = i;
        if (found < 0) {
            *ret_bad = text;
            *ret_bad_len = len;
            return false;
        }
        set |= SSE_BIT(found);
        text += len + (text[len] == ',');
    }
    *io_set = set;
    return true;
}

void sse_help(FILE *out)
{
    for (int i = 0; i < SSE_VARIANT_COUNT_; i++)
        fprintf(out, "  %-22s %s\n", variants[i].name, variants[i].help);
}

static const char *line_end(uint32_t set)
{
    return has(set, SSE_CRLF) ? "\r\n" : has(set, SSE_CR) ? "\r" : "\n";
}

static void add_line(struct buf *out, uint32_t set, const char *name, const char *value, size_t len)
{
    buf_add_text(out, name);
    buf_add_text(out, has(set, SSE_NO_SPACE) ? ":" : ": ");
    buf_add(out, value, len);
    buf_add_text(out, line_end(set));
}

void sse_add_data(struct buf *out, uint32_t set, const char *json, size_t len)
{
    /* A JSON text may be broken wherever a comma separates members: every event that is made here
     * has its "id" there. */
    const char *mark = has(set, SSE_MULTI_DATA) ? strstr(json, ",\"id\"") : NULL;
    if (mark != NULL) {
        const size_t first = (size_t)(mark - json) + 1;
        add_line(out, set, "data", json, first);
        add_line(out, set, "data", json + first, len - first);
    } else {
        add_line(out, set, "data", json, len);
    }
    buf_add_text(out, line_end(set));
}

void sse_add_field(struct buf *out, uint32_t set, const char *name, const char *value)
{
    add_line(out, set, name, value, strlen(value));
    buf_add_text(out, line_end(set));
}

void sse_add_noise(struct buf *out, uint32_t set, unsigned round)
{
    const char *eol = line_end(set);
    if (has(set, SSE_PING)) {
        if (round % 3 == 0)
            buf_printf(out, ":%s%s", eol, eol);
        else if (round % 3 == 1)
            buf_printf(out, ": ping%s%s", eol, eol);
        else
            buf_printf(out, "id: %u%s: ping%s%s", round, eol, eol, eol);
    }
    if (has(set, SSE_EVENT_PING))
        buf_printf(out, "event: ping%sdata: {}%s%s", eol, eol, eol);
    if (has(set, SSE_EMPTY_DATA))
        buf_printf(out, "data:%s%s%s", round % 2 == 0 ? "" : " ", eol, eol);
}

void sse_add_done(struct buf *out, uint32_t set)
{
    if (has(set, SSE_TAIL_NO_BLANK))
        buf_add_text(out, has(set, SSE_NO_SPACE) ? "data:[DONE]" : "data: [DONE]");
    else
        sse_add_field(out, set, "data", "[DONE]");
}
