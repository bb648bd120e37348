/* Finds a service again and again.
 *
 * While the main process lives, which one small read of /proc tells, there is nothing to find; only
 * when it is gone systemd, the cgroups or the port are asked who has taken its place. So the common
 * look costs microseconds, and a restart is seen at the next one. systemd is asked now and then all
 * the same: a unit may be stopping, or have been restarted so fast that a pid came again.
 *
 * "Active" is not up: a server that loads its model does not listen yet. With a known port a
 * service is up once somebody listens there. A port that closes under a living process is down, and
 * so is one that is known to be another's (find_listener.c).
 *
 * Restarts are systemd's count where it counts, else processes that took another's place: the same
 * restart is never counted twice. Invariant: a pid that was given to somebody else is never taken
 * for the service, since its start differs. */
#include "guard/find.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static const int64_t ASK_EVERY_NS = 10 * NS_PER_S;
static const int64_t SEARCH_EVERY_NS = 2 * NS_PER_S; /* a walk over all of /proc */
enum { CGROUP_MAX = 4096 };

struct guard_finder {
    const struct spec_watch *watch; /* borrowed */
    const char *root;               /* borrowed */
    struct guard_unit *unit;        /* owned; NULL: it is none */
    struct proc_stat main;          /* .pid 0: not known */
    bool given_gone;                /* the pid of the study file has ended */
    bool listened;                  /* this process did once */
    int64_t asked_ns, searched_ns;
    int64_t died_ns; /* when `main` was found dead; 0: it lives, or is not known */
    struct guard_port_look port;
    char group[512];
};

struct guard_finder *guard_finder_new(const struct spec_watch *watch, const char *proc_root,
                                      struct guard_managers *managers)
{
    struct guard_finder *finder = calloc(1, sizeof *finder);
    if (!finder)
        abort();
    finder->watch = watch;
    finder->root = proc_root;
    if (watch->kind == WATCH_UNIT && managers)
        finder->unit = guard_unit_new(managers, watch->unit, watch->user);
    return finder;
}

struct guard_finder *guard_finder_free(struct guard_finder *finder)
{
    if (finder)
        guard_unit_free(finder->unit);
    free(finder);
    return NULL;
}

const char *guard_finder_group(const struct guard_finder *finder)
{
    return finder->group;
}

void guard_watch_where(const struct spec_watch *watch, char *ret_text, size_t size)
{
    if (watch->kind == WATCH_UNIT)
        snprintf(ret_text, size, "%s", watch->unit);
    else if (watch->kind == WATCH_PID)
        snprintf(ret_text, size, "pid %lld", (long long)watch->pid);
    else if (watch->kind == WATCH_CONTAINER)
        snprintf(ret_text, size, "container %s", watch->container);
    else if (watch->kind == WATCH_PORT)
        snprintf(ret_text, size, "port %d", watch->port);
    else
        snprintf(ret_text, size, "not watched");
}

/* ---- its process ---- */

static bool lives(const char *root, const struct proc_stat *process)
{
    struct proc_stat now;
    return process->pid > 0 && proc_read_stat(root, process->pid, &now) && !proc_is_dead(&now) &&
           now.start_ticks == process->start_ticks;
}

static bool read_cgroup(const char *root, pid_t pid, struct buf *text)
{
    char path[128];
    struct err ignored = ERR_INIT;
    snprintf(path, sizeof path, "%s/%d/cgroup", root, (int)pid);
    return buf_read_file(text, path, &ignored);
}

/* The path behind "0::" (v2), else behind ":memory:" (v1). */
static void note_group(struct guard_finder *finder)
{
    AUTO(buf_done) struct buf text = BUF_INIT(CGROUP_MAX);
    finder->group[0] = '\0';
    if (!read_cgroup(finder->root, finder->main.pid, &text))
        return;
    const char *one = strstr(buf_text(&text), ":memory:");
    const char *two = strstr(buf_text(&text), "0::");
    bool last = two && (two == buf_text(&text) || two[-1] == '\n');
    const char *at = one ? one + strlen(":memory:") : last ? two + strlen("0::") : NULL;
    if (at)
        snprintf(finder->group, sizeof finder->group, "%.*s", (int)strcspn(at, "\n"), at);
}

