/* The progress of a run. Settings are shown as what differs from today's (the baseline): with seven
 * knobs a table of all values fits no terminal, and nobody reads the columns that never change. */
#include "cli/display.h"
#include "cli/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "report/report.h"
#include "report/told.h"
#include "trial/goal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    METRICS_SHOWN = 3,
    METRIC_WIDTH = 12,
    VERDICT_WIDTH = 20,
    GPU_VERDICT_WIDTH = 12,
    GPU_METRIC_WIDTH = 12, /* memory is one more */
    FITNESS_WIDTH = 9,
    BAR_CELLS = 16
};

struct display display_init(const struct spec_study *study, FILE *out)
{
    int fd = fileno(out);
    return (struct display){
        .out = out,
        .live = isatty(fd) && cli_color(fd),
        .color = cli_color(fd),
        .width = cli_width(fd),
        .best_fitness = NAN,
        .study = study,
        .gpu = spec_study_on_gpu(study),
    };
}

static int metric_width(const struct display *display)
{
    return display->gpu ? GPU_METRIC_WIDTH : METRIC_WIDTH;
}

static int verdict_width(const struct display *display)
{
    return display->gpu ? GPU_VERDICT_WIDTH : VERDICT_WIDTH;
}

static size_t metrics_shown(const struct display *display)
{
    size_t n = display->study->objective_count;
    return n < METRICS_SHOWN ? n : METRICS_SHOWN;
}

/* At most `columns` of the text, with an ellipsis when it is cut; padded to the left or right. */
static void add_cell(struct buf *line, const char *text, int columns, bool right)
{
    int len = (int)text_columns(text);
    if (len > columns) {
        size_t bytes = 0;
        for (int c = 0; c < columns - 1 && text[bytes]; c++)
            do
                bytes++;
            while (((unsigned char)text[bytes] & 0xc0) == 0x80);
        (void)!buf_append(line, text, bytes);
        buf_add(line, "…");
        return;
    }
    for (int i = len; right && i < columns; i++)
        buf_addc(line, ' ');
    buf_add(line, text);
    for (int i = len; !right && i < columns; i++)
        buf_addc(line, ' ');
}

void display_add_settings(struct buf *buf, const struct spec_study *study,
                          const struct spec_candidate *candidate)
{
    size_t start = buf->len;
    for (size_t k = 0; k < study->knob_count; k++) {
        const struct spec_value *value = spec_candidate_value(study, candidate, k);
        if (study->baseline && candidate->index[k] == study->baseline[k])
            continue;
        if (!value) /* inactive: what made it so is shown */
            continue;
        buf_addf(buf, "%s%s=%s", buf->len > start ? " " : "", study->knobs[k].full_name,
                 value->label);
    }
    if (buf->len == start)
        buf_add(buf, study->baseline ? "baseline" : "(no knobs)");
}

void display_clear(struct display *display)
{
    for (; display->live_lines > 0; display->live_lines--)
        fputs("\033[A\033[2K", display->out);
    fflush(display->out);
}

void display_done(struct display *display)
{
    for (size_t i = 0; i < ARRAY_LEN(display->lanes); i++)
        free(display->lanes[i].row);
}

static void add_metric_title(struct buf *buf, const struct display *display, size_t objective)
{
    const char *name = display->study->objectives[objective].name;
    const char *dot = strchr(name, '.'), *stat = strrchr(name, '.');
    AUTO(buf_done) struct buf title = BUF_INIT(128);
    if (dot && stat && stat != dot)
        buf_addf(&title, "%.*s %s", (int)(dot - name), name, stat + 1); /* "stt p95" */
    else if (dot)
        buf_addf(&title, "%.*s %s", (int)(dot - name), name, dot + 1);
    const struct metric_ref *ref = &display->study->objectives[objective].metric;
    if (ref->metric == METRIC_TTFT || ref->metric == METRIC_TURN) {
        buf_clear(&title);
        buf_addf(&title, "%s %s", metric_facts(ref->metric)->name, stat + 1);
    } else if (ref->metric == METRIC_TOKENS_PER_S) {
        buf_clear(&title);
        buf_add(&title, "tokens/s");
    }
    add_cell(buf, buf_text(&title), metric_width(display), true);
}

