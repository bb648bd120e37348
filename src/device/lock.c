/* The lock of a device: flock(2) on a file that is never removed.
 *
 * A pid file was rejected: a dead holder's pid may be anybody's by now, and a pid says nothing in
 * another container. The kernel drops a flock when its last descriptor is closed, whatever ended
 * the holder, so the file's text is only for people: whoever gets the lock writes it anew, whoever
 * does not reads it, and nothing is ever decided by it. (A forked child shares the lock until it
 * closes the descriptor or calls exec: keepers and the load worker close it first of all.)
 *
 * The folder is shared by users who need not trust each other, so as in /tmp: sticky, and what
 * stands in it is looked at before it is written. Opening with O_CREAT only what is not there is on
 * purpose: fs.protected_regular refuses it, even to root, for another user's file.
 *
 * A part of a device (a MIG instance) has its own file, locked as any, and holds a shared lock on
 * its card's file: parts don't exclude each other, and whoever wants the card as a whole finds it
 * shared. One file for all instances was rejected: instances are there to be used side by side.
 *
 * Invariant: the descriptor that we hold is of the file that stands at the path now (somebody may
 * have cleaned the folder up between open and flock). */
#include "device/lock.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

/* device_lock_held() takes a shared lock for an instant: a taker must not call that busy. */
enum { TAKE_TRIES = 10, TAKE_PAUSE_NS = 10 * 1000 * 1000, TEXT_SIZE = 4096, NAME_SIZE = 192 };

static const char default_folder[] = "/run/lock/spica";

struct device_lock {
    int fd;        /* owned; holds the flock */
    int parent_fd; /* owned; shares the whole's lock; -1: this is no part */
    char *study;
    int64_t since_wall_us;
};

static const char *lock_folder(void)
{
    const char *folder = getenv("SPICA_LOCK_DIR");
    return folder && folder[0] ? folder : default_folder;
}

/* An id is hardware's or the kernel's word: made a plain file name all the same. */
static void lock_name(const char *device_id, char ret_name[NAME_SIZE])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    snprintf(ret_name, NAME_SIZE, "%.128s.lock", device_id);
    for (char *at = ret_name; *at; at++) {
        if (!strchr(plain, *at) || (at == ret_name && *at == '.'))
            *at = '_';
    }
}

static bool folder_error(const char *folder, const char *why, struct err *err)
{
    return err_set(err, ERR_INTERNAL,
                   "can't use the lock folder %s: %s; set SPICA_LOCK_DIR to a folder that all who "
                   "share this device can write",
                   folder, why);
}

