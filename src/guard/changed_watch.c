/* The comparisons of changed.c, kept up to date.
 *
 * A version is that of the program which the service's process runs, asked as the study asked for
 * its own: a package's number, what the program says, or a digest of its file. That starts a
 * program or reads a large file, so a child does it, nice, one service at a time, when the service
 * is another process and else once an hour. A program whose file is not the one that is seen from
 * here (a container has its own) is not asked: the answer would be another program's.
 *
 * The study's file is read again when it is another one or has been written to: a study that is
 * run again answers the questions anew.
 *
 * Where somebody holds that file, what was read last stays, and it is tried again.
 *
 * An answer that becomes "yes" is told once; what was told is forgotten when it is "no" again, not
 * while nobody knows. Invariant: nothing here waits. */
#include "guard/changed.h"

#include "base/buf.h"
#include "base/clock.h"
#include "guard/act_child.h"
#include "service/launch.h"
#include "service/version.h"
#include "study/study.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t ASK_EVERY_NS = 3600 * NS_PER_S, ASK_WITHIN_NS = 60 * NS_PER_S;
static const int64_t STUDY_EVERY_NS = 600 * NS_PER_S, STUDY_AGAIN_NS = 10 * NS_PER_S;
enum { ARGUMENTS_MAX = 256 * 1024, WORDS_MAX = 64, PATH_SIZE = 4096 };

static const char hidden_word[] = "hidden"; /* of a child that could not see the program */

struct asked { /* of one service's program */
    struct guard_version version;
    struct proc_stat main; /* of the process that was asked about */
    int64_t at_ns;         /* 0: never */
    bool hidden;           /* what it runs can't be seen from here */
};

struct guard_changes {
    struct guard_changes_setup setup;
    struct guard_studied studied;
    struct stat studied_stat; /* of study.db, as it was read */
    bool is_studied;          /* it was read, or there was nothing to read */
    int64_t study_due_ns;
    struct asked asked[SPEC_SERVICES_MAX];
    struct guard_arrivals *arrivals; /* owned, one for each service */
    struct guard_child *child;       /* owned; NULL: nobody is asked */
    size_t asking;                   /* the service */
    struct guard_answer answers[CHANGE_COUNT_];
    struct guard_answer told[CHANGE_COUNT_]; /* .truth 1: it was */
};

static const enum guard_event_kind event_of[CHANGE_COUNT_] = {
    [CHANGE_VERSIONS] = EVENT_VERSIONS,
    [CHANGE_NEIGHBOURS] = EVENT_OTHER_NEIGHBOURS,
    [CHANGE_LOAD] = EVENT_OTHER_LOAD,
};

/* ---- what a process runs; in the child ---- */

static const char *link_of(struct arena *arena, const char *root, pid_t pid, const char *what)
{
    char to[PATH_SIZE];
    const char *path = arena_printf(arena, "%s/%d/%s", root, (int)pid, what);
    ssize_t len = readlink(path, to, sizeof to - 1);
    return len > 0 ? arena_strndup(arena, to, (size_t)len) : NULL;
}

