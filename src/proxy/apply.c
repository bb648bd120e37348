/* From a study to an HAProxy that runs with it.
 *
 * Checked first, in a folder of its own below /tmp, so that a configuration that HAProxy does not
 * take leaves no trace. Then the files, then the process: whatever dies between the two has left
 * files that the next start or reload takes, and `reload_due` says on disk that they were not taken
 * yet. One that we run ourselves is started with -W -D: it leaves our session by itself, has no
 * tie to our life, and lives on without a word when guard ends. (Under systemd guard's own unit
 * must leave it alone: KillMode=process, or better a unit for HAProxy.)
 *
 * "Runs with it" is said only when a worker with another pid answers on the socket, three times in
 * a row: for a moment the one before it may still take connections from the same socket. */
#include "proxy/inside.h"

#include "base/file.h"
#include "host/manager.h"
#include "proxy/keep.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

static const int64_t ASK_WITHIN_NS = NS_PER_S;
static const int64_t START_WITHIN_NS = 30 * NS_PER_S;
static const int64_t UNIT_WITHIN_NS = 90 * NS_PER_S;
static const int64_t KILL_WITHIN_NS = 5 * NS_PER_S;
static const int64_t GONE_WITHIN_NS = 3 * NS_PER_S;

static bool is_attached(const struct proxy *proxy)
{
    return proxy->guard->proxy.attach_file != NULL;
}

bool proxy_open(const struct spec_study *study, struct proxy **ret_proxy, struct err *err)
{
    if (!proxy_names_check(study, err))
        return false;
    struct proxy *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(proxy_close) struct proxy *proxy = made;
    const struct spec_proxy *where = &study->guard->proxy;
    proxy->arena = arena_new();
    proxy->study = study;
    proxy->guard = study->guard;
    proxy->folder = where->folder;
    proxy->config = where->attach_file
                        ? where->attach_file
                        : arena_printf(proxy->arena, "%s/haproxy.cfg", where->folder);
    proxy->socket = where->attach_socket
                        ? where->attach_socket
                        : arena_printf(proxy->arena, "%s/haproxy.sock", where->folder);
    proxy->master_socket =
        where->attach_file ? NULL : arena_printf(proxy->arena, "%s/master.sock", where->folder);
    proxy->pid_file = arena_printf(proxy->arena, "%s/haproxy.pid", where->folder);
    proxy->tiers_map = arena_printf(proxy->arena, "%s/tiers.map", where->folder);
    proxy->cuts_map = arena_printf(proxy->arena, "%s/cuts.map", where->folder);
    proxy->state_file = arena_printf(proxy->arena, "%s/state.json", where->folder);
    proxy->lock_file = arena_printf(proxy->arena, "%s/lock", where->folder);
    proxy_state_init(&proxy->state);
    if (!proxy_state_read(proxy, err))
        return false;
    *ret_proxy = TAKE(proxy);
    return true;
}

struct proxy *proxy_close(struct proxy *proxy)
{
    if (proxy) {
        arena_free(proxy->arena);
        free(proxy);
    }
    return NULL;
}

void proxy_show(const struct proxy *proxy, struct buf *buf)
{
    struct proxy_state state = proxy->state;
    if (state.token[0])
        snprintf(state.token, sizeof state.token, "TOKEN");
    proxy_config_write(proxy->study, &state, buf);
}

/* ---- checking ---- */

static bool folder_make(const struct proxy *proxy, struct err *err)
{
    if (!file_make_folders(proxy->folder, err))
        return false;
    /* The socket in it is the whole control of HAProxy. */
    return chmod(proxy->folder, 0700) == 0 || err_sys(err, "%s", proxy->folder);
}

/* The same study, with all files elsewhere. */
static bool check_in(const struct proxy *proxy, const char *folder, struct err *err)
{
    struct spec_guard guard = *proxy->guard;
    struct spec_study study = *proxy->study;
    char config[128], tiers[128], cuts[128];
    guard.proxy.folder = folder;
    study.guard = &guard;
    snprintf(config, sizeof config, "%s/haproxy.cfg", folder);
    snprintf(tiers, sizeof tiers, "%s/tiers.map", folder);
    snprintf(cuts, sizeof cuts, "%s/cuts.map", folder);
    struct proxy there = *proxy;
    there.study = &study;
    there.guard = &guard;
    there.config = config;
    there.tiers_map = tiers;
    there.cuts_map = cuts;
    AUTO(free) char *program = is_attached(proxy) ? NULL : proxy_program();
    bool done = false;
    if (!is_attached(proxy) && !program)
        err_set(err, ERR_MISSING, "haproxy is not installed (Debian: apt install haproxy)");
    else if (proxy_files_save(&there, err))
        done = is_attached(proxy)
                   ? proxy_attach_check(proxy, config, err)
                   : proxy_files_check(program, (const char *const[]){config, NULL}, err);
    (void)unlink(config);
    (void)unlink(tiers);
    (void)unlink(cuts);
    return done;
}

