/* Recursive descent over the text itself, no token list: the language is one page and an error must
 * point at a column. The scanner decides one thing only: "-" inside a word belongs to the word.
 *
 * A name is resolved at once, but a name that means nothing is only an error when it does not stand
 * beside a variable in a comparison: there it is a value, and "stt.server has no value ..." says
 * more than "there is no knob ...". Such a node waits in `pending` until the comparison is
 * complete.
 *
 * Rejected: YAML mappings for conditions ({any: [{knob: x, is: y}]}). Nobody reads them, and
 * requirements need arithmetic anyway.
 *
 * Invariant: what parses evaluates without errors; everything doubtful is refused here. */
#include "spec/expr_node.h"

#include "base/text.h"
#include "spec/metric.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { TEXT_MAX = 4096, DEPTH_MAX = 64 };

struct parser {
    struct arena *arena;
    const struct expr_names *names;
    const char *text, *at;
    int depth;
    struct expr_node *pending; /* a name that is not resolved yet, or NULL */
    struct err pending_err;
    size_t needs;
    struct err *err;
};

static struct expr_node *parse_or(struct parser *p);

/* Returns NULL so that a parse function may end with it. */
static struct expr_node *fail(struct parser *p, const char *at, const char *what)
{
    char shown[48];
    snprintf(shown, sizeof shown, "%.40s", at);
    struct buf safe = BUF_INIT(200);
    text_add_escaped(&safe, TEXT_TERMINAL, shown, strlen(shown), 40);
    if (*at)
        err_set(p->err, ERR_INPUT, "column %d: %s at \"%s\"", (int)(at - p->text) + 1, what,
                buf_text(&safe));
    else
        err_set(p->err, ERR_INPUT, "column %d: %s at the end", (int)(at - p->text) + 1, what);
    buf_done(&safe);
    return NULL;
}

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
        p->at++;
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '_' || c == '-';
}

/* Length of the word at `at`; a final "." or "-" does not belong to it. */
static size_t word_len(const char *at)
{
    size_t len = 0;
    if (!isalpha((unsigned char)*at))
        return 0;
    while (is_word_byte(at[len]))
        len++;
    while (at[len - 1] == '.' || at[len - 1] == '-')
        len--;
    return len;
}

static bool take_word(struct parser *p, const char *word)
{
    skip_blanks(p);
    size_t len = word_len(p->at);
    if (len != strlen(word) || strncmp(p->at, word, len) != 0)
        return false;
    p->at += len;
    return true;
}

static bool take(struct parser *p, const char *symbol)
{
    skip_blanks(p);
    if (!text_starts_with(p->at, symbol))
        return false;
    p->at += strlen(symbol);
    return true;
}

static struct expr_node *new_node(struct parser *p, enum expr_op op, struct expr_node *left,
                                  struct expr_node *right)
{
    struct expr_node *node = arena_alloc(p->arena, sizeof *node);
    node->op = op;
    node->left = left;
    node->right = right;
    return node;
}

/* The first unresolved name that no comparison made sense of is the error. */
static bool settle(struct parser *p)
{
    if (!p->pending)
        return true;
    return err_set(p->err, ERR_INPUT, "%s", p->pending_err.text);
}

bool expr_number(const char *text, double *ret_value, enum expr_unit *ret_unit)
{
    int64_t whole = 0;
    double value = 0;
    char copy[64];
    size_t len = strlen(text);
    *ret_unit = EXPR_UNIT_PLAIN;
    if (len == 0 || len >= sizeof copy || !(isdigit((unsigned char)*text) || *text == '-'))
        return false;
    if (text_to_double(text, ret_value))
        return true;
    if (text_to_duration_ns(text, &whole)) {
        *ret_unit = EXPR_UNIT_SECONDS;
        *ret_value = (double)whole / 1e9;
        return true;
    }
    if (text_to_bytes(text, &whole)) {
        *ret_unit = EXPR_UNIT_BYTES;
        *ret_value = (double)whole;
        return true;
    }
    if (metric_parse_quantity(UNIT_BYTES_PER_SECOND, text, ret_value, NULL)) {
        *ret_unit = EXPR_UNIT_BYTE_RATE;
        return true;
    }
    bool percent = text_ends_with(text, "%");
    if (!percent && !text_ends_with(text, "/s"))
        return false;
    memcpy(copy, text, len + 1);
    copy[len - (percent ? 1 : 2)] = '\0';
    if (!text_to_double(copy, &value))
        return false;
    *ret_value = percent ? value / 100 : value;
    return true;
}

