/* A /proc of plain files: each test writes what its kernel would say. */
#pragma once

#include "check.h"

#include <sys/stat.h>

/* Writes ROOT/name with the folders above it. */
static inline void fake_file(const char *root, const char *name, const char *text, size_t len)
{
    char path[512];
    assert_true(snprintf(path, sizeof path, "%s/%s", root, name) < (int)sizeof path);
    for (char *at = path + strlen(root) + 1; *at; at++) {
        if (*at == '/') {
            *at = '\0';
            mkdir(path, 0755);
            *at = '/';
        }
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void fake_text(const char *root, const char *name, const char *text)
{
    fake_file(root, name, text, strlen(text));
}

/* One process; times in clock ticks (10 ms). */
struct fake_process {
    int pid, ppid;
    const char *comm;
    char state;
    long long start, user, system, child_user, child_system;
};

static inline void fake_stat(const char *root, const struct fake_process *p)
{
    char name[64], text[1024];
    snprintf(name, sizeof name, "%d/stat", p->pid);
    snprintf(text, sizeof text,
             "%d (%s) %c %d %d %d 0 -1 4194304 100 0 0 0 %lld %lld %lld %lld 20 0 1 0 %lld 3133440 "
             "394 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
             p->pid, p->comm ? p->comm : "x", p->state ? p->state : 'S', p->ppid, p->pid, p->pid,
             p->user, p->system, p->child_user, p->child_system, p->start);
    fake_text(root, name, text);
}

/* ROOT/PID/task/TID/children. */
static inline void fake_children(const char *root, int pid, int tid, const char *children)
{
    char name[64];
    snprintf(name, sizeof name, "%d/task/%d/children", pid, tid);
    fake_text(root, name, children);
}

static inline void fake_remove(const char *root, int pid)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%d", root, pid) > 0);
    check_remove_folder(path);
}
