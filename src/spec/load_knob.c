/* `knobs:` of every service: a list, labels with texts, or a range, each with an optional
 * condition.
 *
 * Values of a range are made by multiplying, not by adding up, and printed with ten digits, so that
 * 0.30 in steps of 0.05 ends at "0.6" and not at 0.6000000000000001: the label is what is stored,
 * shown and given to the service, and its number is read back from it. */
#include "spec/load_expr.h"

#include "base/text.h"
#include "spec/space.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <string.h>

struct knob_draft {
    const struct yaml_node *values;
    const char *when, *from, *to, *step;
    int scale, steps;
    int memory; /* enum option_memory - 1 ("none" can't be said), -1: not given */
};

enum scale { SCALE_LINEAR, SCALE_LOG };
static const char *const scales[] = {[SCALE_LINEAR] = "linear", [SCALE_LOG] = "log"};

#define FIELD(member) offsetof(struct knob_draft, member)
static const struct spec_field knob_fields[] = {
    {"values", FIELD_NODE, FIELD(values),
     .help = "a list of values, or labels with the text of each (null: left out)"},
    {"when", FIELD_TEXT, FIELD(when),
     .help = "a condition on earlier knobs; where it is not true, the knob is not there"},
    {"from", FIELD_TEXT, FIELD(from), .help = "first value of a range"},
    {"to", FIELD_TEXT, FIELD(to), .help = "last value of a range"},
    {"step", FIELD_TEXT, FIELD(step), .help = "distance between values of a linear range"},
    {"scale", FIELD_CHOICE, FIELD(scale), .choices = scales, .choice_count = 2,
     .fallback = "linear", .help = "linear or log"},
    {"steps", FIELD_INT, FIELD(steps), .min = 2, .max = SPEC_VALUES_MAX,
     .help = "number of values of a range, instead of step"},
    {"memory", FIELD_CHOICE, FIELD(memory), .choices = spec_memory_names + 1,
     .choice_count = MEMORY_COUNT_ - 1,
     .help = "what a larger value takes of the device's memory: more, less, or a larger share for "
             "the server itself (default: as the engine's option says)"},
};
#undef FIELD
const struct spec_section spec_knob_section = {"services.NAME.knobs.KNOB", knob_fields,
                                               ARRAY_LEN(knob_fields)};

static struct spec_value *new_values(struct spec_loader *l, struct spec_knob *knob, size_t count)
{
    if (count > SPEC_VALUES_MAX) {
        spec_fail(l, knob->place, knob->full_name, "at most 10,000 values in a knob");
        return NULL;
    }
    l->value_count += count;
    if (l->value_count > SPEC_VALUES_ALL_MAX) {
        spec_fail(l, knob->place, knob->full_name, "at most 100,000 values in all knobs together");
        return NULL;
    }
    knob->values = arena_array(l->arena, count, sizeof *knob->values);
    return knob->values;
}

static void set_number(struct spec_value *value)
{
    enum expr_unit unit = EXPR_UNIT_ANY;
    if (!expr_number(value->label, &value->number, &unit))
        value->number = NAN;
}

/* Labels are stored as "knob=label knob=label": no blanks, nothing invisible. */
static bool check_label(struct spec_loader *l, const struct spec_knob *knob,
                        const struct yaml_node *node)
{
    const char *text = node->text;
    size_t len = strlen(text);
    bool ok = len > 0 && len <= 256;
    for (size_t i = 0; i < len; i++)
        ok = ok && !isspace((unsigned char)text[i]) && !iscntrl((unsigned char)text[i]);
    if (ok)
        return true;
    return spec_fail(l, spec_place_of(node), knob->full_name,
                     "\"%s\": a value has 1 to 256 bytes and no blanks; give it a short label: "
                     "{values: {label: \"the text\"}}",
                     spec_quote(l, text));
}

static bool load_list(struct spec_loader *l, const struct yaml_node *list, struct spec_knob *knob)
{
    struct spec_value *values = new_values(l, knob, list->count);
    if (!values)
        return false;
    for (const struct yaml_entry *e = list->first; e; e = e->next) {
        const struct yaml_node *node = e->value;
        if (node->kind != YAML_SCALAR || spec_yaml_is_null(node))
            return spec_fail(l, spec_place_of(node), knob->full_name,
                             "a value must be text or a number, this is %s (null needs a label: "
                             "{values: {default: null}})",
                             spec_yaml_kind_name(node));
        if (!check_label(l, knob, node))
            return false;
        values[knob->value_count++] = (struct spec_value){
            .label = node->text, .text = node->text, .place = spec_place_of(node)};
    }
    return true;
}

static bool load_labels(struct spec_loader *l, const struct yaml_node *map, struct spec_knob *knob)
{
    struct spec_value *values = new_values(l, knob, map->count);
    if (!values)
        return false;
    for (const struct yaml_entry *e = map->first; e; e = e->next) {
        struct spec_value *value = &values[knob->value_count++];
        *value = (struct spec_value){.label = e->key->text, .place = spec_place_of(e->key)};
        if (!check_label(l, knob, e->key) ||
            !spec_load_text(l, e->value, knob->full_name, &value->text))
            return false;
    }
    return true;
}

