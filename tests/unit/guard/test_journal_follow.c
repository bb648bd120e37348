/* The journal followed, with a library in its place that says what a test wants: a unit that writes
 * far too much, and a journal that can't be read any more. */
#include "check.h"

#include "guard/journal.h"
#include "made_study.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <systemd/sd-journal.h>

/* ---- the library ---- */

struct entry {
    const char *unit, *message;
};
static struct fake {
    struct entry entries[40000];
    long count, at; /* at: the entry that is read; -1: before the first */
    int fails;      /* what the next reading returns; 0 */
    int opened, sought_time;
    int fd;
    char data[300];
} fake;

int sd_journal_open(sd_journal **ret, int flags)
{
    (void)flags;
    *ret = (sd_journal *)(void *)&fake;
    fake.opened++;
    return fake.fails;
}
int sd_journal_open_directory(sd_journal **ret, const char *path, int flags)
{
    (void)path;
    return sd_journal_open(ret, flags);
}
void sd_journal_close(sd_journal *j)
{
    (void)j;
}
int sd_journal_set_data_threshold(sd_journal *j, size_t size)
{
    (void)j;
    (void)size;
    return 0;
}
int sd_journal_add_match(sd_journal *j, const void *data, size_t size)
{
    (void)j;
    (void)data;
    (void)size;
    return 0;
}
int sd_journal_add_disjunction(sd_journal *j)
{
    (void)j;
    return 0;
}
int sd_journal_seek_tail(sd_journal *j)
{
    (void)j;
    fake.at = fake.count;
    return 0;
}
int sd_journal_seek_realtime_usec(sd_journal *j, uint64_t usec)
{
    (void)j;
    (void)usec;
    fake.sought_time++;
    return 0;
}
int sd_journal_previous(sd_journal *j)
{
    (void)j;
    fake.at = fake.count - 1;
    return 1;
}
int sd_journal_next(sd_journal *j)
{
    (void)j;
    if (fake.fails)
        return fake.fails;
    if (fake.at + 1 >= fake.count)
        return 0;
    fake.at++;
    return 1;
}
int sd_journal_get_data(sd_journal *j, const char *field, const void **data, size_t *len)
{
    const struct entry *entry = &fake.entries[fake.at];
    (void)j;
    bool unit = strcmp(field, "_SYSTEMD_USER_UNIT") == 0;
    if (!unit && strcmp(field, "MESSAGE") != 0)
        return -ENOENT;
    snprintf(fake.data, sizeof fake.data, "%s=%s", field, unit ? entry->unit : entry->message);
    *data = fake.data;
    *len = strlen(fake.data);
    return 0;
}
int sd_journal_get_fd(sd_journal *j)
{
    (void)j;
    return fake.fd;
}
int sd_journal_get_events(sd_journal *j)
{
    (void)j;
    return POLLIN;
}
int sd_journal_process(sd_journal *j)
{
    (void)j;
    return 0;
}

static void write_lines(const char *unit, const char *message, int times)
{
    for (int i = 0; i < times; i++)
        fake.entries[fake.count++] = (struct entry){unit, message};
}

/* ---- who follows ---- */

struct heard {
    struct made_study *made;
    char *folder;
    sd_event *event;
    struct guard_journal *journal;
    int64_t now_ns;
    size_t lines[2], floods, lost, found;
    char flood[4][200], why[200];
};

static void on_service(void *context, size_t service, const char *line, size_t len)
{
    struct heard *heard = context;
    (void)line;
    (void)len;
    heard->lines[service]++;
}
static void on_kernel(void *context, const char *line, size_t len)
{
    (void)context;
    (void)line;
    (void)len;
}
static void on_flood(void *context, const char *whose)
{
    struct heard *heard = context;
    snprintf(heard->flood[heard->floods++ % 4], sizeof heard->flood[0], "%s", whose);
}
static void on_lost(void *context, const char *why)
{
    struct heard *heard = context;
    heard->lost++;
    snprintf(heard->why, sizeof heard->why, "%s", why);
}
static void on_found(void *context, const char *what)
{
    struct heard *heard = context;
    (void)what;
    heard->found++;
}

