/* From bytes to a frozen study: read, bind part by part, check the sense of the whole.
 *
 * The order below is the order of need: knobs before what names them, services before their load,
 * loads before metrics, everything before the baseline. The first problem ends it: the second one
 * is often only its echo, and a person fixes one line at a time anyway.
 *
 * Invariant: what comes out can be run. No later folder checks a range, a name or a placeholder
 * again. */
#include "spec/study.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/text.h"
#include "spec/load_guard.h"
#include "spec/space.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

struct draft {
    const char *name;
    const struct yaml_node *device, *neighbours, *services, *constraints, *load, *measure, *goal,
        *capacity, *baseline, *search, *production, *guard;
    int64_t seed;
};

#define FIELD(member) offsetof(struct draft, member)
static const struct spec_field study_fields[] = {
    {"study", FIELD_TEXT, FIELD(name), .required = true,
     .help = "the study's name: letters, digits, \".\", \"_\", \"-\""},
    {"device", FIELD_NODE, FIELD(device),
     .help = "what the services share: cpu (the default), gpu0, gpu1, ... or a GPU's UUID; or a "
             "list of equal ones, on each of which a whole trial can run"},
    {"neighbours", FIELD_NODE, FIELD(neighbours),
     .help = "programs that stay beside the services: a list of unit, pid or command"},
    {"services", FIELD_NODE, FIELD(services), .required = true,
     .help = "the programs under test, by name"},
    {"constraints", FIELD_NODE, FIELD(constraints),
     .help = "what every candidate must satisfy: a list of comparisons between knobs"},
    {"load", FIELD_NODE, FIELD(load), .help = "the requests sent to each service, by its name"},
    {"measure", FIELD_NODE, FIELD(measure), .help = "how long and how often is measured"},
    {"goal", FIELD_NODE, FIELD(goal), .help = "what to optimise and what to require"},
    {"capacity", FIELD_NODE, FIELD(capacity),
     .help = "of which services to find out how much they can take"},
    {"baseline", FIELD_NODE, FIELD(baseline),
     .help = "what runs today: a value for each knob, or none"},
    {"search", FIELD_NODE, FIELD(search), .help = "how candidates are chosen, and the budget"},
    {"production", FIELD_NODE, FIELD(production),
     .help = "how the services run in production, and what a promotion writes there"},
    {"guard", FIELD_NODE, FIELD(guard),
     .help = "what is watched in production, and what may be done there"},
    {"seed", FIELD_INT64, FIELD(seed), .min = 0, .max = 9e18, .fallback = "1",
     .help = "of everything drawn at random: same seed, same order"},
};
#undef FIELD
const struct spec_section spec_study_section = {"", study_fields, ARRAY_LEN(study_fields)};

const struct spec_section *spec_sections(void)
{
    static struct spec_section sections[40];
    const struct spec_section *const all[] = {
        &spec_study_section,      &spec_neighbour_section,  &spec_service_section,
        &spec_ready_section,      &spec_tls_section,        &spec_knob_section,
        &spec_load_section,       &spec_rate_section,       &spec_think_section,
        &spec_length_section,     &spec_prefix_section,     &spec_measure_section,
        &spec_goal_section,       &spec_objective_section,  &spec_capacity_section,
        &spec_search_section,     &spec_promotion_section,  &spec_check_section,
        &spec_production_section, &spec_hand_section,       &spec_guard_section,
        &spec_watch_section,      &spec_guard_rule_section, &spec_act_section,
        &spec_proxy_section,      &spec_attach_section,     &spec_front_section,
        &spec_tier_section,       &spec_split_section,      &spec_arm_section,
        &spec_stick_section,
    };
    static_assert(ARRAY_LEN(all) < ARRAY_LEN(sections), "ends with a NULL title");
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        sections[i] = *all[i];
    return sections;
}

