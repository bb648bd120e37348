/* The parts of report.md about GPUs: where each service computed and how that was proven, what each
 * holds, and what the card itself said.
 *
 * Placement is shown with both of its pieces of evidence, since one alone (a process that is listed
 * on the card) is what misled people. Growth is said where it matters only: every server's memory
 * moves a little, and a table full of small slopes hides the one leak. */
#include "report/markdown.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

static const enum text_target MD = TEXT_MARKDOWN;

static bool is_shown(const struct report_side *side)
{
    return (side->is_winner || side->is_baseline) && side->run_count > 0;
}

static size_t placed_on_gpu(const struct report_side *side, const char *service, const char *where)
{
    size_t count = 0;
    for (size_t i = 0; i < side->run_count; i++)
        for (size_t k = 0; k < side->runs[i]->service_count; k++) {
            const struct store_service *s = &side->runs[i]->services[k];
            count += strcmp(s->name, service) == 0 && s->placement && where &&
                     strcmp(s->placement, where) == 0;
        }
    return count;
}

/* Two cells: the first piece of evidence, and the others. */
static void add_evidence(struct buf *buf, const struct store_service *s)
{
    const char *text = s->placement_evidence ? s->placement_evidence : "not probed";
    const char *second = strstr(text, "; ");
    AUTO(buf_done) struct buf first = BUF_INIT(4096);
    buf_addf(&first, "%.*s", (int)(second ? (size_t)(second - text) : strlen(text)), text);
    buf_addc(buf, ' ');
    report_add_text(buf, MD, buf_text(&first));
    buf_add(buf, " | ");
    report_add_text(buf, MD, second ? second + 2 : "none");
    buf_add(buf, " |");
}

static void add_place(struct buf *buf, const struct report_side *side, const char *title,
                      const struct store_service *s)
{
    buf_addf(buf, "| %s | ", title);
    report_add_text(buf, MD, s->name);
    buf_add(buf, " | ");
    AUTO(buf_done) struct buf devices = BUF_INIT(1024);
    report_add_devices(&devices, side, s->name);
    report_add_text(buf, MD, buf_text(&devices));
    buf_addf(buf, " | **%s** in %zu of %zu runs |", s->placement ? s->placement : "not probed",
             placed_on_gpu(side, s->name, s->placement), side->run_count);
    add_evidence(buf, s);
    const struct store_reading *saw =
        report_reading(side->runs[0], NULL, s->name, "probe", "CUDA_VISIBLE_DEVICES");
    buf_addc(buf, ' ');
    report_add_text(buf, MD, saw && saw->words ? saw->words : "not read");
    buf_add(buf, " |\n");
}

static void add_versions(struct buf *buf, const struct store_trial *run)
{
    buf_add(buf, "Versions:");
    for (size_t i = 0; i < run->service_count; i++) {
        const struct store_service *s = &run->services[i];
        buf_add(buf, i ? ", " : " ");
        report_add_text(buf, MD, s->name);
        buf_addc(buf, ' ');
        report_add_text(buf, MD, s->engine ? s->engine : "");
        buf_add(buf, s->engine ? " " : "");
        report_add_text(buf, MD, s->version ? s->version : "unknown");
    }
    buf_add(buf, ".\n\n");
}

void report_add_places(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64);
    const struct store_trial *last = NULL;
    for (size_t i = 0; i < view->side_count; i++) {
        const struct report_side *side = &view->sides[i];
        if (!is_shown(side))
            continue;
        if (!last)
            buf_add(buf, "## Where it ran\n\n"
                         "| | service | put on | computed on | the driver lists | and at work | "
                         "CUDA\\_VISIBLE\\_DEVICES, read back |\n|---|---|---|---|---|---|---|\n");
        last = side->runs[0];
        for (size_t k = 0; k < last->service_count; k++)
            add_place(buf, side, report_side_title(view, i, &scratch), &last->services[k]);
    }
    if (!last)
        return;
    buf_add(buf, "\nEvidence of each one's first run of the final; a run in which a service "
                 "computed elsewhere than it should has failed, whatever its latency. ");
    add_versions(buf, last);
}

