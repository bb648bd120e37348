/* Reads the script, or the world folder, and the trace of a card where it names one.
 *
 * A world folder holds the script `world` and, per process that uses a card, a file PID.gpu: what
 * it holds and does there. Such a file counts while its owner lives, told by pid and start time, so
 * that whatever kills a service frees its memory, as a driver does. What lingers or leaks after
 * that is told by the file as well, as memory that is listed to nobody.
 *
 * Read anew at every call: a test, or a fake service, changes the world by replacing a file, and no
 * state can be left over. Time is the script's own ("now"), or runs from the first call. A mistake
 * in a script ends the program: a test that measured another world than it wrote would be worse. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1024ULL * 1024)

static struct world world;
static double now_s;
static bool included; /* reading a file that another one named */

/* Whose the file is that is being read. */
static enum { OWNER_NONE, OWNER_LIVES, OWNER_LINGERS, OWNER_GONE } owner;
static const char *file_path; /* that file */
static struct card *chosen;   /* whom the lines are about; NULL: the last card */

static double clock_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void refuse(const char *line)
{
    fprintf(stderr, "fake NVML: this line means nothing: %s\n", line);
    abort();
}

static double wall_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

unsigned long long world_process_start(int pid)
{
    char path[64], text[1024] = "", state = 'Z';
    unsigned long long start = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = pid > 0 ? fopen(path, "re") : NULL;
    if (!file)
        return 0;
    const size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %llu",
                        &state, &start) != 2)
        return 0;
    return state == 'Z' || state == 'X' ? 0 : start;
}

static struct card *last_card(const char *line)
{
    if (chosen)
        return chosen;
    if (world.card_count == 0)
        refuse(line);
    return &world.cards[world.card_count - 1];
}

/* card UUID PCI TOTAL RESERVED NAME..., and the same for an instance. */
static void add_card(const char *line, const char *rest, int parent)
{
    if (world.card_count == CARDS)
        refuse(line);
    struct card *card = &world.cards[world.card_count];
    *card = (struct card){.parent = parent,
                          .used_mib = -1,
                          .free_mib = -1,
                          .sm_mhz = 1980,
                          .memory_mhz = 2619,
                          .celsius = 30,
                          .milliwatt = 70000,
                          .limit_milliwatt = 700000,
                          .no_samples = true};
    int end = 0;
    if (sscanf(rest, "%95s %x:%x:%x.0 %lld %lld %n", card->uuid, &card->domain, &card->bus,
               &card->slot, &card->total_mib, &card->reserved_mib, &end) < 6)
        refuse(line);
    snprintf(card->name, sizeof card->name, "%s", rest + end);
    world.card_count++;
}

/* Calls `add` for the process that `who` means: a number, or "@name" for all of that name now. A
 * number of an included file counts while that process lives, as with a real driver. */
static void for_each_pid(const char *who, void (*add)(struct card *, unsigned, void *),
                         struct card *card, void *context)
{
    if (who[0] != '@') {
        const unsigned pid = (unsigned)strtoul(who, NULL, 10);
        if (!included || kill((pid_t)pid, 0) == 0 || errno == EPERM)
            add(card, pid, context);
        return;
    }
    DIR *dir = opendir("/proc");
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        char path[300], name[64] = "", state = 'Z';
        const unsigned long pid = strtoul(entry->d_name, NULL, 10);
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = pid > 0 ? fopen(path, "r") : NULL;
        if (!file)
            continue;
        if (fscanf(file, "%*d (%63[^)]) %c", name, &state) == 2 && state != 'Z' &&
            strcmp(name, who + 1) == 0)
            add(card, (unsigned)pid, context);
        fclose(file);
    }
    if (dir)
        closedir(dir);
}

