/* Files written whole or not at all, and paths.
 *
 * The temporary file stands beside its target, because rename(2) is atomic only within a file
 * system. It is made with O_EXCL under a name of our own rather than with mkstemp(3), whose mode
 * 0600 would take the umask away from the user; a file that is replaced keeps its mode. Invariant:
 * whatever fails before the rename, the temporary file is gone. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

enum { TEMP_TRIES = 100, OPEN = 0666, CLOSED = 0600 };

static char *copy(const char *text)
{
    char *copied = strdup(text);
    if (!copied)
        abort();
    return copied;
}

static char *print_path(const char *fmt, ...) PRINTF_LIKE(1, 2);

static char *print_path(const char *fmt, ...)
{
    char *path = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&path, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    return path;
}

/* Opens a new file beside `path` and gives its name, or -1 with errno. */
static int open_temp(const char *path, mode_t mode, char **ret_temp)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        AUTO(free) char *temp = print_path("%s.%ld-%d.tmp", path, (long)getpid(), i);
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0) {
            *ret_temp = TAKE(temp);
            return fd;
        }
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool fill(int fd, const char *path, mode_t mode, const void *data, size_t len)
{
    struct stat old;
    if (mode == OPEN && stat(path, &old) == 0 && S_ISREG(old.st_mode) &&
        fchmod(fd, old.st_mode & 0777) != 0)
        return false;
    return write_all(fd, data, len) && fsync(fd) == 0;
}

/* After a crash of the machine the new name must still be there. Some file systems cannot sync a
 * folder (EINVAL); they order the rename themselves. */
static bool sync_folder(const char *path)
{
    AUTO(free) char *folder = file_folder(path);
    AUTO(fd) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A folder that may be written but not read cannot be opened: as durable as it gets. */
    if (fd < 0)
        return errno == EACCES;
    return fsync(fd) == 0 || errno == EINVAL;
}

static bool write_whole(const char *path, mode_t mode, const void *data, size_t len,
                        struct err *err)
{
    AUTO(free) char *temp = NULL;
    AUTO(fd) int fd = open_temp(path, mode, &temp);
    if (fd < 0)
        return err_sys(err, "writing %s", path);
    if (!fill(fd, path, mode, data, len) || rename(temp, path) != 0) {
        err_sys(err, "writing %s", path);
        unlink(temp);
        return false;
    }
    return sync_folder(path) || err_sys(err, "syncing the folder of %s", path);
}

bool file_write_atomic(const char *path, const void *data, size_t len, struct err *err)
{
    return write_whole(path, OPEN, data, len, err);
}

bool file_write_private(const char *path, const void *data, size_t len, struct err *err)
{
    return write_whole(path, CLOSED, data, len, err);
}

bool file_make_folders(const char *path, struct err *err)
{
    AUTO(free) char *part = copy(path);
    /* From the left: each prefix that ends before a slash, then the whole. */
    for (char *at = part; *at; at++) {
        if (*at != '/' || at == part)
            continue;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return err_sys(err, "making folder %s", part);
        *at = '/';
    }
    struct stat st;
    if (mkdir(part, 0777) != 0 && errno != EEXIST)
        return err_sys(err, "making folder %s", path);
    if (stat(path, &st) != 0)
        return err_sys(err, "%s", path);
    return S_ISDIR(st.st_mode) || err_set(err, ERR_INTERNAL, "%s: not a folder", path);
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static const char *home_folder(void)
{
    const char *home = getenv("HOME");
    if (home && home[0])
        return home;
    const struct passwd *user = getpwuid(getuid());
    return user ? user->pw_dir : "/";
}

char *file_join(const char *folder, const char *name)
{
    if (name[0] == '~' && (name[1] == '/' || !name[1]))
        return print_path("%s%s", home_folder(), name + 1);
    if (name[0] == '/' || !folder || !folder[0])
        return copy(name);
    size_t len = strlen(folder);
    const char *slash = folder[len - 1] == '/' || !name[0] ? "" : "/";
    return print_path("%s%s%s", folder, slash, name);
}

char *file_absolute(const char *path)
{
    if (path[0] == '/')
        return copy(path);
    /* A current folder that was removed has no name: what is relative to it stays so. */
    AUTO(free) char *here = getcwd(NULL, 0);
    return file_join(here, path);
}

char *file_folder(const char *path)
{
    /* dirname(3) writes into what it is given and may return a constant. */
    AUTO(free) char *scratch = copy(path);
    return copy(dirname(scratch));
}

static bool may_execute(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *file_find_program(const char *name, const char *folder)
{
    if (strchr(name, '/')) {
        AUTO(free) char *path = file_join(folder, name);
        return may_execute(path) ? TAKE(path) : NULL;
    }
    const char *rest = getenv("PATH");
    if (!rest)
        rest = "/bin:/usr/bin"; /* what execvp(3) uses then */
    while (name[0]) {
        /* An empty element means the current folder. */
        size_t len = strcspn(rest, ":");
        AUTO(free)
        char *path = len ? print_path("%.*s/%s", (int)len, rest, name) : print_path("./%s", name);
        if (may_execute(path))
            return TAKE(path);
        if (!rest[len])
            break;
        rest += len + 1;
    }
    return NULL;
}
