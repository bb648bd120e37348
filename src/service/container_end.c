/* Asking the runtime, and not believing it alone.
 *
 * A container is gone when the runtime knows no such id and no process has that id in its cgroup.
 * The id comes from the file that the runtime writes; where it was killed before it could, what
 * carries our labels is listed instead. A runtime that does not answer leaves the cgroups as the
 * only witness; the processes found there are then killed directly, and where none was ever found
 * nothing is proven.
 *
 * Rejected: the runtime's library or socket (two protocols, versions, and a client in the keeper);
 * the pid that `inspect` prints (a virtual machine's, or stale, where the runtime itself died).
 *
 * Law: below the second line of the header nothing may use the heap, stdio's streams or a lock. */
#include "service/container.h"

#include "base/clock.h"
#include "base/signals.h"
#include "base/text.h"
#include "service/environment.h"
#include "service/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum { WORDS_MAX = 32, ID_MIN = 12, PAUSE_MS = 100, CGROUP_SIZE = 8192, IDS_MAX = 16 };
#define CALL_WITHIN_NS (20 * NS_PER_S)
#define CLEAR_WITHIN_NS (60 * NS_PER_S)

/* ---- what is kept ---- */

static char *copy(const char *text)
{
    char *copied = strdup(text);
    if (!copied)
        abort();
    return copied;
}

static char *join(const char *left, const char *right)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    buf_addf(&text, "%s%s", left, right);
    return buf_take(&text);
}

struct service_container *service_container_new(const struct service_launch *launch,
                                                const char *study)
{
    if (launch->container_run == 0)
        return NULL;
    struct service_container *container = calloc(1, sizeof *container);
    if (!container)
        abort();
    container->service = copy(launch->name);
    container->program = copy(launch->program);
    container->folder = copy(launch->folder);
    container->name = copy(launch->container_name);
    container->id_path = join(launch->scratch, "/container-id");
    container->study_filter = join("label=spica.study=", study);
    container->folder_filter = join("label=spica.folder=", launch->scratch);
    container->prefix = calloc(launch->container_run + 1, sizeof *container->prefix);
    if (!container->prefix)
        abort();
    for (; container->prefix_count < launch->container_run; container->prefix_count++)
        container->prefix[container->prefix_count] = copy(launch->argv[container->prefix_count]);
    container->env = service_environment_build(launch, study);
    return container;
}

struct service_container *service_container_free(struct service_container *container)
{
    if (!container)
        return NULL;
    for (size_t i = 0; i < container->prefix_count; i++)
        free(container->prefix[i]);
    free(container->prefix);
    service_environment_free(container->env);
    free(container->service);
    free(container->program);
    free(container->folder);
    free(container->name);
    free(container->id_path);
    free(container->study_filter);
    free(container->folder_filter);
    free(container);
    return NULL;
}

/* ---- calls ---- */

static _Noreturn void call_exec(const struct service_container *container, const char *const *words,
                                int output_fd)
{
    char *argv[WORDS_MAX + 1];
    size_t count = 0;
    for (size_t i = 0; i < container->prefix_count && count < WORDS_MAX; i++)
        argv[count++] = container->prefix[i];
    for (size_t i = 0; words[i] && count < WORDS_MAX; i++)
        argv[count++] = (char *)(uintptr_t)words[i];
    argv[count] = NULL;
    setpgid(0, 0); /* an interrupt typed for us is not for it */
    int null_fd = open("/dev/null", O_RDWR);
    if (output_fd < 0)
        output_fd = null_fd;
    if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0 ||
        chdir(container->folder) != 0)
        _exit(126);
    service_keeper_close_from(3);
    signals_reset();
    execve(container->program, argv, container->env);
    _exit(126);
}

