/* `act:`: what guard may do. An action that is not named here is only ever said, never done; there
 * is no default that acts on somebody's machine.
 *
 * Each has its limit per hour even so: a rule that is wrong should cost two restarts, not a night
 * of them. */
#include "spec/load_guard.h"

#include "base/text.h"
#include "spec/template.h"

#include <ctype.h>
#include <string.h>

struct act_draft {
    int per_hour; /* 0: not given */
    int64_t back_off_ns;
    const struct yaml_node *command;
    const char *between;
    const struct yaml_node *pause;
    bool user;
};

#define FIELD(member) offsetof(struct act_draft, member)
static const struct spec_field act_fields[] = {
    {"per_hour", FIELD_INT, FIELD(per_hour), .min = 1, .max = 3600,
     .help = "at most so often (default: notify, tier-down and tier-up 60, restart 2, rollback and "
             "restudy 1)"},
    {"command", FIELD_NODE, FIELD(command),
     .help = "of notify: a list, the program first, never run by a shell; {rule}, {state} and "
             "{text} in it say what is told (default: the journal alone)"},
    {"back_off", FIELD_DURATION, FIELD(back_off_ns), .min = 1, .max = 3600, .fallback = "1m",
     .help = "of restart: not again so soon, and not before the service has had its time to be "
             "ready; doubles with each one, up to an hour"},
    {"between", FIELD_TEXT, FIELD(between),
     .help = "of restudy: local time in which a study may run, as in 02:00-05:00 (default: any)"},
    {"pause", FIELD_NODE, FIELD(pause),
     .help = "of restudy: a list of systemd units that hold the device; they are stopped while the "
             "study runs and started again at its end, without being asked for (default: none)"},
    {"user", FIELD_BOOL, FIELD(user), .help = "of restudy: they are units of the user's manager"},
};
#undef FIELD
const struct spec_section spec_act_section = {"guard.act.ACTION", act_fields,
                                              ARRAY_LEN(act_fields)};

static const struct {
    const char *key;
    enum spec_action action;
} of_one[] = {
    {"command", ACTION_NOTIFY}, {"back_off", ACTION_RESTART}, {"between", ACTION_RESTUDY},
    {"pause", ACTION_RESTUDY},  {"user", ACTION_RESTUDY},
};
static const int usual_per_hour[ACTION_COUNT_] = {
    [ACTION_NOTIFY] = 60, [ACTION_TIER_DOWN] = 60, [ACTION_TIER_UP] = 60,
    [ACTION_RESTART] = 2, [ACTION_ROLLBACK] = 1,   [ACTION_RESTUDY] = 1,
};

static bool check_word(struct spec_loader *l, const char *where, const struct spec_setting *item)
{
    static const char *const known[] = {"rule", "state", "text"};
    struct spec_piece piece;
    const char *at = item->text;
    while (spec_template_next(&at, &piece)) {
        bool fine = piece.kind == PIECE_TEXT;
        for (size_t i = 0; i < ARRAY_LEN(known) && piece.kind == PIECE_NAME; i++)
            fine |= strlen(known[i]) == piece.len && strncmp(known[i], piece.text, piece.len) == 0;
        if (!fine)
            return spec_fail(l, item->place, where,
                             "\"%s\": of placeholders only {rule}, {state} and {text} are known "
                             "here; \"{{\" writes a brace",
                             spec_quote(l, item->text));
    }
    if (item->text[strcspn(item->text, "\n\r")])
        return spec_fail(l, item->place, where, "an argument must be one line");
    return true;
}

static bool load_command(struct spec_loader *l, const struct yaml_node *node, const char *where,
                         struct spec_guard *g)
{
    if (!node)
        return true;
    if (!spec_load_list(l, node, where, &g->notify, &g->notify_count))
        return false;
    if (g->notify_count == 0 || g->notify[0].text[0] == '\0' || g->notify[0].text[0] == '{')
        return spec_fail(l, spec_place_of(node), where, "needs a program");
    for (size_t i = 0; i < g->notify_count; i++)
        if (!check_word(l, where, &g->notify[i]))
            return false;
    return true;
}

