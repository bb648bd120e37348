/* Is production what was measured? Three comparisons, each of three answers.
 *
 * One difference that is seen is enough for "yes", however much else is unknown; "no" takes that
 * everything is known. So an engine in a container, whose version cannot be asked for, makes a
 * "no" impossible and never a "yes".
 *
 * Versions are compared as texts. A digest of another program's file says nothing (a unit may run a
 * shell script around the same server), so it counts only where both files have the same name.
 *
 * Memory of others is compared with all that the trials saw, and a quarter of a GiB beside it: what
 * a driver takes for a context is less, a model is more.
 *
 * Load is the busiest ten minutes of the last day: nights are quiet everywhere, and a rule that
 * fires each night is worth nothing. So more than was measured is known within ten minutes, and
 * much less only after a day. Rejected: a mean over the day, which no server ever feels. */
#include "guard/changed.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

static const double NOTICED_BYTES = 256 << 20;
static const double MORE_RATIO = 1.25, LESS_RATIO = 0.5;
static const double SLOT_S = 600, SLOT_KNOWN_S = 300, DAY_KNOWN_S = 20 * 3600;
static const double STEP_MOST_S = 60; /* of one look: a machine that slept saw no requests */
static const char digest_begins[] = "sha256 ";

struct words { /* what differs, and what is not known */
    struct buf differs, unknown;
    bool compared;
};

static void words_init(struct words *words)
{
    *words = (struct words){.differs = BUF_INIT(2048), .unknown = BUF_INIT(2048)};
}

static struct buf *next(struct buf *buf)
{
    buf_add(buf, buf->len ? "; " : "");
    return buf;
}

/* The longest part of valid UTF-8 is cut by who makes an event of it. */
static struct guard_answer answer(struct words *words)
{
    struct guard_answer answer = {.truth = words->differs.len                       ? 1
                                           : words->unknown.len || !words->compared ? NAN
                                                                                    : 0};
    const char *text = words->differs.len   ? buf_text(&words->differs)
                       : words->unknown.len ? buf_text(&words->unknown)
                       : words->compared    ? ""
                                            : "there is nothing to compare with";
    snprintf(answer.text, sizeof answer.text, "%s", text);
    buf_done(&words->differs);
    buf_done(&words->unknown);
    return answer;
}

static struct guard_answer not_studied(void)
{
    return (struct guard_answer){.truth = NAN,
                                 .text = "the study has no trial of what runs, nor a winner"};
}

/* ---- versions ---- */

static bool is_digest(const char *version)
{
    return strncmp(version, digest_begins, strlen(digest_begins)) == 0;
}

static void compare_version(struct words *words, const char *service, const char *studied,
                            const struct guard_version *now)
{
    words->compared = true;
    if (!studied[0] || !now->text[0])
        buf_addf(next(&words->unknown), "%s: the version %s", service,
                 studied[0] ? "that runs is not known" : "that was measured is not known");
    else if (strcmp(studied, now->text) == 0)
        return;
    else if (is_digest(studied) != is_digest(now->text) ||
             (is_digest(studied) && strcmp(now->name, now->studied_name) != 0))
        buf_addf(next(&words->unknown), "%s: %s runs, and its version can't be compared", service,
                 now->name[0] ? now->name : "another program");
    else
        buf_addf(next(&words->differs), "%s: the study measured %s, now it is %s", service, studied,
                 now->text);
}

struct guard_answer guard_changed_versions(const struct spec_study *study,
                                           const struct guard_studied *studied, const char *driver,
                                           const struct guard_version *versions)
{
    struct words words;
    if (!studied->found)
        return not_studied();
    words_init(&words);
    words.compared = true;
    if (!driver || !studied->driver[0])
        buf_addf(next(&words.unknown), "%s: not open, its driver's version is not known",
                 study->devices[0]);
    else if (strcmp(driver, studied->driver) != 0)
        buf_addf(next(&words.differs), "%s: the study measured on %s, now it is %s",
                 study->devices[0], studied->driver, driver);
    for (size_t i = 0; i < study->service_count; i++)
        if (study->guard->watches[i].kind != WATCH_NOTHING)
            compare_version(&words, study->services[i].name, studied->services[i].version,
                            &versions[i]);
    return answer(&words);
}

/* ---- neighbours ---- */

static void compare_bytes(struct words *words, const char *device, const char *who,
                          const struct guard_span *studied, double now)
{
    words->compared = true;
    if (isnan(now) || isnan(studied->low)) {
        buf_addf(next(&words->unknown), "%s: what %s hold is not known", device, who);
        return;
    }
    if (now <= studied->high + NOTICED_BYTES && now >= studied->low - NOTICED_BYTES)
        return;
    buf_addf(next(&words->differs), "%s: %s hold ", device, who);
    text_add_bytes(&words->differs, now);
    buf_addf(&words->differs, ", in the study they held %s",
             now > studied->high ? "at most " : "at least ");
    text_add_bytes(&words->differs, now > studied->high ? studied->high : studied->low);
}