static bool check_now(const struct proxy *proxy, struct err *err)
{
    char folder[] = "/tmp/spica-proxy-XXXXXX";
    if (!mkdtemp(folder))
        return err_sys(err, "a folder below /tmp to check HAProxy's configuration in");
    bool done = check_in(proxy, folder, err);
    (void)rmdir(folder);
    return done;
}

bool proxy_check(struct proxy *proxy, struct err *err)
{
    struct proxy_state before = proxy->state;
    bool done = proxy_state_complete(proxy, err) && check_now(proxy, err);
    proxy->state = before;
    return done;
}

/* ---- running ---- */

int64_t proxy_failed_reloads(const char *master)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(65536);
    return master && proxy_ask(master, "show proc; quit", ASK_WITHIN_NS, &answer, NULL)
               ? proxy_failed_parse(buf_text(&answer), answer.len)
               : -1;
}

static bool not_taken(const struct proxy_handover *handover, const char *why, struct err *err)
{
    if (handover->old_pid)
        return err_set(err, ERR_INTERNAL,
                       "HAProxy goes on with its old configuration (worker %lld): it could not "
                       "take the new one, mostly for a port that another program holds",
                       (long long)handover->old_pid);
    return err_set(err, ERR_INTERNAL, "HAProxy was started and does not answer: %s", why);
}

bool proxy_wait_worker(const struct proxy_handover *handover, int64_t within_ns, int64_t *ret_pid,
                       struct err *err)
{
    int64_t end_ns = clock_now_ns() + within_ns;
    for (int in_a_row = 0; in_a_row < 3;) {
        struct proxy_info info = {0};
        struct err ignored = ERR_INIT;
        bool is = proxy_info_ask(handover->socket, ASK_WITHIN_NS, &info, &ignored) &&
                  info.pid != handover->old_pid;
        bool failed = !is && handover->failed >= 0 &&
                      proxy_failed_reloads(handover->master) > handover->failed;
        in_a_row = is ? in_a_row + 1 : 0;
        if (failed || (!is && clock_now_ns() >= end_ns))
            return not_taken(handover, ignored.text, err);
        if (is)
            *ret_pid = info.pid;
        poll(NULL, 0, 10);
    }
    return true;
}

static bool unit_job(const struct proxy *proxy, enum host_verb verb, int64_t within_ns,
                     struct err *err)
{
    const struct spec_proxy *where = &proxy->guard->proxy;
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    return host_manager_open(where->user ? HOST_USER : HOST_SYSTEM, &manager, err) &&
           host_manager_job(manager, verb, where->unit, within_ns, HOST_HEED_CANCEL, err);
}

static bool start_own(const struct proxy *proxy, struct err *err)
{
    AUTO(free) char *program = proxy_program();
    AUTO(buf_done) struct buf output = BUF_INIT(65536);
    const char *master = arena_printf(proxy->arena, "%s,mode,600", proxy->master_socket);
    int status = 0;
    if (!program)
        return err_set(err, ERR_MISSING, "haproxy is not installed (Debian: apt install haproxy)");
    const char *const argv[] = {program,         "-W", "-D",          "-S", master, "-p",
                                proxy->pid_file, "-f", proxy->config, NULL};
    if (!proxy_run(argv, START_WITHIN_NS, &output, &status, err))
        return false;
    if (status == 0)
        return true;
    return proxy_complain(buf_text(&output), "HAProxy does not start", err);
}

static bool reload_own(const struct proxy *proxy, struct err *err)
{
    AUTO(fd) int master = proxy_master_open(proxy);
    if (master < 0)
        return err_set(err, ERR_INPUT,
                       "an HAProxy answers at %s that was not started by spica (no %s of it); "
                       "name its unit under guard: proxy:",
                       proxy->socket, proxy->pid_file);
    return pidfd_send_signal(master, SIGUSR2, NULL, 0) == 0 ||
           err_sys(err, "asking HAProxy to reload");
}

static bool bring_up(const struct proxy *proxy, const struct proxy_info *running, int64_t *ret_pid,
                     struct err *err)
{
    struct proxy_handover handover = {proxy->socket, proxy->master_socket,
                                      running ? running->pid : 0,
                                      running ? proxy_failed_reloads(proxy->master_socket) : -1};
    bool unit = proxy->guard->proxy.unit != NULL, done = false;
    if (unit)
        done = unit_job(proxy, running ? HOST_RELOAD : HOST_START, UNIT_WITHIN_NS, err);
    else
        done = running ? reload_own(proxy, err) : start_own(proxy, err);
    return done && proxy_wait_worker(&handover, START_WITHIN_NS, ret_pid, err);
}

