/* Small expressions of the study file: `when:` conditions, constraints across services,
 * requirements.
 *
 *     stt.threads + llm.threads <= 2       stt.server == faster-whisper-server and stt.threads > 1
 *     stt.latency.p95 < 500ms              not (a == b) or c != "two words"
 *
 * Grammar, loosest first: or; and; not; one comparison (== != < <= > >=, `in [a, b]`); + -; * /;
 * parentheses; names, numbers with units, words, "quoted text".
 *
 * A name or word is a letter, then letters, digits, ".", "_" and "-": "a-b" is one word, "a - b" a
 * subtraction. A word that the caller's resolver does not know is text where it is compared with a
 * variable that can have that value, and an error everywhere else.
 *
 * Three-valued: an operand may be unknown (a knob that is not active, a metric that could not be
 * measured), arithmetic and order comparisons with it or with text are unknown, and/or follow
 * Kleene. Pure; no allocation while evaluating. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum expr_kind { EXPR_UNKNOWN, EXPR_NUMBER, EXPR_TEXT, EXPR_TRUTH };
enum expr_truth { EXPR_FALSE, EXPR_TRUE, EXPR_MAYBE };

struct expr_operand {
    enum expr_kind kind;
    double number;    /* base units for quantities; 0 or 1 for EXPR_TRUTH */
    const char *text; /* borrowed; a number may carry how it is written, so that it can be
                       * compared with quoted text */
};

struct expr; /* opaque, in the arena */

/* What a name in an expression stands for, decided while parsing. */
enum expr_name { EXPR_NAME_VARIABLE, EXPR_NAME_WORD, EXPR_NAME_BAD };
/* What a value measures. Sums and comparisons of seconds, bytes or bytes a time with something else
 * are refused; TEXT is compared with == != and `in` only; ANY fits everything. */
enum expr_unit {
    EXPR_UNIT_ANY,
    EXPR_UNIT_PLAIN,
    EXPR_UNIT_SECONDS,
    EXPR_UNIT_BYTES,
    EXPR_UNIT_BYTE_RATE,
    EXPR_UNIT_TEXT
};

struct expr_names {
    void *context;
    /* Variables set *ret_id, which eval hands back to the lookup; a word is text as it stands;
     * BAD has set err ("there is no knob ...; did you mean ..."). */
    enum expr_name (*resolve)(void *context, const char *name, size_t *ret_id, struct err *err);
    /* Can this variable be this text at all? False sets err. NULL: anything goes. */
    bool (*check_word)(void *context, size_t id, const char *word, struct err *err);
    enum expr_unit (*unit)(void *context, size_t id); /* NULL: EXPR_UNIT_ANY */
};

/* Text of at most 4,096 bytes and 64 levels. Errors of syntax name the column within the text. */
NODISCARD bool expr_parse(struct arena *arena, const char *text, const struct expr_names *names,
                          struct expr **ret_expr, struct err *err);

typedef struct expr_operand (*expr_lookup)(const void *context, size_t id);
enum expr_truth expr_eval(const struct expr *expr, expr_lookup lookup, const void *context);

/* Left and right side of a top-level comparison, for messages ("612 ms, required < 500 ms");
 * false when the expression is no plain comparison. */
bool expr_sides(const struct expr *expr, expr_lookup lookup, const void *context,
                struct expr_operand *ret_left, const char **ret_operator,
                struct expr_operand *ret_right);

/* Highest variable id used, plus one; 0 if none. Tells when all operands of it are decided. */
size_t expr_needs(const struct expr *expr);
bool expr_uses(const struct expr *expr, size_t id);
const char *expr_text(const struct expr *expr); /* as written */

/* "3", "500ms", "5%", "512MiB", "2/s", "12MiB/min" in base units, with what it measures; false if
 * it is none. */
bool expr_number(const char *text, double *ret_value, enum expr_unit *ret_unit);
