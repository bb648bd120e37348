/* The file's tables, as steps from one version to the next. Only for the files of store/. */
#pragma once

enum {
    STORE_APPLICATION_ID = 0x53504943, /* "SPIC", as file(1) shows it */
    STORE_VERSION = 1,
};

/* store_schema_steps[v] takes a file of version v to v + 1; [0] makes an empty file a store. A new
 * version is one more step and never a change of an old one: files of every version are out there.
 */
extern const char *const store_schema_steps[STORE_VERSION];