/* "MiB", "ms", and "MiB/min": "B/s" is no division, since a name can't start there. */
static const char *skip_unit(const char *at)
{
    static const char *const spans[] = {"/s", "/min", "/h"};
    const char *start = at;
    while (isalnum((unsigned char)*at) || *at == '_')
        at++;
    for (size_t i = 0; i < ARRAY_LEN(spans) && at > start && at[-1] == 'B'; i++)
        if (text_starts_with(at, spans[i]) && !is_word_byte(at[strlen(spans[i])]))
            return at + strlen(spans[i]);
    return at;
}

static struct expr_node *parse_number(struct parser *p)
{
    const char *start = p->at, *end = start;
    while (isdigit((unsigned char)*end) || *end == '.')
        end++;
    if ((*end == 'e' || *end == 'E') && end[1] && strchr("+-0123456789", end[1])) {
        end += 2;
        while (isdigit((unsigned char)*end))
            end++;
    }
    if (*end == '%')
        end++;
    else if (*end == '/' && end[1] == 's' && !is_word_byte(end[2]))
        end += 2;
    else
        end = skip_unit(end);
    char number[64];
    if (end - start >= (int)sizeof number)
        return fail(p, start, "a number is too long");
    memcpy(number, start, (size_t)(end - start));
    number[end - start] = '\0';
    struct expr_node *node = new_node(p, OP_LITERAL, NULL, NULL);
    node->literal.kind = EXPR_NUMBER;
    if (!expr_number(number, &node->literal.number, &node->unit))
        return fail(p, start,
                    "expected a number with a known unit (ns us ms s m h, B kB MB GB KiB "
                    "MiB GiB, MiB/min, %, /s) or quoted text");
    p->at = end;
    return node;
}

static struct expr_node *parse_quoted(struct parser *p)
{
    const char *start = p->at;
    const char *end = strchr(start + 1, *start);
    if (!end)
        return fail(p, start, "a quote is not closed");
    struct expr_node *node = new_node(p, OP_LITERAL, NULL, NULL);
    node->literal.kind = EXPR_TEXT;
    node->literal.text = arena_strndup(p->arena, start + 1, (size_t)(end - start - 1));
    node->unit = EXPR_UNIT_TEXT;
    p->at = end + 1;
    return node;
}

/* "a-b" where "a" is known: most likely a subtraction without its blanks. */
static bool is_glued_minus(struct parser *p, const char *name)
{
    size_t id = 0;
    const char *minus = strchr(name, '-');
    return minus && p->names->resolve(p->names->context,
                                      arena_strndup(p->arena, name, (size_t)(minus - name)), &id,
                                      NULL) == EXPR_NAME_VARIABLE;
}

static struct expr_node *parse_name(struct parser *p)
{
    size_t len = word_len(p->at);
    if (len == 0)
        return fail(p, p->at, "expected a name, a number or quoted text");
    const char *name = arena_strndup(p->arena, p->at, len);
    struct expr_node *node = new_node(p, OP_LITERAL, NULL, NULL);
    struct err bad = ERR_INIT;
    p->at += len;
    switch (p->names->resolve(p->names->context, name, &node->id, &bad)) {
    case EXPR_NAME_VARIABLE:
        node->op = OP_VARIABLE;
        if (p->names->unit)
            node->unit = p->names->unit(p->names->context, node->id);
        if (node->id + 1 > p->needs)
            p->needs = node->id + 1;
        return node;
    case EXPR_NAME_WORD:
        break;
    case EXPR_NAME_BAD:
        if (is_glued_minus(p, name))
            err_set(p->err, ERR_INPUT, "\"%s\" is read as one word: put blanks around the minus",
                    name);
        if (!settle(p) || err_is_set(p->err))
            return NULL; /* a second unknown name: the first is reported */
        p->pending = node;
        p->pending_err = bad;
        break;
    }
    node->literal = (struct expr_operand){.kind = EXPR_TEXT, .text = name};
    node->unit = EXPR_UNIT_TEXT;
    return node;
}

