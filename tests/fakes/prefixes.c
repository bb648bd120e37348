/*
 * A prefix cache as servers of LLMs have one.
 *
 * The idea: a beginning is known by the hash of all its words, at the end of each block of sixteen.
 * What counts as cached is the run of known blocks from the first word on; one word that differs
 * makes all behind it new. Nothing is ever thrown out: a test that wants an empty cache starts
 * another service.
 */
#include "prefixes.h"

#include <stdlib.h>
#include <string.h>

static size_t place_of(const struct prefixes *cache, uint64_t hash)
{
    size_t at = (size_t)(hash ^ (hash >> 32)) & (cache->cap - 1);
    while (cache->seen[at] != 0 && cache->seen[at] != hash)
        at = (at + 1) & (cache->cap - 1);
    return at;
}

static void widen(struct prefixes *cache)
{
    struct prefixes wider = {.count = cache->count, .cap = cache->cap ? 2 * cache->cap : 1024};
    wider.seen = calloc(wider.cap, sizeof(*wider.seen));
    if (wider.seen == NULL)
        abort();
    for (size_t i = 0; i < cache->cap; i++)
        if (cache->seen[i] != 0)
            wider.seen[place_of(&wider, cache->seen[i])] = cache->seen[i];
    free(cache->seen);
    *cache = wider;
}

/* Was it there? It is from now on. */
static bool meet(struct prefixes *cache, uint64_t hash)
{
    if (2 * cache->count >= cache->cap)
        widen(cache);
    hash += hash == 0;
    const size_t at = place_of(cache, hash);
    const bool known = cache->seen[at] == hash;
    cache->seen[at] = hash;
    cache->count += !known;
    return known;
}

struct prefixes_walk prefixes_begin(struct prefixes *cache)
{
    return (struct prefixes_walk){.cache = cache, .hash = UINT64_C(14695981039346656037)};
}

void prefixes_add(struct prefixes_walk *walk, const char *word, size_t len)
{
    if (walk->cache == NULL)
        return;
    for (size_t i = 0; i < len; i++)
        walk->hash = (walk->hash ^ (unsigned char)word[i]) * UINT64_C(1099511628211);
    walk->hash = (walk->hash ^ ' ') * UINT64_C(1099511628211);
    if (++walk->words % PREFIXES_BLOCK != 0)
        return;
    walk->missed = !meet(walk->cache, walk->hash) || walk->missed;
    if (!walk->missed)
        walk->cached = walk->words;
}

void prefixes_done(struct prefixes *cache)
{
    if (cache == NULL)
        return;
    free(cache->seen);
    *cache = (struct prefixes){0};
}