static void print_titles(const struct display *display)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    buf_add(&line, "  #  ");
    add_cell(&line, "verdict", verdict_width(display), false);
    for (size_t k = 0; k < metrics_shown(display); k++)
        add_metric_title(&line, display, k);
    if (display->gpu)
        add_cell(&line, "memory", metric_width(display), true);
    add_cell(&line, "fitness", FITNESS_WIDTH, true);
    fprintf(display->out, "%s\n", buf_text(&line));
}

/* Text over as many lines as it needs, broken at blanks. `used`: columns of the first line that are
 * taken already; the others begin at the table's indent or below it. */
static void print_wrapped(const struct display *display, const char *text, int used)
{
    enum { INDENT = 5 };
    int width = display->live ? display->width : 100, begin = used ? used : INDENT;
    for (bool first = true; *text; first = false) {
        int room = width - begin;
        size_t bytes = 0, last_blank = 0;
        for (int column = 0; text[bytes] && column < room; column++) {
            if (text[bytes] == ' ')
                last_blank = bytes;
            do
                bytes++;
            while (((unsigned char)text[bytes] & 0xc0) == 0x80);
        }
        size_t take = !text[bytes] ? bytes : last_blank ? last_blank : bytes;
        fprintf(display->out, "%*s%.*s\n", first && used ? 0 : begin, "", (int)take, text);
        text += take;
        text += strspn(text, " ");
    }
}

static void on_begin(void *context, const struct study_view *view, bool resumed)
{
    struct display *display = context;
    const struct spec_study *study = view->study;
    display_print_head(display, view);
    if (resumed)
        fprintf(display->out, "resumed: %" PRId64 " trials are done\n", view->trials_done);
    if (study->baseline)
        fprintf(display->out, "below each trial stands what differs from the baseline\n");
    fputc('\n', display->out);
    print_titles(display);
    fflush(display->out);
}

static void add_purpose(struct buf *buf, const struct store_trial *trial)
{
    if (strcmp(trial->purpose, "final") == 0)
        buf_addf(buf, "final, repeat %d: ", trial->repeat);
}

static const char *verdict_color(const char *verdict)
{
    if (strcmp(verdict, "ok") == 0)
        return "\033[32m";
    int v = verdict_from_name(verdict);
    return v == VERDICT_SLOW || (v >= 0 && verdict_facts((enum verdict)v)->retried) ? "\033[33m"
                                                                                    : "\033[31m";
}

/* The sum of the services' peaks on their devices. */
static double memory_of(const struct store_trial *trial)
{
    double sum = 0;
    for (size_t i = 0; i < trial->service_count; i++)
        sum += trial->services[i].peak_memory_bytes;
    return trial->service_count ? sum : NAN;
}

static void add_metrics(struct buf *line, const struct display *display,
                        const struct store_trial *trial)
{
    const struct spec_study *study = display->study;
    for (size_t k = 0; k < metrics_shown(display); k++) {
        const struct metric_ref *ref = &study->objectives[k].metric;
        AUTO(buf_done) struct buf value = BUF_INIT(64);
        const struct report_told told = report_told_of(study, trial, *ref);
        report_add_told(&value, metric_facts(ref->metric)->unit, &told);
        add_cell(line, buf_text(&value), metric_width(display), true);
    }
    if (display->gpu) {
        AUTO(buf_done) struct buf value = BUF_INIT(64);
        text_add_bytes(&value, memory_of(trial));
        add_cell(line, buf_text(&value), metric_width(display), true);
    }
}

/* The reason, wrapped; on a GPU beside the verdict, which took `used` columns of the line. */
static void print_reason(const struct display *display, const struct store_trial *trial, int used)
{
    AUTO(buf_done) struct buf reason = BUF_INIT(8192);
    if (!trial->summary || !*trial->summary)
        return;
    report_add_reason(&reason, display->study, trial);
    print_wrapped(display, buf_text(&reason), used);
}

