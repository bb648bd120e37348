/* Look-ups in what cli/ plugs in. Linear: a catalogue has a dozen entries, and their order (the
 * order shown in help) is worth more than a faster search. */
#include "spec/catalog.h"

#include <string.h>

const char *const spec_memory_names[MEMORY_COUNT_] = {
    [MEMORY_NONE] = "none",
    [MEMORY_MORE] = "more",
    [MEMORY_LESS] = "less",
    [MEMORY_SHARE] = "share",
};
const char *const spec_role_names[ROLE_COUNT_] = {
    [ROLE_OTHER] = "other",
    [ROLE_STT] = "stt",
    [ROLE_LLM] = "llm",
};

const struct spec_engine *spec_catalog_engine(const struct spec_catalog *catalog, const char *name)
{
    for (size_t i = 0; name && i < catalog->engine_count; i++)
        if (strcmp(catalog->engines[i]->name, name) == 0)
            return catalog->engines[i];
    return NULL;
}

const struct spec_protocol *spec_catalog_protocol(const struct spec_catalog *catalog,
                                                  const char *name)
{
    for (size_t i = 0; name && i < catalog->protocol_count; i++)
        if (strcmp(catalog->protocols[i]->name, name) == 0)
            return catalog->protocols[i];
    return NULL;
}

const struct spec_option *spec_option_find(const struct spec_option *options, size_t count,
                                           const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}