/* How long ago the owner of the file died, as first seen by anybody: a file beside it says when. */
static double dead_for_s(void)
{
    char path[4200];
    struct stat status;
    snprintf(path, sizeof path, "%s.dead", file_path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        close(fd);
    if (stat(path, &status) != 0)
        return 0;
    return wall_s() - ((double)status.st_mtim.tv_sec + (double)status.st_mtim.tv_nsec / 1e9);
}

/* owner PID START [LINGER_S]: the file's lines count while exactly that process lives. */
static void set_owner(const char *rest, const char *line)
{
    int pid = 0;
    unsigned long long start = 0;
    double linger_s = 0;
    if (!included || sscanf(rest, "%d %llu %lf", &pid, &start, &linger_s) < 2)
        refuse(line);
    if (start != 0 && world_process_start(pid) == start)
        owner = OWNER_LIVES;
    else
        owner = linger_s > 0 && dead_for_s() < linger_s ? OWNER_LINGERS : OWNER_GONE;
}

/* on UUID: the lines below are about that card. */
static void choose_card(const char *rest, const char *line)
{
    for (int i = 0; i < world.card_count; i++) {
        if (strcmp(world.cards[i].uuid, rest) == 0) {
            chosen = &world.cards[i];
            return;
        }
    }
    refuse(line);
}

static void put_entry(struct card *card, unsigned pid, void *context)
{
    const struct entry *entry = context;
    if (card->entry_count < ENTRIES) {
        card->entries[card->entry_count] = *entry;
        card->entries[card->entry_count++].pid = pid;
    }
}

static void put_sample(struct card *card, unsigned pid, void *context)
{
    const struct sample *sample = context;
    if (card->sample_count < ENTRIES) {
        card->samples[card->sample_count] = *sample;
        card->samples[card->sample_count++].pid = pid;
        card->no_samples = false;
    }
}

static void add_entry(struct card *card, const char *line, const char *rest)
{
    struct entry entry = {.gpu_instance = ~0U, .compute_instance = ~0U};
    char kinds[8] = "", who[64] = "", size[32] = "";
    if (card->entry_count == ENTRIES || sscanf(rest, "%7s %63s %31s %u %u", kinds, who, size,
                                               &entry.gpu_instance, &entry.compute_instance) < 3)
        refuse(line);
    entry.kinds = (strchr(kinds, 'c') ? 1U : 0) | (strchr(kinds, 'g') ? 2U : 0) |
                  (strchr(kinds, 'm') ? 4U : 0);
    entry.bytes = strcmp(size, "none") == 0 ? ~0ULL : strtoull(size, NULL, 10) * MIB;
    if (owner == OWNER_LINGERS) {
        card->unlisted_mib += entry.bytes == ~0ULL ? 0 : (long long)(entry.bytes / MIB);
        return;
    }
    for_each_pid(who, put_entry, card, &entry);
}

static void add_sample(struct card *card, const char *line, const char *rest)
{
    struct sample sample = {0};
    char who[64] = "";
    if (card->sample_count == ENTRIES ||
        sscanf(rest, "%63s %u %lf", who, &sample.percent, &sample.age_s) < 2)
        refuse(line);
    for_each_pid(who, put_sample, card, &sample);
}

/* worked PID PERCENT WALL_US: the sample of work that ended then. */
static void add_past_sample(struct card *card, const char *line, const char *rest)
{
    struct sample sample = {0};
    unsigned pid = 0;
    long long at_us = 0;
    if (sscanf(rest, "%u %u %lld", &pid, &sample.percent, &at_us) != 3)
        refuse(line);
    sample.age_s = wall_s() - (double)at_us / 1e6;
    put_sample(card, pid, &sample);
}

/* map OLD NEW: a trace's process is today's process (a number or @name). */
static void put_map(struct card *card, unsigned pid, void *context)
{
    const unsigned *old = context;
    if (card->map_count < MAPS) {
        card->map_from[card->map_count] = *old;
        card->map_to[card->map_count++] = pid;
    }
}
static void add_map(struct card *card, const char *line, const char *rest)
{
    unsigned old = 0;
    char who[64] = "";
    if (sscanf(rest, "%u %63s", &old, who) != 2)
        refuse(line);
    for_each_pid(who, put_map, card, &old);
}
static unsigned mapped(const struct card *card, unsigned pid)
{
    for (unsigned i = 0; i < card->map_count; i++) {
        if (card->map_from[i] == pid)
            return card->map_to[i];
    }
    return pid;
}

static void read_pairs(const char *text, void (*add)(struct card *, unsigned, unsigned),
                       struct card *card)
{
    unsigned pid = 0, value = 0;
    for (const char *at = strchr(text, '('); at && *at == '(';) {
        if (sscanf(at, "(%u, %u)", &pid, &value) != 2)
            refuse(text);
        add(card, pid, value);
        at = strchr(at, ')');
        at = at && at[1] == ',' ? strchr(at, '(') : NULL;
    }
}

static void trace_entry(struct card *card, unsigned pid, unsigned mib)
{
    if (card->entry_count < ENTRIES)
        card->entries[card->entry_count++] =
            (struct entry){mapped(card, pid), 1, mib * MIB, ~0U, ~0U};
}

static void trace_sample(struct card *card, unsigned pid, unsigned percent)
{
    if (card->sample_count < ENTRIES)
        card->samples[card->sample_count++] = (struct sample){mapped(card, pid), percent, 0};
}

/* "5.92 used=80672 free=406 gpu=0 procs=[(9329, 80664)] sm=[(9329, 1)]": the last line that is not
 * later than now. */
static void replay(struct card *card)
{
    char line[4096], last[4096] = "";
    FILE *file = fopen(card->trace, "r");
    if (!file)
        refuse(card->trace);
    while (fgets(line, sizeof line, file) && (last[0] == '\0' || strtod(line, NULL) <= now_s))
        memcpy(last, line, sizeof last);
    fclose(file);
    char *procs = strstr(last, " procs="), *sm = strstr(last, " sm=");
    if (!procs || !sm ||
        sscanf(last, "%*f used=%lld free=%lld gpu=%u", &card->used_mib, &card->free_mib,
               &card->busy) != 3)
        refuse(last);
    card->no_samples = strstr(sm, "Not Found") != NULL;
    *sm = '\0';
    read_pairs(procs, trace_entry, card);
    read_pairs(sm + 1, trace_sample, card);
}

static bool set_number(struct card *card, const char *word, const char *rest)
{
    const struct {
        const char *word;
        unsigned *first, *second;
    } numbers[] = {
        {"busy", &card->busy, NULL},
        {"clock", &card->sm_mhz, &card->memory_mhz},
        {"temperature", &card->celsius, NULL},
        {"power", &card->milliwatt, &card->limit_milliwatt},
        {"mode", &card->mode, NULL},
        {"mig", &card->mig, NULL},
        {"accounting", &card->accounting, NULL},
        {"addressing", &card->addressing, NULL},
        {"any-age", &card->any_age, NULL},
        {"forget", &card->forget_s, NULL},
        {"no-list", &card->no_list, NULL},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(word, numbers[i].word) != 0)
            continue;
        unsigned unused = 0;
        sscanf(rest, "%u %u", numbers[i].first, numbers[i].second ? numbers[i].second : &unused);
        return true;
    }
    return false;
}