/* ---- ranges ---- */

static bool read_end(struct spec_loader *l, const struct spec_knob *knob, const char *key,
                     const char *text, double *ret_value)
{
    if (!text)
        return spec_fail(l, knob->place, knob->full_name, "a range needs \"%s\"", key);
    if (text_to_double(text, ret_value) && fabs(*ret_value) < 1e15)
        return true;
    return spec_fail(l, knob->place, knob->full_name, "%s: \"%s\" is not a number", key,
                     spec_quote(l, text));
}

static bool is_whole(double value)
{
    return value == rint(value);
}

/* Appends a value unless it equals the one before (a log range of whole numbers rounds). */
static void add_value(struct spec_loader *l, struct spec_knob *knob, double number)
{
    char label[40];
    snprintf(label, sizeof label, "%.10g", number == 0 ? 0 : number); /* never "-0" */
    if (is_whole(number) && fabs(number) < 1e15)
        snprintf(label, sizeof label, "%.0f", number == 0 ? 0 : number);
    if (knob->value_count && strcmp(knob->values[knob->value_count - 1].label, label) == 0)
        return;
    const char *text = arena_strdup(l->arena, label);
    knob->values[knob->value_count++] =
        (struct spec_value){.label = text, .text = text, .place = knob->place};
}

static bool fill_linear(struct spec_loader *l, struct spec_knob *knob, double from, double to,
                        double step)
{
    double steps = floor((to - from) / step + 1e-9);
    if (!(steps < SPEC_VALUES_MAX))
        return spec_fail(l, knob->place, knob->full_name, "at most 10,000 values in a knob");
    if (!new_values(l, knob, (size_t)steps + 1))
        return false;
    for (size_t i = 0; i <= (size_t)steps; i++)
        add_value(l, knob, from + (double)i * step);
    return true;
}

static bool fill_steps(struct spec_loader *l, struct spec_knob *knob, double from, double to,
                       const struct knob_draft *draft)
{
    bool whole = is_whole(from) && is_whole(to);
    if (!new_values(l, knob, (size_t)draft->steps))
        return false;
    for (int i = 0; i < draft->steps; i++) {
        double share = (double)i / (draft->steps - 1);
        double value =
            draft->scale == SCALE_LOG ? from * pow(to / from, share) : from + (to - from) * share;
        add_value(l, knob, whole && draft->scale == SCALE_LOG ? rint(value) : value);
    }
    return true;
}

static bool load_range(struct spec_loader *l, const struct knob_draft *draft,
                       struct spec_knob *knob)
{
    double from = 0, to = 0, step = 0;
    if (!read_end(l, knob, "from", draft->from, &from) || !read_end(l, knob, "to", draft->to, &to))
        return false;
    if (from >= to)
        return spec_fail(l, knob->place, knob->full_name, "from must be below to");
    if (draft->scale == SCALE_LOG && from <= 0)
        return spec_fail(l, knob->place, knob->full_name, "a log range starts above 0");
    if (draft->scale == SCALE_LOG && (draft->step || !draft->steps))
        return spec_fail(l, knob->place, knob->full_name,
                         "a log range needs \"steps\", the number of its values");
    if (!draft->step == !draft->steps)
        return spec_fail(l, knob->place, knob->full_name,
                         "a range needs either \"step\" (the distance) or \"steps\" (the number)");
    if (draft->steps)
        return fill_steps(l, knob, from, to, draft);
    if (!read_end(l, knob, "step", draft->step, &step))
        return false;
    if (step <= 0)
        return spec_fail(l, knob->place, knob->full_name, "step must be above 0");
    return fill_linear(l, knob, from, to, step);
}

/* ---- one knob ---- */

static bool load_values(struct spec_loader *l, const struct yaml_node *node,
                        const struct knob_draft *draft, struct spec_knob *knob)
{
    bool is_range = draft->from || draft->to || draft->step || draft->steps;
    if (node->kind == YAML_LIST)
        return load_list(l, node, knob);
    if (draft->values && is_range)
        return spec_fail(l, knob->place, knob->full_name,
                         "has both values and a range: one of "
                         "them");
    if (is_range)
        return load_range(l, draft, knob);
    if (!draft->values)
        return spec_fail(l, knob->place, knob->full_name, "needs values, or from and to");
    if (draft->values->kind == YAML_LIST)
        return load_list(l, draft->values, knob);
    if (draft->values->kind == YAML_MAP)
        return load_labels(l, draft->values, knob);
    return spec_fail(l, spec_place_of(draft->values), knob->full_name,
                     "values must be a list, or a mapping of labels to texts");
}

