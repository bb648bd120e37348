/* A command of the program: one file each, one line in cli/main.c. Help, option parsing and
 * spica(1) come from the tables here. */
#pragma once

#include "base/err.h"
#include "report/report.h"
#include "spec/catalog.h"

enum { CLI_OPTIONS_MAX = 40, CLI_ARGUMENTS_MAX = 64 };

struct cli_option {
    const char *name;     /* "json" for --json */
    char letter;          /* 'j' for -j, 0: none */
    const char *argument; /* name of its argument, NULL: takes none */
    const char *help;
    bool list;  /* may be given again: the arguments are joined by commas */
    bool lines; /* the same by line ends, where a comma means something else */
};

struct cli_args {
    const char
        *values[CLI_OPTIONS_MAX]; /* per option: its argument, "" for a flag; NULL: not given */
    const char *arguments[CLI_ARGUMENTS_MAX];
    int argument_count;
    char *joined[CLI_OPTIONS_MAX]; /* owned: of lists given more than once */
};

struct cli_command {
    const char *name;
    const char *arguments; /* "STUDY.yaml", for the usage line */
    int arguments_min, arguments_max;
    const char *help;                 /* one line */
    const char *text;                 /* a paragraph for its own --help */
    const struct cli_option *options; /* ends with a NULL name */
    /* True: exit 0, or whatever *ret_status was set to. False: err says why and which exit. */
    bool (*run)(const struct cli_args *args, int *ret_status, struct err *err);
};

extern const struct cli_command cli_init, cli_check, cli_prepare, cli_run, cli_restore, cli_show,
    cli_report, cli_help;
extern const struct cli_command cli_doctor, cli_bench, cli_compare, cli_promote, cli_rollback,
    cli_history;
extern const struct cli_command cli_proxy;
extern const struct cli_command cli_split, cli_guard;
extern const struct cli_command *const cli_commands[];
extern const size_t cli_command_count;

/* What the study file may name: engines, protocols, strategies of this program. */
const struct spec_catalog *cli_catalog(void);

/* Index of an option in a command's table; asserts that it exists. */
int cli_option_index(const struct cli_command *command, const char *name);
/* The option's value: argument, "" for a given flag, NULL when absent. */
const char *cli_value(const struct cli_command *command, const struct cli_args *args,
                      const char *name);
bool cli_flag(const struct cli_command *command, const struct cli_args *args, const char *name);

/* Columns of the terminal that `fd` is, 80 when it is none. */
int cli_width(int fd);
/* May colours be used on it? (a terminal, NO_COLOR not set, TERM not dumb) */
bool cli_color(int fd);
struct report_terminal cli_terminal(int fd); /* both of them */

void cli_print_help(const struct cli_command *command); /* NULL: of the program */

/* spica(1), spica-study(5) as roff source, and the completion for bash: for `spica help`. */
void cli_print_man(void);
void cli_print_man_study(void);
void cli_print_man_guard(void); /* its part about figures and alarms */
void cli_print_completion(void);

struct cli_exit_status {
    int status;
    const char *meaning;
};
extern const struct cli_exit_status cli_exit_statuses[];
extern const size_t cli_exit_status_count;
