/* Look-ups in what cli/ plugs in. Linear: a catalogue has a dozen entries, and their order (the
 * order shown in help) is worth more than a faster search. */
#include "spec/catalog.h"

#include "spec/service.h"

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

unsigned spec_load_sources(const struct spec_protocol *protocol, const struct spec_load *load)
{
    unsigned sources = protocol->sources;
    if (load->after && (sources & (SOURCE_TEXT | SOURCE_SPEECH)))
        sources |= SOURCE_TURN;
    if (!protocol->streamed_sources)
        return sources;
    const struct spec_option *option =
        spec_option_find(protocol->options, protocol->option_count, "stream");
    const char *text = option ? option->value : NULL;
    for (size_t i = 0; i < load->setting_count; i++)
        if (strcmp(load->settings[i].name, "stream") == 0)
            text = load->settings[i].text;
    bool streamed = text && strcmp(text, "true") == 0;
    return sources | (streamed ? protocol->streamed_sources : 0);
}
