/* Files of production, by a walk that follows nothing.
 *
 * The path is walked from the root, one descriptor after the other, each opened without following
 * a link and looked at before the next is opened below it: what was checked is what is used,
 * however the names change meanwhile. Rejected: openat2(RESOLVE_NO_SYMLINKS), which knows of no
 * owners and modes and can't say which part of the path was wrong; the walk has to be there anyway,
 * and two ways to open a file are one too many. Also rejected: realpath(3) and a check of the
 * result, which is true only for the moment of the check.
 *
 * The temporary file has one name for each target, so that a kill leaves at most one, and the next
 * writing of the same file (the undo) takes it away. Begun with a dot and not ended in ".conf":
 * systemd does not read it.
 *
 * Invariant: whatever fails before the rename, the old file is there, whole. */
#include "promote/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { NAME_SIZE = NAME_MAX + 1, PATH_SIZE = 4096, MODE_BITS = 07777 };

/* The folder that holds the last name of the path. */
struct parent {
    int fd; /* O_PATH; -1: not there */
    const char *name;
};

static bool refuse(const char *path, size_t len, const char *why, struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: %.*s %s", path, (int)len, path, why);
}

static bool ours(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* `len`: of the part of the path that this folder is. */
static bool check_folder(int fd, const char *path, size_t len, bool holds_file, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(err, "%s", path);
    if (S_ISLNK(st.st_mode))
        return refuse(path, len, "is a symlink, which is not followed", err);
    if (!S_ISDIR(st.st_mode))
        return refuse(path, len, "is not a folder", err);
    if (!ours(&st))
        return refuse(path, len, "belongs to another user (neither root nor you)", err);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && (holds_file || !(st.st_mode & S_ISVTX)))
        return refuse(path, len, "may be written by others (chmod go-w it)", err);
    return true;
}

static bool check_path(const char *path, struct err *err)
{
    size_t len = strlen(path);
    if (path[0] != '/' || len < 2 || len >= PATH_SIZE || path[len - 1] == '/')
        return err_set(err, ERR_INPUT, "%.200s: not the absolute path of a file", path);
    for (const char *at = path; *at; at += strcspn(at, "/")) {
        at += strspn(at, "/");
        size_t part = strcspn(at, "/");
        if (part >= NAME_SIZE || (part == 1 && *at == '.') || (part == 2 && !strncmp(at, "..", 2)))
            return err_set(err, ERR_INPUT,
                           "%.200s: a part of the path is \".\", \"..\" or too long", path);
    }
    return true;
}

/* `ret_parent->fd` -1 when a folder of the path is missing; that is no error. */
static bool open_parent(const char *path, struct parent *ret_parent, struct err *err)
{
    if (!check_path(path, err))
        return false;
    const char *last = strrchr(path, '/') + 1;
    AUTO(fd) int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *at = path;
    for (;;) {
        at += strspn(at, "/");
        if (fd < 0)
            return err_sys(err, "%s", path);
        size_t done = at == path + strspn(path, "/") ? 1 : (size_t)(at - path - 1);
        if (!check_folder(fd, path, done, at == last, err))
            return false;
        if (at == last)
            break;
        char name[NAME_SIZE];
        size_t part = strcspn(at, "/");
        snprintf(name, sizeof name, "%.*s", (int)part, at);
        int next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno == ENOENT) {
            *ret_parent = (struct parent){-1, last};
            return true;
        }
        int sys = errno;
        close(fd);
        fd = next;
        errno = sys;
        at += part;
    }
    *ret_parent = (struct parent){fd_take(&fd), last};
    return true;
}

