/* `container:`: podman's or docker's own command line, in place of `command:`.
 *
 * A vocabulary of our own (image, devices, mounts) was rejected: it would have to follow two
 * programs' options, and what people have is a line that works. So the line is taken as it is, its
 * items are the service's command with all that holds for one, and only its shape is asked for
 * here: a list with the word "run". What the options mean is looked at when a candidate has filled
 * in the placeholders (service/container.h). */
#include "spec/loader.h"

#include <string.h>

enum { RUN_WITHIN = 16 }; /* words before "run": the program, its own options */

static bool says_run(const struct spec_service *s)
{
    for (size_t i = 1; i < s->command_count && i < RUN_WITHIN; i++)
        if (strcmp(s->command[i].text, "run") == 0)
            return i + 1 < s->command_count;
    return false;
}

bool spec_load_container(struct spec_loader *l, const struct spec_service_draft *draft,
                         struct spec_service *s)
{
    static const char *const engine_only[] = {"args", "program", "engines"};
    for (size_t i = 0; i < sizeof engine_only / sizeof engine_only[0]; i++) {
        const struct yaml_node *node = spec_yaml_get(draft->node, engine_only[i]);
        if (node)
            return spec_fail(l, spec_place_of(node), s->name,
                             "\"%s\" goes with \"engine\"; here everything is in \"container\"",
                             engine_only[i]);
    }
    const char *where = arena_printf(l->arena, "%s.container", s->name);
    if (!spec_load_list(l, draft->container, where, &s->command, &s->command_count))
        return false;
    if (s->command_count == 0 || s->command[0].text[0] == '\0' || !says_run(s))
        return spec_fail(l, spec_place_of(draft->container), where,
                         "must be a command line that runs a container, as in [podman, run, "
                         "IMAGE, \"--port\", \"{port}\"]");
    s->container = true;
    return true;
}
