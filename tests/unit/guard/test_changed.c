/* Is production what was measured? Three comparisons by themselves, what study.db gives to compare
 * with, and what a process runs. */
#include "check.h"
#include "held.h"

#include "guard/act_child.h"
#include "guard/changed.h"
#include "made_study.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "store/store.h"
#include "study/study.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GIB (1024.0 * 1024 * 1024)
#define UNKNOWN (-1)

static int answer_of(const struct guard_answer *answer)
{
    return isnan(answer->truth) ? UNKNOWN : (int)answer->truth;
}

#define CHECK_ANSWER(row, name, answer, expected, words)                                           \
    do {                                                                                           \
        CHECK_ROW(row, (answer).text, answer_of(&(answer)) == (expected));                         \
        if (words)                                                                                 \
            CHECK_ROW(row, (answer).text, strstr((answer).text, (words)));                         \
        CHECK_ROW(row, (answer).text, ((expected) == 0) == ((answer).text[0] == '\0'));            \
    } while (0)

static struct made_study *two_watched(void)
{
    struct made_study *made = made_study_new("/nowhere");
    made->watches[0].kind = made->watches[1].kind = WATCH_PID;
    return made;
}

/* ---- versions ---- */

static const struct {
    const char *name, *driver, *studied_driver; /* NULL: not known */
    const char *stt, *stt_studied, *program, *studied_program;
    int expected;
    const char *words;
} versions[] = {
    {"the same", "550.54", "550.54", "0.8", "0.8", "vllm", "vllm", 0, NULL},
    {"another engine", "550.54", "550.54", "0.9", "0.8", "vllm", "vllm", 1,
     "stt: the study measured 0.8, now it is 0.9"},
    {"another driver", "560.1", "550.54", "0.8", "0.8", "vllm", "vllm", 1,
     "gpu0: the study measured on 550.54, now it is 560.1"},
    {"both", "560.1", "550.54", "0.9", "0.8", "vllm", "vllm", 1, "; stt: "},
    {"driver lost", NULL, "550.54", "0.8", "0.8", "vllm", "vllm", UNKNOWN, "gpu0: not open"},
    {"driver lost, another engine", NULL, "550.54", "0.9", "0.8", "vllm", "vllm", 1, "0.9"},
    {"engine not known", "550.54", "550.54", "", "0.8", "", "", UNKNOWN, "that runs is not known"},
    {"engine never known", "550.54", "550.54", "0.8", "", "vllm", "vllm", UNKNOWN,
     "that was measured is not known"},
    {"another build", "550.54", "550.54", "sha256 aa", "sha256 bb", "server", "server", 1,
     "sha256 bb, now it is sha256 aa"},
    {"a script around it", "550.54", "550.54", "sha256 aa", "sha256 bb", "start.sh", "server",
     UNKNOWN, "start.sh runs, and its version can't be compared"},
    {"a file for a number", "550.54", "550.54", "sha256 aa", "0.8", "sh", "vllm", UNKNOWN,
     "sh runs"},
};

static void test_versions(void **state)
{
    (void)state;
    struct made_study *made = two_watched();
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct guard_studied studied = {.found = true};
        struct guard_version now[SPEC_SERVICES_MAX] = {0};
        snprintf(studied.driver, sizeof studied.driver, "%s", versions[i].studied_driver);
        snprintf(studied.services[0].version, sizeof studied.services[0].version, "%s",
                 versions[i].stt_studied);
        snprintf(now[0].text, sizeof now[0].text, "%s", versions[i].stt);
        snprintf(now[0].name, sizeof now[0].name, "%s", versions[i].program);
        snprintf(now[0].studied_name, sizeof now[0].studied_name, "%s",
                 versions[i].studied_program);
        snprintf(studied.services[1].version, sizeof studied.services[1].version, "1");
        snprintf(now[1].text, sizeof now[1].text, "1");
        struct guard_answer answer =
            guard_changed_versions(&made->study, &studied, versions[i].driver, now);
        CHECK_ANSWER(i, versions[i].name, answer, versions[i].expected, versions[i].words);
        studied.found = false;
        answer = guard_changed_versions(&made->study, &studied, versions[i].driver, now);
        CHECK_ROW(i, versions[i].name, isnan(answer.truth) && strstr(answer.text, "no trial"));
    }
    made_study_free(made);
}

