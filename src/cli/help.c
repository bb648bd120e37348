/* Help texts for the terminal, all generated from the command tables, as spica(1) is in man.c. */
#include "cli/command.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ARGUMENTS_WIDTH = 12 };

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

const struct cli_exit_status cli_exit_statuses[] = {
    {0, "done, also when the baseline stays best"},
    {1, "the program's own failure"},
    {2, "input: study file, option, missing file"},
    {3, "no candidate satisfies the requirements; bench: one of them is missed"},
    {4, "device busy or not clean"},
    {5, "stopped: by you, by surroundings, by contention; a study can be resumed"},
    {6, "a check found a problem; bench: nothing answers, or it can't be told"},
    {7, "a promotion failed and was rolled back: production is as it was"},
    {8, "a rollback is incomplete: production needs a look"},
    {9, "a plan was declined, or is outdated; nothing was changed"},
};
const size_t cli_exit_status_count = ARRAY_LEN(cli_exit_statuses);

/* Of the arguments the first word where all would not fit; the command's own help has them all. */
static int shown_arguments(const char *arguments)
{
    size_t len = strlen(arguments);
    return (int)(len <= ARGUMENTS_WIDTH ? len : strcspn(arguments, " "));
}

static void print_program_help(void)
{
    printf("spica finds, by measurement, how several AI services best share one device.\n\n"
           "usage: spica COMMAND [OPTIONS] [ARGUMENTS]\n\n");
    for (size_t i = 0; i < cli_command_count; i++)
        printf("  %-8s %-*.*s %s\n", cli_commands[i]->name, ARGUMENTS_WIDTH,
               shown_arguments(cli_commands[i]->arguments), cli_commands[i]->arguments,
               cli_commands[i]->help);
    printf("\nStart with:  spica init > study.yaml    then  spica check study.yaml\n"
           "             spica run study.yaml       then  spica report study.yaml\n\n"
           "exit status:\n");
    for (size_t i = 0; i < cli_exit_status_count; i++)
        printf("  %d  %s\n", cli_exit_statuses[i].status, cli_exit_statuses[i].meaning);
    printf("\nspica COMMAND --help tells more; spica --version prints %s.\n", SPICA_VERSION);
}

/* The words of `text` within 80 columns, the first at column `at`, those of further lines at
 * `indent`. Texts in tables stay one text: where their lines end is nothing for them to know. */
static void print_words(const char *text, int at, int indent)
{
    enum { WIDTH = 80 };
    int column = at;
    for (text += strspn(text, " \n"); *text; text += strspn(text, " \n")) {
        int len = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + len > WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", len, text);
        column += len;
        text += len;
    }
    putchar('\n');
}

static void print_options(const struct cli_command *command)
{
    for (const struct cli_option *o = command->options; o && o->name; o++) {
        char left[64];
        snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-24s ", left);
        print_words(o->help, 27, 27);
    }
    printf("  %-24s %s\n", "-h, --help", "this text");
}

void cli_print_help(const struct cli_command *command)
{
    if (!command) {
        print_program_help();
        return;
    }
    printf("spica %s: %s\n\nusage: spica %s [OPTIONS]%s%s\n\n", command->name, command->help,
           command->name, command->arguments[0] ? " " : "", command->arguments);
    print_words(command->text, 0, 0);
    putchar('\n');
    print_options(command);
}

/* What `spica help` prints besides help: files of an installation. */
static const struct {
    const char *option;
    void (*print)(void);
} pages[] = {
    {"man", cli_print_man},
    {"man-study", cli_print_man_study},
    {"completion", cli_print_completion},
};

static const struct cli_option options[] = {
    {"man", 0, NULL, "print spica(1) as roff source"},
    {"man-study", 0, NULL, "print spica-study(5) as roff source"},
    {"completion", 0, NULL, "print the completion for bash"},
    {NULL, 0, NULL, NULL},
};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (cli_flag(&cli_help, args, pages[i].option)) {
            pages[i].print();
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
