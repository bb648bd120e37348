/* spica(1), and how a manual page is written. Pages are printed by the program itself, from the
 * same tables that parse the command line and check the study file, so that they can't tell of
 * options which are not there.
 *
 * Rejected: mdoc(7). Its semantic macros say more, but tables of names and texts need none of it,
 * and man(7) leaves nothing to escape but characters.
 *
 * Invariant: all that reaches stdout is ASCII; other characters are written by their code. */
#include "cli/man.h"

#include "base/text.h"
#include "cli/command.h"
#include "spec/verdict.h"

#include <string.h>

/* Characters that roff would take for its own, or print as something prettier. */
static const char *escape_of(char c)
{
    switch (c) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    default:
        return NULL;
    }
}

/* One character; returns its bytes. */
static size_t put(const char *at, size_t left)
{
    uint32_t code = 0;
    const char *escape = escape_of(*at);
    size_t size = text_utf8_next(at, left, &code);
    if (escape)
        fputs(escape, stdout);
    else if (code >= 0x80)
        printf("\\[u%04X]", (unsigned)code);
    else
        putchar(*at);
    return size ? size : 1;
}

static void put_text(const char *text, bool marked)
{
    bool bold = false, starts = true;
    for (size_t i = 0, len = strlen(text); i < len;) {
        if (starts && strchr(".'", text[i]))
            fputs("\\&", stdout);
        starts = text[i] == '\n';
        if (marked && text[i] == '`') {
            bold = !bold;
            fputs(bold ? "\\fB" : "\\fR", stdout);
            i++;
        } else if (marked && strncmp(text + i, "\n\n", 2) == 0) {
            fputs("\n.PP\n", stdout);
            i += 2;
        } else {
            i += put(text + i, len - i);
        }
    }
}

void man_title(const char *name, int section, const char *manual, const char *summary)
{
    printf(".TH ");
    for (const char *p = name; *p; p++)
        putchar(*p >= 'a' && *p <= 'z' ? *p - 'a' + 'A' : *p);
    printf(" %d \"\" \"spica %s\" \"%s\"\n.nh\n.ad l\n.SH NAME\n", section, SPICA_VERSION, manual);
    put_text(name, false);
    printf(" \\- %s\n", summary);
}

void man_section(const char *title)
{
    printf(".SH %s\n", title);
}

void man_subsection(const char *title)
{
    printf(".SS ");
    put_text(title, false);
    putchar('\n');
}

void man_text(const char *text)
{
    put_text(text, true);
    putchar('\n');
}

void man_paragraph(void)
{
    puts(".PP");
}

void man_item(const char *tag, const char *argument)
{
    printf(".TP\n\\fB");
    put_text(tag, false);
    printf("\\fR");
    if (argument && *argument) {
        putchar(' ');
        put_text(argument, false);
    }
    putchar('\n');
}

void man_example(const char *text)
{
    printf(".PP\n.nf\n");
    put_text(text, false);
    if (*text && text[strlen(text) - 1] != '\n')
        putchar('\n');
    printf(".fi\n.PP\n");
}

void man_exit_status(void)
{
    man_section("EXIT STATUS");
    for (size_t i = 0; i < cli_exit_status_count; i++) {
        char status[16];
        snprintf(status, sizeof status, "%d", cli_exit_statuses[i].status);
        man_item(status, NULL);
        man_text(cli_exit_statuses[i].meaning);
    }
}

/* ---- spica(1) ---- */

static const char description[] =
    "spica finds, by measurement, how several AI services (a speech-to-text server beside an LLM "
    "server, say) best share one machine. A study file names the services, their settings with the "
    "values to try, the load, and the goal; it is described in `spica-study`(5).\n\n"
    "Each trial starts the real servers with one candidate's values, loads all of them together, "
    "and "
    "stores what happened. A failure is stored by its kind and evidence, never as a number. The "
    "best "
    "candidates and what runs today are measured again from cold starts, several times and in "
    "turn, "
    "before a winner is named.\n\n"
    "Servers listen on loopback only, with ports of spica's choice. Whatever spica started is gone "
    "when it ends, however it ends; what it did not start it never touches. Killed at any moment, "
    "the same command goes on where it stopped.";

static const struct {
    const char *name, *meaning;
} files[] = {
    {"NAME.spica/study.db",
     "everything that was measured (SQLite); views: trials, metrics, requests"},
    {"NAME.spica/report.md, report.html, report.json", "the report, for people and for programs"},
    {"NAME.spica/winner.json", "the winner's settings and numbers, or why there is none"},
    {"NAME.spica/logs/", "the services' logs of the trial under way"},
    {"NAME.spica.promotions/", "a record of each promotion and rollback, never written again"},
    {"NAME.spica.promotion.json", "how far the last promotion has come: what undoes it"},
};

static const struct {
    const char *name, *meaning;
} environment[] = {
    {"NO_COLOR", "no colours on a terminal, whatever its value"},
    {"SPICA_LOCK_DIR",
     "where the device's lock is kept (default: the system's, shared by all users)"},
    {"SPICA_NVML_LIBRARY",
     "path of the driver's library libnvidia-ml.so.1 (default: as the system finds it)"},
    {"SPICA_HOST_PROC",
     "in a container: where the host's /proc is mounted, to know the processes that the driver "
     "names by the host's numbers"},
};

static void print_option(const struct cli_option *option)
{
    char tag[64];
    snprintf(tag, sizeof tag, "%c%c%s--%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ", " : "", option->name);
    man_item(tag + (option->letter ? 0 : 2), option->argument);
    man_text(option->help);
}

static void print_command(const struct cli_command *command)
{
    char title[128];
    snprintf(title, sizeof title, "spica %s %s", command->name, command->arguments);
    man_subsection(title);
    AUTO(buf_done) struct buf help = BUF_INIT(4096);
    buf_addf(&help, "%s.\n\n%s", command->help, command->text);
    man_text(buf_text(&help));
    for (const struct cli_option *o = command->options; o && o->name; o++)
        print_option(o);
}

void cli_print_man(void)
{
    man_title("spica", 1, "User Commands", "measure how AI services best share one machine");
    man_section("SYNOPSIS");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("%s\\fBspica %s\\fR [OPTIONS] ", i ? ".br\n" : "", cli_commands[i]->name);
        put_text(cli_commands[i]->arguments, false);
        putchar('\n');
    }
    man_section("DESCRIPTION");
    man_text(description);
    man_section("COMMANDS");
    man_text("Each command takes `-h`, `--help`. stdout is the product, stderr is talk.");
    for (size_t i = 0; i < cli_command_count; i++)
        print_command(cli_commands[i]);
    man_section("VERDICTS");
    man_text("How a trial ends. Only `ok` and `slow` carry numbers that are compared.");
    for (int v = 0; v < VERDICT_COUNT_; v++) {
        man_item(verdict_facts((enum verdict)v)->name, NULL);
        man_text(verdict_facts((enum verdict)v)->meaning);
    }
    man_exit_status();
    man_section("FILES");
    man_text("Results lie beside the study file, in a folder named by the study:");
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        man_item(files[i].name, NULL);
        man_text(files[i].meaning);
    }
    man_section("ENVIRONMENT");
    for (size_t i = 0; i < ARRAY_LEN(environment); i++) {
        man_item(environment[i].name, NULL);
        man_text(environment[i].meaning);
    }
    man_section("SEE ALSO");
    man_text("`spica-study`(5)");
}
