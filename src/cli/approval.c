/* Approval of a plan: by its id on the command line, by a file that somebody signed off, or by a
 * person at the terminal.
 *
 * The id is the digest of exactly what was shown, so approving by id is approving that text: when a
 * file, a unit or the winner has changed since, the id is another one and the approval is of
 * something that no longer exists. There is no way to approve "whatever comes".
 *
 * A file is a yes of whoever can write it, so the ways to it are looked at: its owner, and those of
 * its folders, are the only ones (with the group that is theirs alone). Whose it is does not count,
 * since the one who approves is often another than the one who promotes; but for /tmp, where
 * anybody can have put it. Rejected: a signature, for which we would have to hold the keys of
 * people. */
#include "cli/approval.h"

#include "base/auto.h"
#include "base/json.h"
#include "base/text.h"
#include "promote/surroundings.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <termios.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 65536, NAME_MAX_BYTES = 200 };

static bool is_plan(const char *given, const char *what, const struct promote_plan *plan,
                    struct err *err)
{
    if (strcmp(given, plan->id) == 0)
        return true;
    /* The plan that was approved is gone but for its id: only the person has seen what was in it.
     */
    AUTO(buf_done) struct buf under = BUF_INIT(200);
    for (size_t i = 0; plan->surroundings && plan->surroundings[i]; i++) {
        buf_add(&under, i ? ", " : " (or in the environment, which is ");
        promote_surroundings_add(&under, plan->surroundings[i]);
    }
    return err_set(
        err, ERR_DECLINED,
        "%s is for plan %.40s, and the plan is %s now: something has changed since%s%s, look "
        "at it anew; nothing was changed",
        what, given, plan->id, buf_text(&under), under.len ? " here)" : "");
}

/* "2026-11-26", and whatever follows. */
static bool is_date(const char *text)
{
    static const char shape[] = "dddd-dd-dd";
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != shape[i])
            return false;
    return true;
}

/* Does the group hold its owner alone? So it is with the users that Debian and Red Hat make, whose
 * umask is 0002. Who is in it by his entry alone is in no list of members; where there is an access
 * list, the group's bits are its mask, and others may be named in it. */
static bool is_own_group(const char *place, const struct stat *st)
{
    const struct passwd *user = getpwuid(st->st_uid);
    if (!user || user->pw_gid != st->st_gid ||
        getxattr(place, "system.posix_acl_access", NULL, 0) >= 0)
        return false;
    AUTO(free) char *name = strdup(user->pw_name); /* the next look-up takes its place */
    const struct group *group = getgrgid(st->st_gid);
    bool own = name && group && strcmp(group->gr_name, name) == 0;
    for (size_t i = 0; own && group->gr_mem[i]; i++)
        own = strcmp(group->gr_mem[i], name) == 0;
    setpwent();
    for (user = own ? getpwent() : NULL; user && own; user = getpwent())
        own = user->pw_gid != st->st_gid || user->pw_uid == st->st_uid;
    endpwent();
    return own;
}

/* `*shared`: anybody may put something into the folder that it is in. */
static bool check_place(const char *path, const char *place, bool *shared, struct err *err)
{
    struct stat st;
    if (lstat(place, &st) != 0)
        return err_sys(err, "--approved-file %s: %s", path, place);
    if (*shared && st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(err, ERR_INPUT,
                       "--approved-file %s: %s belongs to another user, and anybody could have "
                       "put it there; nothing was changed",
                       path, place);
    *shared = (st.st_mode & S_IWOTH) || ((st.st_mode & S_IWGRP) && !is_own_group(place, &st));
    if (!*shared || (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX)))
        return true;
    return err_set(err, ERR_INPUT,
                   "--approved-file %s: %s may be written by others, and so approved by them "
                   "(chmod go-w it); nothing was changed",
                   path, place);
}

/* The folders on the way from the root, then the file. *ret_whole: its path without links. */
static bool check_places(const char *path, char **ret_whole, struct err *err)
{
    AUTO(free) char *whole = realpath(path, NULL);
    bool shared = false;
    if (!whole)
        return errno == ENOENT ? err_set(err, ERR_MISSING, "--approved-file %s: no such file", path)
                               : err_sys(err, "--approved-file %s", path);
    for (size_t i = 0; whole[i]; i++) {
        AUTO(free) char *folder = strndup(whole, i ? i : 1);
        if (whole[i] == '/' && !check_place(path, folder, &shared, err))
            return false;
    }
    if (!check_place(path, whole, &shared, err))
        return false;
    *ret_whole = TAKE(whole);
    return true;
}

static bool read_file(const char *path, const struct promote_plan *plan, struct buf *ret_who,
                      struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX_BYTES);
    json_error_t where;
    AUTO(free) char *whole = NULL;
    if (!check_places(path, &whole, err))
        return false;
    if (!buf_read_file(&text, whole, err))
        return err_wrap(err, "--approved-file");
    AUTO_JSON json_t *object =
        json_loadb(buf_text(&text), text.len, JSON_REJECT_DUPLICATES, &where);
    const char *id = json_get_text(object, "plan"), *name = json_get_text(object, "name"),
               *date = json_get_text(object, "date");
    if (!json_is_object(object))
        return err_set(err, ERR_INPUT, "--approved-file %s:%d: %s", path, object ? 1 : where.line,
                       object ? "must be an object" : where.text);
    if (!id || !name || !*name || !date || !is_date(date))
        return err_set(
            err, ERR_INPUT,
            "--approved-file %s: needs \"plan\" (the plan's id), \"name\" (who approves) "
            "and \"date\" (as in 2026-11-26)",
            path);
    if (!is_plan(id, "the file", plan, err))
        return false;
    buf_add(ret_who, "by ");
    text_add_escaped(ret_who, TEXT_TERMINAL, name, strlen(name), NAME_MAX_BYTES);
    buf_add(ret_who, " on ");
    text_add_escaped(ret_who, TEXT_TERMINAL, date, strlen(date), 40);
    buf_add(ret_who, " (file)");
    return true;
}

static bool ask(const struct promote_plan *plan, struct buf *ret_who, struct err *err)
{
    char answer[64];
    tcflush(STDIN_FILENO, TCIFLUSH); /* what was typed before the question is no answer to it */
    printf("Apply plan %s? [y/N] ", plan->id);
    fflush(stdout);
    if (!fgets(answer, sizeof answer, stdin) ||
        (strcmp(answer, "y\n") != 0 && strcmp(answer, "yes\n") != 0))
        return err_set(err, ERR_DECLINED, "declined; nothing was changed");
    buf_add(ret_who, "by prompt");
    return true;
}

bool cli_approval_get(const struct cli_approval *approval, const struct promote_plan *plan,
                      struct buf *ret_who, struct err *err)
{
    if (approval->id && approval->file)
        return err_set(err, ERR_INPUT, "--approve and --approved-file: give one of them");
    if (approval->file)
        return read_file(approval->file, plan, ret_who, err);
    if (approval->id) {
        buf_add(ret_who, "by --approve");
        return is_plan(approval->id, "--approve", plan, err);
    }
    if (approval->may_ask && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return ask(plan, ret_who, err);
    return err_set(err, ERR_DECLINED,
                   "not approved, and no terminal to ask on; nothing was changed. To apply exactly "
                   "this plan: --approve %s",
                   plan->id);
}
