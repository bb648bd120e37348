/* What the cards said during one trial, and where its services computed.
 *
 * Unknown readings are named as such: a driver that does not tell the temperature is no cool card.
 * A CPU box has no such part. */
#include "report/trial_sheet.h"
#include "report/words.h"

#include "spec/metric.h"

#include <math.h>
#include <string.h>

static double value_of(const struct store_trial *trial, const char *device, const char *phase,
                       const char *name)
{
    const struct store_reading *r = report_reading(trial, device, NULL, phase, name);
    return r ? r->value : NAN;
}

static void print_memory(const struct trial_sheet *sheet, const char *device)
{
    static const struct {
        enum report_gauge gauge;
        const char *words;
    } parts[] = {{GAUGE_FREE_BEFORE, " before"},
                 {GAUGE_FREE_IDLE, " with all services up"},
                 {GAUGE_FREE_LEAST, " at its least"},
                 {GAUGE_FREE_AFTER, " after"}};
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        double bytes = report_gauge(sheet->trial, device, parts[i].gauge);
        if (isnan(bytes))
            continue;
        buf_add(&text, text.len ? ", " : "");
        text_add_bytes(&text, bytes);
        buf_add(&text, parts[i].words);
    }
    report_print_field(sheet, "free", text.len ? buf_text(&text) : "unknown");
    buf_clear(&text);
    buf_add(&text, "neighbours ");
    text_add_bytes(&text, report_gauge(sheet->trial, device, GAUGE_NEIGHBOURS));
    buf_add(&text, ", strangers ");
    text_add_bytes(&text, report_gauge(sheet->trial, device, GAUGE_STRANGERS));
    report_print_field(sheet, "others held", buf_text(&text));
}

static void add_state(struct buf *text, enum report_gauge gauge, double value, const char *before)
{
    if (isnan(value))
        return;
    buf_add(text, text->len ? ", " : "");
    buf_add(text, before);
    report_add_gauge(text, gauge, value);
}

static void print_notes(const struct trial_sheet *sheet, const char *device)
{
    const struct store_reading *r = report_reading(sheet->trial, device, NULL, "before", "notes");
    if (r && r->words)
        report_print_field(sheet, "note", r->words);
}

static void print_state(const struct trial_sheet *sheet, const char *device)
{
    const struct store_trial *t = sheet->trial;
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    const struct store_reading *throttle = report_reading(t, device, NULL, "measure", "throttle");
    double busy = report_gauge(t, device, GAUGE_BUSY);
    double limit = report_gauge(t, device, GAUGE_POWER_LIMIT);
    double ecc = value_of(t, device, "measure", "ecc_uncorrected");
    if (!report_reading(t, device, NULL, "measure", "temperature"))
        return; /* it ended before a window: nothing was asked */
    add_state(&text, GAUGE_TEMPERATURE, report_gauge(t, device, GAUGE_TEMPERATURE), "");
    add_state(&text, GAUGE_POWER, report_gauge(t, device, GAUGE_POWER), "");
    if (!isnan(limit))
        buf_addf(&text, " of %.0f W", limit);
    add_state(&text, GAUGE_SM_CLOCK, report_gauge(t, device, GAUGE_SM_CLOCK), "SM ");
    add_state(&text, GAUGE_SM_CLOCK, value_of(t, device, "measure", "memory_clock"), "memory ");
    report_print_field(sheet, "state", text.len ? buf_text(&text) : "unknown");
    buf_clear(&text);
    metric_add_value(&text, UNIT_RATIO, busy);
    report_print_field(sheet, "busy",
                       arena_printf(sheet->arena, "%s%s", buf_text(&text),
                                    isnan(busy) ? "" : " of the windows, mean"));
    report_print_field(sheet, "slowed by",
                       !throttle || isnan(throttle->value)          ? "unknown"
                       : throttle->words && throttle->words[0] != 0 ? throttle->words
                                                                    : "nothing");
    if (ecc > 0)
        report_print_field(sheet, "ECC",
                           arena_printf(sheet->arena, "%.0f uncorrected errors", ecc));
}

static bool seen_before(const struct store_trial *trial, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (trial->readings[i].device &&
            strcmp(trial->readings[i].device, trial->readings[index].device) == 0)
            return true;
    return false;
}

