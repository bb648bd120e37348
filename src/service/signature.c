/* Signatures are plain substrings, tried line by line, with a rank per cause.
 *
 * Regular expressions were rejected: a substring can be read, is found in the engine's source, and
 * can't run away on hostile logs. The last line of a log was rejected as the reason: engines end
 * with "failed to start", and the first line that says why stands far above it. The first line
 * alone was rejected too: "no GPU found" comes early and harms nobody on a CPU box.
 *
 * Invariant: a log costs a few comparisons per byte, whatever it holds: half a MiB takes
 * milliseconds. */
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

enum { RANK_NONE = 3 };

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

/* Both tables as lists by the first letter of their texts, so that each byte of a log is compared
 * with the few texts that begin with it. */
enum { INDEX_MAX = 512 };
struct index_entry {
    const struct service_signature *signature;
    size_t len;
    int next;          /* -1: last */
    const char *asked; /* line for which `also_there` is known: asked once per line, not per hit */
    bool also_there;
};
struct index {
    struct index_entry entries[INDEX_MAX]; /* in order of preference within one line */
    int count;
    int first[256]; /* -1: none */
};

static void index_add(struct index *index, const struct service_signature *signature)
{
    for (; signature && signature->text && index->count < INDEX_MAX; signature++)
        index->entries[index->count++] = (struct index_entry){
            .signature = signature,
            .len = strlen(signature->text),
        };
}

static void index_build(struct index *index, const struct service_signature *own)
{
    index->count = 0;
    index_add(index, own);
    index_add(index, signature_common);
    for (size_t i = 0; i < ARRAY_LEN(index->first); i++)
        index->first[i] = -1;
    for (int i = index->count - 1; i >= 0; i--) {
        int *first = &index->first[tolower((unsigned char)index->entries[i].signature->text[0])];
        index->entries[i].next = *first;
        *first = i;
    }
}

static bool is_same(const char *at, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (tolower((unsigned char)at[i]) != tolower((unsigned char)text[i]))
            return false;
    return true;
}

struct line {
    const char *text, *end;
};

static bool line_has_also(const struct line *line, struct index_entry *entry)
{
    if (entry->asked != line->text) {
        size_t len = (size_t)(line->end - line->text);
        entry->asked = line->text;
        entry->also_there = text_find_nocase(line->text, len, entry->signature->also) != NULL;
    }
    return entry->also_there;
}

/* Does the entry's signature hold in this line, its text standing at `at`? */
static bool line_holds(const struct line *line, const char *at, struct index_entry *entry)
{
    const struct service_signature *signature = entry->signature;
    size_t rest = (size_t)(line->end - at);
    if (entry->len > rest || !is_same(at, signature->text, entry->len))
        return false;
    if (signature->also && !line_has_also(line, entry))
        return false;
    return !signature->holds || signature->holds(at + entry->len, rest - entry->len);
}

struct found {
    int entry; /* -1: nothing yet */
    int rank;
    const char *after;
    struct line line;
};

/* The line's strongest meaning, kept if it is stronger than all before. */
static void scan_line(struct index *index, const struct line *line, struct found *found)
{
    struct found best = {.entry = -1, .rank = found->rank};
    for (const char *at = line->text; at < line->end; at++)
        for (int i = index->first[tolower((unsigned char)*at)]; i >= 0;
             i = index->entries[i].next) {
            int rank = cause_rank(index->entries[i].signature->cause);
            bool better = rank < best.rank || (rank == best.rank && i < best.entry);
            if (better && line_holds(line, at, &index->entries[i]))
                best = (struct found){i, rank, at + index->entries[i].len, *line};
        }
    if (best.entry >= 0)
        *found = best;
}

bool signature_scan(const struct service_signature *own, const char *log, size_t len,
                    struct signature_match *ret_match)
{
    struct index index;
    index_build(&index, own);
    struct found found = {.entry = -1, .rank = RANK_NONE};
    const char *end = log + len;
    for (const char *at = log; at < end && found.rank > 0;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const struct line line = {at, newline ? newline : end};
        scan_line(&index, &line, &found);
        at = line.end + 1;
    }
    if (found.entry < 0)
        return false;
    struct signature_match match = {
        .signature = index.entries[found.entry].signature,
        .line_start = (size_t)(found.line.text - log),
        .line_len = (size_t)(found.line.end - found.line.text),
    };
    copy_number(found.after, found.line.end, match.number, sizeof match.number);
    if (match.signature->cause == CAUSE_REFUSED)
        copy_flag(found.after, found.line.end, match.flag, sizeof match.flag);
    signature_explain(log, len, (size_t)(found.after - log), &match);
    *ret_match = match;
    return true;
}
