/* The journal followed, with a library in its place that says what a test wants: a unit that writes
 * far too much, lines in another's name, and a journal that can't be read any more. */
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

enum { FIELDS_MAX = 6 };
struct entry {
    const char *fields[FIELDS_MAX]; /* "NAME=value" */
    int64_t wall_us;
};
/* Where nothing is found before the tail, the place stays the tail: of what comes later next()
 * gives the newest (systemd 252), and in newer libraries nothing. */
static struct fake {
    struct entry entries[40000];
    long count, at;         /* at: the entry that is read; -1: before the first */
    bool at_tail, new_tail; /* new_tail: as newer libraries */
    int fails;              /* what the next reading returns; 0 */
    int opened;
    struct buf filter; /* "A=1 B=2 or C=3 or " */
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
    buf_addf(&fake.filter, "%.*s ", (int)size, (const char *)data);
    return 0;
}
int sd_journal_add_disjunction(sd_journal *j)
{
    (void)j;
    buf_add(&fake.filter, "or ");
    return 0;
}
int sd_journal_seek_tail(sd_journal *j)
{
    (void)j;
    fake.at_tail = true;
    return 0;
}
int sd_journal_seek_realtime_usec(sd_journal *j, uint64_t usec)
{
    (void)j;
    fake.at_tail = false;
    for (fake.at = -1; fake.at + 1 < fake.count; fake.at++)
        if (fake.entries[fake.at + 1].wall_us >= (int64_t)usec)
            break;
    return 0;
}
int sd_journal_previous(sd_journal *j)
{
    (void)j;
    if (fake.count == 0)
        return 0;
    fake.at_tail = false;
    fake.at = fake.count - 1;
    return 1;
}
int sd_journal_next(sd_journal *j)
{
    (void)j;
    if (fake.fails)
        return fake.fails;
    if (fake.at_tail && !fake.new_tail)
        return sd_journal_previous(j);
    if (fake.at_tail || fake.at + 1 >= fake.count)
        return 0;
    fake.at++;
    return 1;
}
int sd_journal_get_data(sd_journal *j, const char *field, const void **data, size_t *len)
{
    (void)j;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        const char *one = fake.entries[fake.at].fields[i];
        size_t name = strlen(field);
        if (!one || strncmp(one, field, name) != 0 || one[name] != '=')
            continue;
        /* As the library may: what was handed out before is gone. */
        memset(fake.data, '!', sizeof fake.data);
        snprintf(fake.data, sizeof fake.data, "%s", one);
        *data = fake.data;
        *len = strlen(fake.data);
        return 0;
    }
    return -ENOENT;
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

static char our_uid[32]; /* "_UID=1000" */

static void write_entry(struct entry entry)
{
    entry.wall_us = clock_now_wall_us();
    fake.entries[fake.count++] = entry;
}

static void write_lines(const char *unit, const char *message, int times)
{
    for (int i = 0; i < times; i++)
        write_entry((struct entry){{unit, our_uid, message}});
}

/* ---- who follows ---- */

#define LLM "_SYSTEMD_USER_UNIT=llm.service"
#define STT "_SYSTEMD_USER_UNIT=stt.service"
#define OOM "MESSAGE=CUDA error: out of memory"

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

static void heard_listen(struct heard *heard)
{
    const struct guard_log_hooks hooks = {.context = heard,
                                          .service = on_service,
                                          .kernel = on_kernel,
                                          .flood = on_flood,
                                          .lost = on_lost,
                                          .found = on_found};
    const struct guard_log_owner owners[] = {{&heard->made->watches[0], "stt"},
                                             {&heard->made->watches[1], "llm"}};
    struct err err = ERR_INIT;
    if (!guard_journal_open(owners, 2, false, heard->event, &hooks, &heard->journal, &err))
        fail_msg("%s", err.text);
}

static void heard_open_as(struct heard *heard, const struct spec_watch *stt,
                          const struct spec_watch *llm)
{
    *heard = (struct heard){.folder = check_make_folder(), .now_ns = 1000 * NS_PER_S};
    memset(&fake, 0, sizeof fake);
    fake.filter = BUF_INIT(8192);
    snprintf(our_uid, sizeof our_uid, "_UID=%u", (unsigned)getuid());
    fake.at = -1;
    fake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    heard->made = made_study_new(heard->folder);
    heard->made->watches[0] = *stt;
    heard->made->watches[1] = *llm;
    assert_true(sd_event_new(&heard->event) >= 0);
    heard_listen(heard);
}

static const struct spec_watch stt_of_user = {
    .kind = WATCH_UNIT, .unit = "stt.service", .user = true};
