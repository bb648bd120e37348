/* The kernel's words about kills and cards, as they were recorded. */
#include "guard/journal.h"

#include "base/rng.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>

static void test_kernel_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool known;
        struct guard_kernel_line expected;
    } rows[] = {
        {"6,812,9161230,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/"
         ",mems_allowed="
         "0,oom_memcg=/system.slice/whisper.service,task_memcg=/system.slice/whisper.service,task="
         "whisper-server,pid=4711,uid=998\n SUBSYSTEM=x\n",
         true,
         {.kind = KERNEL_KILLED, .pid = 4711, .group = "/system.slice/whisper.service"}},
        {"[  123.456789] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=user.slice,"
         "mems_allowed=0,global_oom,task_memcg=/user.slice/"
         "user-1000.slice,task=a,pid=1,pid=88,uid=0",
         true,
         {.kind = KERNEL_KILLED, .pid = 88, .group = "/user.slice/user-1000.slice"}},
        {"3,813,9161300,-;Memory cgroup out of memory: Killed process 4711 (whisper-server) "
         "total-vm:1240kB, anon-rss:1000kB, file-rss:0kB, shmem-rss:0kB, UID:998 pgtables:10kB "
         "oom_score_adj:0",
         true,
         {.kind = KERNEL_KILLED, .pid = 4711, .comm = "whisper-server"}},
        {"Out of memory: Killed process 77 (VLLM::EngineCor) total-vm:1kB",
         true,
         {.kind = KERNEL_KILLED, .pid = 77, .comm = "VLLM::EngineCor"}},
        {"4,900,1,-;NVRM: Xid (PCI:0000:44:00): 79, pid='<unknown>', name=<unknown>, GPU has "
         "fallen "
         "off the bus.",
         true,
         {.kind = KERNEL_XID,
          .pci = "0000:44:00",
          .code = 79,
          .words = "pid='<unknown>', name=<unknown>"}},
        {"NVRM: Xid (PCI:0000:01:00): 31, Ch 00000008",
         true,
         {.kind = KERNEL_XID, .pci = "0000:01:00", .code = 31, .words = "Ch 00000008"}},
        {"oom_reaper: reaped process 4711 (whisper-server), now anon-rss:0kB", false, {0}},
        {"whisper-server invoked oom-killer: gfp_mask=0xcc0", false, {0}},
        {"Killed process (nobody)", false, {0}},
        {"Killed process 99999999999999999999 (x)", false, {0}},
        {"NVRM: Xid (PCI:", false, {0}},
        {"NVRM: Xid (PCI:0000:01:00): x", false, {0}},
        {"oom-kill:constraint=,pid=", false, {0}},
        {"", false, {0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct guard_kernel_line found = {0};
        const struct guard_kernel_line *e = &rows[i].expected;
        bool known = guard_kernel_parse(rows[i].line, strlen(rows[i].line), &found);
        if (known != rows[i].known || found.kind != e->kind || found.pid != e->pid ||
            found.code != e->code || strcmp(found.comm, e->comm) != 0 ||
            strcmp(found.group, e->group) != 0 || strcmp(found.pci, e->pci) != 0 ||
            strncmp(found.words, e->words, strlen(e->words)) != 0)
            fail_msg("row %zu: %d pid %d \"%s\" \"%s\" \"%s\" %d \"%s\"", i, known, (int)found.pid,
                     found.comm, found.group, found.pci, found.code, found.words);
    }
}

/* Any bytes, with the words in between. */
static void test_hostile_lines(void **state)
{
    (void)state;
    static const char *const words[] = {"oom-kill:constraint=",
                                        ",task_memcg=",
                                        ",pid=",
                                        "12",
                                        "Killed process ",
                                        " (",
                                        ")",
                                        "NVRM: Xid (PCI:",
                                        "): ",
                                        "79",
                                        ", ",
                                        "\n"};
    struct rng rng = rng_init(3, "kernel");
    for (int n = 0; n < 20000; n++) {
        char *line = malloc(300);
        size_t len = 0;
        assert_non_null(line);
        while (len < 250 && rng_below(&rng, 12) > 0) {
            const char *word = words[rng_below(&rng, ARRAY_LEN(words))];
            if (rng_below(&rng, 4) == 0) {
                line[len++] = (char)rng_below(&rng, 256);
            } else {
                memcpy(line + len, word, strlen(word));
                len += strlen(word);
            }
        }
        char *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact, line, len);
        struct guard_kernel_line found;
        (void)guard_kernel_parse(exact, len, &found);
        free(exact);
        free(line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernel_lines),
        cmocka_unit_test(test_hostile_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