static const struct report_number *number_of(const struct report_view *view,
                                             const struct report_side *side, size_t service,
                                             enum metric metric)
{
    for (size_t k = 0; k < view->measure_count; k++)
        if (view->measures[k].service == service && view->measures[k].metric == metric)
            return &side->shared[k];
    return NULL;
}

static void add_bytes_cell(struct buf *buf, const struct report_number *number)
{
    buf_addc(buf, ' ');
    if (!number || isnan(number->value))
        buf_add(buf, "unknown");
    else
        text_add_bytes(buf, number->value);
    buf_add(buf, " |");
}

static void add_growth_cell(struct buf *buf, const struct report_number *number)
{
    if (!number || isnan(number->value)) {
        buf_add(buf, " unknown |");
    } else if (number->value < REPORT_GROWTH_BYTES_PER_S) {
        buf_add(buf, " under 64 MiB/min |");
    } else {
        buf_addc(buf, ' ');
        metric_add_value(buf, UNIT_BYTES_PER_SECOND, number->value);
        buf_add(buf, ": leak or cache? |");
    }
}

static void add_services(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64);
    buf_add(buf, "| | service | idle | peak | growth under load | host memory, peak |\n"
                 "|---|---|--:|--:|--:|--:|\n");
    for (size_t i = 0; i < view->side_count; i++) {
        const struct report_side *side = &view->sides[i];
        for (size_t s = 0; is_shown(side) && s < view->study->service_count; s++) {
            buf_addf(buf, "| %s | ", report_side_title(view, i, &scratch));
            report_add_text(buf, MD, view->study->services[s].name);
            buf_add(buf, " |");
            add_bytes_cell(buf, number_of(view, side, s, METRIC_MEMORY_IDLE));
            add_bytes_cell(buf, number_of(view, side, s, METRIC_MEMORY));
            add_growth_cell(buf, number_of(view, side, s, METRIC_MEMORY_GROWTH));
            add_bytes_cell(buf, number_of(view, side, s, METRIC_HOST_MEMORY));
            buf_addc(buf, '\n');
        }
    }
    buf_addc(buf, '\n');
}

static void add_gauge_value(struct buf *buf, enum report_gauge gauge, double value)
{
    switch (gauge) {
    case GAUGE_BUSY:
        metric_add_value(buf, UNIT_RATIO, value);
        return;
    case GAUGE_TEMPERATURE:
        buf_addf(buf, "%.0f °C", value);
        return;
    case GAUGE_POWER:
    case GAUGE_POWER_LIMIT:
        buf_addf(buf, "%.0f W", value);
        return;
    case GAUGE_SM_CLOCK:
        buf_addf(buf, "%.0f MHz", value / 1e6);
        return;
    default:
        text_add_bytes(buf, value);
    }
}

void report_add_gauge(struct buf *buf, enum report_gauge gauge, double value)
{
    if (isnan(value))
        buf_add(buf, "unknown");
    else
        add_gauge_value(buf, gauge, value);
}

/* The least of all runs for free memory at its least, else the mean. */
static double telling(const struct report_card *card, enum report_gauge gauge)
{
    return gauge == GAUGE_FREE_LEAST ? card->gauges[gauge].low : card->gauges[gauge].mean;
}

static const struct report_card *card_of(const struct report_side *side, const char *device)
{
    for (size_t i = 0; i < side->card_count; i++)
        if (strcmp(side->cards[i].device, device) == 0)
            return &side->cards[i];
    return NULL;
}

static void add_throttle(struct buf *buf, const struct report_card *card)
{
    if (!card || card->throttle_known == 0) {
        buf_add(buf, " unknown |");
    } else if (card->throttled == 0) {
        buf_add(buf, " nothing |");
    } else {
        buf_addc(buf, ' ');
        report_add_text(buf, MD, card->throttle);
        buf_addf(buf, " (%zu of %zu runs) |", card->throttled, card->throttle_known);
    }
}

