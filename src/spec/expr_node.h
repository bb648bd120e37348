/* The tree that expr.c builds and expr_eval.c walks; nobody else includes this. */
#pragma once

#include "spec/expr.h"

enum expr_op {
    OP_LITERAL, /* a number, or text */
    OP_VARIABLE,
    OP_NOT,    /* left */
    OP_NEGATE, /* left */
    OP_OR,
    OP_AND,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_IN, /* left; items are literals in a chain from `right` through `next` */
};

struct expr_node {
    enum expr_op op;
    enum expr_unit unit;
    struct expr_node *left, *right, *next;
    struct expr_operand literal;
    size_t id;
};

struct expr {
    const char *text;
    struct expr_node *root;
    size_t needs;
};
