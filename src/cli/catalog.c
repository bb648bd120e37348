/* Where the layers meet: the study file's words are plugged in from the folders that implement
 * them. */
#include "cli/command.h"

#include "load/protocol.h"
#include "search/search.h"
#include "service/engine.h"

const struct spec_catalog *cli_catalog(void)
{
    static struct spec_catalog catalog;
    catalog.engines = engine_specs(&catalog.engine_count);
    catalog.protocols = load_protocol_specs(&catalog.protocol_count);
    catalog.strategies = search_strategy_names(&catalog.strategy_count);
    return &catalog;
}
