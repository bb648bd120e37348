/* usage: write_sample STORY FOLDER: study.db of a made-up study and its report, for recompute.py.
 */
#include "sample.h"

#include "report/report.h"

#include "base/file.h"
#include "base/text.h"

static bool write_all(enum sample_story story, const char *folder, struct err *err)
{
    AUTO(free) char *path = file_join(folder, "study.db");
    AUTO(store_close) struct store *store = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct sample_options options = {.story = story};
    struct report_view *view = NULL;
    return store_open(path, STORE_CREATE, &store, err) && sample_fill(store, &options, err) &&
           report_view_build(store, sample_catalog(), arena, &view, err) &&
           report_write_all(view, folder, err);
}

int main(int argc, char **argv)
{
    int64_t story = 0;
    struct err err = ERR_INIT;
    if (argc != 3 || !text_to_i64(argv[1], &story))
        return 2;
    if (write_all((enum sample_story)story, argv[2], &err))
        return 0;
    fprintf(stderr, "%s\n", err.text);
    return 1;
}
