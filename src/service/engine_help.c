/* What several engines need; see engines/engines.h. */
#include "service/engines/engines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

const struct engine_setting *engine_setting_find(const struct engine_setting *settings,
                                                 size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].option->name, name) == 0)
            return &settings[i];
    return NULL;
}

bool engine_setting_is_true(const struct engine_setting *setting)
{
    return setting && setting->text && strcmp(setting->text, "true") == 0;
}

/* Reads at most `size` bytes from the start of a file; -1 with errno. */
static ssize_t read_start(const char *path, char *ret_bytes, size_t size)
{
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not hold us */
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, ret_bytes, size);
    int saved = errno;
    close(fd);
    errno = saved;
    return len;
}

void engine_check_magic(const char *path, const char *magic, size_t magic_len, const char *kind,
                        struct buf *ret_problem)
{
    char start[16];
    ssize_t len = read_start(path, start, magic_len < sizeof start ? magic_len : sizeof start);
    if (len < 0)
        buf_addf(ret_problem, "%s can't be read: %s", path, strerror(errno));
    else if ((size_t)len < magic_len || memcmp(start, magic, magic_len) != 0)
        buf_addf(ret_problem, "%s is no %s file", path, kind);
}

bool engine_version_after(const char *text, const char *before, const char *stops,
                          char *ret_version, size_t size)
{
    const char *at = strstr(text, before);
    if (!at)
        return false;
    at += strlen(before);
    size_t len = strcspn(at, stops);
    if (len == 0 || len >= size)
        return false;
    memcpy(ret_version, at, len);
    ret_version[len] = '\0';
    return true;
}

const char *engine_script_interpreter(struct arena *arena, const char *path)
{
    char line[1024];
    ssize_t len = read_start(path, line, sizeof line - 1);
    if (len < 3 || line[0] != '#' || line[1] != '!')
        return NULL;
    line[len] = '\0';
    const char *at = line + 2 + strspn(line + 2, " \t");
    size_t word = strcspn(at, " \t\r\n");
    return word > 0 && at[word] ? arena_strndup(arena, at, word) : NULL;
}
