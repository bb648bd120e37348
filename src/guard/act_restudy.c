/* The minder of a study that guard has asked for.
 *
 * It runs as a unit of its own where systemd runs us: under guard's unit the study would have
 * guard's memory limit and be shut away from what it is to start. Else it is a child in a session
 * of its own, its words in "FOLDER.restudy.log" (of the unit: in the journal). Either way it is
 * stopped with SIGTERM when the window closes, which `spica run` takes as "finish cleanly": the
 * next night goes on from there.
 *
 * It begins with `--fresh`, once: what was measured before is what is in doubt, and stays beside as
 * FOLDER.1. That it has begun is told by the folder itself, which is another one then. Rejected: a
 * folder of another name, since promotion and rollback count in one line of records beside one
 * folder.
 *
 * The minder outlives guard and writes the request's state itself; a guard that comes later finds
 * it by pid, start and boot. Should the minder be killed, nothing runs on into the day: the unit
 * has a bound of its own, the child gets SIGTERM from the kernel with its parent's end. A unit that
 * was left so is minded on by the next minder.
 *
 * Where the file names units to pause, the study stops them by `--pause` and starts them again, as
 * it does for a person; naming them is the approval. Invariant: nothing here promotes. */
#include "guard/act_restudy.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/signals.h"
#include "base/text.h"
#include "host/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { VERSION = 1, FILE_MAX = 1 << 16, ATTEMPTS_MAX = 30, LOOK_EVERY_MS = 200 };
static const int64_t READY_WITHIN_NS = 30 * NS_PER_S, STOP_WITHIN_NS = 600 * NS_PER_S;
static const int64_t LATE_NS = 30 * NS_PER_S; /* systemd's bound after ours, which says more */

static const char *const state_words[RESTUDY_STATE_COUNT_] = {
    [RESTUDY_QUEUED] = "queued", [RESTUDY_RUNNING] = "running", [RESTUDY_DONE] = "done"};

/* What spica's unit needs from our environment. */
static const char *const passed_on[] = {"PATH",
                                        "HOME",
                                        "XDG_RUNTIME_DIR",
                                        "XDG_CACHE_HOME",
                                        "SPICA_LOCK_DIR",
                                        "SPICA_NVML_LIBRARY",
                                        "SPICA_CACHE",
                                        "TMPDIR",
                                        "LC_ALL",
                                        "DBUS_SESSION_BUS_ADDRESS"};

/* ---- the window ---- */

bool guard_restudy_open(const struct spec_restudy_hours *hours, int minute)
{
    if (!hours->given || hours->from_min == hours->to_min)
        return true;
    if (hours->from_min < hours->to_min)
        return minute >= hours->from_min && minute < hours->to_min;
    return minute >= hours->from_min || minute < hours->to_min;
}

int guard_restudy_minute(int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm local;
    return localtime_r(&seconds, &local) ? local.tm_hour * 60 + local.tm_min : 0;
}

int64_t guard_restudy_left_ns(const struct spec_restudy_hours *hours, int second)
{
    enum { DAY_S = 24 * 3600 };
    if (!guard_restudy_open(hours, second / 60))
        return 0;
    if (!hours->given || hours->from_min == hours->to_min)
        return INT64_MAX;
    return (hours->to_min * 60 - second + DAY_S) % DAY_S * NS_PER_S;
}

static int64_t left_ns(const struct guard_restudy_work *work)
{
    const int64_t wall_us = clock_now_wall_us();
    return guard_restudy_left_ns(&work->hours, guard_restudy_minute(wall_us) * 60 +
                                                   (int)(wall_us / 1000000 % 60));
}

static bool is_open(const struct guard_restudy_work *work)
{
    return guard_restudy_open(&work->hours, guard_restudy_minute(clock_now_wall_us()));
}

/* ---- the request ---- */

char *guard_restudy_path(const char *folder)
{
    struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%s.restudy.json", folder);
    return buf_take(&path);
}

