/* Built from libyaml's events rather than its documents, so that depth and size are capped before
 * anything is composed: 100,000 brackets keep the document loader busy for 16 seconds, while the
 * event reader is stopped at the 33rd.
 *
 * Aliases are resolved here to the node they name. An anchor is known only once its node is
 * complete, so no node can contain itself; `weight` counts what an alias repeats, so that nested
 * aliases cannot blow a small file up for whoever walks the tree.
 *
 * Rejected on purpose: tags (nothing in a study needs one), merge keys, several documents, keys
 * that are not text. Each would be one more way to say the same thing. */
#include "spec/document.h"

#include "base/buf.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

struct anchor {
    struct anchor *next;
    const char *name;
    const struct yaml_node *node;
};

struct reader {
    struct arena *arena;
    const char *path;
    yaml_parser_t parser;
    struct anchor *anchors; /* newest first: a later anchor of the same name wins, as YAML says */
    size_t anchor_count, node_count;
    struct err *err;
};

enum { ANCHORS_MAX = 1000 };

static struct yaml_node *parse_node(struct reader *r, const yaml_event_t *event, int depth);

static bool fail(struct reader *r, yaml_mark_t mark, const char *what)
{
    return err_set(r->err, ERR_INPUT, "%s:%zu:%zu: %s", r->path, mark.line + 1, mark.column + 1,
                   what);
}

static bool fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "out of memory";
    if (p->error == YAML_READER_ERROR)
        return err_set(r->err, ERR_INPUT, "%s: not a text file: %s at byte %zu", r->path, problem,
                       p->problem_offset);
    return err_set(r->err, ERR_INPUT, "%s:%zu:%zu: not YAML: %s%s%s", r->path,
                   p->problem_mark.line + 1, p->problem_mark.column + 1, problem,
                   p->context ? " " : "", p->context ? p->context : "");
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? true : fail_parser(r);
}

static struct yaml_node *new_node(struct reader *r, const yaml_event_t *event, enum yaml_kind kind,
                                  const yaml_char_t *tag)
{
    if (++r->node_count > YAML_NODES_MAX) {
        fail(r, event->start_mark, "too much here: at most 200,000 values in a file");
        return NULL;
    }
    if (tag) {
        fail(r, event->start_mark, "tags (\"!\") mean nothing in a study file: leave it out");
        return NULL;
    }
    struct yaml_node *node = arena_alloc(r->arena, sizeof *node);
    *node = (struct yaml_node){.kind = kind,
                               .text = "",
                               .weight = 1,
                               .line = (int)event->start_mark.line + 1,
                               .column = (int)event->start_mark.column + 1};
    return node;
}

static struct yaml_node *parse_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    struct yaml_node *node = new_node(r, event, YAML_SCALAR, event->data.scalar.tag);
    if (!node)
        return NULL;
    if (memchr(text, '\0', len)) {
        fail(r, event->start_mark, "the text holds a NUL byte");
        return NULL;
    }
    node->text = arena_strndup(r->arena, text, len);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static bool remember(struct reader *r, const yaml_event_t *event, const yaml_char_t *name,
                     const struct yaml_node *node)
{
    if (!name)
        return true;
    if (++r->anchor_count > ANCHORS_MAX)
        return fail(r, event->start_mark, "at most 1,000 anchors");
    struct anchor *anchor = arena_alloc(r->arena, sizeof *anchor);
    *anchor = (struct anchor){
        .next = r->anchors, .node = node, .name = arena_strdup(r->arena, (const char *)name)};
    r->anchors = anchor;
    return true;
}

static const struct yaml_node *parse_alias(struct reader *r, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    for (const struct anchor *a = r->anchors; a; a = a->next)
        if (strcmp(a->name, name) == 0)
            return a->node;
    fail(r, event->start_mark, "this alias (\"*\") names nothing that is complete above it");
    return NULL;
}

static bool append(struct reader *r, const yaml_event_t *event, struct yaml_node *parent,
                   struct yaml_entry ***tail, const struct yaml_node *key,
                   const struct yaml_node *value)
{
    struct yaml_entry *entry = arena_alloc(r->arena, sizeof *entry);
    *entry = (struct yaml_entry){.key = key, .value = value};
    **tail = entry;
    *tail = &entry->next;
    parent->count++;
    parent->weight += value->weight + (key ? 1 : 0);
    if (parent->weight > YAML_NODES_MAX)
        return fail(r, event->start_mark, "aliases repeat too much: at most 200,000 values");
    return true;
}

static bool is_end(const yaml_event_t *event)
{
    return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT;
}

/* One child: reads its first event; *ret_node stays NULL at the end of the parent. */
static bool parse_child(struct reader *r, int depth, const struct yaml_node **ret_node)
{
    yaml_event_t event;
    if (!next_event(r, &event))
        return false;
    bool end = is_end(&event);
    if (!end)
        *ret_node =
            event.type == YAML_ALIAS_EVENT ? parse_alias(r, &event) : parse_node(r, &event, depth);
    yaml_event_delete(&event);
    return end || *ret_node;
}