void report_print_cards(const struct trial_sheet *sheet)
{
    for (size_t i = 0; i < sheet->trial->reading_count; i++) {
        const char *device = sheet->trial->readings[i].device;
        if (!spec_device_is_gpu(device) || seen_before(sheet->trial, i))
            continue;
        AUTO(buf_done) struct buf name = BUF_INIT(1024);
        report_add_text(&name, TEXT_TERMINAL, device);
        fputc('\n', sheet->out);
        report_print_painted(sheet->out, sheet->terminal, PAINT_BOLD, buf_text(&name));
        fputc('\n', sheet->out);
        print_memory(sheet, device);
        print_state(sheet, device);
        print_notes(sheet, device);
    }
}

void report_print_proof(const struct trial_sheet *sheet, const struct store_service *service)
{
    const char *at = service->placement_evidence, *label = "proof";
    if (!spec_device_is_gpu(service->device)) {
        report_print_field(sheet, label, at);
        return;
    }
    while (at && *at) {
        const char *end = strstr(at, "; ");
        size_t len = end ? (size_t)(end - at) : strlen(at);
        report_print_field(sheet, label, arena_strndup(sheet->arena, at, len));
        at += len + (end ? 2 : 0);
        label = "";
    }
}

void report_print_read_back(const struct trial_sheet *sheet, const struct store_service *service)
{
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"};
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct store_reading *r =
            report_reading(sheet->trial, NULL, service->name, "probe", names[i]);
        if (r)
            buf_addf(&text, "%s%s=%s", text.len ? " " : "", names[i], r->words ? r->words : "");
    }
    report_print_field(sheet, "read back", buf_text(&text));
}

bool report_has_fallback(const struct store_trial *trial)
{
    for (size_t i = 0; i < trial->metric_count; i++)
        if (strcmp(trial->metrics[i].mode, "fallback") == 0)
            return true;
    return false;
}

static const struct store_metric *twin_of(const struct report_fallback *fallback,
                                          const struct store_metric *m)
{
    for (size_t i = 0; fallback && fallback->twin && i < fallback->twin->metric_count; i++) {
        const struct store_metric *other = &fallback->twin->metrics[i];
        if (strcmp(other->mode, fallback->twin_metric->mode) == 0 &&
            strcmp(other->service, m->service) == 0 && strcmp(other->metric, m->metric) == 0 &&
            strcmp(other->stat, m->stat) == 0)
            return other;
    }
    return NULL;
}

void report_print_fallback(const struct trial_sheet *sheet, const struct report_fallback *fallback)
{
    struct report_grid grid = {.arena = sheet->arena, .column_count = 4, .right = {[2] = true}};
    struct grid_row *head = report_grid_add(&grid);
    bool twin = fallback && fallback->twin;
    head->cells[0] = "metric";
    head->cells[1] = "where it ran";
    head->cells[2] = "n";
    head->cells[3] =
        twin ? arena_printf(sheet->arena, "on the GPU (#%lld)", (long long)fallback->twin->number)
             : "";
    head->paint = PAINT_BOLD;
    for (size_t i = 0; i < sheet->trial->metric_count; i++) {
        const struct store_metric *m = &sheet->trial->metrics[i];
        if (strcmp(m->mode, "fallback") != 0)
            continue;
        AUTO(buf_done) struct buf name = BUF_INIT(1024), shown = BUF_INIT(4096);
        buf_addf(&name, "%s.%s%s%s", m->service, m->metric, *m->stat ? "." : "", m->stat);
        report_add_text(&shown, TEXT_TERMINAL, buf_text(&name));
        struct grid_row *row = report_grid_add(&grid);
        row->cells[0] = arena_strdup(sheet->arena, buf_text(&shown));
        row->cells[1] = report_metric_text(sheet, m);
        row->cells[2] = arena_printf(sheet->arena, "%lld", (long long)m->count);
        row->cells[3] = report_metric_text(sheet, twin_of(fallback, m));
    }
    fputs("\nmeasured in the wrong place: evidence, never fitness\n", sheet->out);
    report_grid_print(&grid, sheet->out, sheet->terminal, 2);
    if (!fallback)
        return;
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    buf_add(&text, "  ");
    report_add_fallback(&text, fallback);
    report_print_wrapped(sheet->out, sheet->terminal, buf_text(&text), 0, 2);
}
