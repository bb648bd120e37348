/* Evaluation in three values. Unknown is not false: a constraint about a knob that is not active
 * must neither forbid nor allow, and a requirement about a metric that could not be measured must
 * not be met by accident. Both callers decide themselves what MAYBE means for them.
 *
 * A chain of two thousand "and" nests as deep to the left as it is long; it is walked on the C
 * stack, which the 4,096 bytes of text bound. */
#include "spec/expr_node.h"

#include <math.h>
#include <string.h>

struct eval {
    expr_lookup lookup;
    const void *context;
};

static const struct expr_operand unknown = {.kind = EXPR_UNKNOWN};

static struct expr_operand value_of(const struct eval *e, const struct expr_node *node);

static struct expr_operand from_truth(enum expr_truth truth)
{
    if (truth == EXPR_MAYBE)
        return unknown;
    return (struct expr_operand){.kind = EXPR_TRUTH, .number = truth == EXPR_TRUE};
}

static enum expr_truth to_truth(struct expr_operand operand)
{
    if (operand.kind != EXPR_TRUTH)
        return EXPR_MAYBE;
    return operand.number != 0 ? EXPR_TRUE : EXPR_FALSE;
}

static enum expr_truth from_bool(bool value)
{
    return value ? EXPR_TRUE : EXPR_FALSE;
}

static struct expr_operand lookup(const struct eval *e, size_t id)
{
    struct expr_operand operand = e->lookup(e->context, id);
    bool is_nan = operand.kind == EXPR_NUMBER && isnan(operand.number);
    return is_nan ? unknown : operand;
}

static enum expr_truth equal(struct expr_operand a, struct expr_operand b)
{
    if (a.kind == EXPR_UNKNOWN || b.kind == EXPR_UNKNOWN)
        return EXPR_MAYBE;
    if (a.kind == EXPR_NUMBER && b.kind == EXPR_NUMBER)
        return from_bool(a.number == b.number);
    if (a.kind == EXPR_TRUTH || b.kind == EXPR_TRUTH)
        return a.kind == b.kind ? from_bool(a.number == b.number) : EXPR_MAYBE;
    /* Text with text, or with a number that knows how it is written. */
    return from_bool(a.text && b.text && strcmp(a.text, b.text) == 0);
}

static enum expr_truth negate(enum expr_truth truth)
{
    return truth == EXPR_MAYBE ? EXPR_MAYBE : from_bool(truth == EXPR_FALSE);
}

static enum expr_truth compare(enum expr_op op, struct expr_operand a, struct expr_operand b)
{
    if (op == OP_EQ)
        return equal(a, b);
    if (op == OP_NE)
        return negate(equal(a, b));
    if (a.kind != EXPR_NUMBER || b.kind != EXPR_NUMBER)
        return EXPR_MAYBE;
    switch (op) {
    case OP_LT:
        return from_bool(a.number < b.number);
    case OP_LE:
        return from_bool(a.number <= b.number);
    case OP_GT:
        return from_bool(a.number > b.number);
    default:
        return from_bool(a.number >= b.number);
    }
}

static struct expr_operand calculate(enum expr_op op, struct expr_operand a, struct expr_operand b)
{
    double result = NAN;
    if (a.kind != EXPR_NUMBER || b.kind != EXPR_NUMBER)
        return unknown;
    if (op == OP_ADD)
        result = a.number + b.number;
    else if (op == OP_SUB)
        result = a.number - b.number;
    else if (op == OP_MUL)
        result = a.number * b.number;
    else if (b.number != 0)
        result = a.number / b.number;
    if (isnan(result))
        return unknown;
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = result};
}

static enum expr_truth member(const struct eval *e, const struct expr_node *node)
{
    struct expr_operand left = value_of(e, node->left);
    if (left.kind == EXPR_UNKNOWN)
        return EXPR_MAYBE;
    for (const struct expr_node *item = node->right; item; item = item->next)
        if (equal(left, item->literal) == EXPR_TRUE)
            return EXPR_TRUE;
    return EXPR_FALSE;
}

/* Kleene's and, or: `decides` is the value that settles the result whatever the other side is. */
static enum expr_truth both(const struct eval *e, const struct expr_node *node,
                            enum expr_truth decides)
{
    enum expr_truth left = to_truth(value_of(e, node->left));
    if (left == decides)
        return decides;
    enum expr_truth right = to_truth(value_of(e, node->right));
    if (right == decides)
        return decides;
    return left == EXPR_MAYBE ? EXPR_MAYBE : right;
}

static struct expr_operand value_of(const struct eval *e, const struct expr_node *node)
{
    switch (node->op) {
    case OP_LITERAL:
        return node->literal;
    case OP_VARIABLE:
        return lookup(e, node->id);
    case OP_NOT:
        return from_truth(negate(to_truth(value_of(e, node->left))));
    case OP_NEGATE: {
        const struct expr_operand zero = {.kind = EXPR_NUMBER};
        return calculate(OP_SUB, zero, value_of(e, node->left));
    }
    case OP_OR:
        return from_truth(both(e, node, EXPR_TRUE));
    case OP_AND:
        return from_truth(both(e, node, EXPR_FALSE));
    case OP_IN:
        return from_truth(member(e, node));
    case OP_ADD:
    case OP_SUB:
    case OP_MUL:
    case OP_DIV:
        return calculate(node->op, value_of(e, node->left), value_of(e, node->right));
    default:
        return from_truth(compare(node->op, value_of(e, node->left), value_of(e, node->right)));
    }
}

enum expr_truth expr_eval(const struct expr *expr, expr_lookup lookup_fn, const void *context)
{
    const struct eval e = {.lookup = lookup_fn, .context = context};
    return to_truth(value_of(&e, expr->root));
}

bool expr_sides(const struct expr *expr, expr_lookup lookup_fn, const void *context,
                struct expr_operand *ret_left, const char **ret_operator,
                struct expr_operand *ret_right)
{
    static const char *const symbols[] = {[OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<",
                                          [OP_LE] = "<=", [OP_GT] = ">",  [OP_GE] = ">="};
    const struct eval e = {.lookup = lookup_fn, .context = context};
    const struct expr_node *root = expr->root;
    if (root->op < OP_EQ || root->op > OP_GE)
        return false;
    *ret_left = value_of(&e, root->left);
    *ret_operator = symbols[root->op];
    *ret_right = value_of(&e, root->right);
    return true;
}

size_t expr_needs(const struct expr *expr)
{
    return expr->needs;
}

static bool node_uses(const struct expr_node *node, size_t id)
{
    if (!node)
        return false;
    if (node->op == OP_VARIABLE)
        return node->id == id;
    return node_uses(node->left, id) || node_uses(node->right, id);
}

bool expr_uses(const struct expr *expr, size_t id)
{
    return node_uses(expr->root, id);
}

const char *expr_text(const struct expr *expr)
{
    return expr->text;
}
