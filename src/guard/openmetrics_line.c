/* Two forms of one line. OpenMetrics names a counter's family without "_total", knows units and
 * infos, and wants quotes in a help text escaped; the old text names families as their samples are
 * named, and knows neither units nor infos. The names of samples are the same.
 *
 * Outside text (a rule's name, a tier's) is made valid UTF-8 without line ends before it is quoted,
 * so no name can end a line or a label. Rejected: refusing such names in the study file; they are
 * shown in many places, and each knows best what it can't bear. */
#include "guard/openmetrics_line.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

static const char *const type_words[][2] = {
    /* per guard_exposition */
    [FAMILY_GAUGE] = {"gauge", "gauge"},
    [FAMILY_COUNTER] = {"counter", "counter"},
    [FAMILY_SUMMARY] = {"summary", "summary"},
    [FAMILY_INFO] = {"info", "gauge"},
};
static const char *const suffixes[] = {"", "_total", "", "_info"}; /* per family_type */

void openmetrics_line_head(struct line_out *out, const struct line_family *family, const char *help)
{
    bool open = out->form == EXPOSE_OPENMETRICS;
    const char *suffix = open ? "" : suffixes[family->type];
    buf_addf(out->buf, "# HELP %s%s ", family->name, suffix);
    for (; *help; help++) {
        if (*help == '\\' || (open && *help == '"'))
            buf_addc(out->buf, '\\');
        buf_addc(out->buf, *help == '\n' ? ' ' : *help);
    }
    buf_addf(out->buf, "\n# TYPE %s%s %s\n", family->name, suffix,
             type_words[family->type][out->form]);
    if (open && family->unit)
        buf_addf(out->buf, "# UNIT %s %s\n", family->name, family->unit);
}

/* Valid UTF-8 without line ends, then what a label's quotes want. */
static void add_quoted(struct buf *buf, const char *text)
{
    AUTO(buf_done) struct buf safe = BUF_INIT(4096);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), 1000);
    buf_addc(buf, '"');
    for (const char *at = buf_text(&safe); *at; at++) {
        if (*at == '\\' || *at == '"')
            buf_addc(buf, '\\');
        buf_addc(buf, *at);
    }
    buf_addc(buf, '"');
}

void openmetrics_line_sample(struct line_out *out, const struct line_family *family,
                             const struct line_label labels[LINE_LABELS_MAX], double value)
{
    bool any = false;
    if (!isfinite(value))
        return;
    buf_addf(out->buf, "%s%s", family->name, suffixes[family->type]);
    for (size_t i = 0; i < LINE_LABELS_MAX; i++) {
        if (!labels[i].name)
            continue;
        buf_addf(out->buf, "%s%s=", any ? "," : "{", labels[i].name);
        add_quoted(out->buf, labels[i].value ? labels[i].value : "");
        any = true;
    }
    buf_addf(out->buf, "%s %.15g\n", any ? "}" : "", value);
}

void openmetrics_line_single(struct line_out *out, const struct line_family *family, double value)
{
    openmetrics_line_head(out, family, family->help);
    openmetrics_line_sample(out, family, (struct line_label[LINE_LABELS_MAX]){{NULL, NULL}}, value);
}