bool guard_restudy_write(const char *folder, const struct guard_restudy *restudy, struct err *err)
{
    AUTO(free) char *path = guard_restudy_path(folder);
    AUTO_JSON json_t *object = json_pack(
        "{s:s, s:i, s:s, s:I, s:i, s:o, s:o, s:I, s:{s:I, s:I, s:s}, s:o}", "format",
        "spica restudy", "version", VERSION, "state", state_words[restudy->state], "folder_inode",
        (json_int_t)restudy->folder_inode, "attempts", restudy->attempts, "rule",
        json_text_or_null(restudy->rule), "why", json_text_or_null(restudy->why), "asked_wall_us",
        (json_int_t)restudy->asked_wall_us, "minder", "pid", (json_int_t)restudy->minder.pid,
        "start_ticks", (json_int_t)restudy->minder.start_ticks, "boot_id", restudy->minder.boot_id,
        "result", json_text_or_null(restudy->result));
    AUTO(free) char *text = json_dump_text(object);
    return file_write_private(path, text, strlen(text), err);
}

static void copy_member(const json_t *object, const char *key, char *to, size_t size)
{
    const char *text = json_get_text(object, key);
    snprintf(to, size, "%s", text ? text : "");
}

static bool read_object(const json_t *object, struct guard_restudy *restudy)
{
    const char *word = json_get_text(object, "state");
    const json_t *minder = json_object_get(object, "minder");
    int state = word ? text_index(state_words, RESTUDY_STATE_COUNT_, word) : -1;
    if (state < 0 || json_get_int(object, "version", 0) != VERSION || !json_is_object(minder))
        return false;
    *restudy = (struct guard_restudy){
        .state = (enum restudy_state)state,
        .folder_inode = json_get_int(object, "folder_inode", 0),
        .attempts = (int)json_get_int(object, "attempts", 0),
        .asked_wall_us = json_get_int(object, "asked_wall_us", 0),
        .minder = {.pid = (pid_t)json_get_int(minder, "pid", 0),
                   .start_ticks = json_get_int(minder, "start_ticks", 0)},
    };
    copy_member(minder, "boot_id", restudy->minder.boot_id, sizeof restudy->minder.boot_id);
    copy_member(object, "rule", restudy->rule, sizeof restudy->rule);
    copy_member(object, "why", restudy->why, sizeof restudy->why);
    copy_member(object, "result", restudy->result, sizeof restudy->result);
    return restudy->minder.pid >= 0 && restudy->attempts >= 0;
}

bool guard_restudy_read(const char *folder, bool *ret_found, struct guard_restudy *ret_restudy,
                        struct err *err)
{
    AUTO(free) char *path = guard_restudy_path(folder);
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct guard_restudy restudy;
    struct err cause = ERR_INIT;
    if (!buf_read_file(&text, path, &cause)) {
        *ret_found = false;
        return cause.code == ERR_MISSING || err_set(err, cause.code, "%s", cause.text);
    }
    AUTO_JSON json_t *object = json_loadb(buf_text(&text), text.len, 0, NULL);
    if (!object || !read_object(object, &restudy))
        return err_set(err, ERR_INPUT, "%s: not a request for a study", path);
    *ret_found = true;
    *ret_restudy = restudy;
    return true;
}

/* ---- one window ---- */

static int64_t folder_inode(const char *folder)
{
    struct stat stat;
    return lstat(folder, &stat) == 0 ? (int64_t)stat.st_ino : 0;
}

enum { WORDS_MAX = 12 };
static void command(const struct guard_restudy_work *work, const char *argv[WORDS_MAX])
{
    size_t n = 0;
    argv[n++] = work->program;
    argv[n++] = "run";
    argv[n++] = work->study_path;
    argv[n++] = "--quiet";
    argv[n++] = "--out";
    argv[n++] = work->folder;
    if (folder_inode(work->folder) == work->restudy.folder_inode)
        argv[n++] = "--fresh";
    if (work->pause) {
        argv[n++] = "--pause";
        argv[n++] = work->pause;
        argv[n++] = "--approve";
        if (work->pause_user)
            argv[n++] = "--user";
    }
    argv[n] = NULL;
}

static void wait_a_while(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * NS_PER_MS}, NULL);
}

/* Between fork and exec. With the minder's end comes its own: it stops cleanly, as when the window
 * closes. */
