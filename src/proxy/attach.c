/* An HAProxy that somebody else runs: our sections in a file of their own, which theirs must be
 * started with.
 *
 * How it was started says its command line: which files it reads, whether it has a master socket.
 * The check is over all of them in their order, ours replaced by what is to be written. What can't
 * be done is refused with what to do by hand; nothing of theirs is ever written. */
#include "proxy/inside.h"

#include "base/file.h"
#include "host/manager.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 60, ARGS_MAX = 256 };
static const int64_t ASK_WITHIN_NS = NS_PER_S;
static const int64_t RELOAD_WITHIN_NS = 30 * NS_PER_S;

struct theirs {
    int64_t pid, uptime_s;
    const char *program, *master_socket; /* NULL: not known, none */
    const char *files[FILES_MAX + 1];    /* absolute, in the order read; NULL at the end */
    size_t count;
    bool reads_ours;
};

static void add_file(const struct proxy *proxy, struct theirs *theirs, const char *path)
{
    if (theirs->count == FILES_MAX)
        return;
    theirs->reads_ours |= strcmp(path, proxy->config) == 0;
    theirs->files[theirs->count++] = arena_strdup(proxy->arena, path);
}

static int is_config(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".cfg") == 0;
}

/* A folder stands for its *.cfg, in alphabetical order. */
static void add_path(const struct proxy *proxy, struct theirs *theirs, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_config, alphasort);
    if (count < 0) {
        add_file(proxy, theirs, path);
        return;
    }
    for (int i = 0; i < count; i++) {
        add_file(proxy, theirs,
                 arena_printf(proxy->arena, "%s%s%s", path,
                              path[strlen(path) - 1] == '/' ? "" : "/", entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
}

static const char *absolute(const struct proxy *proxy, const char *cwd, const char *path)
{
    return path[0] == '/' ? path : arena_printf(proxy->arena, "%s/%s", cwd, path);
}

static const char *link_of(const struct proxy *proxy, int64_t pid, const char *name)
{
    char path[64], target[4096];
    snprintf(path, sizeof path, "/proc/%lld/%s", (long long)pid, name);
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    return arena_strdup(proxy->arena, target);
}

/* "PATH,level,admin", "unix@PATH" */
static const char *socket_of(const struct proxy *proxy, const char *cwd, const char *argument)
{
    const char *path = strncmp(argument, "unix@", 5) == 0 ? argument + 5 : argument;
    return absolute(proxy, cwd, arena_printf(proxy->arena, "%.*s", (int)strcspn(path, ","), path));
}

static void read_arguments(const struct proxy *proxy, const char *cwd, const char *const *args,
                           struct theirs *theirs)
{
    for (size_t i = 0; args[i]; i++) {
        if (strcmp(args[i], "-f") == 0 && args[i + 1]) {
            add_path(proxy, theirs, absolute(proxy, cwd, args[++i]));
        } else if (strcmp(args[i], "-S") == 0 && args[i + 1] && args[i + 1][0] != '-') {
            theirs->master_socket = socket_of(proxy, cwd, args[++i]);
        } else if (strcmp(args[i], "--") == 0) {
            for (i++; args[i]; i++)
                add_path(proxy, theirs, absolute(proxy, cwd, args[i]));
            return;
        }
    }
}

/* False: nobody answers, or its command line can't be read (another namespace, another user). */
static bool find_theirs(const struct proxy *proxy, struct theirs *ret_theirs, struct err *err)
{
    struct theirs theirs = {0};
    struct proxy_info info = {0};
    char path[64];
    const char *args[ARGS_MAX + 1];
    size_t count = 0;
    AUTO(buf_done) struct buf line = BUF_INIT(1 << 20);
    if (!proxy_info_ask(proxy->socket, ASK_WITHIN_NS, &info, err))
        return false;
    snprintf(path, sizeof path, "/proc/%lld/cmdline", (long long)info.pid);
    theirs.pid = info.pid;
    theirs.uptime_s = info.uptime_s;
    theirs.program = link_of(proxy, info.pid, "exe");
    const char *cwd = link_of(proxy, info.pid, "cwd");
    if (!theirs.program || !cwd || !buf_read_file(&line, path, NULL) ||
        !memmem(theirs.program, strlen(theirs.program), "haproxy", 7))
        return err_set(err, ERR_INPUT,
                       "HAProxy's process %lld can't be looked at (another user's, or in a "
                       "container), so it is not known which files it reads",
                       (long long)info.pid);
    for (size_t at = 0; at < line.len && count < ARGS_MAX; at += strlen(line.data + at) + 1)
        args[count++] = line.data + at;
    args[count] = NULL;
    read_arguments(proxy, cwd, args, &theirs);
    for (size_t i = 0; i < theirs.count; i++) /* `line` ends here */
        theirs.files[i] = arena_strdup(proxy->arena, theirs.files[i]);
    *ret_theirs = theirs;
    return true;
}

bool proxy_attach_check(const struct proxy *proxy, const char *candidate, struct err *err)
{
    struct theirs theirs = {0};
    if (!find_theirs(proxy, &theirs, err))
        return false;
    for (size_t i = 0; i < theirs.count; i++)
        if (strcmp(theirs.files[i], proxy->config) == 0)
            theirs.files[i] = candidate;
    if (!theirs.reads_ours && theirs.count < FILES_MAX)
        theirs.files[theirs.count++] = candidate;
    return proxy_files_check(theirs.program, theirs.files, err) ||
           err_wrap(err, "together with the files that HAProxy (process %lld) reads",
                    (long long)theirs.pid);
}

static bool reload(const struct proxy *proxy, const struct theirs *theirs, struct err *err)
{
    const struct spec_proxy *where = &proxy->guard->proxy;
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    AUTO(buf_done) struct buf answer = BUF_INIT(65536);
    if (where->unit)
        return host_manager_open(where->user ? HOST_USER : HOST_SYSTEM, &manager, err) &&
               host_manager_job(manager, HOST_RELOAD, where->unit, RELOAD_WITHIN_NS,
                                HOST_HEED_CANCEL, err);
    if (theirs->master_socket)
        return proxy_ask(theirs->master_socket, "reload", ASK_WITHIN_NS, &answer, err);
    return err_set(err, ERR_DECLINED,
                   "%s is written and checked; reload HAProxy (process %lld) by hand: it was "
                   "started without a master socket (-S), and no unit is named under guard: proxy:",
                   proxy->config, (long long)theirs->pid);
}

/* Somebody has reloaded it by hand since: its worker is younger than the file. */
static bool has_taken(const struct proxy *proxy, const struct theirs *theirs)
{
    struct stat file;
    int64_t began_s = clock_now_wall_us() / 1000000 - theirs->uptime_s;
    return theirs->reads_ours && proxy_config_is(proxy) && stat(proxy->config, &file) == 0 &&
           (!proxy->reload_due || began_s > file.st_mtime + 1);
}

bool proxy_attach_apply(struct proxy *proxy, bool *ret_reloaded, struct err *err)
{
    struct theirs theirs = {0};
    if (!find_theirs(proxy, &theirs, err))
        return false;
    if (has_taken(proxy, &theirs)) {
        proxy->reload_due = false;
        *ret_reloaded = false;
        return proxy_state_save(proxy, err);
    }
    proxy->reload_due = true;
    if (!proxy_state_save(proxy, err) || !proxy_files_save(proxy, err))
        return false;
    if (!theirs.reads_ours)
        return err_set(err, ERR_DECLINED,
                       "%s is written and checked together with HAProxy's own files; HAProxy "
                       "(process %lld) was not started with it: add \"-f %s\" to its command line "
                       "and restart it",
                       proxy->config, (long long)theirs.pid, proxy->config);
    struct proxy_handover handover = {proxy->socket, theirs.master_socket, theirs.pid,
                                      proxy_failed_reloads(theirs.master_socket)};
    struct err ignored = ERR_INIT;
    int64_t pid = 0;
    proxy->worker = -1;
    if (!proxy_state_save(proxy, err))
        return false;
    bool done =
        reload(proxy, &theirs, err) && proxy_wait_worker(&handover, RELOAD_WITHIN_NS, &pid, err);
    proxy->reload_due = !done;
    proxy->worker = done ? pid : 0;
    if (!proxy_state_save(proxy, done ? err : &ignored) || !done)
        return false;
    *ret_reloaded = true;
    return true;
}
