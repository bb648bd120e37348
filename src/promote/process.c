/* /proc/PID/environ is what the program was started with; later it may hold anything. So it counts
 * only where the process still is the program that systemd started (a script around the server is
 * replaced by it, and may have changed everything on the way), and where systemd's own mark is
 * still in it (a program that writes its title over its arguments may reach it).
 *
 * Rejected: comparing Environment= alone, as systemd tells it. An EnvironmentFile= is read at each
 * start and told nowhere; UnsetEnvironment=, PassEnvironment= and the manager's own variables
 * decide as well. */
#include "promote/process.h"

#include "base/buf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_MAX = 4 << 20 };
static const char mark[] = "INVOCATION_ID=";

/* Words with a NUL behind each. */
static bool read_words(pid_t pid, const char *name, struct buf *words)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return buf_read_file(words, path, NULL) && words->len > 0;
}

static const char *next_word(const struct buf *words, const char *word)
{
    const char *end = buf_text(words) + words->len;
    word = word ? word + strlen(word) + 1 : buf_text(words);
    return word < end ? word : NULL;
}

/* The program itself, or its interpreter with it as first argument. */
static bool is_program(pid_t pid, const char *program, const struct buf *line)
{
    char link[64], is[PATH_MAX], real[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(link, is, sizeof is - 1);
    if (len <= 0 || !realpath(program, real))
        return false;
    is[len] = '\0';
    const char *first = next_word(line, NULL), *second = first ? next_word(line, first) : NULL;
    return strcmp(is, real) == 0 || (second && strcmp(second, program) == 0);
}

/* The value of a variable of that length of name; NULL: not set. */
static const char *value_of(const struct buf *given, const char *name, size_t len)
{
    for (const char *w = next_word(given, NULL); w; w = next_word(given, w))
        if (strncmp(w, name, len) == 0 && w[len] == '=')
            return w + len + 1;
    return NULL;
}

static bool has_variable(const struct buf *given, pid_t pid, const char *variable, char *why,
                         size_t size)
{
    size_t len = strcspn(variable, "=");
    const char *is = value_of(given, variable, len);
    const char *what = !variable[len]                        ? "still has"
                       : !is                                 ? "does not have"
                       : strcmp(is, variable + len + 1) != 0 ? "has another value of"
                                                             : NULL;
    if (!what || (!variable[len] && !is))
        return true;
    snprintf(why, size, "process %d %s %.*s", (int)pid, what, (int)len, variable);
    return false;
}

static bool has_words(const struct buf *line, pid_t pid, const char *const *exec, char *why,
                      size_t size)
{
    const char *word = next_word(line, NULL);
    if (!word || strcmp(word, exec[0]) != 0)
        return true; /* an interpreter, or a title of its own */
    for (size_t i = 0; exec[i] || word; i++) {
        if (!exec[i] || !word || strcmp(word, exec[i]) != 0) {
            snprintf(why, size, "process %d was started with another command, from word %zu on",
                     (int)pid, i + 1);
            return false;
        }
        word = next_word(line, word);
    }
    return true;
}

enum promote_has promote_process_has(pid_t pid, const char *program, const char *const *variables,
                                     const char *const *exec, char *why, size_t size)
{
    AUTO(buf_done) struct buf given = BUF_INIT(READ_MAX), line = BUF_INIT(READ_MAX);
    if (pid <= 0 || !program || !read_words(pid, "environ", &given) ||
        !read_words(pid, "cmdline", &line) || !is_program(pid, program, &line) ||
        !value_of(&given, mark, sizeof mark - 2))
        return PROMOTE_HAS_UNKNOWN;
    if (exec && exec[0] && !has_words(&line, pid, exec, why, size))
        return PROMOTE_HAS_NOT;
    for (size_t i = 0; variables && variables[i]; i++)
        if (!has_variable(&given, pid, variables[i], why, size))
            return PROMOTE_HAS_NOT;
    return PROMOTE_HAS_IT;
}