static bool load_name(struct spec_loader *l, const struct yaml_node *root, const char *name)
{
    size_t len = 0;
    while (isalnum((unsigned char)name[len]) || (name[len] && strchr("._-", name[len])))
        len++;
    if (len > 64 || name[len] || name[0] == '.' || name[0] == '-')
        return spec_fail(l, spec_place_of(spec_yaml_get(root, "study")), "study",
                         "\"%s\": at most 64 letters, digits, \".\", \"_\" and \"-\", a letter or "
                         "digit first",
                         spec_quote(l, name));
    l->study->name = name;
    return true;
}

static bool load_all(struct spec_loader *l, const struct yaml_node *root)
{
    struct draft draft = {0};
    const struct spec_extra none = {0};
    if (root->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(root), "",
                         "a study file is a mapping that starts with \"study: NAME\", this is %s",
                         spec_yaml_kind_name(root));
    if (!spec_bind(l, root, "", &spec_study_section, none, &draft))
        return false;
    l->study->seed = (uint64_t)draft.seed;
    return load_name(l, root, draft.name) && spec_load_devices(l, draft.device) &&
           spec_load_neighbours(l, draft.neighbours) && spec_load_services(l, draft.services) &&
           spec_load_loads(l, draft.load) && spec_check_runs(l) &&
           spec_check_proofs(l, draft.services) && spec_check_uses(l) &&
           spec_load_measure(l, draft.measure) && spec_load_goal(l, draft.goal) &&
           spec_load_capacity(l, draft.capacity) && spec_load_constraints(l, draft.constraints) &&
           spec_load_baseline(l, draft.baseline) && spec_load_search(l, draft.search) &&
           spec_load_production(l, draft.production) && spec_load_guard(l, draft.guard);
}

/* ---- the bytes that a measurement depends on ---- */

static const char *line_start(const char *text, int line)
{
    for (int i = 1; i < line && text; i++) {
        const char *end = strchr(text, '\n');
        text = end ? end + 1 : NULL;
    }
    return text;
}

/* The text without one section; itself where that can't be left out. Of a file in flow style, as
 * JSON, everything stays, and so where the rest is no study without it (it holds an anchor). The
 * last section takes the blank lines and comments before it along, so that a study which gets one
 * at its end keeps its digest. */
static const char *leave_out(struct arena *arena, const struct yaml_node **root, const char *text,
                             const char *name)
{
    const struct yaml_entry *entry = (*root)->kind == YAML_MAP ? (*root)->first : NULL;
    while (entry && strcmp(entry->key->text, name) != 0)
        entry = entry->next;
    if (!entry || entry->key->column != 1)
        return text;
    const char *start = line_start(text, entry->key->line);
    const char *end = entry->next ? line_start(text, entry->next->key->line) : "";
    if (!start || !end)
        return text;
    while (!*end && start > text) {
        const char *before = start - 1;
        while (before > text && before[-1] != '\n')
            before--;
        size_t blanks = strspn(before, " \r");
        if (before[blanks] != '\n' && before[blanks] != '#')
            break;
        start = before;
    }
    const char *rest = arena_printf(arena, "%.*s%s", (int)(start - text), text, end);
    const struct yaml_node *again = NULL;
    if (!spec_yaml_parse(arena, "", rest, strlen(rest), &again, NULL) || again->kind != YAML_MAP ||
        again->count + 1 != (*root)->count || spec_yaml_get(again, name))
        return text;
    *root = again;
    return rest;
}

/* The file without its `production:` and `guard:`: they may be written after the study has run, be
 * mended, and the first hold secrets that are not to be stored. One may need the other's anchor, so
 * the first is tried again. */