static void read_card_line(const char *word, const char *rest, const char *line)
{
    struct card *card = last_card(line);
    if (owner >= OWNER_LINGERS && strcmp(word, "leak") != 0 &&
        (owner == OWNER_GONE || strcmp(word, "process") != 0))
        return;
    if (set_number(card, word, rest))
        return;
    if (strcmp(word, "leak") == 0)
        card->unlisted_mib += owner == OWNER_GONE ? strtoll(rest, NULL, 10) : 0;
    else if (strcmp(word, "worked") == 0)
        add_past_sample(card, line, rest);
    else if (strcmp(word, "unlisted") == 0)
        card->unlisted_mib += strtoll(rest, NULL, 10);
    else if (strcmp(word, "map") == 0)
        add_map(card, line, rest);
    else if (strcmp(word, "process") == 0)
        add_entry(card, line, rest);
    else if (strcmp(word, "sm") == 0)
        add_sample(card, line, rest);
    else if (strcmp(word, "used") == 0)
        card->used_mib = strtoll(rest, NULL, 10);
    else if (strcmp(word, "free") == 0)
        card->free_mib = strtoll(rest, NULL, 10);
    else if (strcmp(word, "throttle") == 0)
        card->throttle = strtoull(rest, NULL, 0);
    else if (strcmp(word, "ecc") == 0)
        sscanf(rest, "%llu %llu", &card->ecc_corrected, &card->ecc_uncorrected);
    else if (strcmp(word, "lost") == 0)
        card->lost = (int)strtol(rest, NULL, 10);
    else if (strcmp(word, "no-samples") == 0)
        card->no_samples = true;
    else if (strcmp(word, "trace") == 0)
        snprintf(card->trace, sizeof card->trace, "%s", rest);
    else
        refuse(line);
}

/* Of `fail`: told instead of a code, a call that does not come back. */
enum { HANGS = -1 };

static void add_hang(const char *rest, const char *line)
{
    if (world.fail_count == FAILS ||
        sscanf(rest, "%63s", world.fails[world.fail_count].function) != 1)
        refuse(line);
    world.fails[world.fail_count++].code = HANGS;
}

static void add_fail(const char *rest, const char *line)
{
    if (world.fail_count == FAILS || sscanf(rest, "%63s %d", world.fails[world.fail_count].function,
                                            &world.fails[world.fail_count].code) != 2)
        refuse(line);
    world.fail_count++;
}

static void read_line(const char *line);

static bool read_script(const char *path)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    file_path = path;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        read_line(line);
    }
    fclose(file);
    return true;
}

/* Files that services write and remove while we look. */
static void include(const char *pattern)
{
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    included = true;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        owner = OWNER_NONE;
        chosen = NULL;
        read_script(found.gl_pathv[i]);
    }
    included = false;
    owner = OWNER_NONE;
    chosen = NULL;
    globfree(&found);
}

