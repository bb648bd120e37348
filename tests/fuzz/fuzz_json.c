/* A server's JSON, held against jansson: both refuse, or both give equal values. A byte of zero is
 * always refused, while jansson drops one that stands behind a number or a word. A reader of few
 * members is told the same of what is broken, and sees those members alone. */
#include "load/protocols/json_answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"a", "error", "choices", NULL};

static bool is_named(const char *name)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* What a reader of `names` has to be given. New reference. */
static json_t *chosen(const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_array(value)) {
        json_t *made = json_array();
        json_array_foreach(value, i, member) json_array_append_new(made, chosen(member));
        return made;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *made = json_object();
    json_object_foreach((json_t *)value, name, member) if (is_named(name))
        json_object_set_new_nocheck(
            made, name, strcmp(name, "error") == 0 ? json_deep_copy(member) : chosen(member));
    return made;
}

static void check_named(const char *bytes, size_t size, const json_t *whole)
{
    json_t *some = load_json_parse_named(bytes, size, names);
    json_t *wanted = whole ? chosen(whole) : NULL;
    if (!some != !wanted || (some && !json_equal(some, wanted)))
        abort();
    json_decref(some);
    json_decref(wanted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size ? size : 1); /* exactly so long, for the sanitizer */
    if (!bytes)
        abort();
    if (size)
        memcpy(bytes, data, size);
    json_t *ours = load_json_parse(bytes, size);
    json_t *theirs =
        memchr(bytes, '\0', size) ? NULL : json_loadb(bytes, size, JSON_ALLOW_NUL, NULL);
    if (!ours != !theirs || (ours && !json_equal(ours, theirs)))
        abort();
    if (ours) { /* json_equal() does not look at the order of members */
        char *a = json_dumps(ours, JSON_COMPACT), *b = json_dumps(theirs, JSON_COMPACT);
        if (!a || !b || strcmp(a, b) != 0)
            abort();
        free(a);
        free(b);
    }
    check_named(bytes, size, ours);
    json_decref(ours);
    json_decref(theirs);
    free(bytes);
    return 0;
}
