/* The lines above the table of a run: what is measured, on which device, who else is on it.
 *
 * What the neighbours hold is read here once more, by a look of our own: the study's first reading
 * comes with its first trial, and whoever sees a foreign 40 GiB there would rather stop at once. */
#include "cli/display.h"

#include "base/text.h"
#include "device/sample.h"
#include "report/report.h"

#include <math.h>
#include <string.h>

/* Memory that declared neighbours hold on the study's GPUs now; NaN unknown. */
static double neighbour_bytes(const struct spec_study *study)
{
    const struct device_ours ours = {.neighbours = study->neighbours,
                                     .neighbour_count = study->neighbour_count};
    double sum = NAN;
    for (size_t i = 0; i < study->device_count; i++) {
        AUTO(device_close) struct device *device = NULL;
        struct err err = ERR_INIT; /* the study itself says why a device can't be used */
        if (!spec_device_is_gpu(study->devices[i]) ||
            !device_open(study->devices[i], "/proc", &device, &err))
            continue;
        struct device_sample sample;
        device_sample(device, &ours, &sample);
        double bytes = reading_value(sample.neighbour_bytes);
        sum = isnan(sum) ? bytes : sum + bytes;
    }
    return sum;
}

static void print_neighbours(const struct display *display)
{
    const struct spec_study *study = display->study;
    AUTO(buf_done) struct buf line = BUF_INIT(8192);
    if (study->neighbour_count == 0)
        return;
    report_add_neighbours(&line, study, display->gpu ? neighbour_bytes(study) : NAN);
    fprintf(display->out, "neighbours: %s\n", buf_text(&line));
}

static void print_device(const struct display *display, const struct device_facts *device)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    if (!display->gpu)
        return;
    text_add_bytes(&line, device->memory_bytes);
    buf_add(&line, device->versions[0] ? ", " : "");
    text_add_escaped(&line, TEXT_TERMINAL, device->versions, strlen(device->versions), 256);
    fprintf(display->out, "%s: %s\n", display->study->device, buf_text(&line));
    if (device->notes[0])
        fprintf(display->out, "note: %s\n", device->notes);
}

static void print_lanes(const struct display *display, const struct study_view *view)
{
    const struct spec_study *study = view->study;
    if (study->lane_count < 2)
        return;
    if (view->lanes < 2) {
        fprintf(display->out, "only %s is used; all %zu at once: --max-parallel %zu\n",
                study->devices[0], study->lane_count, study->lane_count);
        return;
    }
    fprintf(display->out, "%zu trials at once, one each on", view->lanes);
    for (size_t i = 0; i < view->lanes; i++)
        fprintf(display->out, "%s %s", i ? "," : "", study->devices[i]);
    fputc('\n', display->out);
}

void display_print_head(const struct display *display, const struct study_view *view)
{
    const struct spec_study *study = view->study;
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    buf_addf(&line, "%s · %s %s · ", study->name, study->device, view->device->name);
    text_add_grouped(&line, (int64_t)view->candidates);
    buf_addf(&line, " candidates\nat most %zu exploring trials and %zu of the final, about ",
             view->explore_planned, view->finals_planned);
    text_add_duration(&line, view->left_s);
    fprintf(display->out, "%s\n", buf_text(&line));
    print_lanes(display, view);
    print_device(display, view->device);
    print_neighbours(display);
}
