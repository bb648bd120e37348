/* What several engines need; see engines/engines.h. */
#include "service/engines/engines.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
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
    if (word == 0 || !at[word])
        return NULL;
    char *first = arena_strndup(arena, at, word);
    if (!text_ends_with(first, "/env"))
        return first;
    at += word + strspn(at + word, " \t");
    word = strcspn(at, " \t\r\n");
    AUTO(free) char *found = file_find_program(arena_strndup(arena, at, word), "/");
    return found ? arena_strdup(arena, found) : NULL;
}

const char *engine_python(struct arena *arena, const char *program)
{
    const char *interpreter = engine_script_interpreter(arena, program);
    const char *python = interpreter ? interpreter : program;
    const char *slash = strrchr(python, '/');
    return text_starts_with(slash ? slash + 1 : python, "python") ? python : NULL;
}

const char **engine_python_argv(struct arena *arena, const char *code, const char *name,
                                const char **program)
{
    const char *python = engine_python(arena, *program);
    if (!python)
        return NULL;
    const char **argv = arena_array(arena, 5, sizeof *argv);
    argv[0] = python;
    argv[1] = "-c";
    argv[2] = code;
    argv[3] = name;
    *program = python;
    return argv;
}

bool engine_hub_holds(const char *repository, const char *file)
{
    const char *home = getenv("HF_HOME");
    const char *cache = getenv("HF_HUB_CACHE");
    AUTO(free) char *base = file_join("", home && home[0] ? home : "~/.cache/huggingface");
    AUTO(free) char *folder = cache && cache[0] ? file_join("", cache) : file_join(base, "hub");
    const char *slash = strchr(repository, '/');
    if (!slash)
        return false;
    AUTO(buf_done) struct buf pattern = BUF_INIT(8192);
    buf_addf(&pattern, "%s/models--%.*s--%s/snapshots/*/%s", folder, (int)(slash - repository),
             repository, slash + 1, file);
    glob_t found = {0};
    bool any = !pattern.over && glob(buf_text(&pattern), 0, NULL, &found) == 0;
    globfree(&found);
    return any;
}

enum { MODELS_MAX = 10000 };

bool engine_models_list(const char *json, size_t len, const char *model)
{
    AUTO_JSON json_t *root = json_loadb(json, len, 0, NULL);
    const json_t *data = json_object_get(root, "data");
    for (size_t i = 0; i < json_array_size(data) && i < MODELS_MAX; i++) {
        const char *id = json_get_text(json_array_get(data, i), "id");
        size_t same = strlen(model);
        if (id && strncmp(id, model, same) == 0 &&
            (!id[same] || (!strchr(model, ':') && strcmp(id + same, ":latest") == 0)))
            return true;
    }
    return false;
}