/* Order and arithmetic are for numbers; an unknown name is the better message when there is one. */
static bool need_number(struct parser *p, const char *at, const struct expr_node *node)
{
    if (node->unit != EXPR_UNIT_TEXT)
        return true;
    if (settle(p))
        fail(p, at, "a word has no order and no sum: a number is needed");
    return false;
}

static struct expr_node *negate(struct parser *p, struct expr_node *inner)
{
    if (!inner)
        return NULL;
    if (inner->op == OP_LITERAL && inner->literal.kind == EXPR_NUMBER) {
        inner->literal.number = -inner->literal.number; /* so that lists may hold it */
        return inner;
    }
    if (!need_number(p, p->at, inner))
        return NULL;
    struct expr_node *node = new_node(p, OP_NEGATE, inner, NULL);
    node->unit = inner->unit;
    return node;
}

static struct expr_node *parse_primary(struct parser *p)
{
    skip_blanks(p);
    if (++p->depth > DEPTH_MAX)
        return fail(p, p->at, "nested too deeply");
    struct expr_node *node = NULL;
    if (take(p, "(")) {
        node = parse_or(p);
        if (node && !take(p, ")"))
            node = fail(p, p->at, "expected \")\"");
    } else if (take(p, "-")) {
        node = negate(p, parse_primary(p));
    } else if (*p->at == '"' || *p->at == '\'') {
        node = parse_quoted(p);
    } else if (isdigit((unsigned char)*p->at)) {
        node = parse_number(p);
    } else {
        node = parse_name(p);
    }
    p->depth--;
    return node;
}

static const char *unit_word(enum expr_unit unit)
{
    static const char *const words[] = {[EXPR_UNIT_ANY] = "anything",
                                        [EXPR_UNIT_PLAIN] = "a number without a unit",
                                        [EXPR_UNIT_SECONDS] = "a time",
                                        [EXPR_UNIT_BYTES] = "a size",
                                        [EXPR_UNIT_BYTE_RATE] = "a size in a time",
                                        [EXPR_UNIT_TEXT] = "a word"};
    return words[unit];
}

/* Both sides of a sum or comparison must measure the same; zero is zero in every unit. */
static bool same_unit(struct parser *p, const char *at, const struct expr_node *a,
                      const struct expr_node *b, enum expr_unit *ret_unit)
{
    bool a_zero = a->op == OP_LITERAL && a->literal.kind == EXPR_NUMBER && a->literal.number == 0;
    bool b_zero = b->op == OP_LITERAL && b->literal.kind == EXPR_NUMBER && b->literal.number == 0;
    enum expr_unit left = a_zero ? EXPR_UNIT_ANY : a->unit;
    enum expr_unit right = b_zero ? EXPR_UNIT_ANY : b->unit;
    *ret_unit = left == EXPR_UNIT_ANY ? right : left;
    if (left == EXPR_UNIT_ANY || right == EXPR_UNIT_ANY || left == right)
        return true;
    static const char *const hints[] = {
        [EXPR_UNIT_SECONDS] = "; a time needs its unit, as in 500ms",
        [EXPR_UNIT_BYTES] = "; a size needs its unit, as in 512MiB",
        [EXPR_UNIT_BYTE_RATE] = "; growth needs its unit, as in 12MiB/min",
    };
    const char *hint = "";
    if (left != EXPR_UNIT_TEXT && right != EXPR_UNIT_TEXT &&
        (left == EXPR_UNIT_PLAIN) != (right == EXPR_UNIT_PLAIN))
        hint = hints[left == EXPR_UNIT_PLAIN ? right : left];
    return err_set(p->err, ERR_INPUT, "column %d: %s on the left, %s on the right%s",
                   (int)(at - p->text) + 1, unit_word(left), unit_word(right), hint);
}

