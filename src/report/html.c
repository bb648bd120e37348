/* The same Markdown as a page. CommonMark knows no tables, so they are found by their leading bar
 * and written here, each cell rendered by cmark like any other text; everything between them goes
 * through cmark as it stands. Rejected: a second renderer beside markdown.c, which would state
 * every fact twice.
 *
 * Safe because cmark drops raw HTML by default and because all outside text was escaped for
 * Markdown. A line "![...](figure.svg)" of our own becomes that figure, inline. */
#include "report/html.h"
#include "report/figures.h"
#include "report/markdown.h"
#include "report/words.h"

#include <cmark.h>
#include <string.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'; img-src data:\">\n"
    "<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:76rem;"
    "margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;"
    "border-bottom:1px solid #ddd;padding-bottom:.2rem}\n"
    "blockquote{margin:0 0 1.5rem;padding:.8rem 1.1rem;background:#f2f7f5;"
    "border-left:5px solid #009e73}blockquote strong{font-size:1.12rem;font-weight:600}\n"
    "blockquote p{margin:.3rem 0}\n"
    "code{font:.88em ui-monospace,monospace;background:#f3f3f3;padding:.05em .3em;"
    "border-radius:3px;overflow-wrap:anywhere}\n"
    ".table{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;font-size:.9rem;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.25rem .6rem;border-bottom:1px solid "
    "#e4e4e4;text-align:left;vertical-align:top}\n"
    "th{border-bottom:2px solid #999;font-weight:600;vertical-align:bottom}.r{text-align:right}"
    "td.r{white-space:nowrap}td:last-child:not(.r):not(:empty){min-width:11rem}\n"
    "tr:hover td{background:#fafafa}svg{max-width:100%;height:auto;margin:.5rem 0}\n"
    "li{margin:.15rem 0}\n"
    "</style>\n<title>";

enum { COLUMNS_MAX = 64 };

struct page {
    struct buf *buf;
    const struct report_view *view;
    struct buf pending; /* lines for cmark */
    bool in_table, in_head;
    bool right[COLUMNS_MAX]; /* columns that are aligned right */
    struct buf head_row;     /* kept until the line of dashes tells how columns are aligned */
};

static void flush_text(struct page *page)
{
    if (page->pending.len == 0)
        return;
    char *html =
        cmark_markdown_to_html(buf_text(&page->pending), page->pending.len, CMARK_OPT_DEFAULT);
    buf_add(page->buf, html);
    free(html);
    buf_clear(&page->pending);
}

/* One cell's inline text; cmark wraps it into a paragraph, which a cell does not need. */
static void add_cell(struct page *page, const char *text, size_t len, size_t column, bool is_head)
{
    while (len > 0 && *text == ' ') {
        text++;
        len--;
    }
    while (len > 0 && text[len - 1] == ' ')
        len--;
    const char *tag = is_head ? "th" : "td";
    bool right = column < COLUMNS_MAX && page->right[column];
    buf_addf(page->buf, "<%s%s>", tag, right ? " class=\"r\"" : "");
    /* A cell that begins as a list or heading would ("- (n=12)", "1. ") is plain text in a table.
     */
    AUTO(buf_done) struct buf cell = BUF_INIT(REPORT_MARKDOWN_MAX);
    if (len > 0 && strchr("-+0123456789#>", *text))
        buf_add(&cell, "&#8203;");
    if (len > 0 && buf_append(&cell, text, len)) {
        char *html = cmark_markdown_to_html(buf_text(&cell), cell.len, CMARK_OPT_DEFAULT);
        const char *from = strncmp(html, "<p>", 3) == 0 ? html + 3 : html;
        const char *to = strstr(from, "</p>");
        static const char space[] = "\xe2\x80\x8b"; /* what &#8203; became */
        if (strncmp(from, space, sizeof space - 1) == 0)
            from += sizeof space - 1;
        if (!buf_append(page->buf, from, to ? (size_t)(to - from) : strlen(from)))
            page->buf->over = true;
        free(html);
    }
    buf_addf(page->buf, "</%s>", tag);
}

/* Where the cell that begins at `at` ends: at the next bar that is not escaped. */
static const char *cell_end(const char *at, const char *end)
{
    while (at < end && *at != '|')
        at += *at == '\\' && at + 1 < end ? 2 : 1;
    return at;
}