static const char **words_of(struct arena *arena, const char *root, pid_t pid)
{
    const char **words = arena_array(arena, WORDS_MAX + 1, sizeof *words);
    AUTO(buf_done) struct buf text = BUF_INIT(ARGUMENTS_MAX);
    struct err ignored = ERR_INIT;
    size_t count = 0;
    if (!buf_read_file(&text, arena_printf(arena, "%s/%d/cmdline", root, (int)pid), &ignored))
        return words;
    const char *at = buf_text(&text), *end = at + text.len;
    for (; at < end && count < WORDS_MAX; at += strlen(at) + 1)
        words[count++] = arena_strdup(arena, at);
    return words;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat one, two;
    return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

/* As it was called, where that is the same file: a Python knows its packages by that. NULL: it
 * can't be seen from here. */
static const char *program_of(struct arena *arena, const char *root, pid_t pid, const char *folder,
                              const char *first)
{
    static const char gone[] = " (deleted)"; /* by an update, mostly */
    const char *exe = arena_printf(arena, "%s/%d/exe", root, (int)pid);
    const char *named = link_of(arena, root, pid, "exe");
    if (!named)
        return NULL;
    size_t len = strlen(named), tail = sizeof gone - 1;
    if (len > tail && strcmp(named + len - tail, gone) == 0) {
        named = arena_strndup(arena, named, len - tail);
        return access(named, R_OK) == 0 ? named : NULL;
    }
    const char *called = !first || !strchr(first, '/') ? named
                         : first[0] == '/'             ? first
                                           : arena_printf(arena, "%s/%s", folder, first);
    if (is_same_file(called, exe))
        return called;
    return is_same_file(named, exe) ? named : NULL;
}

/* False: nobody may look, or it is a container's. */
static bool find_launch(const struct guard_changes *changes, size_t i, struct arena *arena,
                        struct service_launch *launch)
{
    const struct guard_changes_setup *setup = &changes->setup;
    const char *root = setup->proc_root;
    const pid_t pid = changes->asked[i].main.pid;
    const struct spec_engine_use *use = spec_candidate_engine(setup->study, setup->candidate, i);
    const char **nothing = arena_array(arena, 1, sizeof *nothing);
    const char *folder = link_of(arena, root, pid, "cwd");
    const char **words = words_of(arena, root, pid);
    *launch = (struct service_launch){.name = setup->study->services[i].name,
                                      .spec = &setup->study->services[i],
                                      .argv = words,
                                      .env = nothing,
                                      .env_unset = nothing,
                                      .folder = folder ? folder : "/"};
    launch->program = program_of(arena, root, pid, launch->folder, words[0]);
    if (!launch->program)
        return false;
    launch->program = service_version_subject(arena, launch); /* not the interpreter */
    launch->engine = use ? use->engine : NULL;
    return true;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *studied_name(const struct guard_changes *changes, size_t i, struct arena *arena)
{
    const struct guard_changes_setup *setup = &changes->setup;
    const struct launch_device none = {0};
    struct service_launch launch;
    struct err ignored = ERR_INIT;
    if (!service_launch_build(arena, setup->study, setup->candidate, i, 1, &none, "/", "/", &launch,
                              &ignored) ||
        !launch.program)
        return "";
    return last_part(service_version_subject(arena, &launch));
}

/* Three lines: the version, the program that runs, the one that was measured. */
static void ask(void *context, struct guard_said *said)
{
    const struct guard_changes *changes = context;
    const size_t i = changes->asking;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct service_launch launch;
    (void)setpriority(PRIO_PROCESS, 0, 19);
    if (!find_launch(changes, i, arena, &launch)) {
        snprintf(said->text, sizeof said->text, "%s", hidden_word);
        return;
    }
    AUTO(free) char *version = service_version_read(&launch);
    snprintf(said->text, sizeof said->text, "%.110s\n%.60s\n%.60s", version ? version : "",
             last_part(launch.program), studied_name(changes, i, arena));
    said->done = true;
}

/* ---- in guard ---- */

static const char *take_line(const char *at, char *to, size_t size)
{
    size_t len = strcspn(at, "\n");
    snprintf(to, size, "%.*s", (int)len, at);
    return at + len + (at[len] == '\n');
}

static void on_told(void *owner, const struct guard_said *said)
{
    struct guard_changes *changes = owner;
    struct guard_version *version = &changes->asked[changes->asking].version;
    changes->child = guard_child_free(changes->child);
    *version = (struct guard_version){0};
    if (said)
        changes->asked[changes->asking].hidden =
            !said->done && strcmp(said->text, hidden_word) == 0;
    if (!said || !said->done)
        return;
    const char *at = take_line(said->text, version->text, sizeof version->text);
    at = take_line(at, version->name, sizeof version->name);
    take_line(at, version->studied_name, sizeof version->studied_name);
}

static void ask_next(struct guard_changes *changes, int64_t now_ns,
                     const struct guard_subject *subjects)
{
    const struct guard_child_job job = {.work = ask,
                                        .context = changes,
                                        .within_ns = ASK_WITHIN_NS,
                                        .ended = on_told,
                                        .owner = changes};
    for (size_t i = 0; i < changes->setup.study->service_count && !changes->child; i++) {
        struct asked *asked = &changes->asked[i];
        const struct proc_stat *main = &subjects[i].life.main;
        struct err ignored = ERR_INIT; /* no child can be started: tried again in an hour */
        bool another = asked->main.pid != main->pid || asked->main.start_ticks != main->start_ticks;
        if (subjects[i].watch->kind == WATCH_NOTHING || main->pid <= 0 ||
            subjects[i].life.presence != PRESENCE_UP || !changes->studied.found ||
            (!another && now_ns - asked->at_ns < ASK_EVERY_NS))
            continue;
        asked->main = *main;
        asked->at_ns = now_ns;
        changes->asking = i;
        (void)!guard_child_start(changes->setup.event, &job, &changes->child, &ignored);
    }
}

static void read_study(struct guard_changes *changes, int64_t now_ns)
{
    const struct guard_changes_setup *setup = &changes->setup;
    AUTO(free) char *path = study_store_path(setup->folder ? setup->folder : "");
    struct stat stat_now = {0};
    const struct stat *then = &changes->studied_stat;
    if (now_ns < changes->study_due_ns)
        return;
    if (!setup->folder || stat(path, &stat_now) != 0)
        stat_now = (struct stat){0};
    bool same = stat_now.st_ino == then->st_ino && stat_now.st_dev == then->st_dev &&
                stat_now.st_size == then->st_size &&
                stat_now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
                stat_now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
    if ((!changes->is_studied || !same) &&
        !guard_studied_read(setup->study, setup->folder, setup->candidate, &changes->studied)) {
        changes->study_due_ns = now_ns + STUDY_AGAIN_NS;
        return;
    }
    changes->is_studied = true;
    changes->studied_stat = stat_now;
    changes->study_due_ns = now_ns + STUDY_EVERY_NS;
}

struct guard_changes *guard_changes_new(const struct guard_changes_setup *setup)
{
    struct guard_changes *changes = calloc(1, sizeof *changes);
    if (!changes)
        abort();
    changes->setup = *setup;
    changes->arrivals = calloc(setup->study->service_count + 1, sizeof *changes->arrivals);
    if (!changes->arrivals)
        abort();
    for (int c = 0; c < CHANGE_COUNT_; c++)
        changes->answers[c].truth = changes->told[c].truth = NAN;
    return changes;
}

struct guard_changes *guard_changes_free(struct guard_changes *changes)
{
    if (changes) {
        guard_child_kill(changes->child); /* guard goes on, and nobody else would end it */
        free(changes->arrivals);
        free(changes);
    }
    return NULL;
}

/* ---- one look ---- */

/* Is all that is not in the list known to be nobody's of ours? What guard does not watch, and what
 * has no unit to be known by, would be taken for others. */
static bool knows_its_own(const struct spec_study *study, const struct guard_subject *subjects)
{
    for (size_t i = 0; i < study->service_count; i++) {
        const enum guard_presence presence = subjects[i].life.presence;
        if (study->services[i].on != ON_GPU)
            continue;
        if (subjects[i].watch->kind == WATCH_NOTHING || presence == PRESENCE_UNKNOWN ||
            (presence != PRESENCE_DOWN && subjects[i].life.main.pid <= 0))
            return false;
    }
    for (size_t f = 0; f < study->guard->front_count; f++) {
        const struct spec_front *front = &study->guard->fronts[f];
        if (front->split.count > 0)
            return false;
        for (size_t t = 0; t < front->tier_count && front->tier_count > 1; t++)
            if (!front->tiers[t].unit)
                return false;
    }
    return true;
}

static struct guard_answer look_at_neighbours(const struct guard_changes *changes,
                                              const struct guard_subject *subjects,
                                              const struct guard_memory *memory)
{
    const struct spec_study *study = changes->setup.study;
    const bool known = knows_its_own(study, subjects);
    struct guard_others others[SPEC_DEVICES_MAX];
    for (size_t d = 0; d < study->device_count; d++) {
        const struct guard_device_view *view = guard_memory_device(memory, d);
        others[d].strangers = known ? view->stranger_bytes : NAN;
        others[d].neighbours = view->neighbour_bytes;
    }
    AUTO(buf_done) struct buf gone = BUF_INIT(1024);
    bool looked = guard_memory_add_gone(memory, &gone);
    return guard_changed_neighbours(study, &changes->studied, others,
                                    looked ? buf_text(&gone) : NULL);
}

static void tell(struct guard_changes *changes, enum guard_change change,
                 struct guard_events *events)
{
    const struct guard_answer *answer = &changes->answers[change];
    struct guard_answer *told = &changes->told[change];
    if (answer->truth == 0)
        *told = *answer;
    /* Bytes and rates are never twice the same; a second version that differs is news. */
    bool news =
        told->truth != 1 || (change == CHANGE_VERSIONS && strcmp(told->text, answer->text) != 0);
    if (answer->truth != 1 || !news)
        return;
    *told = *answer;
    guard_events_add(events, event_of[change], -1, "%s", answer->text);
}

void guard_changes_step(struct guard_changes *changes, int64_t now_ns,
                        const struct guard_subject *subjects, const struct guard_memory *memory,
                        const double *rates, struct guard_events *events)
{
    const struct spec_study *study = changes->setup.study;
    struct device *const *devices = guard_memory_devices(memory);
    struct guard_version versions[SPEC_SERVICES_MAX];
    read_study(changes, now_ns);
    ask_next(changes, now_ns, subjects);
    for (size_t i = 0; i < study->service_count; i++) {
        guard_arrivals_add(&changes->arrivals[i], now_ns, rates[i]);
        versions[i] = changes->asked[i].version;
    }
    const char *driver =
        study->device_count > 0 && devices[0] ? device_facts(devices[0])->versions : NULL;
    changes->answers[CHANGE_VERSIONS] =
        guard_changed_versions(study, &changes->studied, driver, versions);
    changes->answers[CHANGE_NEIGHBOURS] = look_at_neighbours(changes, subjects, memory);
    changes->answers[CHANGE_LOAD] = guard_changed_load(study, &changes->studied, changes->arrivals);
    for (int c = 0; c < CHANGE_COUNT_; c++)
        tell(changes, (enum guard_change)c, events);
}

const struct guard_answer *guard_changes_answer(const struct guard_changes *changes,
                                                enum guard_change change)
{
    return &changes->answers[change];
}

bool guard_changes_is_hidden(const struct guard_changes *changes, size_t service)
{
    return changes->asked[service].hidden;
}
