/* An override file of Docker Compose for one service.
 *
 * The file is spica's alone, or not there yet: in a file with other settings a person's comments
 * and anchors would be lost, and guessing which of two values Compose takes is what a promotion
 * must not do. The Compose file itself is read only to see that the service is in it.
 *
 * JSON's strings are YAML's. "$" is doubled, for Compose puts variables in everywhere; a variable
 * is taken away by `!reset null`, which Docker Compose knows since 2.24 (a bare null would mean:
 * the value that the caller's shell has). */
#include "promote/target.h"

#include "base/file.h"
#include "base/text.h"
#include "spec/document.h"

#include <string.h>

static void add_text(struct buf *buf, struct promote_context *context, size_t service,
                     const struct promote_variables *variables, const char *const *exec)
{
    promote_header_add(buf, context, service);
    buf_addf(buf, "services:\n  %s:\n", context->plan->study->production[service].name);
    if (variables->count)
        buf_add(buf, "    environment:\n");
    for (size_t i = 0; i < variables->count; i++) {
        buf_addf(buf, "      %s: ", variables->items[i].name);
        if (variables->items[i].value)
            promote_quoted_add(buf, variables->items[i].value, '$');
        else
            buf_add(buf, "!reset null");
        buf_addc(buf, '\n');
    }
    if (exec)
        buf_add(buf, "    command:\n");
    for (size_t i = 0; exec && exec[i]; i++) {
        buf_add(buf, "      - ");
        promote_quoted_add(buf, exec[i], '$');
        buf_addc(buf, '\n');
    }
}

