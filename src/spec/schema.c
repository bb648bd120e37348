/* The binder: one row of a table and one scalar become one member of a record.
 *
 * A default is written in the table as a person would write it and goes through the same reader as
 * the file's text, so that the manual, the check of the range and the value in use cannot disagree.
 *
 * Rejected: a binder that also reads lists and mappings with free keys (libcyaml tries). Services,
 * knobs and options have keys that other parts of the file define; a page of code says that better
 * than a schema language does. */
#include "spec/schema.h"

#include "base/text.h"
#include "spec/loader.h"
#include "spec/metric.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

bool spec_fail(struct spec_loader *l, struct spec_place place, const char *where, const char *fmt,
               ...)
{
    char text[800];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *colon = where[0] ? ": " : "";
    if (!l->path)
        return err_set(l->err, ERR_INPUT, "%s%s%s", where, colon, text);
    return err_set(l->err, ERR_INPUT, "%s:%d:%d: %s%s%s", l->path, place.line, place.column, where,
                   colon, text);
}

struct spec_place spec_place_of(const struct yaml_node *node)
{
    return (struct spec_place){.line = node->line, .column = node->column};
}

const char *spec_shown(const char *text, char ret_shown[SPEC_SHOWN_SIZE])
{
    enum { SHOWN = 60 };
    struct buf buf = BUF_INIT(SPEC_SHOWN_SIZE - 4);
    size_t len = strlen(text), cut = len;
    if (len > SHOWN) {
        cut = SHOWN;
        while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80)
            cut--; /* not in the middle of a character */
    }
    text_add_escaped(&buf, TEXT_TERMINAL, text, cut, cut);
    snprintf(ret_shown, SPEC_SHOWN_SIZE, "%s%s", buf_text(&buf), cut < len ? "..." : "");
    buf_done(&buf);
    return ret_shown;
}

const char *spec_quote(struct spec_loader *l, const char *text)
{
    char shown[SPEC_SHOWN_SIZE];
    return arena_strdup(l->arena, spec_shown(text, shown));
}

const char *spec_list(struct spec_loader *l, const char *const *names, size_t count)
{
    enum { SHOWN = 30 };
    struct buf buf = BUF_INIT(400);
    for (size_t i = 0; i < count && i < SHOWN && !buf.over; i++)
        buf_addf(&buf, "%s%s", i ? ", " : "", spec_quote(l, names[i]));
    const char *more = count > SHOWN || buf.over ? ", ..." : "";
    const char *list = arena_printf(l->arena, "%s%s", buf_text(&buf), more);
    buf_done(&buf);
    return list;
}

const char *spec_did_you_mean(struct spec_loader *l, const char *const *names, size_t count,
                              const char *word)
{
    const char *nearest = text_nearest(names, count, word);
    return nearest ? arena_printf(l->arena, "; did you mean %s?", spec_quote(l, nearest)) : "";
}

bool spec_is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return len > 0 && len <= SPEC_NAME_MAX && text[len] == '\0' && text[0] >= 'a' && text[0] <= 'z';
}

bool spec_load_text(struct spec_loader *l, const struct yaml_node *node, const char *where,
                    const char **ret_text)
{
    if (node->kind != YAML_SCALAR)
        return spec_fail(l, spec_place_of(node), where, "must be text, this is %s",
                         spec_yaml_kind_name(node));
    if (strlen(node->text) > SPEC_TEXT_MAX)
        return spec_fail(l, spec_place_of(node), where, "at most 4,096 bytes of text");
    *ret_text = spec_yaml_is_null(node) ? NULL : node->text;
    return true;
}

/* ---- one scalar ---- */

/* What a field's number is called, and how its range is shown. */
static const struct {
    const char *what;
    enum metric_unit unit;
} numbers[] = {
    [FIELD_INT] = {"a whole number", UNIT_COUNT},
    [FIELD_INT64] = {"a whole number", UNIT_COUNT},
    [FIELD_REAL] = {"a number", UNIT_COUNT},
    [FIELD_DURATION] = {"a time with its unit, as in 30s or 5m", UNIT_SECONDS},
    [FIELD_SIZE] = {"a size with its unit, as in 512MiB", UNIT_BYTES},
    [FIELD_RATIO] = {"a share, as in 5% or 0.05", UNIT_RATIO},
    [FIELD_RATE] = {"a rate, as in 2/s", UNIT_PER_SECOND},
};

