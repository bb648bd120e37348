/* What a process shows: arguments, environment, mapped libraries, the files beside its program.
 *
 * All of it may be refused to another user, and each refusal is kept as one: a doctor that takes an
 * unreadable environment for an empty one finds faults that nobody has. Files are read whole into
 * bounded buffers; a service with more mappings than fit is one whose mappings are not known.
 *
 * Invariant: nothing here concludes; doctor/cause.c does. */
#include "doctor/process.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 8 << 20, PATH_SIZE = 4096 };

static const struct {
    const char *text;
    unsigned bit;
} libraries[] = {
    {"/libcuda.so", DOCTOR_LIB_CUDA},        {"/libcudart.so", DOCTOR_LIB_CUDART},
    {"/libcublas", DOCTOR_LIB_CUDART},       {"/libcudnn", DOCTOR_LIB_CUDART},
    {"/libggml-cuda", DOCTOR_LIB_GGML_CUDA}, {"/libtorch_cuda", DOCTOR_LIB_TORCH_CUDA},
    {"/libtorch_cpu", DOCTOR_LIB_TORCH_CPU}, {"/libctranslate2", DOCTOR_LIB_CTRANSLATE2},
    {"/libggml", DOCTOR_LIB_GGML},
};

const char *doctor_library_name(unsigned bit)
{
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++)
        if (libraries[i].bit == bit)
            return libraries[i].text + 1;
    return NULL;
}