static void take_main(struct guard_finder *finder, pid_t pid)
{
    struct proc_stat now;
    if (pid <= 0 || !proc_read_stat(finder->root, pid, &now) || proc_is_dead(&now)) {
        finder->main = (struct proc_stat){0};
        return;
    }
    if (now.pid != finder->main.pid || now.start_ticks != finder->main.start_ticks)
        finder->listened = false;
    finder->main = now;
    note_group(finder);
}

/* ---- a container ----
 *
 * /proc knows the id of each, in its cgroup; a name only of podman's, by its monitor, and of those
 * whose cgroup has it. docker's names are its own, and told to root alone. */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool is_id(const char *name)
{
    size_t len = strlen(name);
    return len >= 12 && strspn(name, "0123456789abcdef") == len;
}

/* Is `name` a part of the path, and not the middle of a longer word? An id may be cut short. */
static bool group_names(const char *cgroup, const char *name)
{
    size_t len = strlen(name);
    bool id = is_id(name);
    for (const char *at = strstr(cgroup, name); at; at = strstr(at + 1, name)) {
        bool begins = at > cgroup && !is_word(at[-1]);
        bool ends = id || !is_word(at[len]);
        if (begins && ends)
            return true;
    }
    return false;
}

/* podman's monitor has both names on its command line: "-c ID ... -n NAME". */
static bool monitor_id(const char *root, const struct proc_stat *process, const char *name,
                       char *ret_id, size_t size)
{
    if (strcmp(process->comm, "conmon") != 0)
        return false;
    AUTO(free) char *line = proc_cmdline(root, process->pid);
    char wanted[300];
    snprintf(wanted, sizeof wanted, " -n %s ", name);
    const char *id = line ? strstr(line, " -c ") : NULL;
    if (!id || !strstr(line, wanted))
        return false;
    id += strlen(" -c ");
    snprintf(ret_id, size, "%.*s", (int)strspn(id, "0123456789abcdef"), id);
    return ret_id[0] != '\0';
}

static bool is_of_container(const char *root, const struct proc_stat *process, const char *name)
{
    AUTO(buf_done) struct buf text = BUF_INIT(CGROUP_MAX);
    return strcmp(process->comm, "conmon") != 0 && read_cgroup(root, process->pid, &text) &&
           group_names(buf_text(&text), name);
}

/* The process of the container whose parent is outside; 0: none. */
static pid_t find_container(const struct guard_finder *finder)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT;
    char id[128];
    snprintf(id, sizeof id, "%s", finder->watch->container);
    if (!proc_all(finder->root, &list, &count, &ignored))
        return 0;
    for (size_t i = 0; i < count; i++)
        if (monitor_id(finder->root, &list[i], finder->watch->container, id, sizeof id))
            break;
    AUTO(free) bool *member = calloc(count + 1, sizeof *member);
    if (!member)
        abort();
    for (size_t i = 0; i < count; i++)
        member[i] = is_of_container(finder->root, &list[i], id);
    for (size_t i = 0; i < count; i++) {
        bool inner = false;
        for (size_t k = 0; k < count && member[i]; k++)
            inner = inner || (member[k] && list[k].pid == list[i].ppid);
        if (member[i] && !inner && !proc_is_dead(&list[i]))
            return list[i].pid;
    }
    return 0;
}

/* ---- a look ---- */

static bool is_again(const char *sub)
{
    return text_starts_with(sub, "auto-restart");
}