static const struct {
    enum report_gauge gauge;
    const char *title;
} gauge_rows[] = {
    {GAUGE_FREE_BEFORE, "free before anything was started"},
    {GAUGE_NEIGHBOURS, "held by declared neighbours"},
    {GAUGE_FREE_IDLE, "free with all services up and idle"},
    {GAUGE_FREE_LEAST, "free at its least: what is left for others"},
    {GAUGE_FREE_AFTER, "free after they had been stopped"},
    {GAUGE_BUSY, "busy in the windows, mean"},
    {GAUGE_TEMPERATURE, "temperature at the window's end"},
    {GAUGE_POWER, "power at the window's end"},
    {GAUGE_POWER_LIMIT, "power limit"},
    {GAUGE_SM_CLOCK, "SM clock at the window's end"},
};

static void add_card_rows(struct buf *buf, const struct report_view *view, const char *device)
{
    for (size_t r = 0; r < ARRAY_LEN(gauge_rows); r++) {
        enum report_gauge gauge = gauge_rows[r].gauge;
        if (gauge == GAUGE_NEIGHBOURS && view->study->neighbour_count == 0)
            continue;
        buf_addf(buf, "| %s |", gauge_rows[r].title);
        for (size_t i = 0; i < view->side_count; i++) {
            const struct report_card *card = card_of(&view->sides[i], device);
            if (!is_shown(&view->sides[i]))
                continue;
            buf_addc(buf, ' ');
            report_add_gauge(buf, gauge, card ? telling(card, gauge) : NAN);
            buf_add(buf, " |");
        }
        buf_addc(buf, '\n');
    }
    buf_add(buf, "| slowed down by |");
    for (size_t i = 0; i < view->side_count; i++)
        if (is_shown(&view->sides[i]))
            add_throttle(buf, card_of(&view->sides[i], device));
    buf_add(buf, "\n\n");
}

static void add_notes(struct buf *buf, const struct report_view *view, const char *device)
{
    for (size_t i = 0; i < view->side_count; i++) {
        const struct report_card *card = card_of(&view->sides[i], device);
        AUTO(buf_done) struct buf scratch = BUF_INIT(64);
        if (!is_shown(&view->sides[i]) || !card || !card->notes)
            continue;
        report_add_text(buf, MD, device);
        buf_addf(buf, ", %s: ", report_side_title(view, i, &scratch));
        report_add_text(buf, MD, card->notes);
        buf_addf(buf, " (%zu of %zu runs).\n\n", card->noted, view->sides[i].run_count);
    }
}

static void add_card(struct buf *buf, const struct report_view *view, const char *device)
{
    AUTO(buf_done) struct buf scratch = BUF_INIT(64), line = BUF_INIT(256);
    bool any = false;
    for (size_t i = 0; i < view->side_count; i++)
        any = any || (is_shown(&view->sides[i]) && card_of(&view->sides[i], device));
    if (!any)
        return;
    buf_add(buf, "| ");
    report_add_text(buf, MD, device);
    buf_add(buf, " |");
    buf_add(&line, "\n|---|");
    for (size_t i = 0; i < view->side_count; i++)
        if (is_shown(&view->sides[i])) {
            buf_addf(buf, " %s |", report_side_title(view, i, &scratch));
            buf_add(&line, "--:|");
        }
    buf_addf(buf, "%s\n", buf_text(&line));
    add_card_rows(buf, view, device);
    add_notes(buf, view, device);
}

void report_add_memory(struct buf *buf, const struct report_view *view)
{
    bool any = false;
    for (size_t i = 0; i < view->side_count; i++)
        any = any || is_shown(&view->sides[i]);
    if (!any)
        return;
    buf_add(buf, "## Memory\n\n");
    add_services(buf, view);
    for (size_t d = 0; d < view->study->device_count; d++)
        if (spec_device_is_gpu(view->study->devices[d]))
            add_card(buf, view, view->study->devices[d]);
    buf_add(buf, "Means over the runs of the final; the least free memory is that of the worst "
                 "run. Idle is after the start, before the first request.\n\n");
}
