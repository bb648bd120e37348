/* Reads the script, and the trace of a card where it names one.
 *
 * Read anew at every call: a test, or a fake service, changes the world by replacing a file, and no
 * state can be left over. Time is the script's own ("now"), or runs from the first call. A mistake
 * in a script ends the program: a test that measured another world than it wrote would be worse. */
#include "world.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MIB (1024ULL * 1024)

static struct world world;
static double now_s;
static bool included; /* reading a file that another one named */

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

static struct card *last_card(const char *line)
{
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
        card->entries[card->entry_count++] = (struct entry){pid, 1, mib * MIB, ~0U, ~0U};
}

static void trace_sample(struct card *card, unsigned pid, unsigned percent)
{
    if (card->sample_count < ENTRIES)
        card->samples[card->sample_count++] = (struct sample){pid, percent, 0};
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
    if (set_number(card, word, rest))
        return;
    if (strcmp(word, "process") == 0)
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
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
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
    for (size_t i = 0; i < found.gl_pathc; i++)
        read_script(found.gl_pathv[i]);
    included = false;
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
    else if (strcmp(word, "driver") == 0)
        snprintf(world.driver, sizeof world.driver, "%s", rest);
    else if (strcmp(word, "library") == 0)
        snprintf(world.library, sizeof world.library, "%s", rest);
    else if (strcmp(word, "cuda") == 0)
        world.cuda = (int)strtol(rest, NULL, 10);
    else if (strcmp(word, "fail") == 0)
        add_fail(rest, line);
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

const struct world *world_now(void)
{
    static double started_s;
    if (started_s <= 0)
        started_s = clock_s();
    now_s = clock_s() - started_s;
    world = (struct world){.driver = "580.159.04", .library = "13.580.159.04", .cuda = 13000};
    const char *path = getenv("FAKE_NVML");
    if (path && !read_script(path))
        refuse(path);
    for (int i = 0; i < world.card_count; i++) {
        if (world.cards[i].trace[0])
            replay(&world.cards[i]);
    }
    return &world;
}

int world_fail(const struct world *w, const char *function)
{
    for (int i = 0; i < w->fail_count; i++) {
        if (strcmp(w->fails[i].function, function) == 0 || strcmp(w->fails[i].function, "*") == 0)
            return w->fails[i].code;
    }
    return 0;
}