static void print_settings(const struct display *display, const struct study_view *view,
                           const struct store_trial *trial)
{
    struct spec_candidate candidate;
    AUTO(buf_done) struct buf settings = BUF_INIT(65536), kept = BUF_INIT(4096);
    add_purpose(&settings, trial);
    if (spec_candidate_parse(view->study, trial->candidate, &candidate, NULL))
        display_add_settings(&settings, view->study, &candidate);
    display_kept_add_finished(&kept, &display->lanes[view->lane].kept, trial);
    if (kept.len)
        buf_addf(&settings, " · %s", buf_text(&kept));
    for (size_t i = 0; i < trial->evidence_count; i++)
        if (trial->evidence[i].kind && strcmp(trial->evidence[i].kind, "warm-up") == 0)
            buf_addf(&settings, " · warm-up in %s's window", trial->evidence[i].service);
    print_wrapped(display, buf_text(&settings), 0);
}

static void on_trial_end(void *context, const struct study_view *view,
                         const struct store_trial *trial)
{
    struct display *display = context;
    display_clear(display);
    free(display->lanes[view->lane].row);
    display->lanes[view->lane].row = NULL;
    display_kept_note_trial(&display->lanes[view->lane].kept, view->study, trial);
    AUTO(buf_done) struct buf line = BUF_INIT(65536);
    bool measured = !isnan(trial->fitness), beside = display->gpu && !measured;
    int width = verdict_width(display), len = (int)strlen(trial->verdict);
    buf_addf(&line, "%3" PRId64 "  ", trial->number);
    if (display->color)
        buf_add(&line, verdict_color(trial->verdict));
    add_cell(&line, trial->verdict, len > width ? len : width, false);
    if (display->color)
        buf_add(&line, "\033[0m");
    if (measured) {
        add_metrics(&line, display, trial);
        buf_addf(&line, " %7.3f", trial->fitness);
    }
    if (measured && strcmp(trial->verdict, "ok") == 0 && strcmp(trial->purpose, "final") != 0 &&
        (isnan(display->best_fitness) || trial->fitness > display->best_fitness)) {
        display->best_fitness = trial->fitness;
        if (trial->number > 1)
            buf_add(&line, display->width >= 88 ? "  best so far" : "  best");
    }
    bool reason = beside && trial->summary && *trial->summary;
    fprintf(display->out, "%s%s", buf_text(&line), reason ? "  " : "\n");
    if (reason)
        print_reason(display, trial, 5 + (len > width ? len : width) + 2);
    print_settings(display, view, trial);
    if (!beside)
        print_reason(display, trial, 0);
    fflush(display->out);
}

static void add_bar(struct buf *line, double share)
{
    int full = (int)(share * BAR_CELLS + 0.5);
    for (int i = 0; i < BAR_CELLS; i++)
        buf_add(line, i < full ? "█" : "░");
}

static const char *phase_words(enum trial_phase phase)
{
    static const char *const words[PHASE_COUNT_] = {
        [PHASE_START] = "starting",
        [PHASE_PROBE] = "probing",
        [PHASE_WARMUP] = "warming up",
        [PHASE_MEASURE] = "measuring",
        [PHASE_DRAIN] = "waiting for answers",
        [PHASE_ALONE] = "measuring alone",
        [PHASE_CAPACITY] = "capacity of",
        [PHASE_STOP] = "stopping",
    };
    return words[phase];
}

static void add_phase(struct buf *line, const struct spec_study *study,
                      const struct trial_progress *p)
{
    buf_addf(line, "%s%s%s", phase_words(p->phase), p->service ? " " : "",
             p->service ? p->service : "");
    if (!isnan(p->expected_s) && p->expected_s > 0) {
        buf_addc(line, ' ');
        add_bar(line, fmin(p->elapsed_s / p->expected_s, 1));
        buf_addf(line, " %.0f s of %.0f", p->elapsed_s, p->expected_s);
    } else {
        buf_addf(line, " %.0f s", p->elapsed_s);
    }
    for (size_t i = 0; i < study->service_count; i++)
        if (p->loads[i].answered + p->loads[i].failed > 0) {
            buf_addf(line, " · %s %" PRIu64, study->services[i].name, p->loads[i].answered);
            if (p->loads[i].failed)
                buf_addf(line, " (%" PRIu64 " failed)", p->loads[i].failed);
        }
}

