/* Texts with placeholders: "models/ggml-{model}.bin". */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum spec_piece_kind { PIECE_TEXT, PIECE_NAME, PIECE_BAD };
struct spec_piece {
    enum spec_piece_kind kind;
    const char *text; /* borrowed from the template, not terminated */
    size_t len;
};

/* The piece at *at, which moves on; false at the end. BAD: a brace that opens nothing. */
bool spec_template_next(const char **at, struct spec_piece *ret_piece);
/* The only piece is one placeholder: its name's start and length. */
bool spec_template_is_name(const char *text, struct spec_piece *ret_piece);
