/* What a program says on its standard error is its service's log, as a server's output is: causes
 * are looked for in it. It is written to a file as it comes, by the process that also sends: some
 * hundred bytes a run into the page cache. Rejected: records, which hold a failed run's last line
 * only, while the line that tells of a fallback to the CPU stands in a run that succeeded.
 *
 * The beginning is kept, up to a bound: what a program says it says in each run.
 *
 * The environment is complete before the first start, since the child between vfork and exec may
 * not allocate. Its marks are there for whoever has to find what a program left behind. */
#include "load/exec_side.h"

#include "load/minder.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_MAX_BYTES = 512 << 10 };

extern char **environ;

static bool has_name(const char *entry, const char *name)
{
    size_t len = strcspn(name, "=");
    return strncmp(entry, name, len) == 0 && entry[len] == '=';
}

static bool is_changed(const struct load_program *program, const char *entry)
{
    if (has_name(entry, LOAD_MINDER_MARK) || (program && has_name(entry, "SPICA_SERVICE")))
        return true;
    for (size_t i = 0; program && program->env && program->env[i]; i++)
        if (has_name(entry, program->env[i]))
            return true;
    for (size_t i = 0; program && program->unset && program->unset[i]; i++)
        if (has_name(entry, program->unset[i]))
            return true;
    for (size_t i = 0; program && program->keys && program->keys[i]; i++)
        if (has_name(entry, program->keys[i]))
            return true;
    return false;
}

static char *named(const char *name, const char *first, const char *between, const char *last)
{
    char *text = NULL;
    if (asprintf(&text, "%s=%s%s%s", name, first, between, last) < 0)
        abort();
    return text;
}

static char *copy(const char *text)
{
    char *made = strdup(text);
    if (!made)
        abort();
    return made;
}

static char **make_environment(const struct load_program *program, const char *folder)
{
    size_t most = 3, count = 0;
    for (size_t i = 0; environ[i]; i++)
        most++;
    for (size_t i = 0; program && program->env && program->env[i]; i++)
        most++;
    char **env = calloc(most, sizeof *env);
    if (!env)
        abort();
    for (size_t i = 0; environ[i]; i++)
        if (!is_changed(program, environ[i]))
            env[count++] = copy(environ[i]);
    for (size_t i = 0; program && program->env && program->env[i]; i++)
        env[count++] = copy(program->env[i]);
    if (program)
        env[count++] = named("SPICA_SERVICE", program->study, "/", program->name);
    env[count++] = named(LOAD_MINDER_MARK, folder, "", "");
    return env;
}

void load_exec_side_init(struct load_exec_side *side, const struct load_program *program,
                         const char *folder)
{
    struct stat stat;
    *side = (struct load_exec_side){
        .program = program, .env = make_environment(program, folder), .log_fd = -1};
    if (!program || !program->log_path || !program->log_path[0])
        return;
    side->log_fd = open(program->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (side->log_fd >= 0 && fstat(side->log_fd, &stat) == 0)
        side->logged_bytes = stat.st_size; /* of the runs before this load */
}

void load_exec_side_done(struct load_exec_side *side)
{
    for (size_t i = 0; side->env && side->env[i]; i++)
        free(side->env[i]);
    free(side->env);
    if (side->log_fd >= 0)
        close(side->log_fd);
    *side = (struct load_exec_side){.log_fd = -1};
}

void load_exec_side_log(struct load_exec_side *side, const char *bytes, size_t len)
{
    int64_t room = LOG_MAX_BYTES - side->logged_bytes;
    if (side->log_fd < 0 || room <= 0)
        return;
    ssize_t n = write(side->log_fd, bytes, (int64_t)len < room ? len : (size_t)room);
    side->logged_bytes += n > 0 ? n : LOG_MAX_BYTES; /* a full disk is not tried again */
}
