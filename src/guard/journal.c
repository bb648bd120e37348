/* The journal of the watched units, followed.
 *
 * sd-journal filters by the units' fields, so nothing else of the machine's log costs us anything.
 * Running journalctl was rejected: its child has to be watched in turn, and a line's unit would
 * have to be guessed from its text.
 *
 * A service may write ten thousand lines a second when it fails. LINES_A_SECOND of each are looked
 * at; over that its lines are passed by unread, and it is named. So the others' lines are found
 * behind them, late at worst: no more than ALL_A_SECOND are passed by in a second, what is left
 * waits for the next one, and only who is SECONDS_BEHIND in a row jumps to the end. Rejected: one
 * count for all, with which one unit's flood hides another's last words.
 *
 * A journal that can't be read any more looks like one in which nothing is written. So that is
 * said, and it is opened anew, from the moment on when reading failed.
 *
 * Invariant: a wake costs at most LINES_A_WAKE lines. */
#include "guard/journal.h"

#include "base/clock.h"
#include "guard/find.h"

#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

enum { LINES_A_WAKE = 300, LINES_A_SECOND = 1000, ALL_A_SECOND = 4000, SECONDS_BEHIND = 5 };
enum { LINE_MAX_BYTES = 4096 };
static const int64_t FLOOD_EVERY_NS = 10 * NS_PER_S;
static const int64_t AGAIN_NS = 10 * NS_PER_S;
static const int64_t WRITTEN_US = 1000 * 1000; /* a line's stamp is at most so much before it */

struct pace {     /* of one service, or of the kernel's lines */
    size_t lines; /* in this second */
    int64_t told_ns;
};

struct guard_journal {
    struct guard_log_owner *owners; /* owned */
    size_t owner_count;
    sd_journal *journal;             /* owned */
    sd_event_source *source, *again; /* owned */
    sd_event *event;                 /* borrowed */
    struct guard_log_hooks hooks;
    bool kernel;
    int64_t second_ns, flood_ns;
    size_t lines;       /* passed by in this second, of all */
    int behind;         /* seconds in a row that were not enough */
    struct pace *paces; /* owned; one for each owner, the last: the kernel's */
    int64_t lost_ns;    /* when it was last tried to open it anew; 0: it is read */
    int64_t since_us;   /* by the wall clock: from there on it is to be read then */
};

static void close_files(struct guard_journal *journal)
{
    journal->source = sd_event_source_disable_unref(journal->source);
    journal->again = sd_event_source_disable_unref(journal->again);
    if (journal->journal)
        sd_journal_close(journal->journal);
    journal->journal = NULL;
}

struct guard_journal *guard_journal_free(struct guard_journal *journal)
{
    if (journal) {
        close_files(journal);
        free(journal->owners);
        free(journal->paces);
    }
    free(journal);
    return NULL;
}
AUTO_FN(struct guard_journal, guard_journal_free)

/* How many were added, or a negative errno. */
static int add_matches(struct guard_journal *journal)
{
    static const char kernel[] = "_TRANSPORT=kernel";
    int count = 0, r = 0;
    for (size_t i = 0; i < journal->owner_count && r >= 0; i++) {
        r = guard_journal_add_matches(journal->journal, journal->owners[i].watch);
        count += r > 0 ? r : 0;
    }
    if (journal->kernel && r >= 0) {
        r = sd_journal_add_match(journal->journal, kernel, strlen(kernel));
        count++;
    }
    return r < 0 ? r : count;
}

/* Behind its newest entry: only what comes from now on.
 *
 * Where none is there yet the library stays "at the tail": of the lines that come later next()
 * gives the newest alone (252), newer libraries none. So the place is a time then. A second
 * earlier: journald stamps a line before it writes it, and of that second none was there. */
static int go_to_end(sd_journal *journal)
{
    const int64_t now_us = clock_now_wall_us();
    int r = sd_journal_seek_tail(journal);
    if (r >= 0)
        r = sd_journal_previous(journal);
    return r != 0 ? r : sd_journal_seek_realtime_usec(journal, (uint64_t)(now_us - WRITTEN_US));
}