static struct expr_node *parse_product(struct parser *p)
{
    struct expr_node *node = parse_primary(p);
    while (node) {
        skip_blanks(p);
        const char *at = p->at;
        enum expr_op op = take(p, "*") ? OP_MUL : take(p, "/") ? OP_DIV : OP_LITERAL;
        if (op == OP_LITERAL)
            return node;
        struct expr_node *right = parse_primary(p);
        if (!right || !need_number(p, at, node) || !need_number(p, at, right))
            return NULL;
        enum expr_unit unit = EXPR_UNIT_ANY;
        if (right->unit == EXPR_UNIT_PLAIN)
            unit = node->unit;
        else if (node->unit == right->unit && op == OP_DIV && node->unit != EXPR_UNIT_ANY)
            unit = EXPR_UNIT_PLAIN;
        else if (node->unit == EXPR_UNIT_PLAIN && op == OP_MUL)
            unit = right->unit;
        node = new_node(p, op, node, right);
        node->unit = unit;
    }
    return NULL;
}

static struct expr_node *parse_sum(struct parser *p)
{
    struct expr_node *node = parse_product(p);
    while (node) {
        skip_blanks(p);
        const char *at = p->at;
        enum expr_op op = take(p, "+") ? OP_ADD : take(p, "-") ? OP_SUB : OP_LITERAL;
        if (op == OP_LITERAL)
            return node;
        struct expr_node *right = parse_product(p);
        enum expr_unit unit = EXPR_UNIT_ANY;
        if (!right || !need_number(p, at, node) || !need_number(p, at, right) ||
            !same_unit(p, at, node, right, &unit))
            return NULL;
        node = new_node(p, op, node, right);
        node->unit = unit;
    }
    return NULL;
}

static bool is_word(const struct expr_node *node)
{
    return node->op == OP_LITERAL && node->literal.kind == EXPR_TEXT;
}

/* A variable beside text: the text must be one of its values, and an unresolved name becomes
 * one. */
static bool check_word(struct parser *p, const struct expr_node *variable,
                       const struct expr_node *word)
{
    const struct expr_names *names = p->names;
    if (names->check_word &&
        !names->check_word(names->context, variable->id, word->literal.text, p->err))
        return false;
    if (p->pending == word)
        p->pending = NULL;
    return true;
}

static bool check_sides(struct parser *p, const char *at, enum expr_op op,
                        const struct expr_node *left, const struct expr_node *right)
{
    enum expr_unit unit = EXPR_UNIT_ANY;
    bool ordered = op != OP_EQ && op != OP_NE;
    if (ordered && (!need_number(p, at, left) || !need_number(p, at, right)))
        return false;
    if (is_word(right) && left->op == OP_VARIABLE)
        return check_word(p, left, right);
    if (is_word(left) && right->op == OP_VARIABLE)
        return check_word(p, right, left);
    if (is_word(left) || is_word(right)) {
        if (settle(p))
            fail(p, at, "a word is compared with a single name only");
        return false;
    }
    return same_unit(p, at, left, right, &unit);
}

static struct expr_node *parse_in(struct parser *p, struct expr_node *left)
{
    struct expr_node *node = new_node(p, OP_IN, left, NULL);
    struct expr_node **tail = &node->right;
    if (left->op != OP_VARIABLE)
        return fail(p, p->at, "\"in\" needs a single name on its left");
    if (!take(p, "["))
        return fail(p, p->at, "expected \"[\" after \"in\"");
    do {
        skip_blanks(p);
        const char *at = p->at;
        struct expr_node *item = parse_primary(p);
        if (!item)
            return NULL;
        if (item->op != OP_LITERAL)
            return fail(p, at, "a list holds numbers and words only");
        if (!check_sides(p, at, OP_EQ, left, item))
            return NULL;
        *tail = item;
        tail = &item->next;
    } while (take(p, ","));
    return take(p, "]") ? node : fail(p, p->at, "expected \",\" or \"]\"");
}