static void become(const char *const *argv, const char *log_path, pid_t minder)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    setsid();
    signals_reset();
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != minder)
        _exit(127);
    if (log >= 0 && null >= 0 && dup2(null, 0) >= 0 && dup2(log, 1) >= 0 && dup2(log, 2) >= 0)
        execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* How a study came to its end. */
struct ending {
    int status;    /* exit status; -1: by a signal */
    char log[160]; /* where its words are, for whoever reads that it failed */
};

static bool run_child(const struct guard_restudy_work *work, struct ending *ret_ending,
                      struct err *err)
{
    const char *argv[WORDS_MAX];
    AUTO(buf_done) struct buf log = BUF_INIT(8192);
    int status = 0;
    bool stopped = false;
    command(work, argv);
    buf_addf(&log, "%s.restudy.log", work->folder);
    const pid_t minder = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, "starting %s", work->program);
    if (pid == 0)
        become(argv, buf_text(&log), minder);
    while (waitpid(pid, &status, WNOHANG) != pid) {
        if (!stopped && !is_open(work)) {
            kill(pid, SIGTERM);
            stopped = true;
        }
        wait_a_while();
    }
    ret_ending->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const char *slash = log.len >= sizeof ret_ending->log ? strrchr(buf_text(&log), '/') : NULL;
    snprintf(ret_ending->log, sizeof ret_ending->log, "%s", slash ? slash + 1 : buf_text(&log));
    return true;
}

static void unit_name(const struct guard_restudy_work *work, char *ret_name, size_t size)
{
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(work->folder, strlen(work->folder), hex);
    snprintf(ret_name, size, "spica-restudy-%.12s.service", hex);
}

static bool start_unit(struct host_manager *manager, const struct guard_restudy_work *work,
                       const char *name, struct err *err)
{
    const char *argv[WORDS_MAX], *environment[ARRAY_LEN(passed_on) + 1] = {NULL};
    AUTO(arena_free) struct arena *arena = arena_new();
    size_t count = 0;
    const int64_t open_ns = left_ns(work);
    command(work, argv);
    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
        const char *value = getenv(passed_on[i]);
        if (value && value[0])
            environment[count++] = arena_printf(arena, "%s=%s", passed_on[i], value);
    }
    struct host_transient unit = {.name = name,
                                  .description = "measures again what guard found changed",
                                  .argv = argv,
                                  .environment = environment,
                                  .ready_within_ns = READY_WITHIN_NS,
                                  .once = true,
                                  .run_within_ns = open_ns < INT64_MAX ? open_ns + LATE_NS : 0,
                                  .stop_within_ns = STOP_WITHIN_NS};
    struct err cause = ERR_INIT;
    host_manager_forgive(manager, name); /* one that failed last night */
    return host_manager_transient(manager, &unit, &cause) ||
           cause.code == ERR_BUSY || /* a minder that was killed has left it */
           err_set(err, cause.code, "%s", cause.text);
}

/* A unit that succeeded is gone at once; one that failed stays until it is forgiven. */
static bool run_unit(struct host_manager *manager, enum host_scope scope,
                     const struct guard_restudy_work *work, struct ending *ret_ending,
                     struct err *err)
{
    char name[HOST_NAME_SIZE];
    AUTO(free) struct host_unit *unit = calloc(1, sizeof *unit);
    if (!unit)
        abort();
    unit_name(work, name, sizeof name);
    if (!start_unit(manager, work, name, err))
        return false;
    for (;;) {
        if (!host_unit_read(manager, name, unit, err))
            return false;
        if (!unit->up && strcmp(unit->active, "deactivating") != 0)
            break;
        if (!is_open(work) &&
            !host_manager_job(manager, HOST_STOP, name, STOP_WITHIN_NS, HOST_IGNORE_CANCEL, err))
            return false;
        wait_a_while();
    }
    ret_ending->status = strcmp(unit->active, "failed") == 0 ? unit->exit_status : 0;
    snprintf(ret_ending->log, sizeof ret_ending->log, "journalctl %s-u %.60s",
             scope == HOST_USER ? "--user " : "", name);
    host_manager_forgive(manager, name);
    return true;
}

