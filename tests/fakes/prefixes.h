/* A prefix cache: which beginnings of prompts this server has worked through before. */
#ifndef FAKES_PREFIXES_H
#define FAKES_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefixes {
    uint64_t *seen; /* owned; open addressing, 0 is free */
    size_t count, cap;
};

/* One prompt on its way through the cache, word by word. */
struct prefixes_walk {
    struct prefixes *cache; /* borrowed; NULL: there is none */
    uint64_t hash;          /* of all words so far */
    long words, cached;     /* cached: of the longest beginning that was there, whole blocks */
    bool missed;
};

/* As many words as a block of vLLM's has tokens. */
#define PREFIXES_BLOCK 16

struct prefixes_walk prefixes_begin(struct prefixes *cache);
/* One more word. A block that was not there is there from now on. */
void prefixes_add(struct prefixes_walk *walk, const char *word, size_t len);
void prefixes_done(struct prefixes *cache);

#endif
