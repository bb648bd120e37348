/* Whose memory on a card is: the split of a list, told by hand, and owners looked up in /proc. */
#include "device/gpu_owners.h"

#include "fake_card.h"

#include <limits.h>
#include <math.h>

#define MIB 1048576.0
#define UNKNOWN (-1)

static struct reading mib(double value)
{
    return value == UNKNOWN ? READING_NONE : reading_known(READING_FROM_NVML, value * MIB);
}

/* Entries: owner, root, MiB. Two services (roots 7 and 70) where `roots` says so. */
struct row {
    const char *name;
    size_t roots;
    int living; /* below each root */
    struct {
        enum gpu_owner owner;
        pid_t root;
        double mib;
    } entries[4];
    size_t count;
    double used, unseen; /* MiB; used UNKNOWN: memory v1, with `free` */
    double free;
    bool unified;
    double first, second, neighbours, strangers, unlisted; /* expected */
};

static const struct row rows[] = {
    {.name = "idle card", .first = UNKNOWN, .second = UNKNOWN},
    {"two services",
     2,
     1,
     {{GPU_OWNER_TREE, 7, 1000}, {GPU_OWNER_TREE, 70, 200}, {GPU_OWNER_TREE, 7, 30}},
     3,
     1240,
     0,
     0,
     false,
     1030,
     200,
     0,
     0,
     0},
    {"one has not come yet",
     2,
     1,
     {{GPU_OWNER_TREE, 7, 1000}},
     1,
     1009,
     0,
     0,
     false,
     1000,
     0,
     0,
     0,
     0},
    {"stranger, neighbour, MPS server",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100},
      {GPU_OWNER_STRANGER, 0, 50},
      {GPU_OWNER_NEIGHBOUR, 0, 2260},
      {GPU_OWNER_NOBODY, 0, 27}},
     4,
     2437,
     0,
     0,
     false,
     100,
     UNKNOWN,
     2260,
     50,
     0},
    {"unlisted", 1, 1, {{GPU_OWNER_TREE, 7, 100}}, 1, 9100, 0, 0, false, 100, UNKNOWN, 0, 0, 9000},
    {"noise", 1, 1, {{GPU_OWNER_TREE, 7, 100}}, 1, 355, 0, 0, false, 100, UNKNOWN, 0, 0, 0},
    {"a neighbour's, unseen",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     2360,
     2260,
     0,
     false,
     100,
     UNKNOWN,
     2260,
     0,
     0},
    {"more than the neighbour's",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     3100,
     2260,
     0,
     false,
     100,
     UNKNOWN,
     2260,
     0,
     740},
    {"less than the neighbour's",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     600,
     2260,
     0,
     false,
     100,
     UNKNOWN,
     500,
     0,
     0},
    {"26: empty list, nothing of ours",
     0,
     0,
     {{0}},
     0,
     9000,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     0,
     9000},
    {"26: empty list, ours may be in it",
     1,
     1,
     {{0}},
     0,
     9000,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     UNKNOWN,
     UNKNOWN},
    {"empty list, a keeper without processes",
     1,
     0,
     {{0}},
     0,
     9000,
     0,
     0,
     false,
     0,
     UNKNOWN,
     0,
     0,
     9000},
    {"empty list, the neighbour's alone",
     1,
     1,
     {{0}},
     0,
     2265,
     2260,
     0,
     false,
     0,
     UNKNOWN,
     2260,
     0,
     0},
    {"hidden, and ours is listed",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}, {GPU_OWNER_HIDDEN, 0, 600}},
     2,
     700,
     0,
     0,
     false,
     100,
     UNKNOWN,
     0,
     600,
     0},
    {"hidden, may be ours",
     1,
     1,
     {{GPU_OWNER_HIDDEN, 0, 600}},
     1,
     600,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     UNKNOWN,
     UNKNOWN},
    {"hidden, nothing of ours",
     0,
     0,
     {{GPU_OWNER_HIDDEN, 0, 600}},
     1,
     600,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     600,
     0},
    {"2: a stranger withholds: it has the rest",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}, {GPU_OWNER_STRANGER, 0, UNKNOWN}},
     2,
     700,
     0,
     0,
     false,
     100,
     UNKNOWN,
     0,
     600,
     0},
    {"the driver does not say what is in use",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}, {GPU_OWNER_STRANGER, 0, 600}},
     2,
     UNKNOWN,
     0,
     UNKNOWN,
     false,
     100,
     UNKNOWN,
     0,
     600,
     UNKNOWN},
    {"2: all withhold",
     1,
     1,
     {{GPU_OWNER_TREE, 7, UNKNOWN}, {GPU_OWNER_STRANGER, 0, UNKNOWN}},
     2,
     700,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     UNKNOWN,
     0},
    {"2: ours withholds",
     1,
     1,
     {{GPU_OWNER_TREE, 7, UNKNOWN}, {GPU_OWNER_STRANGER, 0, 30}},
     2,
     700,
     0,
     0,
     false,
     UNKNOWN,
     UNKNOWN,
     0,
     30,
     0},
    {"7: memory v1 counts the driver's own",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     UNKNOWN,
     0,
     80859,
     false,
     100,
     UNKNOWN,
     0,
     0,
     0},
    {"7: memory v1, a stranger's 2 GiB",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     UNKNOWN,
     0,
     78811,
     false,
     100,
     UNKNOWN,
     0,
     0,
     2648},
    {"8: unified",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     UNKNOWN,
     0,
     4000,
     true,
     100,
     UNKNOWN,
     0,
     0,
     0},
    {"freed between the calls",
     1,
     1,
     {{GPU_OWNER_TREE, 7, 100}},
     1,
     60,
     0,
     0,
     false,
     100,
     UNKNOWN,
     0,
     0,
     0},
};

