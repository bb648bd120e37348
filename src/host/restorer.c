/* The restorer: `spica restore JOURNAL --watch PID` as a transient unit of systemd's.
 *
 * Rejected: a child of ours, which dies with our session, our cgroup or our terminal; ExecStopPost
 * of a unit that runs spica itself, which takes the terminal and the environment of the person
 * away; and a unit file on the disk, which outlives what it was for.
 *
 * The unit is of Type=notify: "started" means that it holds a pidfd of us and has read the journal.
 * So before anything is stopped it is certain that somebody outside our cgroup will notice our end.
 * Killed by SIGKILL itself, systemd starts it again. After a reboot it is gone: units that are
 * enabled come back by themselves, the others by `spica restore`. */
#include "host/restorer.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/text.h"
#include "device/proc.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static const int64_t READY_WITHIN_NS = 20 * NS_PER_S, SERVICES_WITHIN_NS = 60 * NS_PER_S;
enum { LOOK_EVERY_MS = 100 };

/* What the restorer needs of our environment: to find the same manager, and to report as we do. */
static const char *const passed_on[] = {"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR",
                                        "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"};

void host_restorer_name(const char *study, const char *journal_path, char ret_name[HOST_NAME_SIZE])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    char hex[DIGEST_HEX_SIZE], name[100];
    digest_bytes(journal_path, strlen(journal_path), hex);
    snprintf(name, sizeof name, "%.99s", study);
    for (char *at = name; *at; at++)
        if (!strchr(plain, *at))
            *at = '_';
    snprintf(ret_name, HOST_NAME_SIZE, "spica-restore-%s-%.8s.service", name, hex);
}

static void wait_a_little(void)
{
    struct timespec pause = {.tv_nsec = LOOK_EVERY_MS * NS_PER_MS};
    nanosleep(&pause, NULL);
}

bool host_restorer_wait(struct host_manager *manager, const char *study, const char *journal_path,
                        int64_t within_ns, struct err *err)
{
    char name[HOST_NAME_SIZE];
    host_restorer_name(study, journal_path, name);
    for (int64_t end_ns = clock_now_ns() + within_ns;; wait_a_little()) {
        struct host_unit unit;
        if (!host_unit_read(manager, name, &unit, err))
            return false;
        if (!unit.up)
            return true;
        if (clock_now_ns() >= end_ns)
            return err_set(err, ERR_BUSY,
                           "%s is still at work for an earlier run; see: systemctl "
                           "status %s",
                           name, name);
    }
}

static bool own_program(char *ret_path, size_t size, struct err *err)
{
    ssize_t len = readlink("/proc/self/exe", ret_path, size - 1);
    if (len < 0)
        return err_sys(err, "finding this program's file");
    ret_path[len] = '\0';
    if (access(ret_path, X_OK) != 0)
        return err_set(err, ERR_INPUT,
                       "%s: this program's file is gone (updated meanwhile?), so systemd could not "
                       "run it; nothing was stopped",
                       ret_path);
    return true;
}

bool host_restorer_start(struct host_manager *manager, const struct host_journal *journal,
                         const char *journal_path, struct err *err)
{
    char name[HOST_NAME_SIZE], program[PATH_MAX], pid[16], description[256];
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *environment[ARRAY_LEN(passed_on) + 1] = {NULL};
    size_t count = 0;
    if (!own_program(program, sizeof program, err))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
        const char *value = getenv(passed_on[i]);
        if (value && value[0])
            environment[count++] = arena_printf(arena, "%s=%s", passed_on[i], value);
    }
    host_restorer_name(journal->study, journal_path, name);
    snprintf(pid, sizeof pid, "%d", (int)journal->owner.pid);
    snprintf(description, sizeof description, "starts what the study %.100s paused, at its end",
             journal->study);
    const char *argv[] = {program, "restore", journal_path, "--watch", pid, NULL};
    struct host_transient unit = {name, description, argv, environment, READY_WITHIN_NS};
    struct err cause = ERR_INIT;
    if (host_manager_transient(manager, &unit, &cause))
        return true;
    return err_set(err, cause.code,
                   "the restorer could not be set up, so nothing was stopped: %s (systemd must be "
                   "able to run %.200s and to see this process)",
                   cause.text, program);
}

/* Services of this study that a keeper is still ending: their memory is not free yet. */
static bool services_left(const char *study)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT;
    AUTO(buf_done) struct buf prefix = BUF_INIT(256);
    buf_addf(&prefix, "%s/", study);
    if (!proc_all("/proc", &list, &count, &ignored))
        return false;
    for (size_t i = 0; i < count; i++) {
        AUTO(free)
        char *of =
            list[i].state == 'Z' ? NULL : proc_environ("/proc", list[i].pid, "SPICA_SERVICE");
        if (of && text_starts_with(of, buf_text(&prefix)))
            return true;
    }
    return false;
}

bool host_restorer_watch(const struct host_journal *journal, pid_t pid, struct err *err)
{
    AUTO(fd) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool gone = fd < 0 && errno == ESRCH;
    if (fd < 0 && !gone)
        return err_sys(err, "getting hold of process %d", (int)pid);
    /* Asked after the pidfd was opened: what it says is about what we hold. */
    if (!gone && (pid != journal->owner.pid || !host_process_alive(&journal->owner)))
        gone = true;
    /* Gone when systemd starts us a second time is what we are for, and starting the units may take
     * long. At the first time it means that we can't see it, or that it was killed before it could
     * stop anything: then we must end without ever having been ready. */
    if (sd_notify(0, gone ? "EXTEND_TIMEOUT_USEC=3600000000" : "READY=1\nSTATUS=waits") < 0)
        return err_set(err, ERR_INTERNAL, "telling systemd that we are ready failed");
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (!gone && poll(&wait, 1, -1) != 1)
        if (errno != EINTR)
            return err_sys(err, "waiting for process %d", (int)pid);
    int64_t end_ns = clock_now_ns() + SERVICES_WITHIN_NS;
    while (services_left(journal->study) && clock_now_ns() < end_ns)
        wait_a_little();
    return true;
}
