/* The parts of a turn are the metrics of its services, which every table has; here they stand in
 * the order in which a person waits for them. What a step adds is the time until the next one can
 * begin: a whole transcript, a whole answer; of the last one its first text or sound.
 *
 * Each part is the median over its own requests, so the parts need not add up to the median of the
 * turn; that is why the turn is measured, and not summed. */
#include "report/turn.h"

#include "report/view.h"
#include "report/words.h"

#include <math.h>

bool report_ends_turn(const struct report_view *view, size_t service)
{
    const struct spec_study *study = view->study;
    if (!study->services[service].load.after)
        return false;
    for (size_t i = 0; i < study->service_count; i++)
        if (study->services[i].load.after && study->services[i].load.after_service == service)
            return false;
    return true;
}

/* Index of the measure, or -1. */
static int find(const struct report_view *view, size_t service, enum metric metric,
                enum metric_stat stat)
{
    for (size_t k = 0; k < view->measure_count; k++)
        if (view->measures[k].service == service && view->measures[k].metric == metric &&
            view->measures[k].stat == stat)
            return (int)k;
    return -1;
}

static bool add_value(struct buf *buf, const struct report_view *view,
                      const struct report_side *side, size_t service, enum metric metric,
                      enum metric_stat stat, const char *what)
{
    int k = find(view, service, metric, stat);
    if (k < 0)
        return false;
    buf_add(buf, what);
    report_add_value(buf, &view->measures[k], &side->shared[k]);
    return true;
}

/* Is its answer sound, whichever engine gives it? */
static bool speaks_aloud(const struct spec_service *s)
{
    const struct spec_protocol *protocol = s->protocol;
    if (!protocol && s->engine_use_count > 0)
        protocol = s->engine_uses[0].protocol;
    return protocol && (protocol->sources & SOURCE_SPEECH);
}

static void add_step(struct buf *buf, enum text_target target, const struct report_view *view,
                     const struct report_side *side, size_t service, bool last)
{
    const struct spec_service *s = &view->study->services[service];
    bool heard = find(view, service, METRIC_WER, STAT_VALUE) >= 0;
    report_add_text(buf, target, s->name);
    if (!s->load.after)
        buf_add(buf, ": end of speech");
    if (last) {
        add_value(buf, view, side, service, METRIC_TTFT, STAT_P50,
                  speaks_aloud(s) ? ": first sound " : ": first token ");
        return;
    }
    add_value(buf, view, side, service, METRIC_LATENCY, STAT_P50,
              s->load.after ? ": whole answer "
              : heard       ? " to transcript "
                            : " to answer ");
    if (s->load.after &&
        add_value(buf, view, side, service, METRIC_TTFT, STAT_P50, " (first token "))
        buf_addc(buf, ')');
}

void report_add_turn(struct buf *buf, enum text_target target, const struct report_view *view,
                     const struct report_side *side, size_t service)
{
    const struct spec_study *study = view->study;
    size_t steps[SPEC_SERVICES_MAX], count = 0;
    if (side->run_count == 0)
        return;
    for (size_t at = service;; at = study->services[at].load.after_service) {
        steps[count++] = at;
        if (!study->services[at].load.after || count == SPEC_SERVICES_MAX)
            break;
    }
    for (size_t i = count; i > 0; i--) {
        add_step(buf, target, view, side, steps[i - 1], i == 1);
        buf_add(buf, i > 1 ? " → " : "; ");
    }
    add_value(buf, view, side, service, METRIC_TURN, STAT_P50, "the turn ");
    add_value(buf, view, side, service, METRIC_TURN, STAT_P95, ", p95 ");
}
