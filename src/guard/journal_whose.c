/* Whose line of the journal it is, by what nobody can forge.
 *
 * Anybody may write to the journal, with any fields: UNIT=whisper.service costs one datagram. Only
 * fields that begin with "_" are journald's own word for who has written. So a unit's lines are
 * those that journald has from a process of that unit; what is said *about* a unit (UNIT=,
 * USER_UNIT=, a container's name) is believed only from who may say it: the system's manager, root,
 * or the user that guard runs as, who could do worse to his own services. These are the terms of
 * `journalctl -u` and of `--user-unit`. Rejected: believing the names alone. One line "out of
 * memory" from any user would call somebody at night, and restart a service where a rule says so.
 *
 * Both the filter and the reader hold to it: the filter, so that a flood of forged lines costs us
 * nothing; the reader, since a line may pass the filter for another's sake. */
#include "guard/journal.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-journal.h>

enum writer { WRITER_ITSELF, WRITER_MANAGER, WRITER_ROOT, WRITER_US };

/* Fields that name a watched thing. Of a unit the first is of its own lines, the others of what is
 * said about it. A container's lines come from its runtime: dockerd and podman's monitor are root's
 * or, of a container without root, its user's. */
static const struct field {
    const char *name;
    enum spec_watch_kind kind;
    bool user;
    enum writer writer;
} fields[] = {
    {"_SYSTEMD_UNIT", WATCH_UNIT, false, WRITER_ITSELF},
    {"UNIT", WATCH_UNIT, false, WRITER_MANAGER},
    {"OBJECT_SYSTEMD_UNIT", WATCH_UNIT, false, WRITER_ROOT},
    {"_SYSTEMD_USER_UNIT", WATCH_UNIT, true, WRITER_US}, /* another user may have such a unit too */
    {"USER_UNIT", WATCH_UNIT, true, WRITER_US},
    {"CONTAINER_NAME", WATCH_CONTAINER, false, WRITER_ROOT},
    {"CONTAINER_NAME", WATCH_CONTAINER, false, WRITER_US},
    {"CONTAINER_ID", WATCH_CONTAINER, false, WRITER_ROOT},
    {"CONTAINER_ID", WATCH_CONTAINER, false, WRITER_US},
};

static const char *name_of(const struct spec_watch *watch)
{
    return watch->kind == WATCH_UNIT        ? watch->unit
           : watch->kind == WATCH_CONTAINER ? watch->container
                                            : NULL;
}

static bool fits(const struct field *field, const struct spec_watch *watch)
{
    return watch->kind == field->kind && (watch->kind != WATCH_UNIT || watch->user == field->user);
}

/* "_UID=0"; "" where the field itself is journald's word. */
static void write_term(enum writer writer, char *text, size_t size)
{
    if (writer == WRITER_ITSELF)
        text[0] = '\0';
    else if (writer == WRITER_MANAGER)
        snprintf(text, size, "_PID=1");
    else
        snprintf(text, size, "_UID=%u", writer == WRITER_ROOT ? 0 : (unsigned)getuid());
}

/* One alternative of the filter: the field and, where it could be forged, its writer. */
static int add_alternative(struct sd_journal *journal, const struct field *field, const char *value)
{
    char match[512], writer[32];
    int len = snprintf(match, sizeof match, "%s=%s", field->name, value);
    int r = len < (int)sizeof match ? sd_journal_add_match(journal, match, (size_t)len) : -E2BIG;
    write_term(field->writer, writer, sizeof writer);
    if (r >= 0 && writer[0])
        r = sd_journal_add_match(journal, writer, strlen(writer));
    return r < 0 ? r : sd_journal_add_disjunction(journal);
}

int guard_journal_add_matches(struct sd_journal *journal, const struct spec_watch *watch)
{
    int count = 0, r = 0;
    for (size_t f = 0; f < ARRAY_LEN(fields) && r >= 0; f++) {
        if (!fits(&fields[f], watch))
            continue;
        r = add_alternative(journal, &fields[f], name_of(watch));
        count++;
    }
    return r < 0 ? r : count;
}

bool guard_journal_field(struct sd_journal *journal, const char *name, const char **ret_value,
                         size_t *ret_len)
{
    const void *data = NULL;
    size_t len = 0, head = strlen(name) + 1;
    if (sd_journal_get_data(journal, name, &data, &len) < 0 || len < head)
        return false;
    *ret_value = (const char *)data + head;
    *ret_len = len - head;
    return true;
}

static bool is_written_by(struct sd_journal *journal, enum writer writer)
{
    char term[32];
    const char *value = NULL;
    size_t len = 0;
    write_term(writer, term, sizeof term);
    char *wanted = strchr(term, '=');
    if (!wanted)
        return true;
    *wanted++ = '\0';
    return guard_journal_field(journal, term, &value, &len) && len == strlen(wanted) &&
           memcmp(value, wanted, len) == 0;
}

int guard_journal_whose(struct sd_journal *journal, const struct guard_log_owner *owners,
                        size_t count)
{
    for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
        const char *value = NULL;
        size_t len = 0;
        int found = -1;
        if (!guard_journal_field(journal, fields[f].name, &value, &len))
            continue;
        for (size_t i = 0; i < count && found < 0; i++) {
            const struct spec_watch *watch = owners[i].watch;
            const char *name = fits(&fields[f], watch) ? name_of(watch) : NULL;
            if (name && strlen(name) == len && memcmp(name, value, len) == 0)
                found = (int)i;
        }
        /* Only now: the value is the library's until its next call. */
        if (found >= 0 && is_written_by(journal, fields[f].writer))
            return found;
    }
    return -1;
}

bool guard_journal_is_kernels(struct sd_journal *journal)
{
    const char *value = NULL;
    size_t len = 0;
    return guard_journal_field(journal, "_TRANSPORT", &value, &len) && len == strlen("kernel") &&
           memcmp(value, "kernel", len) == 0;
}