/* ---- neighbours ---- */

static const struct {
    const char *name;
    double low, high, now;                  /* strangers */
    double beside_low, beside_high, beside; /* declared neighbours */
    bool declared;
    const char *gone;
    int expected;
    const char *words;
} neighbours[] = {
    {"the same", 1 * GIB, 1 * GIB, 1 * GIB, NAN, NAN, NAN, false, "", 0, NULL},
    {"within what was seen", 1 * GIB, 3 * GIB, 2 * GIB, NAN, NAN, NAN, false, "", 0, NULL},
    {"a context more", 1 * GIB, 1 * GIB, 1.24 * GIB, NAN, NAN, NAN, false, "", 0, NULL},
    {"a model more", 0, 0.5 * GIB, 9.5 * GIB, NAN, NAN, NAN, false, "", 1,
     "gpu0: others hold 9,728 MiB, in the study they held at most 512 MiB"},
    {"a model less", 4 * GIB, 5 * GIB, 0, NAN, NAN, NAN, false, "", 1, "at least 4,096 MiB"},
    {"not known now", 0, 0, NAN, NAN, NAN, NAN, false, "", UNKNOWN, "what others hold"},
    {"not known then", NAN, NAN, 0, NAN, NAN, NAN, false, "", UNKNOWN, "what others hold"},
    {"declared, the same", 0, 0, 0, 2 * GIB, 2 * GIB, 2 * GIB, true, "", 0, NULL},
    {"declared, larger", 0, 0, 0, 2 * GIB, 2 * GIB, 4 * GIB, true, "", 1,
     "gpu0: its neighbours hold 4,096 MiB, in the study they held at most 2,048 MiB"},
    {"declared, gone", 0, 0, NAN, 2 * GIB, 2 * GIB, 2 * GIB, true, "neighbour ollama.service", 1,
     "neighbour ollama.service ran in the study, and does not now"},
    {"nobody looked yet", 0, 0, 0, 2 * GIB, 2 * GIB, 2 * GIB, true, NULL, UNKNOWN, "yet"},
};

static void test_neighbours(void **state)
{
    (void)state;
    struct made_study *made = two_watched();
    for (size_t i = 0; i < ARRAY_LEN(neighbours); i++) {
        struct guard_studied studied = {.found = true};
        struct guard_others others[SPEC_DEVICES_MAX] = {{neighbours[i].now, neighbours[i].beside}};
        struct spec_neighbour declared = {.unit = "ollama.service"};
        made->study.neighbours = &declared;
        made->study.neighbour_count = neighbours[i].declared;
        studied.strangers[0] = (struct guard_span){neighbours[i].low, neighbours[i].high};
        studied.neighbours[0] =
            (struct guard_span){neighbours[i].beside_low, neighbours[i].beside_high};
        struct guard_answer answer =
            guard_changed_neighbours(&made->study, &studied, others, neighbours[i].gone);
        CHECK_ANSWER(i, neighbours[i].name, answer, neighbours[i].expected, neighbours[i].words);
    }
    made->study.neighbour_count = 0;
    made->study.devices[0] = "cpu"; /* nobody reads who else is there */
    struct guard_studied studied = {.found = true};
    struct guard_others others[SPEC_DEVICES_MAX] = {{0, 0}};
    struct guard_answer answer = guard_changed_neighbours(&made->study, &studied, others, "");
    assert_true(isnan(answer.truth));
    made_study_free(made);
}

/* ---- load ---- */

