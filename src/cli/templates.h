/* Study files to start from, embedded at build time from cli/templates/. */
#pragma once

#include <stddef.h>

struct cli_template {
    const char *name, *text;
};
extern const struct cli_template cli_templates[];
extern const size_t cli_templates_count;

/* By name ("voice-gpu"), or NULL. */
const struct cli_template *cli_template_find(const char *name);