/* A line per phase, for logs of runs that nobody watches. */
static void name_phase(struct display *display, size_t lane, const struct trial_request *request,
                       const struct trial_progress *progress)
{
    if (display->lanes[lane].trial == request->number &&
        display->lanes[lane].phase == progress->phase &&
        display->lanes[lane].service == progress->service)
        return;
    display->lanes[lane].trial = request->number;
    display->lanes[lane].phase = progress->phase;
    display->lanes[lane].service = progress->service;
    char who[48];
    snprintf(who, sizeof who, "trial %" PRId64, request->number);
    log_write(LOG_INFO, who, "%s%s%s", phase_words(progress->phase), progress->service ? " " : "",
              progress->service ? progress->service : "");
}

/* Rows of all lanes, of which this one has changed; then how long it still takes. */
static void show_lanes(struct display *display, const struct study_view *view,
                       const struct trial_request *request, const struct trial_progress *progress)
{
    AUTO(buf_done) struct buf line = BUF_INIT(65536), cut = BUF_INIT(65536);
    buf_addf(&line, "%3" PRId64 "  %s ", request->number, view->study->devices[view->lane]);
    add_phase(&line, view->study, progress);
    buf_add(&line, " · ");
    display_add_settings(&line, view->study, &request->candidate);
    add_cell(&cut, buf_text(&line), display->width - 1, false);
    free(display->lanes[view->lane].row);
    display->lanes[view->lane].row = buf_take(&cut);
    display_clear(display);
    for (size_t i = 0; i < view->lanes; i++) {
        if (!display->lanes[i].row)
            continue;
        fprintf(display->out, "%s\n", display->lanes[i].row);
        display->live_lines++;
    }
    buf_clear(&line);
    buf_add(&line, "     about ");
    text_add_duration(&line, fmax(view->left_s, 0));
    fprintf(display->out, "%s left\n", buf_text(&line));
    display->live_lines++;
    fflush(display->out);
}

/* A third live line, when there is something to say. */
static void print_kept(struct display *display, const struct trial_request *request,
                       const struct trial_progress *progress)
{
    AUTO(buf_done) struct buf kept = BUF_INIT(4096), cut = BUF_INIT(8192);
    display_kept_add_live(&kept, &display->lanes[0].kept, display->study, request, progress);
    if (kept.len == 0)
        return;
    add_cell(&cut, buf_text(&kept), display->width - 6, false);
    fprintf(display->out, "     %s\n", buf_text(&cut));
    display->live_lines++;
}

static void on_progress(void *context, const struct study_view *view,
                        const struct trial_request *request, const struct trial_progress *progress)
{
    struct display *display = context;
    display_kept_note_progress(&display->lanes[view->lane].kept, view->study, progress);
    if (display->verbose)
        name_phase(display, view->lane, request, progress);
    if (!display->live)
        return;
    if (view->lanes > 1) {
        show_lanes(display, view, request, progress);
        return;
    }
    display_clear(display);
    AUTO(buf_done)
    struct buf settings = BUF_INIT(65536), line = BUF_INIT(65536), cut = BUF_INIT(65536);
    buf_addf(&line, "%3" PRId64 "  ", request->number);
    if (strcmp(request->purpose, "final") == 0)
        buf_addf(&line, "final, repeat %d: ", request->repeat);
    display_add_settings(&settings, view->study, &request->candidate);
    buf_addf(&line, "%s", buf_text(&settings));
    add_cell(&cut, buf_text(&line), display->width - 1, false);
    fprintf(display->out, "%s\n", buf_text(&cut));
    buf_clear(&line);
    buf_clear(&cut);
    buf_add(&line, "     ");
    add_phase(&line, view->study, progress);
    buf_add(&line, " · about ");
    text_add_duration(&line, fmax(view->left_s - progress->elapsed_s, 0));
    buf_add(&line, " left");
    add_cell(&cut, buf_text(&line), display->width - 1, false);
    fprintf(display->out, "%s\n", buf_text(&cut));
    display->live_lines = 2;
    print_kept(display, request, progress);
    fflush(display->out);
}

static void on_waiting(void *context, const char *why)
{
    struct display *display = context;
    fprintf(display->out, "waiting: %s\n", why);
    fflush(display->out);
}

struct study_observer display_observer(struct display *display)
{
    return (struct study_observer){
        .context = display,
        .begin = on_begin,
        .progress = on_progress,
        .trial_end = on_trial_end,
        .waiting = on_waiting,
    };
}