static void look_at_unit(struct guard_finder *finder, int64_t now_ns, struct guard_life *life)
{
    if (!finder->unit)
        return;
    const struct guard_unit_state *state = guard_unit_state(finder->unit);
    bool alive = lives(finder->root, &finder->main);
    if (!alive || now_ns - finder->asked_ns >= ASK_EVERY_NS) {
        guard_unit_ask(finder->unit, now_ns);
        finder->asked_ns = now_ns;
    }
    if (!state->known) {
        snprintf(life->why, sizeof life->why, "systemd does not answer about %s",
                 finder->watch->unit);
        return;
    }
    if (!alive && finder->main.pid > 0 && finder->died_ns == 0)
        finder->died_ns = now_ns;
    if (finder->died_ns > 0 && state->at_ns < finder->died_ns) {
        snprintf(life->why, sizeof life->why, "%s: process %d has ended, systemd is being asked",
                 finder->watch->unit, (int)finder->main.pid);
        return; /* what it said before is of another process */
    }
    finder->died_ns = 0;
    bool up = strcmp(state->active, "active") == 0 || strcmp(state->active, "reloading") == 0;
    bool ends_well = !state->result[0] || strcmp(state->result, "success") == 0;
    if (state->main_pid != (uint32_t)finder->main.pid || !alive)
        take_main(finder, (pid_t)state->main_pid);
    life->restarts = state->restarts;
    life->killed_for_memory = strcmp(state->result, "oom-kill") == 0;
    life->stopped = ends_well && (strcmp(state->active, "inactive") == 0 ||
                                  strcmp(state->active, "deactivating") == 0);
    life->main = finder->main;
    snprintf(life->why, sizeof life->why, "%s is %s (%s)%s%s", finder->watch->unit, state->active,
             state->sub, ends_well ? "" : ", its result: ", ends_well ? "" : state->result);
    if (up && state->main_pid > 0 && finder->main.pid == 0)
        up = false; /* systemd has not noticed yet */
    life->presence = up ? PRESENCE_UP
                     : strcmp(state->active, "activating") == 0 && !is_again(state->sub)
                         ? PRESENCE_COMING
                         : PRESENCE_DOWN;
}

/* Who might it be, when it is not the one it was? 0: nobody. */
static pid_t search(struct guard_finder *finder)
{
    const struct spec_watch *watch = finder->watch;
    if (watch->kind == WATCH_PID && !finder->given_gone) {
        finder->given_gone = true; /* that number is taken for it only once */
        if (watch->pid > 0 && watch->pid <= INT32_MAX)
            return (pid_t)watch->pid;
    }
    if (watch->kind == WATCH_CONTAINER)
        return find_container(finder);
    if (watch->port > 0 && guard_port_listening(watch->port) != LISTENING_NO) {
        pid_t pid = proc_listener(finder->root, watch->port);
        return pid > 0 ? pid : 0;
    }
    return 0;
}

static void look_at_process(struct guard_finder *finder, int64_t now_ns, struct guard_life *life)
{
    char where[100];
    bool alive = lives(finder->root, &finder->main);
    if (!alive && (finder->searched_ns == 0 || now_ns - finder->searched_ns >= SEARCH_EVERY_NS)) {
        finder->searched_ns = now_ns;
        take_main(finder, search(finder));
        alive = finder->main.pid > 0;
    }
    guard_watch_where(finder->watch, where, sizeof where);
    life->main = alive ? finder->main : (struct proc_stat){0};
    life->presence = alive ? PRESENCE_UP : PRESENCE_DOWN;
    if (alive)
        snprintf(life->why, sizeof life->why, "%.90s: process %d (%.40s) runs", where,
                 (int)finder->main.pid, finder->main.comm);
    else
        snprintf(life->why, sizeof life->why, "%.100s: no such process runs%s", where,
                 finder->watch->kind == WATCH_CONTAINER && !is_id(finder->watch->container)
                     ? " (docker's is found by its id alone)"
                     : "");
}

/* What a container's port is listened on by is its engine's matter, and of a port alone its
 * listener is the service. */
static bool is_anothers(struct guard_finder *finder, int64_t now_ns, struct guard_life *life)
{
    const struct spec_watch *watch = finder->watch;
    const struct guard_port_asked asked = {.port = watch->port,
                                           .main = life->main,
                                           .unit = watch->kind == WATCH_UNIT ? watch->unit : NULL};
    return (watch->kind == WATCH_UNIT || watch->kind == WATCH_PID) &&
           guard_port_whose(&finder->port, finder->root, &asked, now_ns, life->why,
                            sizeof life->why) == PORT_ANOTHERS;
}

