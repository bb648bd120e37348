/* A service of production is not our child. systemd says which process is a unit's and how often it
 * was restarted; a container's process is told by its runtime; of anything else only the port is
 * known, and who listens on it is.
 *
 * Whether it stays is asked of the same facts again: the process by pid and start time, the unit by
 * its state and its count of restarts. "active" alone would miss a service that crashes and comes
 * back within a second.
 *
 * All that reads memory, time and placement takes the root of a tree and means what is below it,
 * which suits a trial's keepers. Here an idle process of ours stands for the root and adopts the
 * service's main process (device/proc.h). Rejected: the main process's parent, which is systemd,
 * the root of everything. */
#include "promote/alive.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/owner.h"
#include "promote/run.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t ASK_WITHIN_NS = 20 * NS_PER_S;

void promote_managers_close(struct promote_managers *managers)
{
    for (int s = 0; s < HOST_SCOPE_COUNT_; s++)
        managers->of[s] = host_manager_close(managers->of[s]);
}

static bool same_process(const struct proc_stat *process)
{
    struct proc_stat now;
    return proc_read_stat("/proc", process->pid, &now) && !proc_is_dead(&now) &&
           now.start_ticks == process->start_ticks;
}

static void see(struct promote_alive *alive, pid_t pid)
{
    if (pid <= 0 || !proc_read_stat("/proc", pid, &alive->main))
        alive->main.pid = 0;
    alive->seen = true;
}

/* ---- a unit ---- */

static enum promote_life judge_unit(struct promote_alive *alive, const struct host_config *config,
                                    char *why, size_t size)
{
    if (!config->found) { /* and nothing else is known */
        snprintf(why, size, "%s: systemd knows no such unit", alive->unit);
        return LIFE_DOWN;
    }
    bool up = strcmp(config->active, "active") == 0 || strcmp(config->active, "reloading") == 0;
    bool again = strncmp(config->sub, "auto-restart", strlen("auto-restart")) == 0;
    bool ends_well = !config->result[0] || strcmp(config->result, "success") == 0;
    snprintf(why, size, "%s is %s (%s)%s%s%s", alive->unit, config->active, config->sub,
             ends_well ? "" : ", its result: ", ends_well ? "" : config->result,
             host_result_words(config->result));
    if (again)
        return LIFE_DOWN;
    if (!up)
        return !alive->seen && strcmp(config->active, "activating") == 0 ? LIFE_COMING : LIFE_DOWN;
    if (!alive->seen)
        return LIFE_UP;
    if (config->restarts != alive->restarts)
        snprintf(why, size, "%s was restarted by systemd meanwhile (%u times)", alive->unit,
                 (unsigned)(config->restarts - alive->restarts));
    else if (alive->main.pid > 0 && config->main_pid != alive->main.pid)
        snprintf(why, size, "%s: its process %d was replaced by %d meanwhile", alive->unit,
                 (int)alive->main.pid, (int)config->main_pid);
    else
        return LIFE_UP;
    return LIFE_DOWN;
}

static bool look_at_unit(struct promote_alive *alive, struct promote_managers *managers,
                         enum promote_life *ret_life, char *why, size_t size, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct host_manager **manager = &managers->of[alive->scope];
    struct host_config config;
    if ((!*manager && !host_manager_open(alive->scope, manager, err)) ||
        !host_config_read(*manager, arena, alive->unit, &config, err))
        return false;
    *ret_life = judge_unit(alive, &config, why, size);
    if (*ret_life == LIFE_UP && !alive->seen) {
        alive->restarts = config.restarts;
        see(alive, config.main_pid);
        if (alive->main.pid > 0) {
            size_t len = strlen(why);
            snprintf(why + len, size - len, ", process %d", (int)alive->main.pid);
        }
    }
    return true;
}

/* ---- anything else ---- */

enum answer { ANSWER_NONE, ANSWER_EMPTY, ANSWER_LINE };

/* The first line of what a command prints; none where it did not end well. */
static enum answer ask(const struct promote_alive *alive, const char *const *argv, char *ret_line,
                       size_t size)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(4096);
    struct promote_ran ran;
    struct err ignored = ERR_INIT;
    if (!promote_run_read(argv, alive->folder, ASK_WITHIN_NS, PROMOTE_IGNORE_CANCEL, &answer, &ran,
                          &ignored) ||
        !promote_ran_well(&ran))
        return ANSWER_NONE;
    size_t len = strcspn(buf_text(&answer), "\r\n");
    snprintf(ret_line, size, "%.*s", (int)len, buf_text(&answer));
    return len == 0 ? ANSWER_EMPTY : len < size ? ANSWER_LINE : ANSWER_NONE;
}

static bool ask_container(const struct promote_alive *alive, const char *const *ask_id,
                          const char *format, char *ret_line, size_t size, bool *ret_told)
{
    char id[128];
    enum answer answer = ask(alive, ask_id, id, sizeof id);
    const char *const inspect[] = {ask_id[0], "inspect", "--format", format, id, NULL};
    *ret_told = answer == ANSWER_EMPTY;
    return answer == ANSWER_LINE && isalnum((unsigned char)*id) &&
           ask(alive, inspect, ret_line, size) == ANSWER_LINE;
}

