/* All files of a report, each written whole or not at all. The Markdown is made once and is also
 * the page's source. */
#include "report/figures.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/report.h"
#include "report/winner.h"

#include "base/file.h"

#include <errno.h>
#include <unistd.h>

static bool write_text(const struct buf *text, const char *folder, const char *name,
                       struct err *err)
{
    AUTO(free) char *path = file_join(folder, name);
    if (text->over)
        return err_set(err, ERR_LIMIT, "%s: longer than %d MiB", path, REPORT_MARKDOWN_MAX >> 20);
    return file_write_atomic(path, buf_text(text), text->len, err);
}

/* One that there is nothing to draw of is taken away: what an earlier report drew is told nowhere
 * now. */
static bool write_svg(const struct buf *svg, const char *folder, const char *name, struct err *err)
{
    if (svg->len > 0 || svg->over)
        return write_text(svg, folder, name, err);
    AUTO(free) char *path = file_join(folder, name);
    if (unlink(path) != 0 && errno != ENOENT)
        return err_sys(err, "removing %s", path);
    return true;
}

static bool write_figure(const struct report_view *view, const char *folder, const char *name,
                         void (*add)(struct buf *buf, const struct report_view *view),
                         struct err *err)
{
    AUTO(buf_done) struct buf svg = BUF_INIT(REPORT_MARKDOWN_MAX);
    add(&svg, view);
    return write_svg(&svg, folder, name, err);
}

static bool write_knees(const struct report_view *view, const char *folder, struct err *err)
{
    char name[REPORT_KNEE_NAME];
    for (size_t n = 0; report_knee_name(view, n, name); n++) {
        AUTO(buf_done) struct buf svg = BUF_INIT(REPORT_MARKDOWN_MAX);
        report_add_knee_figure(&svg, view, n);
        if (!write_svg(&svg, folder, name, err))
            return false;
    }
    return true;
}

static bool write_json(json_t *value, const char *folder, const char *name, struct err *err)
{
    AUTO(free) char *path = file_join(folder, name);
    bool done = json_write_file(value, path, err);
    json_decref(value);
    return done;
}

bool report_write_all(const struct report_view *view, const char *folder, struct err *err)
{
    AUTO(buf_done) struct buf markdown = BUF_INIT(REPORT_MARKDOWN_MAX);
    AUTO(buf_done) struct buf html = BUF_INIT(2 * (size_t)REPORT_MARKDOWN_MAX);
    report_add_markdown(&markdown, view);
    if (!file_make_folders(folder, err) || !write_text(&markdown, folder, "report.md", err))
        return err_wrap(err, "writing the report");
    report_add_html(&html, view, buf_text(&markdown));
    if (!write_figure(view, folder, REPORT_FIGURE_PROGRESSION, report_add_progression_figure,
                      err) ||
        !write_figure(view, folder, REPORT_FIGURE_TRADEOFF, report_add_tradeoff_figure, err) ||
        !write_knees(view, folder, err) || !write_text(&html, folder, "report.html", err) ||
        !write_json(report_json(view), folder, "report.json", err) ||
        !write_json(report_winner_json(view), folder, "winner.json", err))
        return err_wrap(err, "writing the report");
    return true;
}