static const struct spec_watch llm_of_user = {
    .kind = WATCH_UNIT, .unit = "llm.service", .user = true};

static void heard_open(struct heard *heard)
{
    heard_open_as(heard, &stt_of_user, &llm_of_user);
}

static void heard_close(struct heard *heard)
{
    guard_journal_free(heard->journal);
    sd_event_unref(heard->event);
    close(fake.fd);
    buf_done(&fake.filter);
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
    write_lines(LLM, "MESSAGE=tokens", 3000);
    write_lines(STT, OOM, 1);
    write_lines(LLM, "MESSAGE=tokens", 6000);
    write_lines(STT, OOM, 1);
    read_for(&heard, 4);
    assert_int_equal(heard.lines[0], 2);
    assert_true(heard.lines[1] >= 1000 && heard.lines[1] <= 4000);
    assert_int_equal(heard.floods, 1); /* not each second */
    assert_string_equal(heard.flood[0], "the journal of llm (llm.service)");
    heard_close(&heard);
}

/* Before: of the first lines of a journal that had none of them the last one was read, or none. */
static void test_the_first_lines_of_all(void **state)
{
    (void)state;
    for (int newer = 0; newer < 2; newer++) {
        struct heard heard;
        heard_open(&heard);
        fake.new_tail = newer;
        read_for(&heard, 1);
        write_lines(STT, OOM, 1);
        write_lines(LLM, "MESSAGE=tokens", 20);
        read_for(&heard, 1);
        assert_int_equal(heard.lines[0], 1);
        assert_int_equal(heard.lines[1], 20);
        heard_close(&heard);
    }
}

/* What was there before is not told. */
static void test_only_what_comes(void **state)
{
    (void)state;
    struct heard heard;
    heard_open(&heard);
    write_lines(STT, OOM, 5);
    guard_journal_free(heard.journal);
    heard_listen(&heard);
    write_lines(STT, OOM, 2);
    read_for(&heard, 1);
    assert_int_equal(heard.lines[0], 2);
    heard_close(&heard);
}

/* More than is passed by, second after second: what is left is jumped over and said. */
static void test_a_flood_without_end(void **state)
{
    (void)state;
    struct heard heard;
    heard_open(&heard);
    write_lines(LLM, "MESSAGE=tokens", 39000);
    read_for(&heard, 6);
    assert_int_equal(fake.at, fake.count - 1);
    assert_int_equal(heard.floods, 2);
    assert_string_equal(heard.flood[1], "the journal of all that is watched");
    write_lines(STT, "MESSAGE=a line", 1);
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
    write_lines(STT, "MESSAGE=a line", 3);
    fake.fails = 0;
    read_for(&heard, 12);
    assert_int_equal(heard.found, 1);
    assert_int_equal(heard.lines[0], 3); /* what came meanwhile */
    write_lines(STT, "MESSAGE=a line", 1);
    read_for(&heard, 1);
    assert_int_equal(heard.lines[0], 4);
    assert_int_equal(heard.lost, 1);
    heard_close(&heard);
}

