/* Completion for bash, generated from the command tables: commands, then each one's options, then
 * files. Values of options are not completed: files are right for most of them.
 *
 * The script needs nothing of the bash-completion package, so that it also works when sourced. */
#include "cli/command.h"

#include <stdio.h>

void cli_print_completion(void)
{
    printf("# bash completion for spica, printed by: spica help --completion\n"
           "_spica() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} options=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W '--help --version");
    for (size_t i = 0; i < cli_command_count; i++)
        printf(" %s", cli_commands[i]->name);
    printf("' -- \"$word\")\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("        %s) options='--help", cli_commands[i]->name);
        for (const struct cli_option *o = cli_commands[i]->options; o && o->name; o++)
            printf(" --%s", o->name);
        printf("' ;;\n");
    }
    printf("    esac\n"
           "    case $word in\n"
           "        -*) mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\") ;;\n"
           "        *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
           "    esac\n"
           "}\n"
           "complete -o filenames -F _spica spica\n");
}
