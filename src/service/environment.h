/* The whole environment of a server: ours, less what the launch removes and the keys of requests,
 * with what it sets. */
#pragma once

#include "service/launch.h"

/* NULL-terminated "NAME=value" texts, never NULL; ended by service_environment_free(). Adds
 * SPICA_SERVICE=<study>/<service>. */
char **service_environment_build(const struct service_launch *launch, const char *study);
char **service_environment_free(char **env); /* NULL is fine; returns NULL */