static void read_line(const char *line)
{
    char word[64] = "";
    int end = 0;
    double at = 0;
    if (sscanf(line, " at %lf %n", &at, &end) == 1 && end > 0) {
        if (now_s >= at)
            read_line(line + end);
        return;
    }
    if (sscanf(line, " %63s %n", word, &end) != 1 || word[0] == '#')
        return;
    const char *rest = line + end;
    if (strcmp(word, "now") == 0)
        now_s = strtod(rest, NULL);
    else if (strcmp(word, "include") == 0)
        include(rest);
    else if (strcmp(word, "owner") == 0)
        set_owner(rest, line);
    else if (strcmp(word, "on") == 0)
        choose_card(rest, line);
    else if (strcmp(word, "driver") == 0)
        snprintf(world.driver, sizeof world.driver, "%s", rest);
    else if (strcmp(word, "library") == 0)
        snprintf(world.library, sizeof world.library, "%s", rest);
    else if (strcmp(word, "cuda") == 0)
        world.cuda = (int)strtol(rest, NULL, 10);
    else if (strcmp(word, "fail") == 0)
        add_fail(rest, line);
    else if (strcmp(word, "hang") == 0)
        add_hang(rest, line);
    else if (strcmp(word, "card") == 0)
        add_card(line, rest, -1);
    else if (strcmp(word, "instance") == 0) {
        int parent = world.card_count - 1;
        while (parent > 0 && world.cards[parent].parent >= 0)
            parent--;
        add_card(line, rest, parent);
    } else
        read_card_line(word, rest, line);
}

/* `lost` in the folder: more lines; an empty one loses every card. */
static void lose(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return;
    if (status.st_size > 0) {
        read_script(path);
        return;
    }
    for (int i = 0; i < world.card_count; i++)
        world.cards[i].lost = WORLD_LOST;
}

static void read_folder(const char *folder)
{
    char path[4096];
    struct stat status;
    /* All who look count from the same moment. */
    snprintf(path, sizeof path, "%s/began", folder);
    if (stat(path, &status) == 0)
        now_s = wall_s() - ((double)status.st_mtim.tv_sec + (double)status.st_mtim.tv_nsec / 1e9);
    snprintf(path, sizeof path, "%s/world", folder);
    if (!read_script(path))
        refuse(path);
    snprintf(path, sizeof path, "%s/*.gpu", folder);
    include(path);
    snprintf(path, sizeof path, "%s/lost", folder);
    lose(path);
}

/* A card is as busy as those who worked on it within the driver's last sample period. */
static void sum_up_busy(struct card *card)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < card->sample_count; i++)
        busy += card->samples[i].age_s < 0.2 ? card->samples[i].percent : 0;
    card->busy = busy > 100 ? 100 : busy;
}

const struct world *world_now(void)
{
    static double started_s;
    if (started_s <= 0)
        started_s = clock_s();
    now_s = clock_s() - started_s;
    chosen = NULL;
    owner = OWNER_NONE;
    world = (struct world){.driver = "580.159.04", .library = "13.580.159.04", .cuda = 13000};
    const char *folder = getenv("FAKE_NVML_WORLD"), *path = getenv("FAKE_NVML");
    if (folder)
        read_folder(folder);
    else if (path && !read_script(path))
        refuse(path);
    for (int i = 0; i < world.card_count; i++) {
        if (world.cards[i].trace[0])
            replay(&world.cards[i]);
        else if (folder && world.cards[i].busy == 0)
            sum_up_busy(&world.cards[i]);
    }
    return &world;
}

unsigned long long world_used_bytes(const struct card *card)
{
    unsigned long long used = (unsigned long long)card->unlisted_mib * MIB;
    for (unsigned i = 0; i < card->entry_count; i++)
        used += card->entries[i].bytes == ~0ULL ? 0 : card->entries[i].bytes;
    return card->used_mib >= 0 ? (unsigned long long)card->used_mib * MIB : used;
}

unsigned long long world_free_bytes(const struct card *card)
{
    const unsigned long long all = (unsigned long long)(card->total_mib - card->reserved_mib) * MIB;
    const unsigned long long used = world_used_bytes(card);
    if (card->free_mib >= 0)
        return (unsigned long long)card->free_mib * MIB;
    return used < all ? all - used : 0;
}

int world_fail(const struct world *w, const char *function)
{
    for (int i = 0; i < w->fail_count; i++) {
        if (strcmp(w->fails[i].function, function) != 0 && strcmp(w->fails[i].function, "*") != 0)
            continue;
        while (w->fails[i].code == HANGS)
            pause();
        return w->fails[i].code;
    }
    return 0;
}