/* -1 in *ret_fd: no such file. The bytes' facts, without the bytes. */
static bool open_file(const struct parent *parent, const char *path, int *ret_fd,
                      struct stat *ret_st, struct err *err)
{
    struct stat st;
    AUTO(fd)
    int fd =
        openat(parent->fd, parent->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *ret_fd = -1;
        return true;
    }
    if (fd < 0 && errno == ELOOP)
        return refuse(path, strlen(path), "is a symlink, which is not followed", err);
    if (fd < 0 && errno == ENXIO)
        return refuse(path, strlen(path), "is not a regular file", err);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, "reading %s", path);
    if (!S_ISREG(st.st_mode))
        return refuse(path, strlen(path), "is not a regular file", err);
    if (!ours(&st))
        return refuse(path, strlen(path), "belongs to another user (neither root nor you)", err);
    if (st.st_size > PROMOTE_FILE_MAX)
        return refuse(path, strlen(path), "is too large (over 1 MiB)", err);
    *ret_fd = fd_take(&fd);
    *ret_st = st;
    return true;
}

static bool read_all(int fd, const char *path, struct buf *buf, struct err *err)
{
    for (;;) {
        char part[1 << 14];
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "reading %s", path);
        if (n == 0)
            return true;
        if (!buf_append(buf, part, (size_t)n))
            return refuse(path, strlen(path), "is too large (over 1 MiB)", err);
    }
}

static bool read_bytes(const struct parent *parent, const char *path, struct buf *buf,
                       struct promote_bytes *ret_bytes, struct err *err)
{
    AUTO(fd) int fd = -1;
    struct stat st;
    *ret_bytes = (struct promote_bytes){0};
    if (!open_file(parent, path, &fd, &st, err))
        return false;
    if (fd < 0)
        return true;
    if (!read_all(fd, path, buf, err))
        return false;
    *ret_bytes = (struct promote_bytes){.there = true,
                                        .data = buf_text(buf),
                                        .len = buf->len,
                                        .mode = st.st_mode & MODE_BITS,
                                        .uid = st.st_uid,
                                        .gid = st.st_gid,
                                        .links = (unsigned)st.st_nlink};
    return true;
}