static bool run(const struct guard_restudy_work *work, struct ending *ret_ending, struct err *err)
{
    AUTO(host_manager_close) struct host_manager *manager = NULL;
    struct err ignored = ERR_INIT;
    enum host_scope scope = getenv("MANAGERPID") ? HOST_USER : HOST_SYSTEM;
    if (getenv("INVOCATION_ID") && host_manager_open(scope, &manager, &ignored))
        return run_unit(manager, scope, work, ret_ending, err);
    return run_child(work, ret_ending, err);
}

/* What each exit status of `spica run` means here. */
static const struct {
    int status;
    bool goes_on; /* in the next window */
    bool see_log; /* it said why there */
    const char *text;
} ends[] = {
    {0, false, false, "measured again; its winner awaits approval: spica promote"},
    {1, false, true, "failed by itself"},
    {2, false, true, "the study file is not accepted any more"},
    {3, false, false, "measured again: no candidate satisfies the requirements"},
    {4, true, false, "the device is held by others"},
    {5, true, false, "stopped, and resumes"},
};

static void judge(struct guard_restudy *restudy, const struct ending *ending)
{
    const char *text = "was killed";
    bool goes_on = true, see_log = true;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (ends[i].status == ending->status) {
            text = ends[i].text;
            goes_on = ends[i].goes_on;
            see_log = ends[i].see_log;
        }
    bool given_up = goes_on && restudy->attempts >= ATTEMPTS_MAX;
    restudy->state = goes_on && !given_up ? RESTUDY_QUEUED : RESTUDY_DONE;
    snprintf(restudy->result, sizeof restudy->result, "the study %s%s (attempt %d)%s%s", text,
             given_up  ? ", and is given up"
             : goes_on ? "; goes on later"
                       : "",
             restudy->attempts, see_log ? "; its log: " : "", see_log ? ending->log : "");
}

void guard_work_restudy(void *restudy, struct guard_said *said)
{
    const struct guard_restudy_work *work = restudy;
    struct guard_restudy now = work->restudy;
    struct err err = ERR_INIT;
    struct ending ending = {.status = -1};
    now.state = RESTUDY_RUNNING;
    now.attempts++; /* on disk before anything: minders that are killed are not started for ever */
    (void)host_process_read(getpid(), &now.minder);
    if (now.attempts > ATTEMPTS_MAX) {
        now.state = RESTUDY_DONE;
        snprintf(now.result, sizeof now.result, "the study is given up after %d attempts",
                 ATTEMPTS_MAX);
    } else if (guard_restudy_write(work->folder, &now, &err) && run(work, &ending, &err)) {
        judge(&now, &ending);
    } else {
        now.state = now.attempts >= ATTEMPTS_MAX ? RESTUDY_DONE : RESTUDY_QUEUED;
        snprintf(now.result, sizeof now.result, "the study could not be run: %.180s", err.text);
    }
    if (!guard_restudy_write(work->folder, &now, &err) && now.state == RESTUDY_DONE)
        snprintf(said->text, sizeof said->text, "%.150s (not noted: %.60s)", now.result, err.text);
    else
        snprintf(said->text, sizeof said->text, "%s", now.result);
    said->done = now.state == RESTUDY_DONE;
}

void guard_work_queue_restudy(void *restudy, struct guard_said *said)
{
    const struct guard_restudy_work *work = restudy;
    struct guard_restudy now = work->restudy;
    struct err err = ERR_INIT;
    now.folder_inode = folder_inode(work->folder);
    said->done = guard_restudy_write(work->folder, &now, &err);
    if (!said->done)
        snprintf(said->text, sizeof said->text, "a new study could not be queued: %.180s",
                 err.text);
    else if (work->hours.given)
        snprintf(said->text, sizeof said->text,
                 "a new study is queued for %02d:%02d to %02d:%02d; its winner will await approval",
                 work->hours.from_min / 60, work->hours.from_min % 60, work->hours.to_min / 60,
                 work->hours.to_min % 60);
    else
        snprintf(said->text, sizeof said->text,
                 "a new study is queued and begins now; its winner will await approval");
}