/* Is this one over what may be looked at of it? Names it, then. */
static bool is_too_much(struct guard_journal *journal, int owner, int64_t now_ns)
{
    struct pace *pace = &journal->paces[owner >= 0 ? (size_t)owner : journal->owner_count];
    char whose[300], where[160];
    if (++pace->lines <= LINES_A_SECOND)
        return false;
    if (pace->told_ns && now_ns - pace->told_ns < FLOOD_EVERY_NS)
        return true;
    pace->told_ns = now_ns;
    if (owner >= 0) {
        guard_watch_where(journal->owners[owner].watch, where, sizeof where);
        snprintf(whose, sizeof whose, "the journal of %.80s (%.150s)", journal->owners[owner].name,
                 where);
    } else {
        snprintf(whose, sizeof whose, "the kernel's lines in the journal");
    }
    journal->hooks.flood(journal->hooks.context, whose);
    return true;
}

static void hand_on(struct guard_journal *journal, int64_t now_ns)
{
    const char *line = NULL;
    size_t len = 0;
    char copy[LINE_MAX_BYTES];
    int owner = guard_journal_whose(journal->journal, journal->owners, journal->owner_count);
    bool kernel = owner < 0 && journal->kernel && guard_journal_is_kernels(journal->journal);
    if ((owner < 0 && !kernel) || is_too_much(journal, owner, now_ns) ||
        !guard_journal_field(journal->journal, "MESSAGE", &line, &len))
        return;
    /* The data is the library's until its next call. */
    len = len < sizeof copy ? len : sizeof copy;
    memcpy(copy, line, len);
    if (kernel)
        journal->hooks.kernel(journal->hooks.context, copy, len);
    else
        journal->hooks.service(journal->hooks.context, (size_t)owner, copy, len);
}

/* This second's lines are used up. The rest waits, unless it has waited too long already. */
static void fall_behind(struct guard_journal *journal, int64_t now_ns)
{
    if (journal->lines++ > ALL_A_SECOND || ++journal->behind < SECONDS_BEHIND)
        return;
    journal->behind = 0;
    (void)!go_to_end(journal->journal);
    if (journal->flood_ns && now_ns - journal->flood_ns < FLOOD_EVERY_NS)
        return;
    journal->flood_ns = now_ns;
    journal->hooks.flood(journal->hooks.context, "the journal of all that is watched");
}

static void begin_second(struct guard_journal *journal, int64_t now_ns)
{
    if (now_ns - journal->second_ns < NS_PER_S)
        return;
    journal->second_ns = now_ns;
    journal->lines = 0;
    for (size_t i = 0; i <= journal->owner_count; i++)
        journal->paces[i].lines = 0;
}

static int open_all(struct guard_journal *journal);

static void lose(struct guard_journal *journal, int r, int64_t now_ns)
{
    char why[200];
    snprintf(why, sizeof why, "the journal can't be read any more (%s); tried again every %d s",
             strerror(-r), (int)(AGAIN_NS / NS_PER_S));
    close_files(journal);
    journal->lost_ns = now_ns;
    journal->since_us = clock_now_wall_us();
    journal->hooks.lost(journal->hooks.context, why);
}

static bool find_again(struct guard_journal *journal, int64_t now_ns)
{
    if (now_ns - journal->lost_ns < AGAIN_NS)
        return false;
    journal->lost_ns = now_ns;
    int r = open_all(journal);
    if (r >= 0)
        r = sd_journal_seek_realtime_usec(journal->journal, (uint64_t)journal->since_us);
    if (r < 0) {
        close_files(journal);
        return false;
    }
    journal->lost_ns = 0;
    journal->hooks.found(journal->hooks.context, "the journal is read again");
    return true;
}

void guard_journal_read_at(struct guard_journal *journal, int64_t now_ns)
{
    begin_second(journal, now_ns);
    if (journal->lost_ns && !find_again(journal, now_ns))
        return;
    for (int i = 0; i < LINES_A_WAKE; i++) {
        if (journal->lines >= ALL_A_SECOND) {
            fall_behind(journal, now_ns);
            return;
        }
        int r = sd_journal_next(journal->journal);
        if (r < 0) {
            lose(journal, r, now_ns);
            return;
        }
        if (r == 0) {
            journal->behind = 0;
            return;
        }
        journal->lines++;
        hand_on(journal, now_ns);
    }
    /* More is there, and the descriptor will not say so again. */
    (void)sd_event_source_set_enabled(journal->again, SD_EVENT_ONESHOT);
}

void guard_journal_read(struct guard_journal *journal)
{
    guard_journal_read_at(journal, clock_now_ns());
}

static int on_again(sd_event_source *source, void *context)
{
    (void)source;
    guard_journal_read(context);
    return 0;
}

