/* A strategic merge patch of a Kubernetes deployment, written and never applied: a cluster has its
 * own ways of review, roll-out and undo, and a promotion that reached into it would go around them.
 *
 * "$(NAME)" is put in by Kubernetes wherever it stands; "$$(" writes it. A variable is taken away
 * by `$patch: delete` under its name, the key of the list. */
#include "promote/target.h"

#include <string.h>

/* "$(" becomes "$$("; a lone "$" is itself. */
static void add_value(struct buf *buf, const char *text)
{
    AUTO(buf_done) struct buf escaped = BUF_INIT(PROMOTE_FILE_MAX);
    for (; *text; text++) {
        if (text[0] == '$' && text[1] == '(')
            buf_addc(&escaped, '$');
        buf_addc(&escaped, *text);
    }
    promote_quoted_add(buf, buf_text(&escaped), '\0');
}

static void add_head(struct buf *buf, struct promote_context *context, size_t service)
{
    const struct spec_production *p = &context->plan->study->production[service];
    const char *slash = strrchr(p->file, '/');
    promote_header_add(buf, context, service);
    buf_addf(buf, "# Not applied. To: kubectl patch deployment %s%s%s --patch-file %s\n", p->name,
             p->space ? " -n " : "", p->space ? p->space : "", slash ? slash + 1 : p->file);
    buf_addf(buf, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: \"%s\"\n", p->name);
    if (p->space)
        buf_addf(buf, "  namespace: \"%s\"\n", p->space);
    buf_addf(buf, "spec:\n  template:\n    spec:\n      containers:\n        - name: \"%s\"\n",
             p->container ? p->container : p->name);
}

static void add_body(struct buf *buf, const struct promote_variables *variables,
                     const char *const *exec)
{
    if (variables->count)
        buf_add(buf, "          env:\n");
    for (size_t i = 0; i < variables->count; i++) {
        const struct promote_variable *v = &variables->items[i];
        buf_addf(buf, "            - name: %s\n              ", v->name);
        if (v->value) {
            buf_add(buf, "value: ");
            add_value(buf, v->value);
        } else {
            buf_add(buf, "$patch: delete");
        }
        buf_addc(buf, '\n');
    }
    if (exec)
        buf_add(buf, "          args: []\n          command:\n");
    for (size_t i = 0; exec && exec[i]; i++) {
        buf_add(buf, "            - ");
        add_value(buf, exec[i]);
        buf_addc(buf, '\n');
    }
}

static bool plan_kubernetes(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    AUTO(buf_done) struct buf text = BUF_INIT(PROMOTE_FILE_MAX);
    struct promote_variables variables;
    const char *const *exec = NULL;
    const char *before = NULL;
    bool changed = false;
    if (!promote_variables(context, service, &variables, err) ||
        (p->exec.count && !promote_command(context, service, &p->exec, &exec, err)) ||
        !promote_file_text(context, p->file, &before, err))
        return false;
    if (before && *before && !promote_header_is_there(before))
        return err_set(err, ERR_INPUT,
                       "production.%s.kubernetes: %s is not spica's: name a file of its own",
                       context->plan->study->services[service].name, p->file);
    add_head(&text, context, service);
    add_body(&text, &variables, exec);
    const struct promote_text file = {
        .path = p->file, .text = &text, .owned = PROMOTE_OURS, .secret = variables.secret};
    return promote_file_add(context, service, &file, &changed, err);
}

const struct promote_target promote_target_kubernetes = {PRODUCTION_KUBERNETES, plan_kubernetes};
