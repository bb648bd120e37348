/* Every write may fail. A layer over SQLite's own file access fails the n-th write, for every n
 * that a trial needs; afterwards the file is as it was before, and the same trial can be stored. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include <errno.h>
#include <sqlite3.h>

/* One layer for the whole process, because SQLite's is. */
static struct {
    sqlite3_vfs vfs;
    struct { /* SQLite has several tables of methods: databases lock, -wal files do not */
        const sqlite3_io_methods *real;
        sqlite3_io_methods failing;
    } methods[8];
    long writes_left; /* the write after the last of them fails, and all later ones; -1: never */
    int code;
} layer = {.writes_left = -1};

static bool write_fails(void)
{
    if (layer.writes_left < 0)
        return false;
    if (layer.writes_left == 0)
        return true;
    layer.writes_left--;
    return false;
}

static const sqlite3_io_methods *real_methods(const sqlite3_file *file)
{
    for (size_t i = 0; i < ARRAY_LEN(layer.methods); i++)
        if (file->pMethods == &layer.methods[i].failing)
            return layer.methods[i].real;
    abort();
}

static int fail_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    return write_fails() ? layer.code : real_methods(file)->xWrite(file, data, len, at);
}

static int fail_sync(sqlite3_file *file, int flags)
{
    return write_fails() ? SQLITE_IOERR_FSYNC : real_methods(file)->xSync(file, flags);
}

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    sqlite3_vfs *real = vfs->pAppData;
    int code = real->xOpen(real, name, file, flags, ret_flags);
    if (code != SQLITE_OK || !file->pMethods)
        return code;
    size_t i = 0;
    while (layer.methods[i].real && layer.methods[i].real != file->pMethods)
        if (++i == ARRAY_LEN(layer.methods))
            abort();
    layer.methods[i].real = file->pMethods;
    layer.methods[i].failing = *file->pMethods;
    layer.methods[i].failing.xWrite = fail_write;
    layer.methods[i].failing.xSync = fail_sync;
    file->pMethods = &layer.methods[i].failing;
    return code;
}

static void install_layer(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    layer.vfs = *real;
    layer.vfs.zName = "failing";
    layer.vfs.pAppData = real;
    layer.vfs.xOpen = open_file;
    assert_int_equal(sqlite3_vfs_register(&layer.vfs, 1), SQLITE_OK);
}

static void check_whole(const char *folder, size_t trials)
{
    AUTO(free) char *path = made_path(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(store_close) struct store *store = NULL;
    struct err err = ERR_INIT;
    struct store_trial *read = NULL;
    size_t count = 0;
    int64_t requests = 0;
    if (!store_open(path, STORE_READ, &store, &err) ||
        !store_read_trials(store, arena, true, &read, &count, &err) ||
        !store_count_requests(store, &requests, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, trials);
    assert_int_equal(requests, (int64_t)trials * 2 * 60);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(read[i].metric_count, 2);
}

/* Returns whether the trial was stored in spite of the limit. */
static bool try_with(const char *folder, long writes, int code, const char *says)
{
    AUTO(free) char *path = made_path(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(store_close) struct store *store = NULL;
    struct err err = ERR_INIT;
    assert_true(store_open(path, STORE_WRITE, &store, &err));
    struct store_trial trial = made_trial(arena, 2, 60);
    layer.code = code;
    layer.writes_left = writes;
    bool stored = store_trial_add(store, &trial, &err);
    layer.writes_left = -1;
    if (stored)
        return true;
    if (err.code != ERR_INTERNAL || !strstr(err.text, says) || strchr(err.text, '\n'))
        fail_msg("after %ld writes: code %d, \"%s\"", writes, err.code, err.text);
    return false;
}

static void check_every_write(int code, const char *says)
{
    char *folder = check_make_folder();
    AUTO(arena_free) struct arena *arena = arena_new();
    struct store *store = made_store(folder);
    struct err err = ERR_INIT;
    struct store_trial trial = made_trial(arena, 1, 60);
    assert_true(store_trial_add(store, &trial, &err));
    store_close(store);
    long writes = 0;
    for (; writes < 500; writes++) {
        if (try_with(folder, writes, code, says))
            break;
        check_whole(folder, 1);
    }
    assert_in_range(writes, 3, 499);
    check_whole(folder, 2);
    check_remove_folder(folder);
}

static void full_disk_loses_nothing(void **state)
{
    (void)state;
    check_every_write(SQLITE_FULL, "");
}

static void full_disk_is_said_so(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    store_close(made_store(folder));
    assert_false(try_with(folder, 0, SQLITE_FULL, "disk full"));
    assert_false(try_with(folder, 0, SQLITE_FULL, "free space and run again"));
    check_remove_folder(folder);
}

static void broken_disk_loses_nothing(void **state)
{
    (void)state;
    check_every_write(SQLITE_IOERR_WRITE, "");
}

/* An interrupted creation is finished by the next. */
static void creation_can_fail_anywhere(void **state)
{
    (void)state;
    long writes = 0;
    bool made = false;
    for (; writes < 500 && !made; writes++) {
        char *folder = check_make_folder();
        AUTO(free) char *path = made_path(folder);
        struct store *store = NULL;
        struct err err = ERR_INIT;
        layer.code = SQLITE_FULL;
        layer.writes_left = writes;
        made = store_open(path, STORE_CREATE, &store, &err);
        layer.writes_left = -1;
        store_close(store);
        if (!made && err.code != ERR_INTERNAL)
            fail_msg("after %ld writes: %s", writes, err.text);
        store_close(made_store(folder));
        check_remove_folder(folder);
    }
    assert_in_range(writes, 2, 499);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_disk_loses_nothing),
        cmocka_unit_test(full_disk_is_said_so),
        cmocka_unit_test(broken_disk_loses_nothing),
        cmocka_unit_test(creation_can_fail_anywhere),
    };
    install_layer();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
