/* What guard decides and does, in the journal, with the fields that one searches by:
 *
 *     journalctl SPICA_RULE="slow speech"        journalctl SPICA_ACTION=1 -o json
 *
 * Where what we print goes to the journal (systemd says so in JOURNAL_STREAM) the fields take the
 * place of the line. Anywhere else a decision is a line on stderr, and a journal of the machine
 * that nobody pointed us to is left alone. Rejected: both, which is every line twice. */
#include "guard/act_inside.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-journal.h>

#define DECISION_ID "7a0d1c5be3b24b0f9d3f0f6e3f0c8a11"
#define ACTED_ID "7a0d1c5be3b24b0f9d3f0f6e3f0c8a12"

bool act_has_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    for (int fd = STDOUT_FILENO; stream && fd <= STDERR_FILENO; fd++) {
        struct stat stat;
        char own[64];
        if (fstat(fd, &stat) != 0)
            continue;
        snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)stat.st_dev,
                 (unsigned long long)stat.st_ino);
        if (strcmp(own, stream) == 0)
            return true;
    }
    return false;
}

static const int priorities[STATE_COUNT_] = {
    [STATE_NO_DATA] = LOG_NOTICE, [STATE_FINE] = LOG_NOTICE,   [STATE_PENDING] = LOG_INFO,
    [STATE_ALARM] = LOG_WARNING,  [STATE_CLEARING] = LOG_INFO,
};

static const char *service_name(const struct guard_actor *actor, int service)
{
    const struct spec_study *study = actor->setup.study;
    return service >= 0 && (size_t)service < study->service_count ? study->services[service].name
                                                                  : "";
}

static void add_actions(char *text, size_t size, uint32_t actions)
{
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < ACTION_COUNT_; i++)
        if (actions & (1U << i) && len < size)
            len += (size_t)snprintf(text + len, size - len, "%s%s", len ? "," : "",
                                    spec_action_names[i]);
}

/* The text names the rule. One write: a child's words do not come between. */
static void print_decision(const struct guard_decision *decision)
{
    char when[32];
    AUTO(buf_done) struct buf line = BUF_INIT(1024), safe = BUF_INIT(8192);
    buf_addf(&line, "%s  %s (was %s): %s", clock_format_wall(decision->wall_us, when, sizeof when),
             guard_state_names[decision->to], guard_state_names[decision->from], decision->text);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, 1024);
    buf_addc(&safe, '\n');
    ssize_t written = write(STDERR_FILENO, buf_text(&safe), safe.len);
    (void)written; /* nobody can be told when stderr itself is gone */
}

void act_log_decision(const struct guard_actor *actor, const struct guard_decision *decision)
{
    char actions[96], withheld[96];
    if (!actor->journal) {
        print_decision(decision);
        return;
    }
    add_actions(actions, sizeof actions, decision->actions);
    add_actions(withheld, sizeof withheld, decision->withheld);
    (void)sd_journal_send(
        "MESSAGE=%s: %s", guard_state_names[decision->to], decision->text,
        "MESSAGE_ID=" DECISION_ID, "PRIORITY=%d", priorities[decision->to], "SPICA_STUDY=%s",
        actor->setup.study->name, "SPICA_RULE=%s", decision->rule, "SPICA_SERVICE=%s",
        service_name(actor, decision->service), "SPICA_FROM=%s", guard_state_names[decision->from],
        "SPICA_TO=%s", guard_state_names[decision->to], "SPICA_ACTIONS=%s", actions,
        "SPICA_WITHHELD=%s", withheld, NULL);
}

void act_tell(struct guard_actor *actor, int service, const char *rule, bool done, const char *fmt,
              ...)
{
    struct guard_event event = {.kind = EVENT_ACTED, .service = service};
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(event.text, sizeof event.text, fmt, args);
    va_end(args);
    if (len < 0)
        event.text[0] = '\0';
    if (actor->journal)
        (void)sd_journal_send("MESSAGE=%s", event.text, "MESSAGE_ID=" ACTED_ID, "PRIORITY=%d",
                              done ? LOG_NOTICE : LOG_WARNING, "SPICA_STUDY=%s",
                              actor->setup.study->name, "SPICA_RULE=%s", rule, "SPICA_SERVICE=%s",
                              service_name(actor, service), "SPICA_ACTION=%d", done, NULL);
    actor->setup.acted(actor->setup.context, &event);
}