static bool ends_within(int pidfd, int64_t within_ns)
{
    int64_t end_ns = clock_now_ns() + within_ns;
    for (;;) {
        struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
        int64_t left_ns = end_ns - clock_now_ns();
        if (poll(&pollfd, 1, left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0) > 0)
            return true;
        if (left_ns <= 0)
            return false;
    }
}

/* One that does not answer may have died a moment ago, its master with it. Beside one that lives on
 * (frozen, say) nothing is started: both would take the front's connections. */
static bool wait_gone(const struct proxy *proxy, struct err *err)
{
    AUTO(fd) int master = proxy->guard->proxy.unit ? -1 : proxy_master_open(proxy);
    return master < 0 || ends_within(master, GONE_WITHIN_NS) ||
           err_set(err, ERR_BUSY,
                   "HAProxy runs (its pid is in %s) and does not answer; end it first: spica proxy "
                   "STUDY stop",
                   proxy->pid_file);
}

static bool apply_own(struct proxy *proxy, bool *ret_reloaded, struct err *err)
{
    struct proxy_info running = {0};
    struct err ignored = ERR_INIT;
    bool up = proxy_info_ask(proxy->socket, ASK_WITHIN_NS, &running, &ignored);
    if (!up && !wait_gone(proxy, err))
        return false;
    if (up && proxy_config_is(proxy) && !proxy->reload_due) {
        *ret_reloaded = false;
        return proxy_state_save(proxy, err);
    }
    /* One that was down is restarted, and whoever watches is to learn of it; one that was reloaded
     * is not. */
    int64_t pid = 0;
    proxy->reload_due = true;
    proxy->worker = up ? -1 : 0;
    if (!proxy_state_save(proxy, err))
        return false;
    bool done = proxy_files_save(proxy, err) && bring_up(proxy, up ? &running : NULL, &pid, err);
    proxy->reload_due = !done;
    proxy->worker = done && up ? pid : 0;
    if (!proxy_state_save(proxy, done ? err : &ignored) || !done)
        return false;
    *ret_reloaded = true;
    return true;
}

bool proxy_apply(struct proxy *proxy, bool *ret_reloaded, struct err *err)
{
    AUTO(fd) int lock = -1;
    if (!folder_make(proxy, err) || !proxy_lock(proxy, &lock, err) ||
        !proxy_state_read(proxy, err) || !proxy_state_complete(proxy, err) ||
        !check_now(proxy, err))
        return false;
    proxy->stopped = false;
    return is_attached(proxy) ? proxy_attach_apply(proxy, ret_reloaded, err)
                              : apply_own(proxy, ret_reloaded, err);
}

/* ---- stopping ---- */

bool proxy_is_ours(const struct proxy *proxy)
{
    return !is_attached(proxy) && !proxy->guard->proxy.unit;
}

bool proxy_is_stopped(struct proxy *proxy)
{
    struct err ignored = ERR_INIT;
    return proxy_state_read(proxy, &ignored) && proxy->stopped;
}

bool proxy_stop(struct proxy *proxy, int64_t within_ns, struct err *err)
{
    if (is_attached(proxy))
        return err_set(err, ERR_INPUT,
                       "this HAProxy is not ours to stop: take %s out of its command line and "
                       "reload it",
                       proxy->config);
    if (proxy->guard->proxy.unit)
        return unit_job(proxy, HOST_STOP, within_ns + KILL_WITHIN_NS, err);
    AUTO(fd) int lock = -1;
    if (!file_exists(proxy->pid_file))
        return true;
    if (!proxy_lock(proxy, &lock, err))
        return false;
    AUTO(fd) int master = proxy_master_open(proxy);
    if (master < 0)
        return true;
    /* Said before it ends, or who keeps it running starts it again. A full disk stops nobody. */
    struct err ignored = ERR_INIT;
    if (proxy_state_read(proxy, &ignored)) {
        proxy->stopped = true;
        (void)!proxy_state_save(proxy, &ignored);
    }
    if (pidfd_send_signal(master, SIGUSR1, NULL, 0) == 0 && ends_within(master, within_ns))
        return true;
    (void)pidfd_send_signal(master, SIGTERM, NULL, 0);
    return ends_within(master, KILL_WITHIN_NS) ||
           err_set(err, ERR_INTERNAL, "HAProxy does not end");
}
