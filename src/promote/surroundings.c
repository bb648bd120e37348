/* What a command is given besides its words.
 *
 * A hook that calls docker does another thing under another DOCKER_HOST. So what is known to decide
 * is a part of the plan, by digest, and an approval under one does not hold under another; an undo,
 * perhaps from another shell days later, gets it as it was. Everything else of the environment goes
 * through as it is. Rejected: an empty environment, with which a hook would lose its proxy and its
 * token; all of it in the plan, which would be another one in every shell.
 *
 * Invariant: a value is in the journal (0600) and nowhere else. */
#include "promote/surroundings.h"

#include "base/digest.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

/* By their beginnings; with "=" a whole name. */
static const char *const decisive[] = {
    "DOCKER_",      /* which daemon, with which keys */
    "COMPOSE_",     /* which files, which project */
    "BUILDKIT_",    /* where an image is built */
    "CONTAINER_",   /* Podman's daemon, as DOCKER_ */
    "KUBE",         /* which cluster, as whom */
    "HELM_",        /* likewise */
    "LD_",          /* other code in every program */
    "PATH=",        /* which programs a script means */
    "BASH_ENV=",    /* read by each script of bash before its own words */
    "ENV=",         /* the same of sh */
    "PYTHONPATH=",  /* other modules in each script of Python */
    "PYTHONHOME=",  /* another library of it */
    "PERL5LIB=",    /* the same of Perl */
    "NODE_OPTIONS=" /* may have other code loaded first */
};

static bool is_decisive(const char *variable)
{
    for (size_t i = 0; i < ARRAY_LEN(decisive); i++)
        if (text_starts_with(variable, decisive[i]) && strchr(variable, '='))
            return true;
    return false;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *const *promote_surroundings_now(struct arena *arena)
{
    size_t count = 0, all = 0;
    while (environ && environ[all])
        all++;
    const char **list = arena_array(arena, all + 1, sizeof *list);
    for (size_t i = 0; i < all; i++)
        if (is_decisive(environ[i]))
            list[count++] = arena_strdup(arena, environ[i]);
    qsort(list, count, sizeof *list, compare);
    list[count] = NULL;
    return list;
}

bool promote_surroundings_are(const char *const *variables)
{
    for (size_t i = 0; variables && variables[i]; i++)
        if (!is_decisive(variables[i]))
            return false;
    return true;
}

static void each(const char *const *variables, bool set)
{
    for (size_t i = 0; variables[i]; i++) {
        size_t len = strcspn(variables[i], "=");
        AUTO(free) char *name = strndup(variables[i], len);
        if (!name || (set ? setenv(name, variables[i] + len + 1, 1) : unsetenv(name)) != 0)
            abort();
    }
}

void promote_surroundings_take(const char *const *variables)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    if (!variables)
        return;
    each(promote_surroundings_now(arena), false);
    each(variables, true);
}

void promote_surroundings_add(struct buf *buf, const char *variable)
{
    char hex[DIGEST_HEX_SIZE];
    size_t len = strcspn(variable, "=");
    digest_bytes(variable, strlen(variable), hex);
    buf_addf(buf, "%.*s %.8s", (int)len, variable, hex);
}