static bool check_values(struct spec_loader *l, struct spec_knob *knob)
{
    if (knob->value_count == 0)
        return spec_fail(l, knob->place, knob->full_name, "is empty: give at least one value");
    const char **labels = calloc(knob->value_count, sizeof *labels);
    if (!labels)
        abort();
    knob->ordered = true;
    for (size_t i = 0; i < knob->value_count; i++) {
        labels[i] = knob->values[i].label;
        set_number(&knob->values[i]);
        knob->ordered = knob->ordered && !isnan(knob->values[i].number);
    }
    int twice = spec_names_duplicate(labels, knob->value_count);
    free(labels);
    if (twice < 0)
        return true;
    return spec_fail(l, knob->values[twice].place, knob->full_name, "\"%s\" is given twice",
                     spec_quote(l, knob->values[twice].label));
}

/* Its name and place; values and condition follow when all names are known. */
static bool name_knob(struct spec_loader *l, const struct yaml_node *key, size_t service,
                      struct spec_knob *knob)
{
    static const char *const taken[] = {"port", "dir", "study"};
    const char *name = key->text;
    const char *owner = l->study->services[service].name;
    const char *where = arena_printf(l->arena, "%s.knobs", owner);
    if (!spec_is_name(name))
        return spec_fail(l, spec_place_of(key), where,
                         "\"%s\" is no name: a small letter, then small letters, digits and \"_\", "
                         "at most 32",
                         spec_quote(l, name));
    if (text_index(taken, ARRAY_LEN(taken), name) >= 0)
        return spec_fail(l, spec_place_of(key), where,
                         "{%s} has a meaning of its own: name the knob otherwise", name);
    *knob = (struct spec_knob){.name = name,
                               .service = service,
                               .place = spec_place_of(key),
                               .full_name = arena_printf(l->arena, "%s.%s", owner, name)};
    return true;
}

static bool load_knob(struct spec_loader *l, const struct yaml_node *node, size_t index)
{
    struct spec_knob *knob = &l->study->knobs[index];
    const char *where =
        arena_printf(l->arena, "%s.knobs.%s", l->study->services[knob->service].name, knob->name);
    struct knob_draft draft = {.memory = -1};
    assert(node); /* it has been named, so it stands in the file */
    if (node->kind == YAML_SCALAR)
        return spec_fail(l, spec_place_of(node), where,
                         "must be a list of values or a range; a single value belongs directly "
                         "under the service");
    if (node->kind == YAML_MAP &&
        !spec_bind(l, node, where, &spec_knob_section, (struct spec_extra){0}, &draft))
        return false;
    if (!load_values(l, node, &draft, knob) || !check_values(l, knob))
        return false;
    if (draft.memory >= 0 && !knob->ordered)
        return spec_fail(l, spec_place_of(spec_yaml_get(node, "memory")),
                         arena_printf(l->arena, "%s.memory", where),
                         "only where all values are numbers: of words none is larger");
    if (draft.memory >= 0)
        knob->memory = (enum option_memory)(draft.memory + 1);
    return !draft.when || spec_load_knob_expr(l, spec_yaml_get(node, "when"),
                                              arena_printf(l->arena, "%s.when", where),
                                              (int)knob->service, index, &knob->when);
}

/* A candidate's code has 64 bits. */
static bool check_radix(struct spec_loader *l)
{
    uint64_t product = 1;
    for (size_t i = 0; i < l->study->knob_count; i++) {
        const struct spec_knob *knob = &l->study->knobs[i];
        uint64_t digit = knob->value_count + (knob->when ? 1 : 0);
        if (__builtin_mul_overflow(product, digit, &product))
            return spec_fail(l, knob->place, knob->full_name,
                             "too many combinations: all knobs together have over 2^64");
    }
    return true;
}

static bool name_knobs(struct spec_loader *l, const struct yaml_node *knobs, size_t service,
                       const struct yaml_node **nodes)
{
    struct spec_study *study = l->study;
    const char *where = arena_printf(l->arena, "%s.knobs", study->services[service].name);
    if (knobs->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(knobs), where,
                         "must be a mapping of knobs by name, this is %s",
                         spec_yaml_kind_name(knobs));
    for (const struct yaml_entry *e = knobs->first; e; e = e->next) {
        if (study->knob_count == SPEC_KNOBS_MAX)
            return spec_fail(l, spec_place_of(e->key), where, "at most 64 knobs in a study");
        if (!name_knob(l, e->key, service, &study->knobs[study->knob_count]))
            return false;
        nodes[study->knob_count++] = e->value;
    }
    return true;
}

bool spec_load_knobs(struct spec_loader *l, const struct spec_service_draft *drafts)
{
    struct spec_study *study = l->study;
    const struct yaml_node *nodes[SPEC_KNOBS_MAX] = {NULL};
    study->knobs = arena_array(l->arena, SPEC_KNOBS_MAX, sizeof *study->knobs);
    for (size_t i = 0; i < study->service_count; i++)
        if (drafts[i].knobs && !name_knobs(l, drafts[i].knobs, i, nodes))
            return false;
    for (size_t i = 0; i < study->knob_count; i++)
        if (!load_knob(l, nodes[i], i))
            return false;
    return check_radix(l);
}
