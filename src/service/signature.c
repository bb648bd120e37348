/* Signatures are plain substrings, tried line by line, with a rank per cause.
 *
 * Regular expressions were rejected: a substring can be read, is found in the engine's source, and
 * can't run away on hostile logs. The last line of a log was rejected as the reason: engines end
 * with "failed to start", and the first line that says why stands far above it. The first line
 * alone was rejected too: "no GPU found" comes early and harms nobody on a CPU box.
 *
 * Invariant: the cost is (bytes of the log) x (signatures), whatever the log holds. */
#include "service/signature.h"

#include "base/text.h"
#include "service/signature_common.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

static const char *const cause_names[CAUSE_COUNT_] = {
    [CAUSE_NONE] = "none",
    [CAUSE_OOM] = "out of memory",
    [CAUSE_OOM_HOST] = "killed by the kernel for memory",
    [CAUSE_REFUSED] = "setting refused",
    [CAUSE_PORT_BUSY] = "port busy",
    [CAUSE_MISSING_LIBRARY] = "missing library",
    [CAUSE_MISSING_WEIGHTS] = "missing weights",
    [CAUSE_BAD_WEIGHTS] = "unreadable weights",
    [CAUSE_CPU_FALLBACK] = "runs on the CPU",
    [CAUSE_PARTIAL_OFFLOAD] = "runs partly on the CPU",
    [CAUSE_START_RACE] = "memory changed while sizing",
    [CAUSE_DEVICE_LOST] = "device lost",
    [CAUSE_DISK_FULL] = "disk full",
    [CAUSE_GENERIC] = "failed, reason not said",
};

const char *signature_cause_name(enum signature_cause cause)
{
    return cause >= 0 && cause < CAUSE_COUNT_ ? cause_names[cause] : "unknown";
}

/* Lower is stronger evidence. */
static int cause_rank(enum signature_cause cause)
{
    switch (cause) {
    case CAUSE_GENERIC:
        return 2;
    case CAUSE_CPU_FALLBACK:
    case CAUSE_PARTIAL_OFFLOAD:
        return 1;
    default:
        return 0;
    }
}

struct line {
    const char *text;
    size_t len;
};

/* First number in the line: "35.5", "1,024" ends at the comma. */
static void copy_number(const char *at, const char *end, char *ret_number, size_t size)
{
    while (at < end && !isdigit((unsigned char)*at))
        at++;
    size_t len = 0;
    while (at + len < end && len + 1 < size &&
           (isdigit((unsigned char)at[len]) ||
            (at[len] == '.' && at + len + 1 < end && isdigit((unsigned char)at[len + 1]))))
        len++;
    memcpy(ret_number, at, len);
    ret_number[len] = '\0';
}

/* First word that starts with a dash and a letter or dash: what engines call an argument. */
static void copy_flag(const char *at, const char *end, char *ret_flag, size_t size)
{
    static const char stops[] = " \t\r\"'`:,;=()[]<>";
    const char *before = " ";
    while (at + 1 < end && !(*at == '-' && (isalpha((unsigned char)at[1]) || at[1] == '-') &&
                             strchr(stops, *before)))
        before = at++;
    size_t len = 0;
    if (at + 1 < end)
        while (at + len < end && len + 1 < size && isgraph((unsigned char)at[len]) &&
               !strchr(stops, at[len]))
            len++;
    memcpy(ret_flag, at, len);
    ret_flag[len] = '\0';
}

static const char *line_find(const struct line *line, const struct service_signature *signature)
{
    const char *at = text_find_nocase(line->text, line->len, signature->text);
    if (!at || (signature->also && !text_find_nocase(line->text, line->len, signature->also)))
        return NULL;
    const char *after = at + strlen(signature->text);
    size_t rest = (size_t)(line->text + line->len - after);
    return !signature->holds || signature->holds(after, rest) ? after : NULL;
}

struct scan {
    const char *log;
    const struct service_signature *tables[2]; /* the engine's own (or NULL), the common one */
    int rank;                                  /* of *match; 3: none yet */
    struct signature_match match;
};

/* Keeps the line's strongest meaning if it is stronger than all before. */
static void scan_line(struct scan *scan, const struct line *line)
{
    for (size_t t = 0; t < ARRAY_LEN(scan->tables); t++) {
        const struct service_signature *signature = scan->tables[t];
        for (; signature && signature->text; signature++) {
            if (cause_rank(signature->cause) >= scan->rank)
                continue;
            const char *after = line_find(line, signature);
            if (!after)
                continue;
            const char *end = line->text + line->len;
            scan->rank = cause_rank(signature->cause);
            scan->match = (struct signature_match){
                .signature = signature,
                .line_start = (size_t)(line->text - scan->log),
                .line_len = line->len,
            };
            copy_number(after, end, scan->match.number, sizeof scan->match.number);
            if (signature->cause == CAUSE_REFUSED)
                copy_flag(after, end, scan->match.flag, sizeof scan->match.flag);
        }
    }
}

bool signature_scan(const struct service_signature *own, const char *log, size_t len,
                    struct signature_match *ret_match)
{
    struct scan scan = {.log = log, .tables = {own, signature_common}, .rank = 3};
    size_t at = 0;
    while (at < len && scan.rank > 0) {
        const char *end = memchr(log + at, '\n', len - at);
        struct line line = {.text = log + at, .len = end ? (size_t)(end - log) - at : len - at};
        scan_line(&scan, &line);
        at += line.len + 1;
    }
    if (scan.rank == 3)
        return false;
    *ret_match = scan.match;
    return true;
}