/* So many requests a second for so long, a look each ten seconds. */
static void arrive(struct guard_arrivals *arrivals, int64_t *now_ns, double rps, int seconds)
{
    for (int s = 0; s < seconds; s += 10) {
        *now_ns += 10 * NS_PER_S;
        guard_arrivals_add(arrivals, *now_ns, rps);
    }
}

enum { HOUR = 3600 };
static const struct {
    const char *name;
    double studied_rps;
    bool as_few;
    struct {
        double rps;
        int seconds;
    } days[4];
    int expected;
    const char *words;
} loads[] = {
    {"before ten minutes", 10, true, {{10, 590}}, UNKNOWN, "nobody has counted"},
    {"as studied", 10, true, {{10, 700}}, 0, NULL},
    {"a quarter more", 10, true, {{12.4, 700}}, 0, NULL},
    {"more",
     10,
     true,
     {{13, 700}},
     1,
     "llm: 13 requests/s in the busiest ten minutes of the last day, the study had 10/s"},
    {"a short burst", 10, true, {{5, 500}, {50, 20}, {5, 500}}, 0, NULL},
    {"a night", 10, true, {{1, 8 * HOUR}}, UNKNOWN, "not known yet"},
    {"a night after a day", 10, true, {{9, HOUR}, {1, 8 * HOUR}}, 0, NULL},
    {"few all day", 10, true, {{1, 25 * HOUR}}, 1, "llm: 1 requests/s"},
    {"few of a closed loop", 10, false, {{1, 25 * HOUR}}, 0, NULL},
    {"more, yesterday", 10, true, {{20, HOUR}, {8, 25 * HOUR}}, 0, NULL},
    {"more, today", 10, true, {{20, HOUR}, {8, 22 * HOUR}}, 1, "llm: 20 requests/s"},
    {"nobody counts", 10, true, {{NAN, 2 * HOUR}}, UNKNOWN, "nobody has counted"},
    {"counted half of the time", 10, true, {{20, 400}, {NAN, 2 * HOUR}}, 1, "llm: 20 requests/s"},
    {"not known then", NAN, true, {{10, 700}}, UNKNOWN, "the study's rate"},
};

static void test_load(void **state)
{
    (void)state;
    struct made_study *made = two_watched();
    for (size_t i = 0; i < ARRAY_LEN(loads); i++) {
        struct guard_studied studied = {.found = true};
        struct guard_arrivals *arrivals = calloc(SPEC_SERVICES_MAX, sizeof *arrivals);
        int64_t now_ns = 5 * NS_PER_S;
        assert_non_null(arrivals);
        studied.services[1].loaded = true;
        studied.services[1].rps = loads[i].studied_rps;
        studied.services[1].as_few = loads[i].as_few;
        guard_arrivals_add(&arrivals[1], now_ns, NAN);
        for (size_t k = 0; k < ARRAY_LEN(loads[i].days); k++)
            arrive(&arrivals[1], &now_ns, loads[i].days[k].rps, loads[i].days[k].seconds);
        struct guard_answer answer = guard_changed_load(&made->study, &studied, arrivals);
        CHECK_ANSWER(i, loads[i].name, answer, loads[i].expected, loads[i].words);
        free(arrivals);
    }
    made_study_free(made);
}

/* ---- study.db ---- */

struct made_db {
    char *folder, *path;
    struct made_study *made;
    struct spec_candidate candidate;
    char candidate_text[256];
};

static void made_db_open(struct made_db *db)
{
    *db = (struct made_db){.folder = check_make_folder()};
    db->made = made_study_new(db->folder);
    db->made->watches[0].kind = db->made->watches[1].kind = WATCH_PID;
    db->path = study_store_path(db->folder);
    snprintf(db->made->study.digest, sizeof db->made->study.digest, "d1");
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        db->candidate.index[i] = -1;
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    spec_candidate_add_text(&text, &db->made->study, &db->candidate);
    snprintf(db->candidate_text, sizeof db->candidate_text, "%s", buf_text(&text));
}