static void add_row(struct page *page, const char *line, size_t len, bool is_head)
{
    const char *end = line + len;
    size_t column = 0;
    buf_add(page->buf, "<tr>");
    for (const char *at = line + 1; at < end; column++) {
        const char *stop = cell_end(at, end);
        add_cell(page, at, (size_t)(stop - at), column, is_head);
        at = stop + 1;
    }
    buf_add(page->buf, "</tr>\n");
}

static void read_alignment(struct page *page, const char *line, size_t len)
{
    const char *end = line + len;
    memset(page->right, 0, sizeof page->right);
    size_t column = 0;
    for (const char *at = line + 1; at < end && column < COLUMNS_MAX; column++) {
        const char *stop = cell_end(at, end);
        page->right[column] = stop > at && stop[-1] == ':';
        at = stop + 1;
    }
}

static void add_table_line(struct page *page, const char *line, size_t len)
{
    if (!page->in_table) {
        flush_text(page);
        buf_add(page->buf, "<div class=\"table\"><table>\n");
        page->in_table = page->in_head = true;
        buf_clear(&page->head_row);
        if (!buf_append(&page->head_row, line, len))
            page->buf->over = true;
    } else if (page->in_head) {
        read_alignment(page, line, len);
        buf_add(page->buf, "<thead>");
        add_row(page, buf_text(&page->head_row), page->head_row.len, true);
        buf_add(page->buf, "</thead><tbody>\n");
        page->in_head = false;
    } else {
        add_row(page, line, len, false);
    }
}

static void end_table(struct page *page)
{
    if (!page->in_table)
        return;
    buf_add(page->buf, "</tbody></table></div>\n");
    page->in_table = false;
}

/* The figures that there may be several of. */
static bool add_knee(struct page *page, const char *line, size_t len)
{
    char name[REPORT_KNEE_NAME];
    for (size_t n = 0; report_knee_name(page->view, n, name); n++) {
        size_t tail = strlen(name);
        if (len < tail + 2 || memcmp(line + len - 1 - tail, name, tail) != 0 ||
            line[len - 2 - tail] != '(')
            continue;
        flush_text(page);
        report_add_knee_figure(page->buf, page->view, n);
        return true;
    }
    return false;
}

static bool add_figure(struct page *page, const char *line, size_t len)
{
    static const struct {
        const char *file;
        void (*add)(struct buf *buf, const struct report_view *view);
    } figures[] = {
        {"](" REPORT_FIGURE_PROGRESSION ")", report_add_progression_figure},
        {"](" REPORT_FIGURE_TRADEOFF ")", report_add_tradeoff_figure},
    };
    if (len < 2 || strncmp(line, "![", 2) != 0)
        return false;
    if (add_knee(page, line, len))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(figures); i++) {
        size_t tail = strlen(figures[i].file);
        if (len < tail || memcmp(line + len - tail, figures[i].file, tail) != 0)
            continue;
        flush_text(page);
        figures[i].add(page->buf, page->view);
        return true;
    }
    return false;
}

static void add_line(struct page *page, const char *line, size_t len)
{
    if (len > 0 && line[0] == '|') {
        add_table_line(page, line, len);
        return;
    }
    end_table(page);
    if (add_figure(page, line, len))
        return;
    if (len > 0 && !buf_append(&page->pending, line, len))
        page->buf->over = true;
    buf_addc(&page->pending, '\n');
}

void report_add_html(struct buf *buf, const struct report_view *view, const char *markdown)
{
    struct page page = {.buf = buf,
                        .view = view,
                        .pending = BUF_INIT(REPORT_MARKDOWN_MAX),
                        .head_row = BUF_INIT(1 << 20)};
    buf_add(buf, head);
    report_add_text(buf, TEXT_HTML, view->study->name);
    buf_add(buf, "</title></head><body>\n");
    for (const char *at = markdown; *at;) {
        size_t len = strcspn(at, "\n");
        add_line(&page, at, len);
        at += len + (at[len] == '\n');
    }
    end_table(&page);
    flush_text(&page);
    buf_add(buf, "</body></html>\n");
    buf_done(&page.pending);
    buf_done(&page.head_row);
}
