/* British to American spelling of single words, lower case. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How a word begins otherwise in American: `british` prefix of the word, what it becomes, and which
 * ends of the word it holds for ("-": none, "e ed": those). NULL when the word stays. Static. */
struct spelling {
    const char *british, *american, *ends;
};
const struct spelling *stats_spelling_find(const char *word, size_t len);

/* For the test of the table's order. */
bool stats_spelling_is_sorted(void);