/* 0: not told, or none runs, which is told then. */
static pid_t container_process(const struct promote_alive *alive, bool *ret_none)
{
    char line[32];
    int64_t pid = 0;
    *ret_none = false;
    if (!alive->ask_id ||
        !ask_container(alive, alive->ask_id, "{{.State.Pid}}", line, sizeof line, ret_none) ||
        !text_to_i64(line, &pid))
        return 0;
    *ret_none = pid == 0;
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* Nobody but its container may serve for it: has that ended, or is it still to come? */
static enum promote_life look_for_container(const struct promote_alive *alive, char *why,
                                            size_t size)
{
    static const char format[] = "{{.State.Status}}, status {{.State.ExitCode}}"
                                 "{{if .State.OOMKilled}}, killed for want of memory{{end}}";
    const char *all[64] = {NULL};
    char state[128] = "";
    bool none = false;
    size_t n = 0;
    for (; alive->ask_id[n] && n + 2 < ARRAY_LEN(all); n++)
        all[n] = alive->ask_id[n];
    all[n] = "-a"; /* those that have ended, too */
    bool told = ask_container(alive, all, format, state, sizeof state, &none);
    bool ended = told && (strncmp(state, "exited", 6) == 0 || strncmp(state, "dead", 4) == 0);
    snprintf(why, size, "no container of it runs%s%s", told ? "; it is " : "", told ? state : "");
    return ended ? LIFE_DOWN : LIFE_COMING;
}

static enum promote_life look_at_process(struct promote_alive *alive, char *why, size_t size)
{
    bool none = false;
    if (alive->seen && alive->main.pid > 0) {
        bool same = same_process(&alive->main);
        snprintf(why, size, same ? "process %d (%s) runs" : "process %d (%s) has ended",
                 (int)alive->main.pid, alive->main.comm);
        return same ? LIFE_UP : LIFE_DOWN;
    }
    pid_t pid = container_process(alive, &none);
    if (none)
        return look_for_container(alive, why, size);
    if (pid == 0 && alive->port > 0)
        pid = proc_listener("/proc", alive->port);
    if (pid == 0) {
        snprintf(why, size, alive->port > 0 ? "nobody listens on port %d" : "it has no port",
                 alive->port);
        return alive->seen && alive->port > 0 ? LIFE_DOWN : LIFE_COMING;
    }
    see(alive, pid);
    if (alive->main.pid > 0)
        snprintf(why, size, "process %d (%s) runs", (int)alive->main.pid, alive->main.comm);
    else
        snprintf(why, size, "somebody listens on port %d, and can't be seen from here",
                 alive->port);
    return LIFE_UP;
}

bool promote_alive_look(struct promote_alive *alive, struct promote_managers *managers,
                        enum promote_life *ret_life, char *why, size_t size, struct err *err)
{
    alive->looked_ns = clock_now_ns();
    if (alive->unit)
        return look_at_unit(alive, managers, ret_life, why, size, err);
    *ret_life = look_at_process(alive, why, size);
    return true;
}

enum promote_listens promote_alive_listens(struct promote_alive *alive, char *why, size_t size)
{
    struct device_owner owner;
    struct proc_stat stat = {0};
    snprintf(why, size, "whose process listens on port %d can't be seen from here", alive->port);
    pid_t listener = alive->port > 0 ? proc_listener("/proc", alive->port) : 0;
    if (!alive->unit || listener == alive->main.pid)
        return LISTENS_OURS;
    if (listener <= 0)
        return LISTENS_UNKNOWN;
    device_owner_read("/proc", listener, &owner);
    /* systemd listens for what it starts by a socket; a container's proxy is its runtime's. */
    bool ours = strncmp(owner.unit, alive->unit, sizeof owner.unit - 1) == 0 ||
                strcmp(owner.unit, "init.scope") == 0 || owner.container[0];
    if (!ours && alive->main.pid > 0) {
        AUTO(free) struct proc_stat *tree = NULL;
        size_t count = 0;
        struct err ignored = ERR_INIT;
        if (!proc_tree("/proc", alive->main.pid, &tree, &count, &ignored))
            return LISTENS_UNKNOWN;
        for (size_t k = 0; k < count; k++)
            ours = ours || tree[k].pid == listener;
    }
    if (ours)
        return LISTENS_OURS;
    (void)!proc_read_stat("/proc", listener, &stat);
    snprintf(why, size, "port %d is served by process %d (%s%s%s), not by %s", alive->port,
             (int)listener, stat.comm, owner.unit[0] ? " of " : "", owner.unit, alive->unit);
    return LISTENS_OTHER;
}

/* ---- its tree ---- */

/* Holds nothing of ours open, does nothing, and goes when we do. */
static _Noreturn void stand(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    syscall(SYS_close_range, 0U, ~0U, 0U);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    signal(SIGINT, SIG_IGN); /* ^C is for spica, which ends this one */
    while (getppid() == parent)
        pause();
    _exit(0);
}

bool promote_alive_anchor(struct promote_alive *alive)
{
    if (alive->main.pid <= 0 || !same_process(&alive->main))
        return false;
    if (alive->anchor == 0) {
        pid_t parent = getpid(), pid = fork();
        if (pid == 0)
            stand(parent);
        alive->anchor = pid > 0 ? pid : 0;
    }
    return alive->anchor > 0 && proc_adopt(alive->anchor, &alive->main);
}

void promote_alive_done(struct promote_alive *alive)
{
    if (alive->anchor <= 0)
        return;
    proc_disown(alive->anchor);
    kill(alive->anchor, SIGKILL);
    while (waitpid(alive->anchor, NULL, 0) < 0 && errno == EINTR)
        continue;
    alive->anchor = 0;
}