static int on_change(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct guard_journal *journal = context;
    (void)source;
    (void)fd;
    (void)events;
    int r = sd_journal_process(journal->journal);
    if (r < 0)
        lose(journal, r, clock_now_ns());
    else
        guard_journal_read(journal);
    return 0;
}

static int open_files(sd_journal **ret_journal)
{
    const char *folder = getenv("SPICA_JOURNAL");
    return folder && folder[0] ? sd_journal_open_directory(ret_journal, folder, 0)
                               : sd_journal_open(ret_journal, SD_JOURNAL_LOCAL_ONLY);
}

static int listen_on(struct guard_journal *journal)
{
    sd_event *event = journal->event;
    int fd = sd_journal_get_fd(journal->journal);
    int mask = sd_journal_get_events(journal->journal);
    if (fd < 0 || mask < 0)
        return fd < 0 ? fd : mask;
    int r = sd_event_add_io(event, &journal->source, fd, (uint32_t)mask, on_change, journal);
    if (r >= 0)
        r = sd_event_add_defer(event, &journal->again, on_again, journal);
    if (r >= 0)
        r = sd_event_source_set_enabled(journal->again, SD_EVENT_OFF);
    if (r >= 0) {
        (void)sd_event_source_set_description(journal->source, "journal");
        (void)sd_event_source_set_description(journal->again, "journal goes on");
    }
    return r;
}

/* Negative errno; 0: nobody that is watched has a journal. */
static int open_all(struct guard_journal *journal)
{
    int r = open_files(&journal->journal);
    if (r >= 0)
        r = sd_journal_set_data_threshold(journal->journal, LINE_MAX_BYTES);
    if (r >= 0)
        r = add_matches(journal);
    int count = r;
    if (r > 0)
        r = listen_on(journal); /* before the end is sought: nothing falls in between */
    if (r >= 0 && count > 0)
        r = go_to_end(journal->journal);
    return r < 0 ? r : count;
}

/* Is there a line of `watch`, or where that is NULL of the kernel's? A negative errno. */
static int has_lines(const struct spec_watch *watch)
{
    sd_journal *journal = NULL;
    int r = open_files(&journal);
    if (r >= 0)
        r = watch ? guard_journal_add_matches(journal, watch)
                  : sd_journal_add_match(journal, "_TRANSPORT=kernel", 0);
    if (r >= 0)
        r = sd_journal_seek_tail(journal);
    if (r >= 0)
        r = sd_journal_previous(journal);
    if (journal)
        sd_journal_close(journal);
    return r;
}

bool guard_journal_has_kernel(void)
{
    return has_lines(NULL) > 0;
}

void guard_journal_blind(const struct guard_journal *journal, size_t owner, char *ret_text,
                         size_t size)
{
    const struct guard_log_owner *whose = &journal->owners[owner];
    char where[160];
    ret_text[0] = '\0';
    guard_watch_where(whose->watch, where, sizeof where);
    switch (whose->watch->kind) {
    case WATCH_PID:
    case WATCH_PORT:
        snprintf(ret_text, size,
                 "%.80s: no line of the journal can be told to be of %s: out of memory in its log "
                 "is not seen (a unit's is)",
                 whose->name, where);
        break;
    case WATCH_CONTAINER:
        if (!has_lines(whose->watch))
            snprintf(ret_text, size,
                     "%.80s: no line of %s is in the journal (docker's default log driver is no "
                     "journald): out of memory in its log is not seen",
                     whose->name, where);
        break;
    default:
        break;
    }
}

bool guard_journal_open(const struct guard_log_owner *owners, size_t count, bool kernel,
                        sd_event *event, const struct guard_log_hooks *hooks,
                        struct guard_journal **ret_journal, struct err *err)
{
    struct guard_journal *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_journal_free) struct guard_journal *journal = made;
    journal->owners = calloc(count + 1, sizeof *owners);
    journal->paces = calloc(count + 1, sizeof *journal->paces);
    if (!journal->owners || !journal->paces)
        abort();
    memcpy(journal->owners, owners, count * sizeof *owners);
    journal->owner_count = count;
    journal->kernel = kernel;
    journal->event = event;
    journal->hooks = *hooks;
    int r = open_all(journal);
    if (r == 0)
        return err_set(err, ERR_MISSING, "no service that is watched has a journal");
    if (r < 0)
        return err_set(err, ERR_MISSING, "the journal can't be read: %s", strerror(-r));
    *ret_journal = TAKE(journal);
    return true;
}