static bool refuse_duplicate_keys(struct reader *r, const struct yaml_node *map)
{
    const struct yaml_node **keys = calloc(map->count + 1, sizeof *keys);
    const char **names = calloc(map->count + 1, sizeof *names);
    size_t n = 0;
    if (!keys || !names)
        abort();
    for (const struct yaml_entry *e = map->first; e; e = e->next) {
        keys[n] = e->key;
        names[n++] = e->key->text;
    }
    int twice = spec_names_duplicate(names, n);
    if (twice >= 0) {
        assert((size_t)twice < n && keys[twice]);
        int first = 0;
        while (strcmp(names[first], names[twice]) != 0)
            first++;
        assert(keys[first]);
        struct buf shown = BUF_INIT(400);
        text_add_escaped(&shown, TEXT_TERMINAL, names[twice], strlen(names[twice]), 60);
        err_set(r->err, ERR_INPUT, "%s:%d:%d: \"%s\" is given twice: first in line %d", r->path,
                keys[twice]->line, keys[twice]->column, buf_text(&shown), keys[first]->line);
        buf_done(&shown);
    }
    free(keys);
    free(names);
    return twice < 0;
}

static struct yaml_node *parse_list(struct reader *r, const yaml_event_t *event, int depth)
{
    struct yaml_node *list = new_node(r, event, YAML_LIST, event->data.sequence_start.tag);
    struct yaml_entry **tail = list ? &list->first : NULL;
    while (list) {
        const struct yaml_node *item = NULL;
        if (!parse_child(r, depth, &item))
            return NULL;
        if (!item)
            return list;
        if (!append(r, event, list, &tail, NULL, item))
            return NULL;
    }
    return NULL;
}

static struct yaml_node *parse_map(struct reader *r, const yaml_event_t *event, int depth)
{
    struct yaml_node *map = new_node(r, event, YAML_MAP, event->data.mapping_start.tag);
    struct yaml_entry **tail = map ? &map->first : NULL;
    while (map) {
        const struct yaml_node *key = NULL, *value = NULL;
        if (!parse_child(r, depth, &key))
            return NULL;
        if (!key)
            return refuse_duplicate_keys(r, map) ? map : NULL;
        if (key->kind != YAML_SCALAR) {
            err_set(r->err, ERR_INPUT, "%s:%d:%d: a key must be text, this is %s", r->path,
                    key->line, key->column, spec_yaml_kind_name(key));
            return NULL;
        }
        if (!parse_child(r, depth, &value))
            return NULL;
        if (!value) { /* libyaml gives each key a value, an empty one if need be */
            fail(r, event->start_mark, "a key without a value");
            return NULL;
        }
        if (!append(r, event, map, &tail, key, value))
            return NULL;
    }
    return NULL;
}

static struct yaml_node *parse_node(struct reader *r, const yaml_event_t *event, int depth)
{
    struct yaml_node *node = NULL;
    const yaml_char_t *anchor = NULL;
    if (depth >= YAML_DEPTH_MAX) {
        fail(r, event->start_mark, "nested too deeply: at most 32 levels");
        return NULL;
    }
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        node = parse_scalar(r, event);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        node = parse_list(r, event, depth + 1);
    } else {
        anchor = event->data.mapping_start.anchor;
        node = parse_map(r, event, depth + 1);
    }
    return node && remember(r, event, anchor, node) ? node : NULL;
}

/* Stream and document starts are skipped; a second document is refused. */
static bool parse_stream(struct reader *r, const struct yaml_node **ret_root)
{
    const struct yaml_node *root = NULL;
    for (;;) {
        yaml_event_t event;
        if (!next_event(r, &event))
            return false;
        bool ok = true, end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && root) {
            ok = fail(r, event.start_mark, "a second document (\"---\"): one study per file");
        } else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT ||
                   event.type == YAML_MAPPING_START_EVENT) {
            root = parse_node(r, &event, 0);
            ok = root != NULL;
        } else if (event.type == YAML_ALIAS_EVENT) {
            ok = fail(r, event.start_mark, "an alias (\"*\") is no study");
        }
        yaml_event_delete(&event);
        if (!ok)
            return false;
        if (end)
            break;
    }
    if (!root) {
        struct yaml_node *empty = arena_alloc(r->arena, sizeof *empty);
        *empty = (struct yaml_node){.kind = YAML_MAP, .text = "", .line = 1, .column = 1};
        root = empty;
    }
    *ret_root = root;
    return true;
}

bool spec_yaml_parse(struct arena *arena, const char *path, const char *text, size_t len,
                     const struct yaml_node **ret_root, struct err *err)
{
    struct reader r = {.arena = arena, .path = path, .err = err};
    if (len > YAML_BYTES_MAX)
        return err_set(err, ERR_INPUT, "%s: %zu bytes: a study file has at most 1 MiB", path, len);
    if (!yaml_parser_initialize(&r.parser))
        abort();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
    bool ok = parse_stream(&r, ret_root);
    yaml_parser_delete(&r.parser);
    return ok;
}

const struct yaml_node *spec_yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (const struct yaml_entry *e = map->first; e; e = e->next)
        if (strcmp(e->key->text, key) == 0)
            return e->value;
    return NULL;
}

bool spec_yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

const char *spec_yaml_kind_name(const struct yaml_node *node)
{
    static const char *const names[] = {
        [YAML_SCALAR] = "text", [YAML_LIST] = "a list", [YAML_MAP] = "a mapping"};
    return spec_yaml_is_null(node) ? "nothing" : names[node->kind];
}

struct named {
    const char *name;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

int spec_names_duplicate(const char *const *names, size_t count)
{
    struct named *sorted = calloc(count + 1, sizeof *sorted);
    int found = -1;
    if (!sorted)
        abort();
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct named){names[i], i};
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0 &&
            (found < 0 || sorted[i].index < (size_t)found))
            found = (int)sorted[i].index;
    free(sorted);
    return found;
}