static bool read_number(const struct spec_field *field, const char *text, double *ret_value)
{
    int64_t whole = 0;
    if (field->type != FIELD_INT && field->type != FIELD_INT64)
        return metric_parse_quantity(numbers[field->type].unit, text, ret_value, NULL);
    if (!text_to_i64(text, &whole))
        return false;
    *ret_value = (double)whole;
    return true;
}

static bool has_range(const struct spec_field *field)
{
    return field->min != 0 || field->max != 0;
}

static void add_range(struct buf *buf, const struct spec_field *field)
{
    metric_add_value(buf, numbers[field->type].unit, field->min);
    buf_add(buf, " to ");
    metric_add_value(buf, numbers[field->type].unit, field->max);
}

static const char *range_text(struct spec_loader *l, const struct spec_field *field)
{
    struct buf buf = BUF_INIT(200);
    add_range(&buf, field);
    const char *text = arena_strdup(l->arena, buf_text(&buf));
    buf_done(&buf);
    return text;
}

static void store_number(const struct spec_field *field, const char *text, double value, void *at)
{
    switch (field->type) {
    case FIELD_INT:
        *(int *)at = (int)value;
        break;
    case FIELD_INT64:
        text_to_i64(text, at); /* again: a double holds 53 bits only */
        break;
    case FIELD_DURATION:
        *(int64_t *)at = (int64_t)llround(value * 1e9);
        break;
    case FIELD_SIZE:
        *(int64_t *)at = (int64_t)value;
        break;
    default:
        *(double *)at = value;
    }
}

static bool bind_number(struct spec_loader *l, const struct spec_field *field,
                        struct spec_place place, const char *where, const char *text, void *at)
{
    double value = 0;
    if (!read_number(field, text, &value))
        return spec_fail(l, place, where, "\"%s\" is not %s", spec_quote(l, text),
                         numbers[field->type].what);
    if (has_range(field) && (value < field->min || value > field->max))
        return spec_fail(l, place, where, "%s is out of range: %s", spec_quote(l, text),
                         range_text(l, field));
    store_number(field, text, value, at);
    return true;
}

static bool bind_word(struct spec_loader *l, const struct spec_field *field,
                      struct spec_place place, const char *where, const char *text, void *at)
{
    static const char *const truths[] = {"false", "true"};
    const char *const *words = field->type == FIELD_BOOL ? truths : field->choices;
    int count = field->type == FIELD_BOOL ? 2 : field->choice_count;
    int index = text_index(words, count, text);
    if (index < 0)
        return spec_fail(l, place, where, "\"%s\": must be one of %s%s", spec_quote(l, text),
                         spec_list(l, words, (size_t)count),
                         spec_did_you_mean(l, words, (size_t)count, text));
    if (field->type == FIELD_BOOL)
        *(bool *)at = index == 1;
    else
        *(int *)at = index;
    return true;
}

static bool bind_text(struct spec_loader *l, const struct spec_field *field,
                      struct spec_place place, const char *where, const char *text, void *record)
{
    void *at = (char *)record + field->offset;
    if (field->type == FIELD_BOOL || field->type == FIELD_CHOICE)
        return bind_word(l, field, place, where, text, at);
    if (field->type != FIELD_TEXT)
        return bind_number(l, field, place, where, text, at);
    if (strlen(text) > SPEC_TEXT_MAX)
        return spec_fail(l, place, where, "at most 4,096 bytes of text");
    *(const char **)at = text;
    return true;
}

static bool bind_node(struct spec_loader *l, const struct spec_field *field,
                      const struct yaml_node *node, const char *where, void *record)
{
    bool map = field->map_offset && node->kind == YAML_MAP;
    if (field->type == FIELD_NODE || map) {
        size_t offset = map ? field->map_offset : field->offset;
        *(const struct yaml_node **)(void *)((char *)record + offset) = node;
        return true;
    }
    if (node->kind != YAML_SCALAR)
        return spec_fail(l, spec_place_of(node), where, "must be %s, this is %s",
                         field->type == FIELD_TEXT || field->type == FIELD_BOOL ||
                                 field->type == FIELD_CHOICE
                             ? "text"
                             : numbers[field->type].what,
                         spec_yaml_kind_name(node));
    if (spec_yaml_is_null(node) || node->text[0] == '\0')
        return spec_fail(l, spec_place_of(node), where,
                         "is empty: give a value or leave the key out");
    return bind_text(l, field, spec_place_of(node), where, node->text, record);
}

