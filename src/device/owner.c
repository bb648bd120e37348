/* Reads a process's owners out of its cgroup's path and its user id.
 *
 * The path is where systemd and the container engines write who started a process, and it stays
 * with the process whatever it forks. Asking systemd over D-Bus or the engine over its socket was
 * rejected: neither may be there, both would have to be believed, and the path needs no rights.
 *
 * A container's scope is no unit that anybody stops by name: it becomes the container's id. */
#include "device/owner.h"

#include "base/text.h"
#include "device/proc_file.h"

#include <ctype.h>
#include <pwd.h>
#include <string.h>

enum { CGROUP_SIZE = 8192, STATUS_SIZE = 8192, ID_DIGITS = 64, ID_SHOWN = 12 };

static const char *const unit_types[] = {".service", ".scope"};

/* 64 hexadecimal digits in a row: "docker-<id>.scope", "libpod-<id>.scope", "<id>". */
static const char *find_id(const char *part, size_t len)
{
    size_t digits = 0;
    for (size_t i = 0; i < len; i++) {
        digits = isxdigit((unsigned char)part[i]) ? digits + 1 : 0;
        if (digits == ID_DIGITS)
            return part + i + 1 - ID_DIGITS;
    }
    return NULL;
}

static bool is_unit(const char *part, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(unit_types); i++) {
        size_t type_len = strlen(unit_types[i]);
        if (len > type_len && memcmp(part + len - type_len, unit_types[i], type_len) == 0)
            return true;
    }
    return false;
}

/* A path is bytes of somebody's choice. */
static void copy_name(const char *part, size_t len, char *ret_name, size_t size)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(256);
    text_add_escaped(&shown, TEXT_TERMINAL, part, len, 64);
    snprintf(ret_name, size, "%s", buf_text(&shown));
}

void device_owner_parse(const char *cgroup, struct device_owner *ret_owner)
{
    struct device_owner owner = {0};
    for (const char *at = cgroup; *at;) {
        size_t len = strcspn(at, "/\n");
        const char *id = find_id(at, len);
        if (id)
            snprintf(owner.container, sizeof owner.container, "%.*s", ID_SHOWN, id);
        else if (is_unit(at, len)) /* later parts lie further in */
            copy_name(at, len, owner.unit, sizeof owner.unit);
        at += len + (at[len] != '\0');
    }
    memcpy(ret_owner->unit, owner.unit, sizeof owner.unit);
    memcpy(ret_owner->container, owner.container, sizeof owner.container);
}

static void read_user(int root_fd, pid_t pid, char *ret_user, size_t size)
{
    char status[STATUS_SIZE], names[4096];
    if (proc_file_read(root_fd, pid, "status", status, sizeof status) <= 0)
        return;
    const char *line = strstr(status, "\nUid:");
    const char *digits =
        line ? line + strlen("\nUid:") + strspn(line + strlen("\nUid:"), " \t") : "";
    if (!isdigit((unsigned char)*digits))
        return;
    unsigned long uid = strtoul(digits, NULL, 10);
    struct passwd entry, *found = NULL;
    if (getpwuid_r((uid_t)uid, &entry, names, sizeof names, &found) == 0 && found)
        copy_name(found->pw_name, strlen(found->pw_name), ret_user, size);
    else
        snprintf(ret_user, size, "uid %lu", uid);
}

void device_owner_read(const char *proc_root, pid_t pid, struct device_owner *ret_owner)
{
    struct device_owner owner = {0};
    char cgroup[CGROUP_SIZE];
    AUTO(fd) int root_fd = proc_file_open_root(proc_root);
    if (root_fd >= 0) {
        if (proc_file_read(root_fd, pid, "cgroup", cgroup, sizeof cgroup) > 0)
            device_owner_parse(cgroup, &owner);
        read_user(root_fd, pid, owner.user, sizeof owner.user);
    }
    *ret_owner = owner;
}