static void made_db_close(struct made_db *db)
{
    made_study_free(db->made);
    free(db->path);
    check_remove_folder(db->folder);
}

static void add_trial(struct store *store, int64_t number, const char *candidate,
                      const char *verdict, const char *version, double strangers, double rps)
{
    const struct store_service services[] = {
        {.name = "stt", .version = "0.8", .exit_code = -1, .idle_memory_bytes = NAN},
        {.name = "llm", .version = version, .exit_code = -1, .idle_memory_bytes = NAN}};
    const struct store_reading readings[] = {
        {.phase = "before", .device = "gpu0", .name = "strangers", .value = strangers},
        {.phase = "start", .device = "gpu0", .name = "strangers", .value = strangers + GIB},
        {.phase = "before", .device = "gpu0", .name = "free", .value = 1}};
    const struct store_metric metrics[] = {{.service = "llm",
                                            .mode = "shared",
                                            .metric = "requests_per_s",
                                            .stat = "value",
                                            .value = rps,
                                            .low = NAN,
                                            .high = NAN},
                                           {.service = "llm",
                                            .mode = "alone",
                                            .metric = "requests_per_s",
                                            .stat = "value",
                                            .value = 99,
                                            .low = NAN,
                                            .high = NAN}};
    struct store_trial trial = {.number = number,
                                .candidate = candidate,
                                .purpose = "explore",
                                .verdict = verdict,
                                .services = services,
                                .service_count = ARRAY_LEN(services),
                                .readings = readings,
                                .reading_count = ARRAY_LEN(readings),
                                .metrics = metrics,
                                .metric_count = ARRAY_LEN(metrics)};
    struct err err = ERR_INIT;
    if (!store_trial_add(store, &trial, &err))
        fail_msg("%s", err.text);
}

static struct store *made_db_store(struct made_db *db, const char *driver)
{
    const struct store_study row = {.name = "voice",
                                    .digest = "d1",
                                    .text = "",
                                    .device_versions = driver,
                                    .spica_version = "1"};
    struct store *store = NULL;
    struct err err = ERR_INIT;
    if (!store_open(db->path, STORE_CREATE, &store, &err) || !store_study_put(store, &row, &err))
        fail_msg("%s", err.text);
    return store;
}

