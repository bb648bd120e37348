/* From processes to servers: by the words of their command lines.
 *
 * A process is known by its program's name, or, where that is an interpreter or an application
 * server, by the module, script or application that it runs. Words further on are not looked at: a
 * shell that starts a server and an editor that has its unit open name it too. A process below one
 * that was found is that one's worker, whatever its own name (Ollama starts llama-server).
 * Rejected: listening ports first; a server that starts, or one that we may not look into, has
 * none.
 *
 * Invariant: our own process is never found, and a zombie neither. */
#include "doctor/find.h"

#include "base/text.h"
#include "doctor/process.h"

#include <fnmatch.h>
#include <string.h>

enum { CMDLINE_MAX = 256 << 10 };

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_one_of(const char *word, const char *const *patterns)
{
    for (size_t i = 0; patterns[i]; i++)
        if (fnmatch(patterns[i], word, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

/* Copies "speaches.main" of "speaches.main:create_app". */
static void copy_module(const char *word, char *ret, size_t size)
{
    snprintf(ret, size, "%.*s", (int)strcspn(word, ":"), word);
}

/* What runs inside an application server: its first argument that looks like one. */
static void find_application(char *const *argv, size_t from, char *ret, size_t size)
{
    for (size_t i = from; argv[i]; i++)
        if (argv[i][0] != '-' && strchr(argv[i], ':') && !strchr(argv[i], '/')) {
            copy_module(argv[i], ret, size);
            return;
        }
}

/* The module or script that Python runs, and the index of what follows it; 0: none. */
static size_t find_script(char *const *argv, char *ret, size_t size)
{
    static const char *const with_value[] = {"-X", "-W", "--check-hash-based-pycs", NULL};
    for (size_t i = 1; argv[i]; i++) {
        if (strcmp(argv[i], "-m") == 0 && argv[i + 1]) {
            snprintf(ret, size, "%s", argv[i + 1]);
            return i + 2;
        }
        if (strcmp(argv[i], "-c") == 0)
            return 0;
        if (argv[i][0] != '-') {
            snprintf(ret, size, "%s", base_of(argv[i]));
            return i + 1;
        }
        if (is_one_of(argv[i], with_value) && argv[i + 1])
            i++;
    }
    return 0;
}

static const struct doctor_kind *kind_of(const char *word, char *const *argv)
{
    for (size_t i = 0; word[0] && i < doctor_kind_count; i++) {
        const struct doctor_kind *kind = &doctor_kinds[i];
        bool sub = !kind->subcommand;
        for (size_t a = 1; !sub && argv[a]; a++)
            sub = strcmp(argv[a], kind->subcommand) == 0;
        if (sub && is_one_of(word, kind->words))
            return kind;
    }
    return NULL;
}

const struct doctor_kind *doctor_find_kind(char *const *argv, const char *exe)
{
    static const char *const interpreters[] = {"python", "python[0-9]*", "pypy*", NULL};
    static const char *const application_servers[] = {"uvicorn", "gunicorn", "hypercorn", "granian",
                                                      NULL};
    char word[256] = "";
    /* Somebody asks a server's program about itself: it serves nothing. */
    if (!argv || !argv[0] || doctor_argv_has(argv, "--version --help -h"))
        return NULL;
    snprintf(word, sizeof word, "%s", base_of(argv[0]));
    size_t next = 1;
    if (is_one_of(word, interpreters)) {
        word[0] = '\0';
        next = find_script(argv, word, sizeof word);
    } else if (!kind_of(word, argv) && exe[0] && !is_one_of(base_of(exe), interpreters)) {
        snprintf(word, sizeof word, "%s", base_of(exe));
    }
    if (is_one_of(word, application_servers))
        find_application(argv, next, word, sizeof word);
    return kind_of(word, argv);
}

static void split_argv(struct doctor_service *service, struct buf *cmdline)
{
    size_t count = 0;
    const char *text = buf_text(cmdline);
    for (size_t at = 0; at < cmdline->len; at += strlen(text + at) + 1)
        count++;
    service->argv = calloc(count + 1, sizeof *service->argv);
    if (!service->argv)
        abort();
    size_t len = cmdline->len;
    service->argv_text = buf_take(cmdline);
    for (size_t at = 0; at < len; at += strlen(service->argv_text + at) + 1)
        service->argv[service->argc++] = service->argv_text + at;
}

static void drop(struct doctor_service *service)
{
    free(service->argv_text);
    free(service->argv);
    *service = (struct doctor_service){0};
}

static bool recognise(const char *root, const struct proc_stat *stat,
                      struct doctor_service *service)
{
    AUTO(buf_done) struct buf cmdline = BUF_INIT(CMDLINE_MAX);
    char exe[512] = "";
    if (proc_is_dead(stat) || stat->pid == getpid() ||
        doctor_process_file(root, stat->pid, "cmdline", &cmdline) != SEEN_YES)
        return false;
    split_argv(service, &cmdline);
    doctor_process_link(root, stat->pid, "exe", exe, sizeof exe);
    service->kind = doctor_find_kind(service->argv, exe);
    service->pid = stat->pid;
    memcpy(service->comm, stat->comm, sizeof service->comm);
    return service->kind != NULL;
}

static const struct proc_stat *parent_of(const struct proc_stat *list, size_t count, pid_t ppid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == ppid)
            return &list[i];
    return NULL;
}

static bool is_service(const struct doctor_report *report, pid_t pid)
{
    for (size_t i = 0; i < report->service_count; i++)
        if (report->services[i].pid == pid)
            return true;
    return false;
}

/* Rings of parents are not believed: no path is longer than the list. */
static bool is_below_service(const struct doctor_report *report, const struct proc_stat *list,
                             size_t count, const struct proc_stat *stat)
{
    for (size_t steps = 0; stat && steps <= count; steps++) {
        stat = parent_of(list, count, stat->ppid);
        if (stat && is_service(report, stat->pid))
            return true;
    }
    return false;
}

static bool fill_members(const char *root, struct doctor_service *service, struct err *err)
{
    AUTO(free) struct proc_stat *tree = NULL;
    size_t count = 0;
    if (!proc_tree(root, service->pid, &tree, &count, err))
        return false;
    service->members[service->member_count++] = service->pid;
    for (size_t i = 0; i < count && service->member_count < DOCTOR_MEMBERS_MAX; i++)
        if (tree[i].pid != service->pid)
            service->members[service->member_count++] = tree[i].pid;
    return true;
}

/* Whatever the order of pids: a worker may have a lower one than its parent after a wrap. */
static void drop_workers(struct doctor_report *report, const struct proc_stat *list, size_t count)
{
    for (size_t i = 0; i < report->service_count;) {
        const struct proc_stat *stat = parent_of(list, count, report->services[i].pid);
        if (!is_below_service(report, list, count, stat)) {
            i++;
            continue;
        }
        drop(&report->services[i]);
        memmove(&report->services[i], &report->services[i + 1],
                (report->service_count - i - 1) * sizeof *report->services);
        report->service_count--;
    }
}

bool doctor_find(const char *root, struct doctor_report *report, struct err *err)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    if (!proc_all(root, &list, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct doctor_service service = {0};
        bool found = recognise(root, &list[i], &service);
        if (found && !is_below_service(report, list, count, &list[i])) {
            if (report->service_count < DOCTOR_SERVICES_MAX) {
                report->services[report->service_count++] = service;
                continue;
            }
            report->more_services = true;
        }
        drop(&service);
    }
    drop_workers(report, list, count);
    for (size_t i = 0; i < report->service_count; i++) {
        struct doctor_service *service = &report->services[i];
        device_owner_read(root, service->pid, &service->owner);
        if (!fill_members(root, service, err))
            return false;
    }
    return true;
}
