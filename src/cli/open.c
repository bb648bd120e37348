/* People say "the study"; this finds its database. A study file that no longer parses must still
 * open its results, so only the name is taken from the file, by its checked form when that works.
 */
#include "cli/open.h"
#include "cli/command.h"

#include "base/file.h"
#include "base/text.h"
#include "study/study.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>

static bool is_folder(const char *path)
{
    struct stat stat_buf;
    return stat(path, &stat_buf) == 0 && S_ISDIR(stat_buf.st_mode);
}

static bool only_folder_here(struct arena *arena, const char **ret_folder, struct err *err)
{
    glob_t found;
    bool ok = true;
    if (glob("*.spica", GLOB_NOSORT, NULL, &found) != 0)
        return err_set(err, ERR_INPUT, "no NAME.spica folder here; say which study");
    if (found.gl_pathc != 1)
        ok = err_set(err, ERR_INPUT, "%zu studies here; say which", found.gl_pathc);
    else
        *ret_folder = arena_strdup(arena, found.gl_pathv[0]);
    globfree(&found);
    return ok;
}

bool cli_find_folder(const char *name, const char *out, struct arena *arena,
                     const char **ret_folder, struct err *err)
{
    if (!name && !out)
        return only_folder_here(arena, ret_folder, err);
    if (out) {
        *ret_folder = arena_strdup(arena, out);
        return true;
    }
    if (is_folder(name)) {
        *ret_folder = arena_strdup(arena, name);
        return true;
    }
    if (text_ends_with(name, ".db")) {
        AUTO(free) char *folder = file_folder(name);
        *ret_folder = arena_strdup(arena, folder);
        return true;
    }
    AUTO(free) char *guess = NULL;
    if (!file_exists(name)) { /* the bare name, as the commands print it */
        const char *folder = arena_printf(arena, "%s.spica", name);
        if (!is_folder(folder))
            return err_set(err, ERR_MISSING, "%s: no such study file, and no folder %s", name,
                           folder);
        *ret_folder = folder;
        return true;
    }
    AUTO(spec_study_free) struct spec_study *study = NULL;
    if (!spec_study_load(name, cli_catalog(), &study, err))
        return false;
    guess = study_folder(study, NULL);
    *ret_folder = arena_strdup(arena, guess);
    return true;
}

bool cli_open_results(const char *name, const char *out, struct cli_results *ret_results,
                      struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *folder = NULL;
    if (!cli_find_folder(name, out, arena, &folder, err))
        return false;
    AUTO(free) char *path = study_store_path(folder);
    struct store *store = NULL;
    if (!store_open(path, STORE_READ, &store, err)) {
        if (err->code == ERR_MISSING)
            return err_wrap(err, "nothing has been run yet");
        return false;
    }
    *ret_results = (struct cli_results){TAKE(arena), store, folder};
    return true;
}

void cli_close_results(struct cli_results *results)
{
    store_close(results->store);
    arena_free(results->arena);
    *results = (struct cli_results){0};
}
