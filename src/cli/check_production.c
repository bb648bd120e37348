/* `production:` in words, from the study file alone: which files and units a promotion would touch,
 * so that a wrong name is seen long before there is a winner. What exactly would be written needs
 * the winner and the machine, and is `spica promote`'s to show. */
#include "cli/check_production.h"

#include "base/text.h"

#include <stdio.h>

static void add_where(struct buf *line, const struct spec_production *p)
{
    switch (p->kind) {
    case PRODUCTION_UNIT:
        buf_addf(line, "drop-in 10-spica.conf of %s%s", p->unit, p->user ? " (user)" : "");
        break;
    case PRODUCTION_ENV_FILE:
        buf_addf(line, "%s, read by %s%s", p->file, p->unit, p->user ? " (user)" : "");
        break;
    case PRODUCTION_COMPOSE:
        buf_addf(line, "%s, service %s of %s", p->file, p->name, p->compose_file);
        break;
    case PRODUCTION_KUBERNETES:
        buf_addf(line, "%s, a patch of deployment %s (not applied)", p->file, p->name);
        break;
    case PRODUCTION_COMMAND:
        buf_addf(line, "by its own command, %s", p->apply.items[0].text);
        break;
    default:
        break;
    }
}

static void add_what(struct buf *line, const struct spec_production *p)
{
    for (size_t i = 0; i < p->environment_count; i++)
        buf_addf(line, "%s%s%s", i ? ", " : ": ", p->environment[i].name,
                 !p->environment[i].text ? " (taken away)"
                 : p->secret[i]          ? " (secret)"
                                         : "");
    if (p->exec_as_measured)
        buf_add(line, p->environment_count ? "; command as measured" : ": command as measured");
    if (p->exec.count)
        buf_addf(line, "%s command %s ...", p->environment_count ? ";" : ":",
                 p->exec.items[0].text);
}

void cli_print_production(const struct spec_study *study)
{
    if (!study->promotion.given)
        return;
    printf("\nProduction (what spica promote would write to; asks before it does):\n");
    for (size_t i = 0; i < study->service_count; i++) {
        AUTO(buf_done) struct buf line = BUF_INIT(1 << 20), safe = BUF_INIT(4 << 20);
        const struct spec_production *p = &study->production[i];
        if (p->kind == PRODUCTION_NONE) {
            printf("  %s is not promoted: \"production\" does not name it\n",
                   study->services[i].name);
            continue;
        }
        add_where(&line, p);
        add_what(&line, p);
        text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, line.len);
        printf("  %s: %s\n", study->services[i].name, buf_text(&safe));
    }
}
