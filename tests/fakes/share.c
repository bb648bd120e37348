/*
 * Fakes that share a device: each sees whether another one is busy.
 *
 * The idea: one mapped file with a row per process, holding a name and the number of requests that
 * it serves right now. Whoever starts a request or a token looks at the other rows; rows under
 * one's own name don't count, they are the same service. Locks were rejected: a process that is
 * killed while it holds one would stop the others.
 *
 * Invariant: a row belongs to its pid; a row of a dead pid is free to take and never busy.
 */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS 64

struct row {
    atomic_int pid; /* 0 when free */
    atomic_int busy;
    char name[56];
};

struct share_table {
    struct row rows[ROWS];
};

static bool alive(int pid)
{
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

static bool take_row(struct share *share, const char *name)
{
    for (int i = 0; i < ROWS; i++) {
        struct row *row = &share->table->rows[i];
        int pid = atomic_load(&row->pid);
        if (alive(pid) || !atomic_compare_exchange_strong(&row->pid, &pid, (int)getpid()))
            continue;
        atomic_store(&row->busy, 0);
        snprintf(row->name, sizeof(row->name), "%s", name);
        share->own = i;
        return true;
    }
    fprintf(stderr, "fake-service: --share-dir: %d others are there already\n", ROWS);
    return false;
}

bool share_open(struct share *share, const char *dir, const char *name, const char *interfere_file)
{
    *share = (struct share){.interfere_file = interfere_file};
    if (dir == NULL)
        return true;
    char path[4096];
    snprintf(path, sizeof(path), "%s/fake-share", dir);
    mkdir(dir, 0777);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    void *memory = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof(struct share_table)) == 0)
        memory = mmap(NULL, sizeof(struct share_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        fprintf(stderr, "fake-service: --share-dir: %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED)
        return false;
    share->table = memory;
    return take_row(share, name);
}

void share_begin(struct share *share)
{
    if (share->table != NULL)
        atomic_fetch_add(&share->table->rows[share->own].busy, 1);
}

void share_end(struct share *share)
{
    if (share->table != NULL)
        atomic_fetch_sub(&share->table->rows[share->own].busy, 1);
}

bool share_others_busy(const struct share *share)
{
    if (share->interfere_file != NULL && access(share->interfere_file, F_OK) == 0)
        return true;
    for (int i = 0; share->table != NULL && i < ROWS; i++) {
        const struct row *row = &share->table->rows[i];
        const bool other = strcmp(row->name, share->table->rows[share->own].name) != 0;
        if (i != share->own && other && atomic_load(&row->busy) > 0 &&
            alive(atomic_load(&row->pid)))
            return true;
    }
    return false;
}

void share_close(struct share *share)
{
    if (share == NULL || share->table == NULL)
        return;
    atomic_store(&share->table->rows[share->own].busy, 0);
    atomic_store(&share->table->rows[share->own].pid, 0);
    munmap(share->table, sizeof(*share->table));
    share->table = NULL;
}
