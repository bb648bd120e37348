/* Programs are looked at as files of production are (promote/safe_file.h), but for one thing: links
 * are followed, since /usr/bin is full of them. So each link is a further thing that somebody else
 * could turn round, and the walk asks it for its owner as well, and the folder that it is in.
 *
 * Between the last look and the exec nothing is held open: a script is opened by its interpreter,
 * by name. That is why the owners count at all; a digest alone would be true of a moment. Rejected:
 * fexecve(3) on what was checked, which an interpreter can't read once it is closed, and which says
 * nothing of what a script reads itself.
 *
 * Invariant: what is run as root, root alone could have changed. */
#include "promote/program.h"

#include "base/digest.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40, SCRIPT_MAX = 64 << 20 };

struct walk {
    const char *path; /* for messages */
    int fd;           /* of the folder that has been reached, owned */
    char rest[PATH_MAX];
    int links;
};

static bool refuse(const struct walk *walk, const char *name, const char *why, struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: is run as you are, and %s%s %s", walk->path, name,
                   *name ? "" : "a folder on the way to it", why);
}

static bool is_ours(const struct stat *st)
{
    return st->st_uid == 0 || st->st_uid == geteuid();
}

/* One that others may write to, with the sticky bit, keeps what is ours where it is; but they could
 * have made what is not there yet, so the last one has to be ours alone. */
static bool check_folder(const struct walk *walk, bool last, struct err *err)
{
    struct stat st;
    if (fstat(walk->fd, &st) != 0)
        return err_sys(err, "%s", walk->path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INPUT, "%s: a part of its path is no folder", walk->path);
    if (!is_ours(&st))
        return refuse(walk, "", "belongs to another user", err);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && (last || !(st.st_mode & S_ISVTX)))
        return refuse(walk, "", "may be written by others (chmod go-w it)", err);
    return true;
}

/* The link's target comes before what is left of the path. */
static bool follow(struct walk *walk, int link_fd, const char *name, struct err *err)
{
    char target[PATH_MAX], joined[2 * PATH_MAX + 2];
    ssize_t len = readlinkat(link_fd, "", target, sizeof target - 1);
    if (len <= 0 || ++walk->links > LINKS_MAX)
        return err_set(err, ERR_INPUT, "%s: %s is a link that can't be followed", walk->path, name);
    target[len] = '\0';
    int size = snprintf(joined, sizeof joined, "%s/%s", target, walk->rest);
    if (size < 0 || (size_t)size >= sizeof walk->rest)
        return err_set(err, ERR_INPUT, "%s: its links make too long a path", walk->path);
    memcpy(walk->rest, joined, (size_t)size + 1);
    if (target[0] != '/')
        return true;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_sys(err, "%s", walk->path);
    close(walk->fd);
    walk->fd = root;
    return true;
}

static bool check_end(const struct walk *walk, const struct stat *st, const char *name,
                      struct err *err)
{
    if (!S_ISREG(st->st_mode))
        return err_set(err, ERR_INPUT, "%s: is not a file", walk->path);
    return !(st->st_mode & (S_IWGRP | S_IWOTH)) ||
           refuse(walk, name, "may be written by others (chmod go-w it)", err);
}

/* The next name of the path. *ret_done: it was the last, and is well. */
static bool step(struct walk *walk, bool *ret_done, struct err *err)
{
    char name[NAME_MAX + 1];
    struct stat st;
    const char *at = walk->rest + strspn(walk->rest, "/");
    size_t len = strcspn(at, "/");
    if (len == 0 || len >= sizeof name)
        return err_set(err, ERR_INPUT, "%s: is not a file", walk->path);
    snprintf(name, sizeof name, "%.*s", (int)len, at);
    at += len + strspn(at + len, "/");
    memmove(walk->rest, at, strlen(at) + 1);
    AUTO(fd) int next = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0 || fstat(next, &st) != 0)
        return err_sys(err, "%s", walk->path);
    if (!S_ISDIR(st.st_mode) && !is_ours(&st))
        return refuse(walk, name, "belongs to another user", err);
    if (S_ISLNK(st.st_mode))
        return check_folder(walk, true, err) && follow(walk, next, name, err);
    *ret_done = !walk->rest[0];
    if (*ret_done)
        return check_folder(walk, true, err) && check_end(walk, &st, name, err);
    close(walk->fd);
    walk->fd = fd_take(&next);
    return check_folder(walk, false, err);
}

bool promote_program_check(const char *path, struct err *err)
{
    struct walk walk = {.path = path};
    bool done = false, good = true;
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof walk.rest)
        return err_set(err, ERR_INPUT, "%.200s: not the absolute path of a program", path);
    memcpy(walk.rest, path, len + 1);
    walk.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk.fd < 0)
        return err_sys(err, "%s", path);
    while (good && !done)
        good = step(&walk, &done, err);
    close(walk.fd);
    return good;
}

char *promote_program_argument(const char *folder, const char *word)
{
    const char *value = word[0] == '-' && strchr(word, '=') ? strchr(word, '=') + 1 : word;
    struct stat st;
    if (!value[0])
        return NULL;
    AUTO(free) char *path = file_join(folder, value);
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > SCRIPT_MAX)
        return NULL;
    return TAKE(path);
}

static const struct promote_witness *find(const struct promote_plan *plan, const char *path)
{
    for (size_t i = 0; path && i < plan->witness_count; i++)
        if (strcmp(plan->witnesses[i].path, path) == 0)
            return &plan->witnesses[i];
    return NULL;
}

static bool is_same(const struct promote_plan *plan, const char *path, struct err *err)
{
    const struct promote_witness *witness = find(plan, path);
    char hex[DIGEST_HEX_SIZE] = "";
    if (!witness)
        return true; /* it was not there when the plan was made, or is no program of ours */
    if (!promote_program_check(path, err))
        return false;
    if (plan->any_program)
        return true;
    return (digest_file(path, hex, NULL) && strcmp(hex, witness->digest) == 0) ||
           err_set(err, ERR_PROBLEM, "%s has changed since the plan was approved: it is not run",
                   path);
}

bool promote_program_same(const struct promote_plan *plan, const char *const *argv, struct err *err)
{
    const char *folder = plan->run_folder ? plan->run_folder : "/";
    if (!is_same(plan, argv[0], err))
        return false;
    for (size_t i = 1; argv[i]; i++) {
        AUTO(free) char *path = promote_program_argument(folder, argv[i]);
        if (!is_same(plan, path, err))
            return false;
    }
    return true;
}
