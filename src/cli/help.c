/* Help texts, all generated from the command tables, for the terminal and as spica(1). */
#include "cli/command.h"

#include "base/text.h"
#include "spec/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cli_width(int fd)
{
    struct winsize size;
    if (isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40)
        return size.ws_col;
    return 80;
}

bool cli_color(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

struct report_terminal cli_terminal(int fd)
{
    return (struct report_terminal){.width = cli_width(fd), .color = cli_color(fd)};
}

static const struct {
    int status;
    const char *meaning;
} exit_statuses[] = {
    {0, "done, also when the baseline stays best"},
    {1, "the program's own failure"},
    {2, "input: study file, option, missing file"},
    {3, "no candidate satisfies the requirements"},
    {4, "device busy or not clean"},
    {5, "stopped, resumable: by you, by surroundings, by contention"},
    {6, "a check found a problem"},
};

static void print_program_help(void)
{
    printf(
        "spica finds, by measurement, the best way for several AI services to share one device.\n\n"
        "usage: spica COMMAND [OPTIONS] [ARGUMENTS]\n\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-8s %-12s %s\n", cli_commands[i]->name, cli_commands[i]->arguments,
               cli_commands[i]->help);
    printf("\nStart with:  spica init > study.yaml    then  spica check study.yaml\n"
           "             spica run study.yaml       then  spica report study.yaml\n\n"
           "exit status:\n");
    for (size_t i = 0; i < ARRAY_LEN(exit_statuses); i++)
        printf("  %d  %s\n", exit_statuses[i].status, exit_statuses[i].meaning);
    printf("\nspica COMMAND --help tells more; spica --version prints %s.\n", SPICA_VERSION);
}

static void print_options(const struct cli_command *command)
{
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-24s %s\n", left, o->help);
    }
    printf("  %-24s %s\n", "-h, --help", "this text");
}

void cli_print_help(const struct cli_command *command)
{
    if (!command) {
        print_program_help();
        return;
    }
    printf("spica %s: %s\n\nusage: spica %s [OPTIONS] %s\n\n%s\n\n", command->name, command->help,
           command->name, command->arguments, command->text);
    print_options(command);
}

static void print_roff(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            fputs("\\e", stdout);
        else if (*p == '-')
            fputs("\\-", stdout);
        else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n'))
            printf("\\&%c", *p);
        else
            putchar(*p);
    }
}

static void print_man_command(const struct cli_command *command)
{
    printf(".SS spica %s ", command->name);
    print_roff(command->arguments);
    printf("\n");
    print_roff(command->help);
    printf(".\n");
    print_roff(command->text);
    printf("\n");
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        printf(".TP\n.B ");
        if (o->letter)
            printf("\\-%c, ", o->letter);
        printf("\\-\\-");
        print_roff(o->name);
        printf("%s%s\n", o->argument ? " " : "", o->argument ? o->argument : "");
        print_roff(o->help);
        printf("\n");
    }
}

void cli_print_man(void)
{
    printf(
        ".TH SPICA 1 \"\" \"spica %s\" \"User Commands\"\n.SH NAME\n"
        "spica \\- measure how AI services best share one device\n.SH SYNOPSIS\n"
        ".B spica\nCOMMAND [OPTIONS] [ARGUMENTS]\n.SH DESCRIPTION\n"
        "spica starts the real services with each candidate setting, loads them together, names\n"
        "every failure, and reports a winner with its confidence. The study file is described in\n"
        ".BR spica\\-study (5).\n.SH COMMANDS\n",
        SPICA_VERSION);
    for (size_t i = 0; i < cli_command_count; i++)
        print_man_command(cli_commands[i]);
    printf(".SH VERDICTS\nHow a trial ends:\n");
    for (int v = 0; v < VERDICT_COUNT_; v++) {
        const struct verdict_facts *facts = verdict_facts((enum verdict)v);
        printf(".TP\n.B %s\n", facts->name);
        print_roff(facts->meaning);
        printf("\n");
    }
    printf(".SH EXIT STATUS\n");
    for (size_t i = 0; i < ARRAY_LEN(exit_statuses); i++)
        printf(".TP\n.B %d\n%s\n", exit_statuses[i].status, exit_statuses[i].meaning);
    printf(".SH FILES\nNAME.spica/ beside the study file: study.db (SQLite), logs/, report.md,\n"
           "report.html, report.json, winner.json.\n.SH SEE ALSO\n.BR spica\\-study (5)\n");
}

static const struct cli_option options[] = {
    {"man", 0, NULL, "print spica(1) as roff source"},
    {NULL, 0, NULL, NULL},
};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    if (cli_flag(&cli_help, args, "man")) {
        cli_print_man();
        return true;
    }
    if (args->argument_count == 0) {
        cli_print_help(NULL);
        return true;
    }
    for (size_t i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i]->name, args->arguments[0]) == 0) {
            cli_print_help(cli_commands[i]);
            return true;
        }
    return err_set(err, ERR_INPUT, "no command \"%s\"; see: spica help", args->arguments[0]);
}

const struct cli_command cli_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .arguments_max = 1,
    .help = "this overview, or one command in full",
    .text = "Prints what a command does and its options.",
    .options = options,
    .run = run,
};