/* A process is not yet a service. */
static void look_at_port(struct guard_finder *finder, int64_t now_ns, struct guard_life *life)
{
    const int port = finder->watch->port;
    life->listens = true;
    if (port <= 0 || (life->presence != PRESENCE_UP && life->presence != PRESENCE_COMING))
        return;
    enum guard_listening listening = guard_port_listening(port);
    life->listens = listening != LISTENING_NO;
    if (life->presence == PRESENCE_UP && life->listens && is_anothers(finder, now_ns, life)) {
        life->listens = false;
        life->presence = PRESENCE_DOWN;
        return;
    }
    if (life->presence == PRESENCE_UP && listening == LISTENING_YES)
        finder->listened = true;
    if (life->presence != PRESENCE_UP || listening != LISTENING_NO)
        return;
    life->presence = finder->listened ? PRESENCE_DOWN : PRESENCE_COMING;
    size_t len = strlen(life->why);
    snprintf(life->why + len, sizeof life->why - len, "; nobody listens on port %d%s", port,
             finder->listened ? "" : " yet");
}

void guard_finder_look(struct guard_finder *finder, int64_t now_ns, struct guard_life *ret_life)
{
    struct guard_life life = {.restarts = -1, .listens = true};
    switch (finder->watch->kind) {
    case WATCH_NOTHING:
        snprintf(life.why, sizeof life.why, "not watched");
        break;
    case WATCH_UNIT:
        look_at_unit(finder, now_ns, &life);
        break;
    default:
        look_at_process(finder, now_ns, &life);
    }
    look_at_port(finder, now_ns, &life);
    *ret_life = life;
}

/* ---- two looks ---- */

static bool is_same(const struct proc_stat *a, const struct proc_stat *b)
{
    return a->pid == b->pid && a->start_ticks == b->start_ticks;
}

static void count_restarts(struct guard_history *history, const struct guard_life *life,
                           struct guard_turn *turn)
{
    bool seen = life->main.pid > 0;
    turn->another = seen && history->main.pid > 0 && !is_same(&life->main, &history->main);
    uint64_t told = 0;
    if (life->restarts >= 0) {
        if (history->restarts_told >= 0 && life->restarts > history->restarts_told)
            told = (uint64_t)(life->restarts - history->restarts_told);
        history->restarts_told = life->restarts;
    }
    turn->restarts = told > 0 ? told : turn->another && !history->counted ? 1 : 0;
    if (seen) {
        history->counted = false;
        history->main = life->main;
    } else if (told > 0) {
        history->counted = true; /* its new process is not yet seen */
    }
    history->restarts += turn->restarts;
    turn->restarted = turn->restarts > 0;
}

struct guard_turn guard_history_step(struct guard_history *history, const struct guard_life *life)
{
    struct guard_turn turn = {0};
    if (life->aside && history->began) { /* what comes back is no restart */
        history->presence = PRESENCE_COMING;
        history->main = (struct proc_stat){0};
        history->counted = false;
    }
    if (life->presence == PRESENCE_UNKNOWN)
        return turn;
    if (!history->began) {
        *history = (struct guard_history){.began = true,
                                          .presence = life->presence,
                                          .main = life->main,
                                          .restarts_told = life->restarts,
                                          .killed = life->killed_for_memory};
        turn.went_down = life->presence == PRESENCE_DOWN; /* it is worth a word */
        return turn;
    }
    count_restarts(history, life, &turn);
    bool was_up = history->presence == PRESENCE_UP;
    turn.came_up = !was_up && life->presence == PRESENCE_UP;
    turn.went_down = (was_up && life->presence != PRESENCE_UP && !turn.restarted) ||
                     (history->presence == PRESENCE_COMING && life->presence == PRESENCE_DOWN);
    turn.killed_for_memory = life->killed_for_memory && !history->killed;
    history->killed = life->killed_for_memory;
    history->presence = life->presence;
    return turn;
}