static void check_mib(size_t i, const char *what, struct reading is, double expected)
{
    double value = reading_value(is) / MIB;
    if (expected == UNKNOWN ? !isnan(value) : value != expected)
        fail_msg("row %zu (%s), %s: is %.1f MiB, expected %.1f", i, rows[i].name, what, value,
                 expected);
}

static void test_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct gpu_claim claims[4];
        struct nvml_process list[4];
        struct gpu_split split;
        struct gpu_owners owners = {.claims = claims,
                                    .count = row->count,
                                    .roots = {7, 70},
                                    .living = {row->living, row->living},
                                    .root_count = row->roots};
        const struct spec_neighbour neighbour = {.unseen_bytes = (int64_t)(row->unseen * MIB)};
        const struct device_ours ours = {
            .roots = owners.roots, row->roots, .neighbours = &neighbour, .neighbour_count = 1};
        const struct nvml_memory memory = {.total_bytes = mib(81559),
                                           .free_bytes = mib(row->free),
                                           .used_bytes = mib(row->used),
                                           .unified = row->unified};
        for (size_t e = 0; e < row->count; e++) {
            claims[e] =
                (struct gpu_claim){100 + (pid_t)e, 1, row->entries[e].owner, row->entries[e].root};
            list[e] = (struct nvml_process){.pid = 100 + (pid_t)e,
                                            .memory_bytes = mib(row->entries[e].mib)};
        }
        gpu_owners_split(&owners, &ours, list, row->count, &memory, &split);
        check_mib(i, "first", split.tree_bytes[0], row->first);
        check_mib(i, "second", split.tree_bytes[1], row->second);
        check_mib(i, "neighbours", split.neighbour_bytes, row->neighbours);
        check_mib(i, "strangers", split.stranger_bytes, row->strangers);
        check_mib(i, "unlisted", split.unlisted_bytes, row->unlisted);
        CHECK_ROW(i, row->name, split.blind == (row->strangers == UNKNOWN && row->count < 2));
    }
}

static enum gpu_owner owner_of(const struct gpu_owners *owners, pid_t pid)
{
    const struct gpu_claim *claim = gpu_owners_find(owners, pid);
    assert_non_null(claim);
    return claim->owner;
}

static void write_processes(const char *root)
{
    static const struct fake_process processes[] = {
        {.pid = 20, .ppid = 1, .comm = "ollama", .start = 200},
        {.pid = 21, .ppid = 20, .comm = "runner", .start = 210},
        {.pid = 22, .ppid = 1, .comm = "vllm", .start = 220},
        {.pid = 23, .ppid = 1, .comm = "nvidia-cuda-mps-", .start = 230},
        {.pid = 24, .ppid = 1, .comm = "train.py", .start = 240},
        {.pid = 25, .ppid = 24, .comm = "part", .start = 250},
        {.pid = 26, .ppid = 1, .comm = "ollama-other", .start = 260},
    };
    fake_server(root, 0);
    fake_namespace(root, "pid:[4026531836]");
    for (size_t i = 0; i < ARRAY_LEN(processes); i++)
        fake_stat(root, &processes[i]);
    fake_text(root, "22/cgroup", "0::/system.slice/vllm.service\n");
}

