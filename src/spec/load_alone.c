/* The load of a command line, bound by the study file's own table, so that a key which the file
 * learns is known there too, with the same range, default and words.
 *
 * Rejected: writing the text of a study file and reading that. Its messages would name lines which
 * nobody has written, and a value could break out of its place. The nodes are made here instead;
 * only a pair's own text is YAML. */
#include "spec/load_alone.h"

#include "base/file.h"
#include "spec/loader.h"

#include <string.h>

static struct yaml_node *scalar(struct arena *arena, const char *text)
{
    struct yaml_node *node = arena_alloc(arena, sizeof *node);
    *node = (struct yaml_node){.kind = YAML_SCALAR, .text = text, .weight = 1};
    return node;
}

static bool value_of(struct arena *arena, const struct spec_pair *pair,
                     const struct yaml_node **ret_node, struct err *err)
{
    if (!pair->literal)
        return spec_yaml_parse(arena, pair->key, pair->text, strlen(pair->text), ret_node, err);
    *ret_node = scalar(arena, arena_strdup(arena, pair->text));
    return true;
}

static bool map_of(struct arena *arena, const struct spec_pair *pairs, size_t count,
                   struct yaml_node *ret_map, struct err *err)
{
    struct yaml_entry *entries = arena_array(arena, count, sizeof *entries);
    *ret_map = (struct yaml_node){.kind = YAML_MAP, .text = "", .count = count};
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(pairs[i].key, pairs[k].key) == 0)
                return err_set(err, ERR_INPUT, "%s is given twice", pairs[i].key);
        entries[i] = (struct yaml_entry){
            .next = i + 1 < count ? &entries[i + 1] : NULL,
            .key = scalar(arena, arena_strdup(arena, pairs[i].key)),
        };
        if (!value_of(arena, &pairs[i], &entries[i].value, err))
            return false;
    }
    ret_map->first = count ? entries : NULL;
    return true;
}

bool spec_load_alone(const struct spec_catalog *catalog, const struct spec_protocol *protocol,
                     const struct spec_pair *pairs, size_t count, struct arena *arena,
                     struct spec_load *ret_load, struct err *err)
{
    AUTO(free) char *folder = file_absolute(".");
    struct spec_study *study = arena_alloc(arena, sizeof *study);
    *study = (struct spec_study){.arena = arena, .folder = arena_strdup(arena, folder)};
    struct spec_service service = {.name = "the service", .protocol = protocol};
    struct spec_loader loader = {.arena = arena, .catalog = catalog, .study = study, .err = err};
    struct yaml_node map;
    if (!map_of(arena, pairs, count, &map, err) ||
        !spec_load_one(&loader, &map, (struct spec_place){0}, "", &service))
        return false;
    *ret_load = service.load;
    return true;
}