/* Signals wait until the child has its own handlers: none of ours may run in it. */
static pid_t call_fork(const struct service_container *container, const char *const *words,
                       int output_fd)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0)
        call_exec(container, words, output_fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

pid_t service_container_begin(const struct service_container *container, const char *const *words)
{
    return call_fork(container, words, -1);
}

/* What is there now; the end of the pipe is no end of the call, nor the other way round: whatever
 * the runtime leaves behind may hold it. */
static size_t call_read(int fd, char *text, size_t len, size_t size)
{
    char rest[512];
    for (;;) {
        bool room = len + 1 < size;
        ssize_t got = read(fd, room ? text + len : rest, room ? size - 1 - len : sizeof rest);
        if (got <= 0)
            return len;
        len += room ? (size_t)got : 0;
    }
}

static void call_sleep_ms(int ms)
{
    const struct timespec pause = {.tv_nsec = ms * NS_PER_MS};
    nanosleep(&pause, NULL);
}

int service_container_call(const struct service_container *container, const char *const *words,
                           int64_t within_ns, char *ret_text, size_t size)
{
    int output[2], status = 0;
    ret_text[0] = '\0';
    if (pipe2(output, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    fcntl(output[1], F_SETFL, 0);
    pid_t pid = call_fork(container, words, output[1]);
    close(output[1]);
    const int64_t deadline_ns = clock_now_ns() + within_ns;
    size_t len = 0;
    pid_t ended = pid < 0 ? -1 : 0;
    bool late = false;
    while (ended == 0 || (ended < 0 && errno == EINTR)) {
        struct pollfd fd = {.fd = output[0], .events = POLLIN};
        if (poll(&fd, 1, 5) > 0 && (fd.revents & POLLIN))
            len = call_read(output[0], ret_text, len, size);
        else if (fd.revents)
            call_sleep_ms(2);
        ended = waitpid(pid, &status, WNOHANG);
        if (ended == 0 && !late && clock_now_ns() >= deadline_ns) {
            late = true;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
        }
    }
    len = call_read(output[0], ret_text, len, size);
    ret_text[len] = '\0';
    close(output[0]);
    return ended == pid && pid > 0 && !late && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- ids and processes ---- */

static size_t id_length(const char *text)
{
    size_t len = strspn(text, "0123456789abcdef");
    return len >= ID_MIN && len < CONTAINER_ID_SIZE ? len : 0;
}

bool service_container_id(const struct service_container *container, char ret_id[CONTAINER_ID_SIZE])
{
    char text[CONTAINER_ID_SIZE + 1] = "";
    int fd = open(container->id_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    size_t len = got > 0 ? id_length(text) : 0;
    if (len == 0)
        return false;
    memcpy(ret_id, text, len);
    ret_id[len] = '\0';
    return true;
}

/* podman's monitor has the id in its cgroup's name under systemd, and is no process of it. */
static bool has_id(pid_t pid, const char *id)
{
    static const char monitor[] = "conmon-";
    const size_t monitor_len = sizeof monitor - 1;
    char path[64], text[CGROUP_SIZE];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *at = strstr(text, id);
    return at && !(at - text >= (ptrdiff_t)monitor_len &&
                   memcmp(at - monitor_len, monitor, monitor_len) == 0);
}

size_t service_container_processes(struct service_tree *tree, const char *id, pid_t *ret_first)
{
    size_t count = 0;
    *ret_first = 0;
    if (!service_tree_scan(tree, getpid()))
        return 0;
    for (size_t i = 0; i < tree->count; i++) {
        struct service_tree_entry *entry = &tree->entries[i];
        entry->member = entry->state != 'Z' && has_id(entry->pid, id);
        count += entry->member;
    }
    for (size_t i = 0; i < tree->count && *ret_first == 0; i++) {
        const struct service_tree_entry *entry = &tree->entries[i];
        const struct service_tree_entry *parent = service_tree_find(tree, entry->ppid);
        if (entry->member && !(parent && parent->member))
            *ret_first = entry->pid;
    }
    return count;
}

/* ---- the end ---- */

/* Ids of what carries our labels, in `text`, each ended; their number, -1 when it can't be told. */
static int list_ours(const struct service_container *container, char *text, size_t size,
                     const char *ret_ids[IDS_MAX])
{
    const char *const words[] = {"ps",
                                 "-aq",
                                 "--no-trunc",
                                 "--filter",
                                 container->study_filter,
                                 "--filter",
                                 container->folder_filter,
                                 NULL};
    if (service_container_call(container, words, CALL_WITHIN_NS, text, size) != 0)
        return -1;
    int count = 0;
    for (char *at = text; *at && count < IDS_MAX;) {
        size_t len = strcspn(at, "\n");
        bool last = at[len] == '\0';
        at[len] = '\0';
        if (len > 0 && id_length(at) == len)
            ret_ids[count++] = at;
        at += len + !last;
    }
    return count;
}

/* `inspect` fails alike for a container that is gone and for a daemon that is down; so who fails is
 * asked for its list, which a daemon that is down can't give. */
enum known { KNOWN_UNKNOWN, KNOWN_GONE, KNOWN_THERE };

static enum known ask_for(const struct service_container *container, const char *id)
{
    char text[512], filter[CONTAINER_ID_SIZE + 3];
    const char *const words[] = {"inspect", "--format", "{{.Id}}", id, NULL};
    if (service_container_call(container, words, CALL_WITHIN_NS, text, sizeof text) == 0)
        return KNOWN_THERE;
    snprintf(filter, sizeof filter, "id=%s", id);
    const char *const list[] = {"ps", "-aq", "--no-trunc", "--filter", filter, NULL};
    if (service_container_call(container, list, CALL_WITHIN_NS, text, sizeof text) != 0)
        return KNOWN_UNKNOWN;
    return strstr(text, id) ? KNOWN_THERE : KNOWN_GONE;
}

static void remove_one(const struct service_container *container, const char *id)
{
    char text[512];
    const char *const words[] = {"rm", "-f", "-v", id, NULL}; /* its nameless volumes too */
    (void)!service_container_call(container, words, CALL_WITHIN_NS, text, sizeof text);
}

/* Of a runtime that does not answer nothing is proven by processes that can't be seen: a daemon's
 * may be in another namespace or machine. Those that were seen once are a witness. */
static bool remove_known(const struct service_container *container, struct service_tree *tree,
                         const char *id, int64_t deadline_ns)
{
    bool seen = container->seen && atomic_load(container->seen);
    for (bool first = true;; first = false) {
        pid_t root = 0;
        enum known known = ask_for(container, id);
        size_t left = service_container_processes(tree, id, &root);
        bool late = clock_now_ns() >= deadline_ns;
        seen = seen || left > 0;
        if (left == 0 && (known == KNOWN_GONE || (known == KNOWN_UNKNOWN && seen) ||
                          (known == KNOWN_THERE && late)))
            return true;
        if (late)
            return false;
        if (!first && left > 0) /* the runtime had its chance */
            service_tree_signal_members(tree, SIGKILL);
        remove_one(container, id);
        if (!first)
            call_sleep_ms(PAUSE_MS);
    }
}

bool service_container_remove(const struct service_container *container, struct service_tree *tree,
                              int64_t within_ns)
{
    char id[CONTAINER_ID_SIZE], text[CONTAINER_TEXT_SIZE];
    const char *ids[IDS_MAX];
    const int64_t deadline_ns = clock_now_ns() + within_ns;
    if (service_container_id(container, id))
        return remove_known(container, tree, id, deadline_ns);
    int count = list_ours(container, text, sizeof text, ids);
    bool gone = true;
    for (int i = 0; i < count; i++)
        gone = remove_known(container, tree, ids[i], deadline_ns) && gone;
    return gone;
}

int service_container_oom(const struct service_container *container, int64_t within_ns)
{
    char id[CONTAINER_ID_SIZE], text[512];
    if (!service_container_id(container, id))
        return -1;
    const char *const words[] = {"inspect", "--format", "{{.State.OOMKilled}}", id, NULL};
    if (service_container_call(container, words, within_ns, text, sizeof text) != 0)
        return -1;
    text[strcspn(text, "\r\n")] = '\0';
    return strcmp(text, "true") == 0 ? 1 : strcmp(text, "false") == 0 ? 0 : -1;
}

/* ---- before a start ---- */

static bool fail_runtime(const struct service_container *container, const char *text,
                         struct err *err)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(1024);
    text_add_escaped(&shown, TEXT_TERMINAL, text, strcspn(text, "\n"), 300);
    return err_set(err, ERR_STOPPED, "service %s: %s does not work here: %s", container->service,
                   container->prefix[0], shown.len ? buf_text(&shown) : "it does not answer");
}

static bool is_taken(const struct service_container *container)
{
    char text[512];
    const char *const words[] = {"inspect", "--format", "{{.Id}}", container->name, NULL};
    return service_container_call(container, words, CALL_WITHIN_NS, text, sizeof text) == 0;
}

bool service_container_clear(const struct service_container *container, struct err *err)
{
    char text[CONTAINER_TEXT_SIZE];
    const char *ids[IDS_MAX];
    struct service_tree tree;
    if (unlink(container->id_path) != 0 && errno != ENOENT)
        return err_sys(err, "removing %s", container->id_path);
    int count = list_ours(container, text, sizeof text, ids);
    if (count < 0)
        return fail_runtime(container, text, err);
    if (!service_tree_init(&tree))
        return err_sys(err, "listing processes");
    bool gone = true;
    for (int i = 0; i < count; i++)
        gone = remove_known(container, &tree, ids[i], clock_now_ns() + CLEAR_WITHIN_NS) && gone;
    service_tree_done(&tree);
    if (!gone)
        return err_set(err, ERR_BUSY,
                       "service %s: the container of a killed run is still there, even killed",
                       container->service);
    if (is_taken(container))
        return err_set(err, ERR_BUSY,
                       "service %s: there is a container named %s which is not this study's: "
                       "remove it, or give another --name",
                       container->service, container->name);
    return true;
}