static void test_neighbours(void **state)
{
    (void)state;
    static const struct spec_neighbour neighbours[] = {
        {.command = "ollama"}, {.unit = "vllm"}, {.pid = 24}};
    static const pid_t roots[] = {7};
    static const struct {
        pid_t pid;
        enum gpu_owner owner;
    } expected[] = {
        {9, GPU_OWNER_TREE},       {20, GPU_OWNER_NEIGHBOUR}, {21, GPU_OWNER_NEIGHBOUR},
        {22, GPU_OWNER_NEIGHBOUR}, {23, GPU_OWNER_NOBODY},    {24, GPU_OWNER_NEIGHBOUR},
        {25, GPU_OWNER_NEIGHBOUR}, {26, GPU_OWNER_STRANGER},  {999, GPU_OWNER_STRANGER},
    };
    char *root = check_make_folder();
    struct gpu_join join;
    struct gpu_owners owners = {0};
    struct nvml_process list[ARRAY_LEN(expected)];
    const struct device_ours ours = {roots, 1, neighbours, ARRAY_LEN(neighbours)};
    write_processes(root);
    unsetenv("SPICA_HOST_PROC");
    gpu_tree_join(&join, root);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        list[i] = (struct nvml_process){.pid = expected[i].pid, .memory_bytes = mib(1)};
    gpu_owners_update(&owners, &join, &ours, list, ARRAY_LEN(list), false);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        CHECK_ROW(i, "owner", owner_of(&owners, expected[i].pid) == expected[i].owner);
    assert_int_equal(owners.living[0], 2);
    gpu_owners_done(&owners);
    check_remove_folder(root);
}

/* Who is ours stays ours until it is gone; a number that comes back is asked for anew. */
static void test_remembered(void **state)
{
    (void)state;
    static const pid_t roots[] = {7}, others[] = {8};
    char *root = check_make_folder();
    struct gpu_join join;
    struct gpu_owners owners = {0};
    struct nvml_process list[] = {{.pid = 9}, {.pid = 30}};
    struct device_ours ours = {.roots = roots, .root_count = 1};
    write_processes(root);
    gpu_tree_join(&join, root);
    gpu_owners_update(&owners, &join, &ours, list, 1, false);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_TREE);
    /* Nothing is read while nothing is new. */
    int64_t at_ns = owners.at_ns;
    gpu_owners_update(&owners, &join, &ours, list, 1, false);
    assert_true(owners.at_ns == at_ns);
    /* The driver still lists it after its end: its keeper's tree has it no more, and /proc neither.
     */
    fake_remove(root, 9);
    fake_children(root, 8, 8, "");
    gpu_owners_update(&owners, &join, &ours, list, 2, false);
    assert_true(owners.at_ns > at_ns);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_TREE);
    assert_int_equal(owner_of(&owners, 30), GPU_OWNER_STRANGER);
    /* Its service is let go meanwhile. */
    ours.root_count = 0;
    gpu_owners_update(&owners, &join, &ours, list, 2, false);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_TREE);
    ours.root_count = 1;
    /* Left the list: forgotten. The number is another process now. */
    gpu_owners_update(&owners, &join, &ours, &list[1], 1, false);
    assert_null(gpu_owners_find(&owners, 9));
    fake_stat(root, &(struct fake_process){.pid = 9, .ppid = 1, .start = 900});
    gpu_owners_update(&owners, &join, &ours, list, 2, false);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_STRANGER);
    /* Used again without a gap in the list: its start time tells. */
    fake_children(root, 8, 8, "9 ");
    gpu_owners_update(&owners, &join, &ours, list, 2, true);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_TREE);
    fake_children(root, 8, 8, "");
    fake_stat(root, &(struct fake_process){.pid = 9, .ppid = 1, .start = 950});
    gpu_owners_update(&owners, &join, &ours, list, 2, true);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_STRANGER);
    /* A zombie is dead, one that lives on after its service was let go is a stranger. */
    fake_children(root, 8, 8, "9 ");
    gpu_owners_update(&owners, &join, &ours, list, 2, true);
    ours.root_count = 0;
    fake_stat(root, &(struct fake_process){.pid = 9, .ppid = 1, .start = 950, .state = 'Z'});
    gpu_owners_update(&owners, &join, &ours, list, 2, false);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_TREE);
    fake_stat(root, &(struct fake_process){.pid = 9, .ppid = 1, .start = 950});
    gpu_owners_update(&owners, &join, &ours, list, 2, true);
    assert_int_equal(owner_of(&owners, 9), GPU_OWNER_STRANGER);
    ours.root_count = 1;
    /* Another trial's keepers. */
    fake_children(root, 8, 8, "9 ");
    ours.roots = others;
    at_ns = owners.at_ns;
    gpu_owners_update(&owners, &join, &ours, list, 2, false);
    assert_true(owners.at_ns > at_ns);
    const struct gpu_claim *claim = gpu_owners_find(&owners, 9);
    assert_true(claim && claim->root == 8);
    gpu_owners_done(&owners);
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