/* Before: whoever wrote the name of a unit or of a container was believed. */
static void test_lines_in_anothers_name(void **state)
{
    (void)state;
    static const struct spec_watch system_unit = {.kind = WATCH_UNIT, .unit = "stt.service"};
    static const struct spec_watch container = {.kind = WATCH_CONTAINER, .container = "web"};
    static const struct {
        const char *name;
        bool user_unit; /* else one of the system's, and a container */
        struct entry entry;
        int owner; /* -1: nobody's */
    } rows[] = {
        {"its own", false, {{"_SYSTEMD_UNIT=stt.service", "_UID=998", OOM}}, 0},
        {"its manager's", false, {{"UNIT=stt.service", "_PID=1", "_UID=0", OOM}}, 0},
        {"anybody's", false, {{"UNIT=stt.service", "_PID=4711", "_UID=1000", OOM}}, -1},
        {"root's, not the manager's", false, {{"UNIT=stt.service", "_PID=10", "_UID=0", OOM}}, -1},
        {"without a writer", false, {{"UNIT=stt.service", OOM}}, -1},
        {"pid 11", false, {{"UNIT=stt.service", "_PID=11", OOM}}, -1},
        {"a daemon's about it", false, {{"OBJECT_SYSTEMD_UNIT=stt.service", "_UID=0", OOM}}, 0},
        {"anybody's about it", false, {{"OBJECT_SYSTEMD_UNIT=stt.service", "_UID=70000", OOM}}, -1},
        {"docker's",
         false,
         {{"_SYSTEMD_UNIT=docker.service", "CONTAINER_NAME=web", "_UID=0", OOM}},
         1},
        {"anybody's", false, {{"CONTAINER_NAME=web", "_UID=70000", OOM}}, -1},
        {"anybody's id", false, {{"CONTAINER_ID=web", "_UID=70000", OOM}}, -1},
        {"a unit that names another",
         false,
         {{"_SYSTEMD_UNIT=other.service", "UNIT=stt.service", "CONTAINER_NAME=web", "_UID=70000",
           OOM}},
         -1},
        {"a unit of ours that names another",
         false,
         {{"_SYSTEMD_UNIT=stt.service", "CONTAINER_NAME=web", "_UID=998", OOM}},
         0},
        {"ours", true, {{STT, our_uid, OOM}}, 0},
        {"its manager's, ours", true, {{"USER_UNIT=stt.service", our_uid, OOM}}, 0},
        {"of that name, another user's", true, {{STT, "_UID=70000", OOM}}, -1},
        {"another user's word", true, {{"USER_UNIT=stt.service", "_UID=70000", OOM}}, -1},
        {"the system's of that name", true, {{"_SYSTEMD_UNIT=stt.service", our_uid, OOM}}, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heard heard;
        if (rows[i].user_unit)
            heard_open(&heard);
        else
            heard_open_as(&heard, &system_unit, &container);
        write_entry(rows[i].entry);
        read_for(&heard, 1);
        for (int owner = 0; owner < 2; owner++)
            CHECK_ROW(i, rows[i].name, heard.lines[owner] == (owner == rows[i].owner));
        heard_close(&heard);
    }
}

/* Before: a flood of forged lines took the place of those that count. */
static void test_the_filter_leaves_them_out(void **state)
{
    (void)state;
    static const struct spec_watch unit = {.kind = WATCH_UNIT, .unit = "a.service"};
    static const struct spec_watch container = {.kind = WATCH_CONTAINER, .container = "web"};
    struct heard heard;
    char expected[1000];
    heard_open_as(&heard, &unit, &llm_of_user);
    snprintf(expected, sizeof expected,
             "_SYSTEMD_UNIT=a.service or UNIT=a.service _PID=1 or "
             "OBJECT_SYSTEMD_UNIT=a.service _UID=0 or _SYSTEMD_USER_UNIT=llm.service %s or "
             "USER_UNIT=llm.service %s or ",
             our_uid, our_uid);
    assert_string_equal(buf_text(&fake.filter), expected);
    heard_close(&heard);
    heard_open_as(&heard, &container, &(struct spec_watch){.kind = WATCH_PID, .pid = 1});
    snprintf(expected, sizeof expected,
             "CONTAINER_NAME=web _UID=0 or CONTAINER_NAME=web %s or CONTAINER_ID=web _UID=0 or "
             "CONTAINER_ID=web %s or ",
             our_uid, our_uid);
    assert_string_equal(buf_text(&fake.filter), expected);
    heard_close(&heard);
}

/* Before: said only where no service at all had a journal. */
static void test_whose_log_is_not_seen(void **state)
{
    (void)state;
    static const struct spec_watch pid = {.kind = WATCH_PID, .pid = 4711};
    static const struct spec_watch container = {.kind = WATCH_CONTAINER, .container = "web"};
    struct heard heard;
    char blind[400];
    heard_open_as(&heard, &pid, &llm_of_user);
    guard_journal_blind(heard.journal, 0, blind, sizeof blind);
    assert_non_null(strstr(blind, "stt: no line of the journal can be told to be of pid 4711"));
    guard_journal_blind(heard.journal, 1, blind, sizeof blind);
    assert_string_equal(blind, "");
    heard_close(&heard);
    heard_open_as(&heard, &container, &llm_of_user);
    guard_journal_blind(heard.journal, 0, blind, sizeof blind);
    assert_non_null(strstr(blind, "stt: no line of container web is in the journal"));
    write_entry((struct entry){{"CONTAINER_NAME=web", "_UID=0", OOM}});
    guard_journal_blind(heard.journal, 0, blind, sizeof blind);
    assert_string_equal(blind, "");
    heard_close(&heard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_lines_of_all),
        cmocka_unit_test(test_only_what_comes),
        cmocka_unit_test(test_a_flood_hides_nobody_else),
        cmocka_unit_test(test_a_flood_without_end),
        cmocka_unit_test(test_a_journal_that_fails_is_said_and_opened_anew),
        cmocka_unit_test(test_lines_in_anothers_name),
        cmocka_unit_test(test_the_filter_leaves_them_out),
        cmocka_unit_test(test_whose_log_is_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