static int open_folder(const char *folder)
{
    return open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Made where missing, open to all but sticky whatever the umask. */
static bool make_folder(const char *folder, int *ret_fd, struct err *err)
{
    AUTO(free) char *parent = file_folder(folder);
    struct err parent_err = ERR_INIT;
    if (!file_make_folders(parent, &parent_err))
        return folder_error(folder, parent_err.text, err);
    bool made = mkdir(folder, 01777) == 0;
    if (!made && errno != EEXIST)
        return folder_error(folder, strerror(errno), err);
    AUTO(fd) int fd = open_folder(folder);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return folder_error(folder, "it is a link or a file, not a folder", err);
    if (fd < 0 || (made && fchmod(fd, 01777) != 0))
        return folder_error(folder, strerror(errno), err);
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
        return folder_error(
            folder, "anybody may replace what stands in it (chmod +t it, if it is yours)", err);
    *ret_fd = fd_take(&fd);
    return true;
}

/* The existing file, or a new one; -1 with errno. A pipe or device in its place must not block us.
 */
static int open_file(int folder_fd, const char *name)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    for (int tries = 0; tries < TAKE_TRIES; tries++) {
        int fd = openat(folder_fd, name, flags);
        if (fd >= 0 || errno != ENOENT)
            return fd;
        fd = openat(folder_fd, name, flags | O_CREAT | O_EXCL, 0666);
        if (fd >= 0) {
            /* Another user's spica will write its name here; a umask must not forbid it. Where the
             * file system has no modes, it is no worse than before. */
            if (fchmod(fd, 0666) != 0)
                errno = 0;
            return fd;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* A plain file with one name: writing to it harms nobody else's file. */
static bool is_lock_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink <= 1;
}

static bool still_at_path(int fd, int folder_fd, const char *name)
{
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && fstatat(folder_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Words that anybody may have written: one harmless line, cut at a character. */
static void copy_word(const json_t *object, const char *key, char *ret_text, size_t size)
{
    const char *word = json_get_text(object, key);
    AUTO(buf_done) struct buf safe = BUF_INIT(1024);
    if (word)
        text_add_escaped(&safe, TEXT_TERMINAL, word, strlen(word), size - 1);
    size_t len = 0;
    for (size_t next = 1; next && len < safe.len; len += next) {
        uint32_t code = 0;
        next = text_utf8_next(safe.data + len, safe.len - len, &code);
        if (next == 0 || len + next >= size)
            break;
    }
    memcpy(ret_text, buf_text(&safe), len);
    ret_text[len] = '\0';
}

/* Which PID namespace our pids are of; "" when that can't be read. */
static void own_namespace(char *ret_text, size_t size)
{
    ssize_t len = readlink("/proc/self/ns/pid", ret_text, size - 1);
    ret_text[len > 0 ? len : 0] = '\0';
}

static void user_name(uid_t uid, char *ret_name, size_t size)
{
    char text[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found)
        snprintf(ret_name, size, "%s", found->pw_name);
    else
        snprintf(ret_name, size, "uid %u", (unsigned)uid);
}

static void read_holder(int fd, struct device_lock_holder *ret_holder)
{
    char text[TEXT_SIZE];
    struct device_lock_holder holder = {0};
    ssize_t len = pread(fd, text, sizeof text, 0);
    /* While the holder writes, the end of older text may follow its own. */
    AUTO_JSON json_t *object =
        json_loadb(text, len > 0 ? (size_t)len : 0, JSON_DISABLE_EOF_CHECK, NULL);
    if (object) {
        int64_t pid = json_get_int(object, "pid", 0);
        holder.pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
        holder.since_wall_us = json_get_int(object, "since", 0);
        copy_word(object, "study", holder.study, sizeof holder.study);
        copy_word(object, "detail", holder.detail, sizeof holder.detail);
        copy_word(object, "user", holder.user, sizeof holder.user);
        char own[64], own_user[sizeof holder.user];
        const char *namespace = json_get_text(object, "namespace");
        own_namespace(own, sizeof own);
        holder.elsewhere = namespace && own[0] && strcmp(namespace, own) != 0;
        user_name(geteuid(), own_user, sizeof own_user);
        if (strcmp(holder.user, own_user) == 0)
            holder.user[0] = '\0';
    }
    *ret_holder = holder;
}

/* "02:14", with the day when that is another one. */
static void format_since(int64_t wall_us, char *ret_text, size_t size)
{
    time_t then_s = (time_t)(wall_us / 1000000), now_s = (time_t)(clock_now_wall_us() / 1000000);
    struct tm then, now;
    ret_text[0] = '\0';
    if (!localtime_r(&then_s, &then) || !localtime_r(&now_s, &now))
        return;
    bool today = then.tm_year == now.tm_year && then.tm_yday == now.tm_yday;
    if (strftime(ret_text, size, today ? "%H:%M" : "%Y-%m-%d %H:%M", &then) == 0)
        ret_text[0] = '\0';
}

static bool busy_error(const char *device_name, int fd, struct err *err)
{
    struct device_lock_holder holder;
    char since[64] = "", when[200] = "", who[256];
    read_holder(fd, &holder);
    if (holder.since_wall_us > 0)
        format_since(holder.since_wall_us, since, sizeof since);
    snprintf(when, sizeof when, "%s%s%s%s%s", holder.elsewhere ? " of another container" : "",
             holder.user[0] ? ", user " : "", holder.user, since[0] ? ", since " : "", since);
    if (!holder.study[0])
        snprintf(who, sizeof who, "another copy of spica holds it");
    else
        snprintf(who, sizeof who, "%s%s\"%s\" holds it", holder.detail,
                 holder.detail[0] ? " of " : "", holder.study);
    if (holder.pid == 0)
        return err_set(err, ERR_BUSY, "%s is busy: %s. Wait, or: spica run --wait", device_name,
                       who);
    return err_set(err, ERR_BUSY, "%s is busy: %s (pid %d%s). Wait, or: spica run --wait",
                   device_name, who, (int)holder.pid, when);
}

void device_lock_describe(struct device_lock *lock, const char *detail)
{
    char namespace[64], user[32];
    own_namespace(namespace, sizeof namespace);
    user_name(geteuid(), user, sizeof user);
    AUTO_JSON json_t *object =
        json_pack("{s:I, s:o, s:o, s:I, s:o, s:o}", "pid", (json_int_t)getpid(), "study",
                  json_text_or_null(lock->study), "detail", json_text_or_null(detail), "since",
                  (json_int_t)lock->since_wall_us, "user", json_text_or_null(user), "namespace",
                  json_text_or_null(namespace));
    if (!object)
        abort();
    AUTO(free) char *text = json_dump_text(object);
    size_t len = strlen(text);
    /* Only words for people: a disk that is full costs them, not the lock. Older text after ours
     * would only be there until the cut; readers stop at our end. */
    ssize_t written = pwrite(lock->fd, text, len, 0);
    if (ftruncate(lock->fd, written < 0 ? 0 : written) != 0)
        errno = 0;
}

static void pause_ns(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};
    nanosleep(&pause, NULL);
}

struct request {
    const char *device_name, *folder;
    char name[NAME_SIZE];
    int mode; /* LOCK_EX, or LOCK_SH for the whole of which we want a part */
};

/* One try; *ret_again when the file was replaced meanwhile. ERR_BUSY when somebody holds it. */
static bool lock_file(const struct request *request, int folder_fd, int *ret_fd, bool *ret_again,
                      struct err *err)
{
    AUTO(fd) int fd = open_file(folder_fd, request->name);
    if (fd < 0 || !is_lock_file(fd)) {
        const char *why = fd < 0 ? strerror(errno) : "not a plain file with one name";
        return err_set(err, ERR_INTERNAL,
                       "can't use the lock file %s/%s: %s; remove it if no spica runs, or set "
                       "SPICA_LOCK_DIR",
                       request->folder, request->name, why);
    }
    bool locked = flock(fd, request->mode | LOCK_NB) == 0;
    for (int tries = 1; !locked && tries < TAKE_TRIES; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, "locking %s/%s", request->folder, request->name);
        pause_ns(TAKE_PAUSE_NS);
        locked = flock(fd, request->mode | LOCK_NB) == 0;
    }
    if (!locked)
        return busy_error(request->device_name, fd, err);
    *ret_again = !still_at_path(fd, folder_fd, request->name);
    if (!*ret_again)
        *ret_fd = fd_take(&fd);
    return true;
}

static bool lock_id(const char *device_name, const char *device_id, int mode, int *ret_fd,
                    struct err *err)
{
    struct request request = {.device_name = device_name, .folder = lock_folder(), .mode = mode};
    AUTO(fd) int folder_fd = -1;
    bool again = true;
    lock_name(device_id, request.name);
    if (!make_folder(request.folder, &folder_fd, err))
        return false;
    for (int tries = 0; again && tries < TAKE_TRIES; tries++) {
        if (!lock_file(&request, folder_fd, ret_fd, &again, err))
            return false;
    }
    return !again || err_set(err, ERR_INTERNAL, "the lock file %s/%s keeps being replaced",
                             request.folder, request.name);
}

bool device_lock_take_part(const char *device_name, const char *device_id, const char *parent_id,
                           const char *study, struct device_lock **ret_lock, struct err *err)
{
    AUTO(fd) int fd = -1;
    AUTO(fd) int parent_fd = -1;
    if (parent_id && parent_id[0] && !lock_id(device_name, parent_id, LOCK_SH, &parent_fd, err))
        return false;
    /* Nobody holds the whole: a name that stands there is that of a holder who was killed. */
    if (parent_fd >= 0 && ftruncate(parent_fd, 0) != 0)
        errno = 0;
    if (!lock_id(device_name, device_id, LOCK_EX, &fd, err))
        return false;
    struct device_lock *lock = calloc(1, sizeof *lock);
    char *study_copy = strdup(study);
    if (!lock || !study_copy)
        abort();
    *lock =
        (struct device_lock){fd_take(&fd), fd_take(&parent_fd), study_copy, clock_now_wall_us()};
    device_lock_describe(lock, NULL);
    *ret_lock = lock;
    return true;
}

bool device_lock_take(const char *device_name, const char *device_id, const char *study,
                      struct device_lock **ret_lock, struct err *err)
{
    return device_lock_take_part(device_name, device_id, NULL, study, ret_lock, err);
}

bool device_lock_held(const char *device_id, struct device_lock_holder *ret_holder)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    char name[NAME_SIZE];
    lock_name(device_id, name);
    AUTO(fd) int folder_fd = open_folder(lock_folder());
    if (folder_fd < 0)
        return false;
    AUTO(fd) int fd = openat(folder_fd, name, flags);
    if (fd < 0 || !is_lock_file(fd))
        return false;
    /* Shared, so that two who look do not see each other; closing drops it. */
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return false;
    read_holder(fd, ret_holder);
    return true;
}

struct device_lock *device_lock_release(struct device_lock *lock)
{
    if (lock) {
        /* Emptied while still held, so that nobody's name stands on a free lock. */
        if (ftruncate(lock->fd, 0) != 0)
            errno = 0;
        close(lock->fd);
        if (lock->parent_fd >= 0)
            close(lock->parent_fd);
        free(lock->study);
        free(lock);
    }
    return NULL;
}