bool doctor_process_link(const char *root, pid_t pid, const char *name, char *ret, size_t size)
{
    static const char deleted[] = " (deleted)";
    char path[PATH_SIZE], target[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%d/%s", root, (int)pid, name);
    ssize_t len = readlink(path, target, sizeof target - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    if (text_ends_with(target, deleted))
        target[(size_t)len - strlen(deleted)] = '\0';
    snprintf(ret, size, "%s", target);
    return true;
}

enum doctor_seen doctor_process_file(const char *root, pid_t pid, const char *name, struct buf *ret)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%d/%s", root, (int)pid, name);
    buf_clear(ret);
    if (!buf_read_file(ret, path, NULL)) {
        buf_clear(ret);
        return SEEN_NOT;
    }
    return ret->len ? SEEN_YES : SEEN_NO;
}

const char *doctor_environ_find(const struct buf *variables, const char *name)
{
    const char *text = buf_text(variables);
    size_t name_len = strlen(name);
    for (size_t at = 0; at < variables->len; at += strlen(text + at) + 1)
        if (strncmp(text + at, name, name_len) == 0 && text[at + name_len] == '=')
            return text + at + name_len + 1;
    return NULL;
}

/* Is `word` one of the aliases, alone or with "=value" behind it? */
static bool is_flag(const char *word, const char *flags, const char **ret_value)
{
    size_t len = strcspn(word, "=");
    for (const char *at = flags; at && *at; at += strspn(at, " ")) {
        size_t flag = strcspn(at, " ");
        if (flag == len && strncmp(at, word, len) == 0) {
            *ret_value = word[len] == '=' ? word + len + 1 : NULL;
            return true;
        }
        at += flag;
    }
    return false;
}

const char *doctor_argv_value(char *const *argv, const char *flags)
{
    for (size_t i = 0; argv && argv[i]; i++) {
        const char *value = NULL;
        if (i > 0 && is_flag(argv[i], flags, &value))
            return value ? value : argv[i + 1] ? argv[i + 1] : "";
    }
    return NULL;
}

bool doctor_argv_has(char *const *argv, const char *flags)
{
    return doctor_argv_value(argv, flags) != NULL;
}

static void read_maps(const char *root, struct doctor_service *service)
{
    AUTO(buf_done) struct buf maps = BUF_INIT(FILE_MAX);
    for (size_t i = 0; i < service->member_count; i++) {
        enum doctor_seen seen = doctor_process_file(root, service->members[i], "maps", &maps);
        /* A member that ended is no gap; the service's own process is the one that counts. */
        if (i == 0)
            service->maps = seen;
        for (size_t l = 0; seen == SEEN_YES && l < ARRAY_LEN(libraries); l++)
            if (strstr(buf_text(&maps), libraries[l].text))
                service->libraries |= libraries[l].bit;
    }
}

/* The first entry decides: CUDA ignores all behind one that it does not know. */
static bool names_a_card(const char *visible, size_t card_count)
{
    size_t len = strcspn(visible, ",");
    char first[64];
    int64_t number = 0;
    if (len == 0 || len >= sizeof first)
        return false;
    snprintf(first, sizeof first, "%.*s", (int)len, visible);
    if (text_to_i64(first, &number))
        return number >= 0 && (size_t)number < card_count;
    return true; /* a UUID: compared by cause.c, which knows them */
}

static void note_environ(struct doctor_service *service, const struct buf *variables, size_t i,
                         size_t card_count)
{
    const char *visible = doctor_environ_find(variables, "CUDA_VISIBLE_DEVICES");
    const char *container = doctor_environ_find(variables, "NVIDIA_VISIBLE_DEVICES");
    const char *invocation = doctor_environ_find(variables, "INVOCATION_ID");
    /* Whoever hides the cards does so in the worker that computes, maybe only there. */
    if (visible && (!service->visible_set || !names_a_card(visible, card_count))) {
        snprintf(service->visible, sizeof service->visible, "%s", visible);
        service->visible_set = true;
    }
    if (container && (strcmp(container, "void") == 0 || strcmp(container, "none") == 0))
        service->nvidia_void = true;
    if (i == 0 && invocation)
        snprintf(service->invocation, sizeof service->invocation, "%s", invocation);
}

static void read_environ(const char *root, struct doctor_service *service, size_t card_count)
{
    AUTO(buf_done) struct buf variables = BUF_INIT(FILE_MAX);
    for (size_t i = 0; i < service->member_count; i++) {
        enum doctor_seen seen =
            doctor_process_file(root, service->members[i], "environ", &variables);
        if (i == 0)
            service->environ = seen;
        if (seen == SEEN_YES)
            note_environ(service, &variables, i, card_count);
    }
}

/* A CUDA part of a program that finds its parts while running (ggml) lies in its own folder or in
 * a lib folder near it. */
static void look_beside(const char *root, struct doctor_service *service)
{
    static const char *const folders[] = {"", "/../lib", "/../lib/ollama", "/../lib64"};
    char exe[PATH_SIZE / 4];
    if (!doctor_process_link(root, service->pid, "exe", exe, sizeof exe) || !strrchr(exe, '/'))
        return;
    *strrchr(exe, '/') = '\0';
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        char path[PATH_SIZE];
        /* As the process sees it; without the right to, as we do. */
        snprintf(path, sizeof path, "%s/%d/root%s%s", root, (int)service->pid, exe, folders[i]);
        DIR *dir = opendir(path);
        if (!dir) {
            snprintf(path, sizeof path, "%s%s", exe, folders[i]);
            dir = opendir(path);
        }
        for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
            if (text_starts_with(e->d_name, "libggml-cuda"))
                snprintf(service->beside, sizeof service->beside, "%.*s", 150, e->d_name);
        if (dir)
            closedir(dir);
    }
}

static bool has_node(const char *root, const char *process)
{
    static const char *const nodes[] = {"nvidiactl", "dxg"};
    char path[PATH_SIZE];
    bool found = false;
    for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
        snprintf(path, sizeof path, "%s/%s/root/dev/%s", root, process, nodes[i]);
        found |= access(path, F_OK) == 0;
    }
    return found;
}

/* Containers without the GPU, and units with PrivateDevices=, lack the driver's device files. That
 * says something only where we have them. */
static enum doctor_seen see_nodes(const char *root, pid_t pid)
{
    char path[PATH_SIZE], process[16];
    snprintf(path, sizeof path, "%s/%d/root/dev", root, (int)pid);
    if (access(path, X_OK) != 0 || !has_node(root, "self"))
        return SEEN_NOT;
    snprintf(process, sizeof process, "%d", (int)pid);
    return has_node(root, process) ? SEEN_YES : SEEN_NO;
}

void doctor_process_read(const char *root, struct doctor_service *service, size_t card_count)
{
    read_environ(root, service, card_count);
    read_maps(root, service);
    look_beside(root, service);
    service->nodes = see_nodes(root, service->pid);
    doctor_process_link(root, service->pid, "cwd", service->folder, sizeof service->folder);
}