/* "02:00-05:00" */
static bool read_hours(const char *text, struct spec_restudy_hours *ret_hours)
{
    int at[4] = {0};
    static const char shape[] = "dd:dd-dd:dd";
    if (strlen(text) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] != 'd' ? text[i] != shape[i] : !isdigit((unsigned char)text[i]))
            return false;
        if (shape[i] == 'd')
            at[i / 3] = at[i / 3] * 10 + text[i] - '0';
    }
    if (at[0] > 23 || at[2] > 23 || at[1] > 59 || at[3] > 59)
        return false;
    ret_hours->given = true;
    ret_hours->from_min = at[0] * 60 + at[1];
    ret_hours->to_min = at[2] * 60 + at[3];
    return ret_hours->from_min != ret_hours->to_min;
}

static bool load_pause(struct spec_loader *l, const struct yaml_node *node, const char *where,
                       struct spec_guard *g)
{
    struct spec_setting *units = NULL;
    size_t count = 0;
    if (!node)
        return true;
    if (!spec_load_list(l, node, where, &units, &count))
        return false;
    const char *joined = NULL;
    for (size_t i = 0; i < count; i++) {
        const char *name = units[i].text;
        if (name[0] == '\0' || name[0] == '-' || name[strcspn(name, ", \t\n\r/")])
            return spec_fail(l, units[i].place, where, "\"%s\" is no unit's name",
                             spec_quote(l, name));
        joined = joined ? arena_printf(l->arena, "%s,%s", joined, name) : name;
    }
    g->restudy.pause = joined;
    return joined || spec_fail(l, spec_place_of(node), where, "needs a unit");
}

static bool load_one(struct spec_loader *l, const struct yaml_entry *e, struct spec_guard *g)
{
    struct act_draft draft = {0};
    const char *key = e->key->text;
    int action = text_index(spec_action_names, ACTION_COUNT_, key);
    if (action < 0)
        return spec_fail(l, spec_place_of(e->key), "guard.act",
                         "there is no action \"%s\"%s (there are %s)", spec_quote(l, key),
                         spec_did_you_mean(l, spec_action_names, ACTION_COUNT_, key),
                         spec_list(l, spec_action_names, ACTION_COUNT_));
    const char *where = arena_printf(l->arena, "guard.act.%s", key);
    if (!spec_bind(l, e->value, where, &spec_act_section, (struct spec_extra){0}, &draft))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(of_one); i++) {
        const struct yaml_node *value = spec_yaml_get(e->value, of_one[i].key);
        if (value && of_one[i].action != (enum spec_action)action)
            return spec_fail(l, spec_place_of(value), spec_join(l, where, of_one[i].key),
                             "goes with %s alone", spec_action_names[of_one[i].action]);
    }
    if (draft.between && !read_hours(draft.between, &g->restudy))
        return spec_fail(
            l, spec_place_of(spec_yaml_get(e->value, "between")), spec_join(l, where, "between"),
            "\"%s\" is no time of day, as in 02:00-05:00", spec_quote(l, draft.between));
    g->limits[action] = (struct spec_guard_limit){
        .allowed = true,
        .per_hour = draft.per_hour ? draft.per_hour : usual_per_hour[action],
        .back_off_ns = action == ACTION_RESTART ? draft.back_off_ns : 0,
    };
    if (draft.user && !draft.pause)
        return spec_fail(l, spec_place_of(spec_yaml_get(e->value, "user")),
                         spec_join(l, where, "user"), "goes with \"pause\"");
    g->restudy.pause_user |= draft.user;
    return load_pause(l, draft.pause, spec_join(l, where, "pause"), g) &&
           load_command(l, draft.command, spec_join(l, where, "command"), g);
}

bool spec_load_guard_act(struct spec_loader *l, const struct yaml_node *act, struct spec_guard *g)
{
    if (!act || spec_yaml_is_null(act))
        return true;
    if (act->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(act), "guard.act",
                         "must be a mapping of actions, as in {notify: {per_hour: 20}}");
    for (const struct yaml_entry *e = act->first; e; e = e->next)
        if (!load_one(l, e, g))
            return false;
    return true;
}
