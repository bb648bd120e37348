/* Built before the fork, because setenv() after it would need the heap. */
#include "service/environment.h"

#include <stdlib.h>
#include <string.h>

extern char **environ;

static size_t environment_name_len(const char *entry)
{
    const char *end = strchr(entry, '=');
    return end ? (size_t)(end - entry) : strlen(entry);
}

static bool environment_names(const char *const *list, const char *entry)
{
    size_t len = environment_name_len(entry);
    for (size_t i = 0; list && list[i]; i++)
        if (environment_name_len(list[i]) == len && strncmp(list[i], entry, len) == 0)
            return true;
    return false;
}

static char *environment_copy(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

static size_t environment_count(const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

char **service_environment_build(const struct service_launch *launch, const char *study)
{
    const char *const *ours = (const char *const *)(const void *)environ;
    const char *const *set = (const char *const *)(const void *)launch->env;
    const char *const *unset = (const char *const *)(const void *)launch->env_unset;
    const char *const *keys = (const char *const *)(const void *)launch->env_keys;
    char mark[512];
    snprintf(mark, sizeof mark, "SPICA_SERVICE=%s/%s", study, launch->name);
    char **env = calloc(environment_count(ours) + environment_count(set) + 2, sizeof *env);
    if (!env)
        abort();
    size_t count = 0;
    for (size_t i = 0; ours && ours[i]; i++)
        if (!environment_names(set, ours[i]) && !environment_names(unset, ours[i]) &&
            !environment_names(keys, ours[i]) && strncmp(ours[i], "SPICA_SERVICE=", 14) != 0)
            env[count++] = environment_copy(ours[i]);
    for (size_t i = 0; set && set[i]; i++)
        env[count++] = environment_copy(set[i]);
    env[count] = environment_copy(mark);
    return env;
}

char **service_environment_free(char **env)
{
    for (size_t i = 0; env && env[i]; i++)
        free(env[i]);
    free(env);
    return NULL;
}
