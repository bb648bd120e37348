/* A driver so broken that what is restarted does not come back.
 *
 * The kernel's log tells of it once, and then of much else: the processes that die of a broken card
 * write Xids of their own (31, 43, 45), often in the same moment. So a fatal one is remembered, and
 * it is remembered by its card: one of a card that no service is on concerns nobody here.
 *
 * What makes such a card well is a reset or a reboot, for which its services must be stopped. So it
 * is over when a service that was not on the card since (it ended, or is another process) has been
 * proven to compute there and the driver's figures are read, and not before the alarm's time.
 * A driver that has said itself what is to be done to the card (Xid 154: reset it, reboot) takes
 * that back when it was done; then its word is as good as a proof. Of another Xid it says nothing.
 *
 * Rejected: time alone, after which a restart would be allowed on a card that still needs its
 * reboot; and a placement that was proven before, for that stays "gpu" for as long as the process
 * is listed. Where nobody's placement is proven (no probes) it stands until guard itself is begun
 * again, as after a reboot. */
#include "guard/alarms_inside.h"

#include "base/text.h"
#include "device/kernel_log.h"
#include "guard/memory.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An event of no service and no device in particular is that of the first GPU. */
bool guard_alarm_is_of_device(const struct guard_alarm *alarm, const char *text)
{
    const struct spec_study *study = alarm->study;
    long named = -1, first = -1;
    if (guard_memory_xid_is_nobodys(text))
        return false;
    for (size_t i = 0; i < study->device_count; i++) {
        if (first < 0 && spec_device_is_gpu(study->devices[i]))
            first = (long)i;
        const char *at = strstr(text, study->devices[i]);
        if (at && !isalnum((unsigned char)at[strlen(study->devices[i])]))
            named = (long)i;
    }
    return alarm->device == (named >= 0 ? named : first);
}

/* Of "NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.", with its words from there on;
 * 0: it names none. */
static int64_t take_number(const char *text, const char **ret_words)
{
    const char *at = text_find_nocase(text, strlen(text), "xid");
    if (!at)
        return 0;
    at += 3 + strspn(at + 3, " :");
    if (*at == '(') {
        const char *close = strchr(at, ')');
        at = close ? close + 1 : at + 1;
    }
    *ret_words = at + strcspn(at, "0123456789");
    return strtol(*ret_words, NULL, 10);
}

static bool is_fatal(int64_t number, const char *words)
{
    return device_kernel_xid_is_fatal(number) &&
           !device_kernel_xid_is_over(number, words, strlen(words));
}

bool guard_alarm_xid_is_fatal(const char *text)
{
    const char *words = "";
    const int64_t number = take_number(text, &words);
    return is_fatal(number, words);
}

void guard_alarm_note_xid(struct guard_alarm *alarm, const char *text, int64_t now_ns)
{
    const char *words = "";
    const int64_t number = take_number(text, &words);
    const bool fatal = is_fatal(number, words);
    if (fatal || !alarm->fatal)
        alarm->proven = false;
    if (!fatal)
        return;
    alarm->worse = !alarm->fatal;
    if (!alarm->fatal)
        alarm->demanded = false;
    alarm->demanded |= device_kernel_xid_demands(number);
    alarm->fatal = true;
    alarm->fatal_ns = now_ns;
    memset(alarm->left, 0, sizeof alarm->left);
}

void guard_alarm_note_recovery(struct guard_alarm *alarm)
{
    alarm->proven |= alarm->fatal && alarm->demanded;
}

/* Where a service has a choice of cards nobody here knows which one it is on. */
static bool is_on(const struct guard_alarm *alarm, const struct spec_service *service)
{
    size_t gpus = 0;
    for (size_t d = 0; d < alarm->study->device_count; d++)
        gpus += spec_device_is_gpu(alarm->study->devices[d]);
    return service->on == ON_GPU &&
           (gpus == 1 || (service->device_knob < 0 && (long)service->device == alarm->device));
}

static bool is_another(const struct guard_tick *tick, int service)
{
    for (size_t i = 0; i < tick->event_count; i++)
        if (tick->events[i].service == service &&
            (tick->events[i].kind == EVENT_RESTARTED || tick->events[i].kind == EVENT_UP))
            return true;
    return false;
}

/* Does a service that was away since compute there now? */
static bool is_proven(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    bool proven = false;
    for (size_t i = 0; i < alarm->study->service_count; i++) {
        const long id = guard_alarm_find_id(alarm->study->guard, GUARD_PLACEMENT, i);
        if (id < 0 || !is_on(alarm, &alarm->study->services[i]))
            continue;
        const char *word = tick->values[id].text;
        const bool there = word && strcmp(word, "gpu") == 0;
        proven |= there && alarm->left[i];
        alarm->left[i] |= !there || is_another(tick, (int)i);
    }
    return proven;
}

static bool is_read(const struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const struct spec_guard *g = alarm->study->guard;
    const long used = guard_alarm_find_id(g, GUARD_DEVICE_USED, (size_t)alarm->device);
    const long fault = guard_alarm_find_id(g, GUARD_DEVICE_FAULT, (size_t)alarm->device);
    const char *word = fault >= 0 ? tick->values[fault].text : NULL;
    return used >= 0 && !isnan(tick->values[used].number) &&
           !(word && (strcmp(word, "lost") == 0 || strcmp(word, "mismatch") == 0));
}

bool guard_alarm_is_well_again(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    if (!alarm->fatal)
        return true;
    const bool began = alarm->fatal_ns == tick->mono_ns; /* its own tick proves nothing */
    alarm->proven |= !began && is_proven(alarm, tick);
    return alarm->proven && is_read(alarm, tick);
}