static bool check_service(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    const char *names[256] = {NULL}, *text = NULL;
    size_t count = 0;
    const struct yaml_node *root = NULL;
    if (!promote_file_text(context, p->compose_file, &text, err))
        return false;
    if (!text)
        return err_set(err, ERR_MISSING, "production.%s.compose: %s is not there",
                       context->plan->study->services[service].name, p->compose_file);
    /* It may use more of YAML than we read (tags, merges): then Compose itself will say. */
    if (!spec_yaml_parse(context->plan->arena, p->compose_file, text, strlen(text), &root, NULL))
        return true;
    const struct yaml_node *services = spec_yaml_get(root, "services");
    if (!services || services->kind != YAML_MAP || spec_yaml_get(services, p->name))
        return true;
    for (const struct yaml_entry *e = services->first; e && count < ARRAY_LEN(names); e = e->next)
        names[count++] = e->key->text;
    const char *near = text_nearest(names, count, p->name);
    return err_set(err, ERR_INPUT, "production.%s.service: %s has no service %s%s%s%s",
                   context->plan->study->services[service].name, p->compose_file, p->name,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static const char *beside(struct promote_context *context, const char *folder, const char *name)
{
    AUTO(free) char *path = file_join(folder, name);
    return arena_strdup(context->plan->arena, path);
}

/* Overrides that Compose takes by itself where it is given no files. */
static const char *const overrides[] = {"compose.override.yaml", "compose.override.yml",
                                        "docker-compose.override.yml",
                                        "docker-compose.override.yaml"};

/* The one that is there, where ours is another file; NULL: none. */
static const char *own_override(struct promote_context *context, const struct spec_production *p)
{
    AUTO(free) char *folder = file_folder(p->compose_file);
    for (size_t i = 0; i < ARRAY_LEN(overrides); i++) {
        const char *path = beside(context, folder, overrides[i]);
        if (strcmp(path, p->file) != 0 && file_exists(path))
            return path;
    }
    return NULL;
}

/* The files that a node names: text, "path: text", or a list of these. What Compose alone could
 * resolve (a variable, an address) is its own. */
static bool add_named(struct promote_context *context, const char *folder,
                      const struct yaml_node *node, struct err *err)
{
    if (!node)
        return true;
    if (node->kind == YAML_SCALAR)
        return !node->text[0] || strpbrk(node->text, "$:") ||
               promote_witness_place(context, beside(context, folder, node->text), err);
    if (node->kind == YAML_MAP)
        return add_named(context, folder, spec_yaml_get(node, "path"), err);
    for (const struct yaml_entry *e = node->first; e; e = e->next)
        if (!add_named(context, folder, e->value, err))
            return false;
    return true;
}

/* What a Compose file takes from others: "include", and its service's "extends" and "env_file". */
static bool add_referred(struct promote_context *context, const char *path, const char *service,
                         struct err *err)
{
    AUTO(free) char *folder = file_folder(path);
    const struct yaml_node *root = NULL;
    const char *text = NULL;
    if (!promote_file_text(context, path, &text, err))
        return false;
    if (!text || !spec_yaml_parse(context->plan->arena, path, text, strlen(text), &root, NULL))
        return true;
    const struct yaml_node *own = spec_yaml_get(spec_yaml_get(root, "services"), service);
    const struct yaml_node *extends = spec_yaml_get(own, "extends"); /* alone, it is a service */
    return add_named(context, folder, spec_yaml_get(root, "include"), err) &&
           add_named(context, folder, spec_yaml_get(extends, "file"), err) &&
           add_named(context, folder, spec_yaml_get(own, "env_file"), err);
}

/* All that Compose will read besides ours, and what it would if it came. It looks for ".env" where
 * it is run and where its file is. */
static bool add_witnesses(struct promote_context *context, const struct spec_production *p,
                          struct err *err)
{
    AUTO(free) char *folder = file_folder(p->compose_file);
    const char *theirs = own_override(context, p);
    if (!promote_witness_add(context, p->compose_file, err) ||
        !promote_witness_place(context, beside(context, folder, ".env"), err) ||
        !promote_witness_place(context, beside(context, context->plan->run_folder, ".env"), err) ||
        !add_referred(context, p->compose_file, p->name, err) ||
        (theirs && !add_referred(context, theirs, p->name, err)))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(overrides); i++) {
        const char *path = beside(context, folder, overrides[i]);
        if (strcmp(path, p->file) != 0 && !promote_witness_place(context, path, err))
            return false;
    }
    return true;
}

static const char *const *compose_up(struct promote_context *context, const char *docker,
                                     const struct spec_production *p, bool with_ours)
{
    const char **argv = arena_array(context->plan->arena, 16, sizeof *argv);
    const char *theirs = own_override(context, p);
    size_t n = 0;
    argv[n++] = docker;
    argv[n++] = "compose";
    argv[n++] = "-f";
    argv[n++] = p->compose_file;
    if (theirs) {
        argv[n++] = "-f";
        argv[n++] = theirs;
    }
    if (with_ours) {
        argv[n++] = "-f";
        argv[n++] = p->file;
    }
    argv[n++] = "up";
    argv[n++] = "-d";
    argv[n++] = "--no-deps";
    argv[n++] = p->name;
    return argv;
}

static bool add_up(struct promote_context *context, size_t service, bool was_there, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    struct promote_step *step = NULL;
    AUTO(free) char *docker = file_find_program("docker", "/");
    if (!docker)
        return true; /* the file alone; whoever runs Compose elsewhere sees it in the plan */
    if (!promote_step_add(context, PROMOTE_COMPOSE, (int)service, &step, err))
        return false;
    const char *program = arena_strdup(context->plan->arena, docker);
    if (!promote_program_add(context, program, err))
        return err_wrap(err, "production.%s.compose", context->plan->study->services[service].name);
    step->run = compose_up(context, program, p, true);
    step->undo = compose_up(context, program, p, was_there);
    step->within_ns = p->within_ns;
    promote_step_set_port(context, service, step);
    step->downtime_s = context->restart_s[service];
    step->why = "needs whoever may use Docker";
    return true;
}

static bool plan_compose(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    AUTO(buf_done) struct buf text = BUF_INIT(PROMOTE_FILE_MAX);
    struct promote_variables variables;
    const char *const *exec = NULL;
    const char *before = NULL;
    bool changed = false;
    if (!check_service(context, service, err) ||
        !promote_variables(context, service, &variables, err) ||
        (p->exec.count && !promote_command(context, service, &p->exec, &exec, err)) ||
        !promote_file_text(context, p->file, &before, err))
        return false;
    if (before && *before && !promote_header_is_there(before))
        return err_set(err, ERR_INPUT,
                       "production.%s.override: %s is not spica's: name a file of its own",
                       context->plan->study->services[service].name, p->file);
    add_text(&text, context, service, &variables, exec);
    const struct promote_text file = {
        .path = p->file, .text = &text, .owned = PROMOTE_OURS, .secret = variables.secret};
    return add_witnesses(context, p, err) &&
           promote_file_add(context, service, &file, &changed, err) &&
           (!changed || add_up(context, service, before != NULL, err));
}

const struct promote_target promote_target_compose = {PRODUCTION_COMPOSE, plan_compose};
