/* A study's results that somebody holds. */
#pragma once

#include "check.h"

#include <sqlite3.h>

/* Nobody else gets to read that database, as while its log is recovered. */
static inline sqlite3 *check_hold_database(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL),
        SQLITE_OK);
    return db;
}
