/* The command line: finds the command, parses its options from its table, turns an err into one
 * line on stderr and the documented exit status. stdout is the product, stderr is talk. */
#include "cli/command.h"

#include "base/text.h"

#include <assert.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the order in which a new user meets them. */
const struct cli_command *const cli_commands[] = {
    &cli_init,   &cli_check,   &cli_prepare,  &cli_run,     &cli_restore, &cli_show,
    &cli_report, &cli_promote, &cli_rollback, &cli_history, &cli_guard,   &cli_proxy,
    &cli_split,  &cli_compare, &cli_bench,    &cli_doctor,  &cli_help,
};
const size_t cli_command_count = ARRAY_LEN(cli_commands);

int cli_option_index(const struct cli_command *command, const char *name)
{
    for (int i = 0; command->options && command->options[i].name; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return i;
    assert(!"no such option in the command's table");
    return 0;
}

const char *cli_value(const struct cli_command *command, const struct cli_args *args,
                      const char *name)
{
    return args->values[cli_option_index(command, name)];
}

bool cli_flag(const struct cli_command *command, const struct cli_args *args, const char *name)
{
    return cli_value(command, args, name) != NULL;
}

enum { HELP_KEY = 1000, OPTION_KEY = 1001 };

/* getopt's tables, made from ours; `letters` holds the short options. */
static int fill_getopt(const struct cli_command *command, struct option *longs, char *letters)
{
    int count = 0;
    char *at = letters;
    *at++ = ':'; /* a missing argument is reported by us */
    for (; command->options && command->options[count].name; count++) {
        const struct cli_option *o = &command->options[count];
        assert(count < CLI_OPTIONS_MAX);
        longs[count] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL,
                                       OPTION_KEY + count};
        if (o->letter) {
            *at++ = o->letter;
            if (o->argument)
                *at++ = ':';
        }
    }
    longs[count] = (struct option){"help", no_argument, NULL, HELP_KEY};
    *at++ = 'h';
    *at = '\0';
    return count;
}

static int index_of_letter(const struct cli_command *command, int letter)
{
    for (int i = 0; command->options && command->options[i].name; i++)
        if (command->options[i].letter == letter)
            return i;
    return -1;
}

static bool unknown_option(const struct cli_command *command, const char *given, struct err *err)
{
    const char *names[CLI_OPTIONS_MAX];
    size_t count = 0;
    for (int i = 0; command->options && command->options[i].name; i++)
        names[count++] = command->options[i].name;
    const char *nearest = text_nearest(names, count, given + strspn(given, "-"));
    return err_set(err, ERR_INPUT, "%s: no option %s%s%s%s; see: spica %s --help", command->name,
                   given, nearest ? "; did you mean --" : "", nearest ? nearest : "",
                   nearest ? "?" : "", command->name);
}

/* The last one counts, but of a list all do. */
static void take_value(const struct cli_command *command, int index, const char *value,
                       struct cli_args *args)
{
    const struct cli_option *option = &command->options[index];
    if ((option->list || option->lines) && args->values[index]) {
        char *joined = NULL;
        if (asprintf(&joined, "%s%c%s", args->values[index], option->lines ? '\n' : ',', value) < 0)
            abort();
        free(args->joined[index]);
        args->joined[index] = joined;
        value = joined;
    }
    args->values[index] = value;
}

static void args_done(struct cli_args *args)
{
    for (size_t i = 0; i < ARRAY_LEN(args->joined); i++)
        free(args->joined[i]);
}

static bool parse(const struct cli_command *command, int argc, char **argv,
                  struct cli_args *ret_args, bool *ret_help, struct err *err)
{
    struct option longs[CLI_OPTIONS_MAX + 2] = {0};
    char letters[3 * CLI_OPTIONS_MAX + 4];
    fill_getopt(command, longs, letters);
    opterr = 0;
    optind = 1;
    for (;;) {
        int at = optind;
        int key = getopt_long(argc, argv, letters, longs, NULL);
        if (key == -1)
            break;
        if (key == 'h' || key == HELP_KEY) {
            *ret_help = true;
            return true;
        }
        if (key == ':')
            return err_set(err, ERR_INPUT, "%s: %s needs an argument", command->name,
                           argv[optind - 1]);
        int index = key >= OPTION_KEY ? key - OPTION_KEY : index_of_letter(command, key);
        if (key == '?' || index < 0)
            return unknown_option(command, argv[at < argc ? at : argc - 1], err);
        take_value(command, index, optarg ? optarg : "", ret_args);
    }
    for (; optind < argc; optind++) {
        if (ret_args->argument_count == CLI_ARGUMENTS_MAX)
            return err_set(err, ERR_INPUT, "%s: too many arguments", command->name);
        ret_args->arguments[ret_args->argument_count++] = argv[optind];
    }
    if (ret_args->argument_count < command->arguments_min)
        return err_set(err, ERR_INPUT, "%s: %s is missing; usage: spica %s %s", command->name,
                       command->arguments, command->name, command->arguments);
    if (ret_args->argument_count > command->arguments_max)
        return err_set(err, ERR_INPUT, "%s: what is \"%s\"? usage: spica %s%s%s", command->name,
                       ret_args->arguments[command->arguments_max], command->name,
                       command->arguments[0] ? " " : "", command->arguments);
    return true;
}

static const struct cli_command *find_command(const char *name, struct err *err)
{
    const char *names[32];
    for (size_t i = 0; i < cli_command_count; i++) {
        names[i] = cli_commands[i]->name;
        if (strcmp(names[i], name) == 0)
            return cli_commands[i];
    }
    const char *nearest = text_nearest(names, cli_command_count, name);
    err_set(err, ERR_INPUT, "no command \"%s\"%s%s%s; see: spica help", name,
            nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

static int finish(bool ok, int status, const struct err *err)
{
    if (ok && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "spica: standard output: write error\n");
        return err_exit_status(ERR_INTERNAL);
    }
    if (ok)
        return status;
    AUTO(buf_done) struct buf line = BUF_INIT(sizeof err->text * 4);
    text_add_escaped(&line, TEXT_TERMINAL, err->text, strlen(err->text), sizeof err->text);
    fflush(stdout);
    fprintf(stderr, "spica: %s\n", buf_text(&line));
    return err_exit_status(err->code);
}

/* A caller may have closed stdin, stdout or stderr: no file of ours may get such a number, where a
 * message would be written into it. Read only, so that output still fails and is reported. */
static void fill_standard_files(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    fill_standard_files();
    if (argc < 2) {
        cli_print_help(NULL);
        return err_exit_status(ERR_INPUT);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("spica %s\n", SPICA_VERSION);
        return finish(true, 0, &err);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_print_help(NULL);
        return finish(true, 0, &err);
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that left shows as a write error, not as a death */
    const struct cli_command *command = find_command(argv[1], &err);
    struct cli_args args = {0};
    bool help = false;
    int status = 0;
    bool ok = command && parse(command, argc - 1, argv + 1, &args, &help, &err);
    if (ok && help)
        cli_print_help(command);
    else if (ok)
        ok = command->run(&args, &status, &err);
    args_done(&args);
    return finish(ok, status, &err);
}