static void add_words(struct buf *buf, const struct spec_field *field)
{
    for (int i = 0; i < field->choice_count; i++)
        buf_addf(buf, "%s%s", i ? ", " : "", field->choices[i]);
}

void spec_field_add_facts(struct buf *buf, const struct spec_field *field)
{
    switch (field->type) {
    case FIELD_NODE:
        break; /* its help says its shape */
    case FIELD_TEXT:
        buf_add(buf, "text");
        break;
    case FIELD_BOOL:
        buf_add(buf, "true or false");
        break;
    case FIELD_CHOICE:
        add_words(buf, field);
        break;
    default:
        buf_add(buf, numbers[field->type].what);
        if (has_range(field)) {
            buf_add(buf, "; ");
            add_range(buf, field);
        }
    }
    if (field->map_offset)
        buf_add(buf, "; or a mapping");
    if (field->fallback)
        buf_addf(buf, "%sdefault %s", buf->len ? "; " : "", field->fallback);
    if (field->required)
        buf_addf(buf, "%srequired", buf->len ? "; " : "");
}

/* ---- the mapping ---- */

static const struct spec_field *find_field(const struct spec_section *section, const char *name)
{
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->fields[i].name, name) == 0)
            return &section->fields[i];
    return NULL;
}

static bool fail_unknown(struct spec_loader *l, const struct yaml_node *key, const char *where,
                         const struct spec_section *section, struct spec_extra extra)
{
    size_t count = 0;
    const char **names = arena_array(l->arena, section->count + extra.count, sizeof *names);
    for (size_t i = 0; i < section->count; i++)
        names[count++] = section->fields[i].name;
    for (size_t i = 0; i < extra.count; i++)
        names[count++] = extra.names[i];
    const char *nearest = text_nearest(names, count, key->text);
    if (nearest)
        return spec_fail(l, spec_place_of(key), where, "there is no key \"%s\"; did you mean %s?",
                         spec_quote(l, key->text), nearest);
    return spec_fail(l, spec_place_of(key), where, "there is no key \"%s\"; allowed: %s",
                     spec_quote(l, key->text), spec_list(l, names, count));
}

const char *spec_join(struct spec_loader *l, const char *where, const char *key)
{
    return where[0] ? arena_printf(l->arena, "%s.%s", where, key) : key;
}

static bool bind_entries(struct spec_loader *l, const struct yaml_node *map, const char *where,
                         const struct spec_section *section, struct spec_extra extra, void *record)
{
    for (const struct yaml_entry *e = map->first; e; e = e->next) {
        const char *key = e->key->text;
        const struct spec_field *field = find_field(section, key);
        if (!field && text_index(extra.names, (int)extra.count, key) >= 0)
            continue;
        if (!field)
            return fail_unknown(l, e->key, where, section, extra);
        if (!bind_node(l, field, e->value, spec_join(l, where, key), record))
            return false;
    }
    return true;
}

bool spec_bind(struct spec_loader *l, const struct yaml_node *map, const char *where,
               const struct spec_section *section, struct spec_extra extra, void *record)
{
    struct spec_place place = map ? spec_place_of(map) : (struct spec_place){1, 1};
    if (map && map->kind != YAML_MAP && !spec_yaml_is_null(map))
        return spec_fail(l, place, where, "must be a mapping (key: value), this is %s",
                         spec_yaml_kind_name(map));
    for (size_t i = 0; i < section->count; i++) {
        const struct spec_field *field = &section->fields[i];
        if (field->fallback &&
            !bind_text(l, field, place, spec_join(l, where, field->name), field->fallback, record))
            return false;
    }
    if (map && !bind_entries(l, map, where, section, extra, record))
        return false;
    for (size_t i = 0; i < section->count; i++)
        if (section->fields[i].required && !spec_yaml_get(map, section->fields[i].name))
            return spec_fail(l, place, where, "\"%s\" is missing: %s", section->fields[i].name,
                             section->fields[i].help);
    return true;
}
