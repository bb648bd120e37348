/* "{name}" is filled in, "{{" is a brace, everything else is itself: a shell, its quoting and its
 * expansions are not part of a study. A lone "}" needs no doubling, so JSON in an argument only
 * doubles its opening braces. */
#include "spec/template.h"

#include <string.h>

bool spec_template_next(const char **at, struct spec_piece *ret_piece)
{
    const char *start = *at;
    if (!*start)
        return false;
    if (*start != '{') {
        size_t len = strcspn(start, "{");
        *ret_piece = (struct spec_piece){PIECE_TEXT, start, len};
        *at = start + len;
        return true;
    }
    if (start[1] == '{') {
        *ret_piece = (struct spec_piece){PIECE_TEXT, start, 1};
        *at = start + 2;
        return true;
    }
    size_t len = strcspn(start + 1, "{}");
    if (len == 0 || start[1 + len] != '}') {
        *ret_piece = (struct spec_piece){PIECE_BAD, start, 1};
        *at = start + 1;
        return true;
    }
    *ret_piece = (struct spec_piece){PIECE_NAME, start + 1, len};
    *at = start + len + 2;
    return true;
}

bool spec_template_is_name(const char *text, struct spec_piece *ret_piece)
{
    struct spec_piece piece, second;
    if (!spec_template_next(&text, &piece) || piece.kind != PIECE_NAME)
        return false;
    if (spec_template_next(&text, &second))
        return false;
    *ret_piece = piece;
    return true;
}