static void test_what_was_studied(void **state)
{
    (void)state;
    struct made_db db;
    struct guard_studied studied;
    made_db_open(&db);
    db.made->services[1].load =
        (struct spec_load){.given = true, .arrivals = ARRIVALS_POISSON, .rate_rps = 4};
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_false(studied.found);
    assert_true(isnan(studied.services[1].rps) && isnan(studied.strangers[0].low));
    struct store *store = made_db_store(&db, "driver 550.54");
    add_trial(store, 1, "x=1", "ok", "0.1", 7 * GIB, 1);
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_false(studied.found); /* of another candidate */
    struct err err = ERR_INIT;
    assert_true(store_decision_put(store, "{\"winner\": \"x=1\"}", &err));
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_true(studied.found); /* which won */
    assert_string_equal(studied.services[1].version, "0.1");
    add_trial(store, 2, db.candidate_text, "ok", "0.8", 1 * GIB, 3);
    add_trial(store, 3, db.candidate_text, "contended", "0.8", 9 * GIB, 3);
    add_trial(store, 4, db.candidate_text, "slow", "0.9", 2 * GIB, 3.5);
    store_close(store);
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_string_equal(studied.driver, "driver 550.54");
    assert_string_equal(studied.services[1].version, "0.9"); /* the last */
    assert_true(studied.strangers[0].low == 1 * GIB && studied.strangers[0].high == 3 * GIB);
    assert_true(studied.services[1].rps == 4); /* as it was sent */
    snprintf(db.made->study.digest, sizeof db.made->study.digest, "d2");
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_true(studied.services[1].rps == 3.5); /* the file is another one */
    /* Who holds it takes nothing away from what is known. Before: unknown, after ten seconds. */
    sqlite3 *holder = check_hold_database(db.path);
    assert_false(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_true(studied.found && studied.services[1].rps == 3.5);
    sqlite3_close(holder);
    assert_true(guard_studied_read(&db.made->study, db.folder, &db.candidate, &studied));
    assert_true(studied.found && studied.services[1].rps == 3.5);
    made_db_close(&db);
}

/* ---- what a process runs ---- */

/* A copy of a program with so many bytes more, by name in a folder of its own; owned. */
static char *copy_program(const char *folder, const char *sub, const char *more)
{
    AUTO(free) char *inner = file_join(folder, sub);
    AUTO(buf_done) struct buf bytes = BUF_INIT(64 << 20);
    struct err err = ERR_INIT;
    char *path = file_join(inner, "server");
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_true(buf_read_file(&bytes, "/bin/sleep", &err));
    buf_add(&bytes, more);
    assert_true(file_write_atomic(path, buf_text(&bytes), bytes.len, &err));
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static pid_t run_program(char *path)
{
    static char long_enough[] = "600";
    char *argv[] = {path, long_enough, NULL};
    pid_t pid = -1;
    assert_int_equal(posix_spawn(&pid, path, NULL, NULL, argv, (char *[]){NULL}), 0);
    return pid;
}

struct looked {
    struct made_db db;
    sd_event *event;
    struct guard_changes *changes;
    struct guard_memory *memory;
    struct guard_subject subjects[SPEC_SERVICES_MAX];
    struct guard_events events;
    int64_t now_ns;
};

static void look_once(struct looked *looked)
{
    double rates[SPEC_SERVICES_MAX] = {NAN, NAN};
    looked->now_ns += NS_PER_S;
    guard_changes_step(looked->changes, looked->now_ns, looked->subjects, looked->memory, rates,
                       &looked->events);
    (void)sd_event_run(looked->event, 20 * 1000);
}

/* Until it has answered; one look shows the same as a hundred. */
static void look(struct looked *looked)
{
    const int64_t until_ns = clock_now_ns() + 60 * NS_PER_S;
    do {
        look_once(looked);
    } while (clock_now_ns() < until_ns &&
             isnan(guard_changes_answer(looked->changes, CHANGE_VERSIONS)->truth));
}

static void be_process(struct guard_subject *subject, pid_t pid)
{
    assert_true(proc_read_stat("/proc", pid, &subject->life.main));
    subject->life.presence = PRESENCE_UP;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Nobody is left behind, nor a zombie. */
static void free_while_asked(struct looked *looked, char *path)
{
    double rates[SPEC_SERVICES_MAX] = {NAN, NAN};
    pid_t pid = run_program(path);
    be_process(&looked->subjects[1], pid);
    guard_changes_step(looked->changes, looked->now_ns, looked->subjects, looked->memory, rates,
                       &looked->events);
    end_process(pid);
    guard_changes_free(looked->changes);
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void test_what_runs(void **state)
{
    (void)state;
    struct looked looked = {.now_ns = clock_now_ns()};
    struct spec_setting command = {0};
    char version[32], hex[DIGEST_HEX_SIZE];
    struct err err = ERR_INIT;
    made_db_open(&looked.db);
    struct made_study *made = looked.db.made;
    AUTO(free) char *then = copy_program(looked.db.folder, "then", "");
    AUTO(free) char *now = copy_program(looked.db.folder, "now", "another build");
    command.text = then;
    made->services[1].command = &command;
    made->services[1].command_count = 1;
    made->services[1].engine_knob = -1;
    made->services[1].folder = looked.db.folder;
    made->watches[0].kind = WATCH_NOTHING;
    made->study.devices[0] = "cpu";
    assert_true(digest_file(then, hex, &err));
    snprintf(version, sizeof version, "sha256 %.12s", hex);
    looked.memory = guard_memory_new(&made->study, "/proc");
    AUTO(device_close) struct device *device = NULL;
    assert_true(device_open("cpu", "/proc", &device, &err));
    struct store *store = made_db_store(&looked.db, device_facts(device)->versions);
    add_trial(store, 1, looked.db.candidate_text, "ok", version, 0, 1);
    store_close(store);
    assert_true(sd_event_new(&looked.event) >= 0);
    const struct guard_changes_setup setup = {.study = &made->study,
                                              .folder = looked.db.folder,
                                              .candidate = &looked.db.candidate,
                                              .event = looked.event,
                                              .proc_root = "/proc"};
    looked.changes = guard_changes_new(&setup);
    looked.subjects[0].watch = &made->watches[0];
    looked.subjects[1].watch = &made->watches[1];
    const struct guard_answer *answer = guard_changes_answer(looked.changes, CHANGE_VERSIONS);
    pid_t pid = run_program(then);
    be_process(&looked.subjects[1], pid);
    look(&looked);
    assert_string_equal(answer->text, "");
    assert_true(answer->truth == 0 && looked.events.count == 0);
    end_process(pid);
    pid = run_program(now);
    be_process(&looked.subjects[1], pid);
    for (int i = 0; i < 3000 && answer->truth != 1; i++)
        look(&looked);
    assert_non_null(strstr(answer->text, "llm: the study measured sha256 "));
    for (int i = 0; i < 5; i++)
        look(&looked);
    assert_int_equal(looked.events.count, 1); /* once */
    assert_int_equal(looked.events.items[0].kind, EVENT_VERSIONS);
    assert_non_null(strstr(looked.events.items[0].text, version));
    assert_false(guard_changes_is_hidden(looked.changes, 1));
    end_process(pid);
    /* A container's file is not there under its name: nor is one that was removed. */
    pid = run_program(now);
    assert_int_equal(unlink(now), 0);
    be_process(&looked.subjects[1], pid);
    for (int i = 0; i < 3000 && !guard_changes_is_hidden(looked.changes, 1); i++)
        look_once(&looked);
    look_once(&looked); /* what was told is judged with the next look */
    assert_true(guard_changes_is_hidden(looked.changes, 1));
    assert_true(isnan(answer->truth));
    end_process(pid);
    free_while_asked(&looked, then);
    guard_memory_free(looked.memory);
    sd_event_unref(looked.event);
    made_db_close(&looked.db);
}

static void hang(void *context, struct guard_said *said)
{
    pid_t *started = context;
    (void)said;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        *started = getpid();
        for (;;)
            pause();
    }
    for (;;)
        pause();
}

/* A program that hangs over its version, in a session of its own: nobody is left. */
static void test_who_hangs_is_ended(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    sd_event *event = NULL;
    struct guard_child *child = NULL;
    struct proc_stat left;
    volatile pid_t *started =
        mmap(NULL, sizeof *started, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct guard_child_job job = {.work = hang, .context = (void *)started};
    assert_true(started != MAP_FAILED && sd_event_new(&event) >= 0);
    assert_true(guard_child_start(event, &job, &child, &err));
    for (int i = 0; i < 6000 && *started == 0; i++)
        usleep(10 * 1000);
    assert_true(*started > 0);
    assert_null(guard_child_kill(child));
    assert_true(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    bool alive = true;
    for (int i = 0; i < 6000 && alive; i++) {
        alive = proc_read_stat("/proc", *started, &left) && !proc_is_dead(&left);
        usleep(alive ? 10 * 1000 : 0);
    }
    assert_false(alive);
    assert_null(guard_child_kill(NULL));
    sd_event_unref(event);
    munmap((void *)started, sizeof *started);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),  cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_load),      cmocka_unit_test(test_what_was_studied),
        cmocka_unit_test(test_what_runs), cmocka_unit_test(test_who_hangs_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