static const char *measured_text(struct arena *arena, const struct yaml_node *root,
                                 const char *text, bool *ret_production_stays)
{
    static const char *const names[] = {"production", "guard", "production"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        text = leave_out(arena, &root, text, names[i]);
    *ret_production_stays = spec_yaml_get(root, "production") != NULL;
    return text;
}

/* What stays in the stored text must hold no secret. */
static bool check_secrets_left_out(struct spec_loader *l)
{
    const struct spec_study *study = l->study;
    for (size_t i = 0; study->production && i < study->service_count; i++) {
        const struct spec_production *p = &study->production[i];
        for (size_t k = 0; k < p->environment_count; k++)
            if (p->secret[k])
                return spec_fail(l, p->environment[k].place, "production",
                                 "%s is a secret, and would be stored with the study: only a "
                                 "\"production:\" at the beginning of a line, in a file that is "
                                 "not in flow style (\"{...}\"), is left out of what is stored",
                                 p->environment[k].name);
    }
    return true;
}

/* Absolute folder of the file; without asking the disk where it can't be resolved (a test's
 * file). */
static const char *absolute_folder(struct arena *arena, const char *path)
{
    char *folder = file_folder(path);
    char *real = realpath(folder, NULL);
    char cwd[PATH_MAX] = "/";
    const char *result = NULL;
    if (real || folder[0] == '/')
        result = arena_strdup(arena, real ? real : folder);
    else
        result = arena_printf(arena, "%s/%s", getcwd(cwd, sizeof cwd) ? cwd : "", folder);
    free(real);
    free(folder);
    return result;
}

bool spec_study_parse(const char *path, const char *text, size_t len,
                      const struct spec_catalog *catalog, struct spec_study **ret_study,
                      struct err *err)
{
    struct arena *arena = arena_new();
    AUTO(spec_study_free) struct spec_study *study = arena_alloc(arena, sizeof *study);
    const struct yaml_node *root = NULL;
    study->arena = arena;
    study->path = arena_strdup(arena, path);
    if (!spec_yaml_parse(arena, study->path, text, len, &root, err))
        return false;
    study->folder = absolute_folder(arena, path);
    const char *read = arena_strndup(arena, text, len);
    bool stays = false;
    study->text = measured_text(arena, root, read, &stays);
    if (study->text == read)
        digest_bytes(text, len, study->digest);
    else
        digest_bytes(study->text, strlen(study->text), study->digest);
    struct spec_loader loader = {
        .path = study->path, .arena = arena, .catalog = catalog, .study = study, .err = err};
    if (!load_all(&loader, root) || (stays && !check_secrets_left_out(&loader)))
        return false;
    *ret_study = TAKE(study);
    return true;
}

bool spec_study_load(const char *path, const struct spec_catalog *catalog,
                     struct spec_study **ret_study, struct err *err)
{
    struct buf bytes = BUF_INIT(YAML_BYTES_MAX);
    struct err failure = ERR_INIT;
    bool ok = buf_read_file(&bytes, path, &failure);
    if (ok)
        ok = spec_study_parse(path, buf_text(&bytes), bytes.len, catalog, ret_study, err);
    else if (failure.code == ERR_LIMIT)
        err_set(err, ERR_INPUT, "%s: longer than 1 MiB: a study file is a page or two", path);
    else if (failure.code == ERR_MISSING || failure.sys != EIO)
        err_set(err, failure.code == ERR_MISSING ? ERR_MISSING : ERR_INPUT, "%s", failure.text);
    else
        err_set(err, failure.code, "%s", failure.text);
    buf_done(&bytes);
    return ok;
}

struct spec_study *spec_study_free(struct spec_study *study)
{
    if (study)
        arena_free(study->arena); /* the study itself lives in it */
    return NULL;
}

bool spec_device_is_gpu(const char *name)
{
    return name && strcmp(name, "cpu") != 0;
}

bool spec_study_on_gpu(const struct spec_study *study)
{
    for (size_t i = 0; i < study->device_count; i++)
        if (spec_device_is_gpu(study->devices[i]))
            return true;
    return false;
}

int spec_study_service(const struct spec_study *study, const char *name)
{
    for (size_t i = 0; name && i < study->service_count; i++)
        if (strcmp(study->services[i].name, name) == 0)
            return (int)i;
    return -1;
}

int spec_study_knob(const struct spec_study *study, const char *full_name)
{
    for (size_t i = 0; full_name && i < study->knob_count; i++)
        if (strcmp(study->knobs[i].full_name, full_name) == 0)
            return (int)i;
    return -1;
}