static void heard_open(struct heard *heard)
{
    const struct guard_log_hooks hooks = {.context = heard,
                                          .service = on_service,
                                          .kernel = on_kernel,
                                          .flood = on_flood,
                                          .lost = on_lost,
                                          .found = on_found};
    struct err err = ERR_INIT;
    *heard = (struct heard){.folder = check_make_folder(), .now_ns = 1000 * NS_PER_S};
    memset(&fake, 0, sizeof fake);
    fake.at = -1;
    fake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    heard->made = made_study_new(heard->folder);
    heard->made->watches[0] =
        (struct spec_watch){.kind = WATCH_UNIT, .unit = "stt.service", .user = true};
    heard->made->watches[1] =
        (struct spec_watch){.kind = WATCH_UNIT, .unit = "llm.service", .user = true};
    assert_true(sd_event_new(&heard->event) >= 0);
    if (!guard_journal_open(&heard->made->study, false, heard->event, &hooks, &heard->journal,
                            &err))
        fail_msg("%s", err.text);
}

static void heard_close(struct heard *heard)
{
    guard_journal_free(heard->journal);
    sd_event_unref(heard->event);
    close(fake.fd);
    made_study_free(heard->made);
    check_remove_folder(heard->folder);
}

/* As often as the loop would within these seconds. */
static void read_for(struct heard *heard, int seconds)
{
    for (int s = 0; s < seconds; s++, heard->now_ns += NS_PER_S)
        for (int i = 0; i < 40; i++)
            guard_journal_read_at(heard->journal, heard->now_ns);
}

/* Before: over 1000 lines of anybody the rest was jumped over, whoever's it was. */
static void test_a_flood_hides_nobody_else(void **state)
{
    (void)state;
    struct heard heard;
    heard_open(&heard);
    write_lines("llm.service", "tokens", 3000);
    write_lines("stt.service", "CUDA error: out of memory", 1);
    write_lines("llm.service", "tokens", 6000);
    write_lines("stt.service", "CUDA error: out of memory", 1);
    read_for(&heard, 4);
    assert_int_equal(heard.lines[0], 2);
    assert_true(heard.lines[1] >= 1000 && heard.lines[1] <= 4000);
    assert_int_equal(heard.floods, 1); /* not each second */
    assert_string_equal(heard.flood[0], "the journal of llm (llm.service)");
    heard_close(&heard);
}

/* More than is passed by, second after second: what is left is jumped over and said. */
static void test_a_flood_without_end(void **state)
{
    (void)state;
    struct heard heard;
    heard_open(&heard);
    write_lines("llm.service", "tokens", 39000);
    read_for(&heard, 6);
    assert_int_equal(fake.at, fake.count - 1);
    assert_int_equal(heard.floods, 2);
    assert_string_equal(heard.flood[1], "the journal of all that is watched");
    write_lines("stt.service", "a line", 1);
    read_for(&heard, 1);
    assert_int_equal(heard.lines[0], 1);
    heard_close(&heard);
}

/* Before: nothing was said, and nothing was ever read again. */
static void test_a_journal_that_fails_is_said_and_opened_anew(void **state)
{
    (void)state;
    struct heard heard;
    heard_open(&heard);
    fake.fails = -EBADMSG;
    read_for(&heard, 25);
    assert_int_equal(heard.lost, 1);
    assert_int_equal(heard.found, 0);
    assert_non_null(strstr(heard.why, strerror(EBADMSG)));
    assert_true(fake.opened >= 3);
    fake.fails = 0;
    read_for(&heard, 12);
    assert_int_equal(heard.found, 1);
    assert_int_equal(fake.sought_time, 1); /* what came meanwhile is read */
    write_lines("stt.service", "a line", 1);
    read_for(&heard, 1);
    assert_int_equal(heard.lines[0], 1);
    assert_int_equal(heard.lost, 1);
    heard_close(&heard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_hides_nobody_else),
        cmocka_unit_test(test_a_flood_without_end),
        cmocka_unit_test(test_a_journal_that_fails_is_said_and_opened_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
