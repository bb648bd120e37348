/* Blocks in a list, a bump pointer in the newest. A request over a quarter of the block size gets a
 * block of its own, so a large string wastes nothing. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK_BYTES = 16384 };

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *blocks;  /* newest first; the head is the one with room */
    struct arena *adopted; /* owned; linked by `sibling` */
    struct arena *sibling;
};

static void *calloc_or_die(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

struct arena *arena_new(void)
{
    return calloc_or_die(sizeof(struct arena));
}

struct arena *arena_free(struct arena *arena)
{
    if (!arena)
        return NULL;
    for (struct arena *child = arena->adopted; child;) {
        struct arena *next = child->sibling;
        arena_free(child);
        child = next;
    }
    for (struct block *b = arena->blocks; b;) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
    free(arena);
    return NULL;
}

void arena_adopt(struct arena *arena, struct arena *child)
{
    child->sibling = arena->adopted;
    arena->adopted = child;
}

static struct block *block_new(size_t size)
{
    struct block *b = calloc_or_die(sizeof *b + size);
    b->size = size;
    return b;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        abort();
    size = (size + align - 1) / align * align;
    struct block *head = arena->blocks;
    if (head && head->size - head->used >= size) {
        void *p = head->bytes + head->used;
        head->used += size;
        return p;
    }
    struct block *b = block_new(size > BLOCK_BYTES / 4 ? size : BLOCK_BYTES);
    b->used = size;
    if (head && size > BLOCK_BYTES / 4) {
        b->next = head->next; /* behind the head, which still has room */
        head->next = b;
    } else {
        b->next = head;
        arena->blocks = b;
    }
    return b->bytes;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        abort();
    return arena_alloc(arena, count * size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = arena_alloc(arena, len + 1);
    memcpy(copy, text, len);
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    char *copy = arena_strndup(arena, text, (size_t)len);
    free(text);
    return copy;
}