static struct expr_node *parse_comparison(struct parser *p)
{
    static const struct {
        const char *symbol;
        enum expr_op op;
    } operators[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
                     {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}};
    struct expr_node *left = parse_sum(p);
    if (!left)
        return NULL;
    skip_blanks(p);
    const char *at = p->at;
    if (take_word(p, "in"))
        return parse_in(p, left);
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (!take(p, operators[i].symbol))
            continue;
        struct expr_node *right = parse_sum(p);
        if (!right || !check_sides(p, at, operators[i].op, left, right))
            return NULL;
        return new_node(p, operators[i].op, left, right);
    }
    if (*p->at == '=')
        return fail(p, p->at, "one \"=\" does not compare: write \"==\"");
    return left;
}

static bool is_truth(const struct expr_node *node)
{
    return node->op == OP_NOT || (node->op >= OP_OR && node->op <= OP_GE) || node->op == OP_IN;
}

/* A part of and/or/not, or the whole: has to be true or false. */
static struct expr_node *need_truth(struct parser *p, const char *at, struct expr_node *node)
{
    if (!node || !settle(p))
        return NULL;
    return is_truth(node) ? node : fail(p, at, "expected a comparison, as in \"a <= 2\",");
}

static struct expr_node *parse_not(struct parser *p)
{
    skip_blanks(p);
    const char *at = p->at;
    if (!take_word(p, "not"))
        return parse_comparison(p);
    if (++p->depth > DEPTH_MAX)
        return fail(p, at, "nested too deeply");
    skip_blanks(p);
    at = p->at;
    struct expr_node *inner = need_truth(p, at, parse_not(p));
    p->depth--;
    return inner ? new_node(p, OP_NOT, inner, NULL) : NULL;
}

static struct expr_node *parse_chain(struct parser *p, const char *word, enum expr_op op,
                                     struct expr_node *(*parse_part)(struct parser *p))
{
    skip_blanks(p);
    const char *at = p->at;
    struct expr_node *node = parse_part(p);
    while (node && take_word(p, word)) {
        node = need_truth(p, at, node);
        skip_blanks(p);
        at = p->at;
        struct expr_node *right = node ? need_truth(p, at, parse_part(p)) : NULL;
        node = right ? new_node(p, op, node, right) : NULL;
    }
    return node;
}

static struct expr_node *parse_and(struct parser *p)
{
    return parse_chain(p, "and", OP_AND, parse_not);
}

static struct expr_node *parse_or(struct parser *p)
{
    return parse_chain(p, "or", OP_OR, parse_and);
}

bool expr_parse(struct arena *arena, const char *text, const struct expr_names *names,
                struct expr **ret_expr, struct err *err)
{
    struct parser p = {.arena = arena, .names = names, .text = text, .at = text};
    struct err failure = ERR_INIT;
    p.err = &failure; /* the caller may pass NULL, but parsing itself asks whether it failed */
    if (strlen(text) > TEXT_MAX)
        return err_set(err, ERR_INPUT, "an expression has at most %d bytes", TEXT_MAX);
    struct expr_node *root = parse_or(&p);
    skip_blanks(&p);
    if (root && *p.at)
        root = fail(&p, p.at, "expected the end or an operator");
    if (root)
        root = need_truth(&p, text, root);
    if (!root)
        return err_set(err, ERR_INPUT, "%s", failure.text);
    struct expr *expr = arena_alloc(arena, sizeof *expr);
    *expr = (struct expr){.text = arena_strdup(arena, text), .root = root, .needs = p.needs};
    *ret_expr = expr;
    return true;
}