struct guard_answer guard_changed_neighbours(const struct spec_study *study,
                                             const struct guard_studied *studied,
                                             const struct guard_others *others, const char *gone)
{
    struct words words;
    if (!studied->found)
        return not_studied();
    words_init(&words);
    if (study->neighbour_count > 0) { /* a trial is begun with all of them there, or not at all */
        words.compared = true;
        if (!gone)
            buf_add(next(&words.unknown), "nobody has looked for neighbours yet");
        else if (gone[0])
            buf_addf(next(&words.differs), "%s ran in the study, and does not now", gone);
    }
    for (size_t d = 0; d < study->device_count; d++) {
        if (!spec_device_is_gpu(study->devices[d]))
            continue;
        compare_bytes(&words, study->devices[d], "others", &studied->strangers[d],
                      others[d].strangers);
        if (study->neighbour_count > 0)
            compare_bytes(&words, study->devices[d], "its neighbours", &studied->neighbours[d],
                          others[d].neighbours);
    }
    return answer(&words);
}

/* ---- load ---- */

void guard_arrivals_add(struct guard_arrivals *arrivals, int64_t now_ns, double rps)
{
    if (arrivals->last_ns == 0)
        arrivals->slot_ns = arrivals->last_ns = now_ns;
    double step_s = fmin((double)(now_ns - arrivals->last_ns) / NS_PER_S, STEP_MOST_S);
    arrivals->last_ns = now_ns;
    if (!isnan(rps) && step_s > 0) {
        arrivals->slots[arrivals->at].sum += (float)(rps * step_s);
        arrivals->slots[arrivals->at].known_s += (float)step_s;
    }
    if ((double)(now_ns - arrivals->slot_ns) / NS_PER_S < SLOT_S)
        return;
    arrivals->slot_ns = now_ns;
    arrivals->at = (arrivals->at + 1) % GUARD_ARRIVAL_SLOTS;
    arrivals->slots[arrivals->at].sum = arrivals->slots[arrivals->at].known_s = 0;
    if (arrivals->count < GUARD_ARRIVAL_SLOTS - 1)
        arrivals->count++;
}

double guard_arrivals_busiest(const struct guard_arrivals *arrivals, bool *ret_whole_day)
{
    double most = NAN, known_s = 0;
    for (size_t k = 1; k <= arrivals->count; k++) {
        size_t i = (arrivals->at + GUARD_ARRIVAL_SLOTS - k) % GUARD_ARRIVAL_SLOTS;
        known_s += arrivals->slots[i].known_s;
        if (arrivals->slots[i].known_s >= SLOT_KNOWN_S)
            most = fmax(most, arrivals->slots[i].sum / arrivals->slots[i].known_s);
    }
    *ret_whole_day = known_s >= DAY_KNOWN_S;
    return most;
}

static void compare_load(struct words *words, const char *service, double studied_rps, bool as_few,
                         const struct guard_arrivals *arrivals)
{
    bool whole_day = false;
    double busiest = guard_arrivals_busiest(arrivals, &whole_day);
    words->compared = true;
    if (isnan(studied_rps) || isnan(busiest)) {
        buf_addf(next(&words->unknown), "%s: %s", service,
                 isnan(studied_rps) ? "the study's rate is not known"
                                    : "nobody has counted its requests for ten minutes");
        return;
    }
    bool more = busiest > MORE_RATIO * studied_rps;
    bool few = as_few && busiest < LESS_RATIO * studied_rps;
    if (few && !whole_day)
        buf_addf(next(&words->unknown), "%s: whether so few come all day is not known yet",
                 service);
    else if (more || few)
        buf_addf(next(&words->differs),
                 "%s: %.3g requests/s in the busiest ten minutes of the last day, the study had "
                 "%.3g/s",
                 service, busiest, studied_rps);
}

struct guard_answer guard_changed_load(const struct spec_study *study,
                                       const struct guard_studied *studied,
                                       const struct guard_arrivals *arrivals)
{
    struct words words;
    if (!studied->found)
        return not_studied();
    words_init(&words);
    for (size_t i = 0; i < study->service_count; i++)
        if (studied->services[i].loaded)
            compare_load(&words, study->services[i].name, studied->services[i].rps,
                         studied->services[i].as_few, &arrivals[i]);
    return answer(&words);
}