bool promote_file_read(struct arena *arena, const char *path, struct promote_bytes *ret_bytes,
                       struct err *err)
{
    struct parent parent;
    struct promote_bytes bytes = {0};
    AUTO(buf_done) struct buf buf = BUF_INIT(PROMOTE_FILE_MAX);
    if (!open_parent(path, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    if (fd >= 0 && !read_bytes(&parent, path, &buf, &bytes, err))
        return false;
    if (bytes.there) {
        char *copy = arena_alloc(arena, bytes.len + 1); /* may hold NULs */
        memcpy(copy, bytes.data, bytes.len);
        bytes.data = copy;
    }
    *ret_bytes = bytes;
    return true;
}

bool promote_bytes_equal(const struct promote_bytes *a, const struct promote_bytes *b)
{
    if (a->there != b->there)
        return false;
    return !a->there || (a->len == b->len && a->mode == b->mode && a->uid == b->uid &&
                         a->gid == b->gid && memcmp(a->data, b->data, a->len) == 0);
}

bool promote_file_is(const char *path, const struct promote_bytes *bytes)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_bytes now;
    struct err ignored = ERR_INIT;
    return promote_file_read(arena, path, &now, &ignored) && promote_bytes_equal(&now, bytes);
}

static void temp_name(const char *name, char ret_temp[NAME_SIZE])
{
    snprintf(ret_temp, NAME_SIZE, ".%.200s.spica-new", name);
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

/* What the kernel makes of the bytes itself. */
static bool is_sealed(const char *name)
{
    return strcmp(name, "security.ima") == 0 || strcmp(name, "security.evm") == 0;
}

/* Labels, access lists, what anybody has noted there: as the file has them that is replaced. One
 * that the new file was born with is fine. */
static bool copy_attribute(int from, int to, const char *name)
{
    char value[XATTR_SIZE_MAX], is[XATTR_SIZE_MAX];
    ssize_t len = fgetxattr(from, name, value, sizeof value);
    if (len < 0)
        return errno == ENODATA;
    if (fgetxattr(to, name, is, sizeof is) == len && memcmp(is, value, (size_t)len) == 0)
        return true;
    return fsetxattr(to, name, value, (size_t)len, 0) == 0;
}

static bool copy_attributes(int from, int to)
{
    char names[XATTR_LIST_MAX];
    ssize_t len = from >= 0 ? flistxattr(from, names, sizeof names) : 0;
    if (len < 0)
        return errno == ENOTSUP;
    for (const char *name = names; name < names + len; name += strlen(name) + 1)
        if (!is_sealed(name) && !copy_attribute(from, to, name))
            return false;
    return true;
}

/* The owner before the mode: a change of owner takes set-id bits away; an access list before it,
 * since it holds the mode too. `old` -1: there is none. */
static bool fill(int fd, int old, const struct promote_bytes *bytes)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if ((st.st_uid != bytes->uid || st.st_gid != bytes->gid) &&
        fchown(fd, bytes->uid, bytes->gid) != 0)
        return false;
    return copy_attributes(old, fd) && fchmod(fd, bytes->mode & MODE_BITS) == 0 &&
           write_all(fd, bytes->data, bytes->len) && fsync(fd) == 0;
}

/* The walk's descriptors can't be synced. Some file systems can't sync a folder (EINVAL); they
 * order the rename themselves. */
static bool sync_folder(int folder_fd)
{
    AUTO(fd) int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES;
    return fsync(fd) == 0 || errno == EINVAL;
}

static bool replace(const struct parent *parent, const char *path,
                    const struct promote_bytes *bytes, struct err *err)
{
    char temp[NAME_SIZE];
    temp_name(parent->name, temp);
    AUTO(fd)
    int fd = openat(parent->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    AUTO(fd) int old = openat(parent->fd, parent->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "writing %s", path);
    if (fill(fd, old, bytes) && renameat(parent->fd, temp, parent->fd, parent->name) == 0)
        return sync_folder(parent->fd) || err_sys(err, "syncing the folder of %s", path);
    err_sys(err, "writing %s", path);
    unlinkat(parent->fd, temp, 0);
    return false;
}

/* A name that is not there is gone already, also where a read-only file system refuses before it
 * looks. */
static bool take_away(const struct parent *parent, const char *name, int flags)
{
    struct stat st;
    if (unlinkat(parent->fd, name, flags) == 0 || errno == ENOENT)
        return true;
    int sys = errno;
    if (sys == EROFS && fstatat(parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return true;
    errno = sys;
    return false;
}

static bool put_at(const struct parent *parent, const char *path, const struct promote_bytes *bytes,
                   struct err *err)
{
    char temp[NAME_SIZE];
    struct promote_bytes now;
    AUTO(buf_done) struct buf buf = BUF_INIT(PROMOTE_FILE_MAX);
    temp_name(parent->name, temp);
    if (!take_away(parent, temp, 0))
        return err_sys(err, "removing what is left of an earlier writing of %s", path);
    if (!read_bytes(parent, path, &buf, &now, err))
        return false;
    /* Made to last all the same: who wrote it may have been killed before that. */
    if (promote_bytes_equal(&now, bytes))
        return sync_folder(parent->fd) || err_sys(err, "syncing the folder of %s", path);
    if (bytes->there)
        return replace(parent, path, bytes, err);
    if (unlinkat(parent->fd, parent->name, 0) != 0)
        return err_sys(err, "removing %s", path);
    return sync_folder(parent->fd) || err_sys(err, "syncing the folder of %s", path);
}

bool promote_file_put(const char *path, const struct promote_bytes *bytes, struct err *err)
{
    struct parent parent;
    if (bytes->there && bytes->len > PROMOTE_FILE_MAX)
        return refuse(path, strlen(path), "would be too large (over 1 MiB)", err);
    if (!open_parent(path, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    if (fd >= 0)
        return put_at(&parent, path, bytes, err);
    return !bytes->there || err_set(err, ERR_INPUT, "%s: its folder does not exist", path);
}

/* The path of the folder; owned by the caller. NULL for a file of the root. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash && slash > path ? strndup(path, (size_t)(slash - path)) : NULL;
    if (slash && slash > path && !folder)
        abort();
    return folder;
}

bool promote_folder_owner(const char *path, uid_t *ret_uid, gid_t *ret_gid, struct err *err)
{
    struct parent parent;
    struct stat st;
    AUTO(free) char *folder = folder_of(path);
    if (!open_parent(path, &parent, err))
        return false;
    if (parent.fd < 0 && folder && !open_parent(folder, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    if (fd < 0)
        return err_set(err, ERR_INPUT, "%s: the folder above its own does not exist", path);
    if (fstat(fd, &st) != 0)
        return err_sys(err, "%s", path);
    const struct passwd *entry = getpwuid(st.st_uid);
    *ret_uid = st.st_uid;
    *ret_gid = entry && !(st.st_mode & S_ISGID) ? entry->pw_gid : st.st_gid;
    return true;
}

/* Only root gives files away; a group may be any of ours. */
static bool may_give(const struct promote_bytes *bytes)
{
    gid_t groups[1024];
    if (geteuid() == 0)
        return true;
    int count = getgroups(ARRAY_LEN(groups), groups);
    bool member = bytes->gid == getegid();
    for (int i = 0; i < count; i++)
        member = member || groups[i] == bytes->gid;
    return bytes->uid == geteuid() && member;
}

bool promote_file_may_put(const char *path, bool makes_folder, const struct promote_bytes *bytes,
                          struct err *err)
{
    struct parent parent;
    AUTO(free) char *folder = folder_of(path);
    if (!open_parent(makes_folder && folder ? folder : path, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    if (fd < 0)
        return err_set(err, ERR_DECLINED, "%s: its folder is gone", path);
    AUTO(fd) int opened = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (faccessat(opened >= 0 ? opened : fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return err_set(err, ERR_DECLINED, "%s: you can't write into its folder: %s", path,
                       strerror(errno));
    return !bytes->there || may_give(bytes) ||
           err_set(err, ERR_DECLINED,
                   "%s: belongs to user %u, group %u, and only root can write it anew for them",
                   path, (unsigned)bytes->uid, (unsigned)bytes->gid);
}

bool promote_folder_is_there(const char *path, bool *ret_there, struct err *err)
{
    struct parent parent;
    if (!open_parent(path, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    *ret_there = fd >= 0;
    return true;
}

bool promote_folder_make(const char *path, struct err *err)
{
    struct parent parent;
    bool there = false;
    if (!promote_folder_is_there(path, &there, err))
        return false;
    if (there)
        return true;
    AUTO(free) char *folder = folder_of(path);
    if (!open_parent(folder, &parent, err))
        return false;
    AUTO(fd) int fd = parent.fd;
    if (fd < 0)
        return err_set(err, ERR_INPUT, "%s: the folder above it does not exist", folder);
    if (mkdirat(fd, parent.name, 0755) != 0)
        return err_sys(err, "making folder %s", folder);
    /* Whatever the umask: systemd and the service's own user must get in. */
    AUTO(fd) int made = openat(fd, parent.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made < 0 || fchmod(made, 0755) != 0 || !sync_folder(fd))
        return err_sys(err, "making folder %s", folder);
    return true;
}

bool promote_folder_drop(const char *path, struct err *err)
{
    struct parent parent;
    AUTO(free) char *folder = folder_of(path);
    if (!folder || !open_parent(folder, &parent, err))
        return !folder;
    AUTO(fd) int fd = parent.fd;
    if (fd < 0)
        return true;
    if (!take_away(&parent, parent.name, AT_REMOVEDIR))
        return errno == ENOTEMPTY || errno == EEXIST || err_sys(err, "removing folder %s", folder);
    return sync_folder(fd) || err_sys(err, "syncing the folder of %s", folder);
}
