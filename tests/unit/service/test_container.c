/* The line of a container as it is executed, what is refused in one, and its end: with a runtime
 * that keeps its containers in our tree (podman), in a daemon's (docker), and one that is deaf. */
#include "fixture.h"

#include "device/device.h"
#include "device/proc.h"
#include "service/container.h"
#include "service/engine.h"
#include "service/signature.h"
#include "spec/space.h"

#include <sys/stat.h>

/* ---- the line ---- */

static const struct spec_protocol protocol = {
    .name = "openai-chat", .help = "chat", .sources = SOURCE_ANY, .path = "/v1/chat"};
static const struct spec_protocol *const protocols[] = {&protocol};
static const char *const strategies[] = {"grid", "tournament"};

static void put_program(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/fake", folder);
    struct err err = ERR_INIT;
    if (!file_write_atomic(path, "#!/bin/sh\n", 10, &err) || chmod(path, 0755) != 0)
        fail_msg("%s", err.text);
}

/* Parses and builds the first candidate's launch on port 4711; false with *ret_err set. */
static bool build(struct arena *arena, const char *folder, const char *service,
                  struct spec_study **ret_study, struct service_launch *ret_launch,
                  struct err *ret_err)
{
    struct spec_catalog catalog = {
        .protocols = protocols, .protocol_count = 1, .strategies = strategies, .strategy_count = 2};
    catalog.engines = engine_specs(&catalog.engine_count);
    char *path = arena_printf(arena, "%s/study.yaml", folder);
    char *text = arena_printf(arena,
                              "study: a.b\ndevice: gpu0\nservices:\n  s: {protocol: openai-chat, "
                              "%s}\ngoal: {optimise: {s.memory: {good: 1MiB, bad: 1GiB}}}\n"
                              "baseline: none\nload: {s: {prompts: p}}\n",
                              service);
    struct spec_candidate candidate;
    const struct launch_device device = {"GPU-1", "0"};
    return spec_study_parse(path, text, strlen(text), &catalog, ret_study, ret_err) &&
           spec_candidate_parse(*ret_study, strstr(text, "knobs") ? "s.size=tiny" : "", &candidate,
                                ret_err) &&
           service_launch_build(arena, *ret_study, &candidate, 0, 4711, &device, "/scratch/s",
                                "/log", ret_launch, ret_err);
}

#define LABELS "--label spica.study=a.b --label spica.service=s --label spica.folder=/scratch/s "
#define DEVICE "-e CUDA_DEVICE_ORDER=PCI_BUS_ID -e CUDA_VISIBLE_DEVICES=GPU-1 "
#define OFFLINE "-e HF_HUB_OFFLINE=1 -e TRANSFORMERS_OFFLINE=1 "
#define ID "--cidfile /scratch/s/container-id "

static const struct {
    const char *name, *service, *line;
} lines[] = {
    {"what is added",
     "container: [./fake, run, --device, nvidia.com/gpu=all, x:1, --port, '{port}']",
     "run " ID "--name spica-a.b-s-4711 --network=host --pull=never " LABELS OFFLINE DEVICE
     "--device nvidia.com/gpu=all x:1 --port 4711"},
    {"what is given is not added",
     "allow_download: true, container: [./fake, --log-level, error, run, --rm, --name=mine, "
     "--pull=newer, -ip, '127.0.0.1:{port}:80', x, -d, -p, '80:80']",
     "--log-level error run " ID LABELS DEVICE
     "--rm --name=mine --pull=newer -ip 127.0.0.1:4711:80 --rm=false x -d -p 80:80"},
    {"a limit and an environment",
     "on: cpu, memory_limit: 1MiB, environment: {A: 'b c', HF_HUB_OFFLINE: null}, "
     "knobs: {size: [tiny]}, container: [./fake, container, run, --net, none, '-eB={size}', x]",
     "container run " ID "--name spica-a.b-s-4711 --pull=never --memory=1048576b "
     "--memory-swap=1048576b " LABELS "-e TRANSFORMERS_OFFLINE=1 -e CUDA_VISIBLE_DEVICES= -e "
     "'A=b c' --net none -eB=tiny x"},
    {"a variable of ours is handed on by its name",
     "on: cpu, allow_download: true, environment: {TOKEN: '{TOKEN}'}, container: [./fake, run, x]",
     "run " ID "--name spica-a.b-s-4711 --network=host " LABELS
     "-e CUDA_VISIBLE_DEVICES= -e TOKEN x"},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char *folder = check_make_folder();
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct service_launch launch;
        struct err err = ERR_INIT;
        put_program(folder);
        if (!build(arena, folder, lines[i].service, &study, &launch, &err))
            fail_msg("%s: %s", lines[i].name, err.text);
        struct buf text = BUF_INIT(1 << 16);
        service_launch_add_text(&text, &launch);
        const char *at = strstr(buf_text(&text), "fake ");
        CHECK_ROW(i, lines[i].name, at && launch.container_run > 0);
        CHECK_ROW_TEXT(i, lines[i].name, at + 5, lines[i].line);
        buf_done(&text);
        check_remove_folder(folder);
    }
}

static const struct {
    const char *service, *says;
} refused[] = {
    {"container: podman run x", "must be a list"},
    {"container: [./fake, ps]", "must be a command line that runs a container"},
    {"container: [./fake, run]", "must be a command line that runs a container"},
    {"container: [./fake, run, x], command: [y]", "has both \"container\" and \"command\""},
    {"container: [./fake, run, x], args: [y]", "everything is in \"container\""},
    {"container: [./fake, run, '{nothing}']", "nothing"},
    {"container: [./fake, run, -d, x]", "-d: it must stay attached"},
    {"container: [./fake, run, -idq, x]", "-idq: it must stay attached"},
    {"container: [./fake, run, --detach=true, x]", "--detach=true: it must stay attached"},
    {"container: [./fake, run, --cidfile, f, x]", "--cidfile: spica gives its own"},
    {"container: [./fake, run, -p, '8080:80', x]", "-p: opens the port on every interface"},
    {"container: [./fake, run, '-p0.0.0.0:8080:80', x]", "opens the port on every interface"},
    {"container: [./fake, run, --publish=80, x]", "opens the port on every interface"},
    {"container: [./fake, run, -P, x]", "-P: it opens ports"},
    {"container: [./fake, run, --restart, always, x]", "a service that ends must stay ended"},
    {"container: [./fake, run, --pull, always, x]", "downloads nothing unless allow_download"},
    {"container: [./fake, run, --replace, x]", "may be another's"},
    {"memory_limit: 1MiB, container: [./fake, run, -m, 1g, x]", "memory_limit is given too"},
    {"container: [./fake, run, --device, x]", "no image follows"},
    {"container: [./fake, run, --rm, --name]", "--name: needs a value"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *folder = check_make_folder();
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(spec_study_free) struct spec_study *study = NULL;
        struct service_launch launch;
        struct err err = ERR_INIT;
        put_program(folder);
        CHECK_ROW(i, refused[i].says,
                  !build(arena, folder, refused[i].service, &study, &launch, &err));
        CHECK_ROW(i, err.text, err.code == ERR_INPUT && strstr(err.text, refused[i].says));
        check_remove_folder(folder);
    }
}

/* One name more than there is room for is not left out silently: the service would start without
 * its token. */
static void test_too_many_names(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(buf_done) struct buf service = BUF_INIT(1 << 18);
    struct service_launch launch;
    struct err err = ERR_INIT;
    put_program(folder);
    buf_add(&service, "container: [./fake, run, x], environment: {");
    for (int i = 0; i <= 512; i++)
        buf_addf(&service, "N%d: '{N%d}', ", i, i);
    buf_add(&service, "}");
    assert_false(build(arena, folder, buf_text(&service), &study, &launch, &err));
    if (err.code != ERR_LIMIT || !strstr(err.text, "environment entries"))
        fail_msg("%s", err.text);
    check_remove_folder(folder);
}

/* ---- the end ---- */

enum { LINE_MAX_WORDS = 24 };

struct ship {
    struct fixture fix;
    char *runtime_folder, *filter_study, *filter_folder, *id_file, *mark;
    const char *argv[LINE_MAX_WORDS];
    pid_t daemon;
};

static char *printed(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *printed(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    return text;
}

static void ship_init(struct ship *ship, const char *kind, const char *mode)
{
    *ship = (struct ship){0};
    fixture_init(&ship->fix, mode, NULL);
    ship->runtime_folder = printed("%s/runtime", ship->fix.folder);
    ship->filter_study = printed("spica.study=%s", ship->fix.study);
    ship->filter_folder = printed("spica.folder=%s", ship->fix.scratch);
    ship->id_file = printed("%s/container-id", ship->fix.scratch);
    ship->mark = printed("SPICA_SERVICE=%s/child", ship->fix.study);
    const char *line[] = {"podman",    "run",
                          "--cidfile", ship->id_file,
                          "--name",    ship->fix.study,
                          "--label",   ship->filter_study,
                          "--label",   ship->filter_folder,
                          "-e",        ship->mark,
                          "image",     CHILD_PROGRAM,
                          mode};
    memcpy(ship->argv, line, sizeof line);
    ship->fix.launch.argv = ship->argv;
    ship->fix.launch.program = FAKE_PODMAN;
    ship->fix.launch.container_run = 1;
    ship->fix.launch.container_name = ship->fix.study;
    setenv("FAKE_PODMAN", kind, 1);
    setenv("FAKE_PODMAN_DIR", ship->runtime_folder, 1);
    mkdir(ship->runtime_folder, 0755);
    if (strcmp(kind, "docker") != 0)
        return;
    ship->daemon = fork();
    if (ship->daemon == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* what it starts stays its own, as a shim's does */
        setsid();
        execl(FAKE_PODMAN, "podman", "daemon", NULL);
        _exit(127);
    }
    service_child_add(ship->daemon);
    AUTO(free) char *socket = printed("%s/daemon", ship->runtime_folder);
    for (int i = 0; i < 500 && !file_exists(socket); i++)
        fixture_sleep_ms(20);
}

static void ship_mark(const struct ship *ship, const char *name, bool there)
{
    AUTO(free) char *path = printed("%s/%s", ship->runtime_folder, name);
    struct err err = ERR_INIT;
    if (there)
        assert_true(file_write_atomic(path, "", 0, &err));
    else
        unlink(path);
}

static void ship_deafen(const struct ship *ship, bool deaf)
{
    ship_mark(ship, "deaf", deaf);
}

static void ship_done(struct ship *ship)
{
    ship_deafen(ship, false);
    AUTO(free) char *rest = printed("%s rm -f %s", FAKE_PODMAN, ship->fix.study);
    pclose(popen(rest, "r")); /* of a deaf one: its control group */
    if (ship->daemon > 0) {
        service_child_remove(ship->daemon);
        kill(ship->daemon, SIGKILL);
        waitpid(ship->daemon, NULL, 0);
    }
    free(ship->runtime_folder);
    free(ship->filter_study);
    free(ship->filter_folder);
    free(ship->id_file);
    free(ship->mark);
    fixture_done(&ship->fix);
}

/* Containers that the runtime still knows. */
static int ship_known(const struct ship *ship)
{
    AUTO(free)
    char *whole = printed("%s ps -aq --filter label=%s", FAKE_PODMAN, ship->filter_study);
    FILE *list = popen(whole, "r");
    int lines_seen = 0;
    for (int c = fgetc(list); c != EOF; c = fgetc(list))
        lines_seen += c == '\n';
    pclose(list);
    return lines_seen;
}

static bool ship_groups(const struct service_process *process)
{
    struct service_tree tree;
    pid_t first = 0;
    if (!service_tree_init(&tree))
        return false;
    size_t count =
        service_container_processes(&tree, service_process_status(process)->container_id, &first);
    service_tree_done(&tree);
    return count > 0;
}

static void ship_wait_id(struct service_process *process)
{
    for (int i = 0; i < 500 && !service_process_status(process)->container_id[0]; i++) {
        fixture_sleep_ms(20);
        service_process_poll(process);
    }
    assert_int_equal(strlen(service_process_status(process)->container_id), 64);
}

static const char *const kinds[] = {"podman", "docker"};

static void test_stop(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct ship ship;
        struct err err = ERR_INIT;
        ship_init(&ship, kinds[k], "sleep");
        AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
        ship_wait_id(process);
        CHECK_ROW(k, kinds[k], ship_known(&ship) == 1);
        if (!service_process_stop_wait(process, 5 * NS_PER_S, &err))
            fail_msg("%s: %s", kinds[k], err.text);
        const struct process_status *status = service_process_status(process);
        CHECK_ROW(k, kinds[k], status->state == PROCESS_EMPTY && status->signal == SIGTERM);
        CHECK_ROW(k, kinds[k], status->signal_was_ours && status->exit_code == -1);
        CHECK_ROW(k, kinds[k], fixture_alive(&ship.fix) == 0 && ship_known(&ship) == 0);
        process = service_process_free(process);
        ship_done(&ship);
    }
}

static void test_deaf_child(void **state)
{
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct ship ship;
        struct err err = ERR_INIT;
        ship_init(&ship, kinds[k], "deaf");
        AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
        CHECK_ROW(k, kinds[k], fixture_says(process, "deaf"));
        if (!service_process_stop_wait(process, NS_PER_S / 10, &err))
            fail_msg("%s: %s", kinds[k], err.text);
        CHECK_ROW(k, kinds[k], service_process_status(process)->signal == SIGKILL);
        CHECK_ROW(k, kinds[k], fixture_alive(&ship.fix) == 0 && ship_known(&ship) == 0);
        process = service_process_free(process);
        ship_done(&ship);
    }
}

static void test_exit_status(void **state)
{
    (void)state;
    struct ship ship;
    ship_init(&ship, "podman", "exit");
    ship.argv[15] = "7";
    AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
    assert_true(fixture_reach(process, PROCESS_EMPTY));
    assert_int_equal(service_process_status(process)->exit_code, 7);
    size_t len = 0;
    AUTO(free) char *log = service_process_log(process, &len);
    assert_non_null(strstr(log, "leaving with 7"));
    assert_int_equal(ship_known(&ship), 0);
    process = service_process_free(process);
    ship_done(&ship);
}

/* How a container ended is asked before it is removed, of both kinds, also where the study's line
 * says --rm. Before: it was removed by the runtime, and SIGKILL was all that could be told. */
static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *signal;
        bool file, deaf;
        int oom;
    } rows[] = {
        {"podman", "9", true, false, 1},  {"docker", "9", true, false, 1},
        {"podman", "9", false, false, 0}, {"podman", "11", true, false, 0},
        {"podman", "9", true, true, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ship ship;
        ship_init(&ship, rows[i].kind, "signal");
        ship.argv[15] = rows[i].signal;
        ship_mark(&ship, "oom", rows[i].file);
        ship_mark(&ship, "deaf", false);
        AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
        ship_wait_id(process);
        ship_mark(&ship, "deaf", rows[i].deaf);
        assert_true(fixture_reach(process, PROCESS_EXITED));
        const struct process_status *status = service_process_status(process);
        CHECK_ROW(i, rows[i].kind, status->signal == (int)strtol(rows[i].signal, NULL, 10));
        CHECK_ROW(i, rows[i].kind, status->runtime_oom == rows[i].oom);
        ship_mark(&ship, "deaf", false);
        CHECK_ROW(i, rows[i].kind, fixture_reach(process, PROCESS_EMPTY));
        CHECK_ROW(i, rows[i].kind, ship_known(&ship) == 0);
        process = service_process_free(process);
        ship_done(&ship);
    }
}

/* A runtime that fails before there is a container: its own words are not known, so ours are; a
 * server that ends with the same status in its container is itself to blame. Before: 125 was a
 * crash of each candidate. */
static void test_no_container(void **state)
{
    (void)state;
    static const struct {
        const char *image, *code;
        enum signature_cause cause;
        const char *line;
    } rows[] = {
        {"broken", "7", CAUSE_DEVICE_LOST,
         SERVICE_NO_CONTAINER " (exit status 125): Error: creating a thing: no such luck"},
        {"missing", "7", CAUSE_MISSING_WEIGHTS, "Error: missing: image not known"},
        {"image", "125", CAUSE_NONE, ""},
        {"image", "127", CAUSE_NONE, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ship ship;
        struct signature_match match;
        ship_init(&ship, "podman", "exit");
        ship.argv[12] = rows[i].image;
        ship.argv[15] = rows[i].code;
        AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
        assert_true(fixture_reach(process, PROCESS_EMPTY));
        size_t len = 0;
        AUTO(free) char *log = service_process_log(process, &len);
        bool found = signature_scan(NULL, log, len, &match);
        CHECK_ROW(i, rows[i].image, (found ? match.signature->cause : CAUSE_NONE) == rows[i].cause);
        AUTO(free)
        char *line = found ? strndup(log + match.line_start, match.line_len) : strdup("");
        CHECK_ROW_TEXT(i, rows[i].image, line, rows[i].line);
        process = service_process_free(process);
        ship_done(&ship);
    }
}

/* What a daemon started is counted as the keeper's. */
static void test_counted(void **state)
{
    (void)state;
    struct ship ship;
    ship_init(&ship, "docker", "sleep");
    AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
    ship_wait_id(process);
    for (int i = 0; i < 100 && !ship_groups(process); i++)
        fixture_sleep_ms(20);
    if (!ship_groups(process)) {
        process = service_process_free(process);
        ship_done(&ship);
        print_message("skipped: no control group can be made here\n");
        skip();
    }
    const struct process_status *status = service_process_status(process);
    for (int i = 0; i < 500 && status->extra_root == 0; i++) {
        fixture_sleep_ms(20);
        service_process_poll(process);
    }
    assert_true(status->extra_root > 0);
    AUTO(free) struct proc_stat *tree = NULL;
    size_t count = 0;
    bool found = false;
    assert_true(proc_tree("/proc", status->keeper, &tree, &count, NULL));
    for (size_t i = 0; i < count; i++)
        found = found || tree[i].pid == status->extra_root;
    assert_true(found);
    AUTO(device_close) struct device *device = NULL;
    struct device_usage usage;
    assert_true(device_open("cpu", "/proc", &device, NULL));
    device_usage(device, status->keeper, &usage);
    assert_int_equal(usage.processes, 2); /* the client, and what it is the client of */
    process = service_process_free(process);
    assert_int_equal(fixture_alive(&ship.fix), 0);
    ship_done(&ship);
}

/* A runtime that answers nothing any more: the processes are found and killed all the same. */
static void test_deaf_runtime(void **state)
{
    (void)state;
    struct ship ship;
    struct err err = ERR_INIT;
    ship_init(&ship, "docker", "sleep");
    AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
    ship_wait_id(process);
    fixture_sleep_ms(200);
    bool groups = ship_groups(process);
    ship_deafen(&ship, true);
    if (!groups) { /* nothing else could find them */
        ship_deafen(&ship, false);
        print_message("no control group can be made here: not tried\n");
    }
    assert_true(service_process_stop_wait(process, NS_PER_S / 10, &err));
    process = service_process_free(process);
    assert_int_equal(fixture_alive(&ship.fix), 0);
    ship_done(&ship);
}

/* A daemon that is down, and no process to be seen: that its container is gone is not proven.
 * Before: "inspect" failed, so it was. */
static void test_unproven(void **state)
{
    (void)state;
    struct ship ship;
    struct service_tree tree;
    struct err err = ERR_INIT;
    static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    ship_init(&ship, "podman", "sleep");
    struct service_container *container = service_container_new(&ship.fix.launch, ship.fix.study);
    assert_true(file_make_folders(ship.fix.scratch, &err));
    assert_true(file_write_atomic(ship.id_file, id, strlen(id), &err));
    assert_true(service_tree_init(&tree));
    assert_true(service_container_remove(container, &tree, NS_PER_S / 10)); /* it knows of none */
    ship_deafen(&ship, true);
    assert_false(service_container_remove(container, &tree, NS_PER_S / 10));
    service_tree_done(&tree);
    service_container_free(container);
    ship_done(&ship);
}

/* A name that is taken; what a killed run left; a runtime that does not work. */
static void test_clear(void **state)
{
    (void)state;
    struct ship ship;
    struct err err = ERR_INIT;
    ship_init(&ship, "podman", "sleep");
    AUTO(free) char *foreign = printed("%s run --name %s image true", FAKE_PODMAN, ship.fix.study);
    assert_true(service_init(&err));
    pclose(popen(foreign, "r")); /* without --rm it stays, ended */
    struct service_process *process = NULL;
    assert_false(service_process_start(&ship.fix.launch, ship.fix.study, &process, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, "which is not this study's"));
    AUTO(free) char *remove = printed("%s rm -f %s", FAKE_PODMAN, ship.fix.study);
    pclose(popen(remove, "r"));

    AUTO(free)
    char *left = printed("%s run --name other --label %s ", FAKE_PODMAN, ship.filter_study);
    AUTO(free) char *left_too = printed("%s --label %s image true", left, ship.filter_folder);
    pclose(popen(left_too, "r"));
    assert_int_equal(ship_known(&ship), 1);
    process = fixture_start(&ship.fix);
    ship_wait_id(process);
    assert_int_equal(ship_known(&ship), 1); /* the new one alone */
    process = service_process_free(process);
    assert_int_equal(ship_known(&ship), 0);

    ship_deafen(&ship, true);
    err = ERR_INIT;
    assert_false(service_process_start(&ship.fix.launch, ship.fix.study, &process, &err));
    assert_int_equal(err.code, ERR_STOPPED);
    assert_non_null(strstr(err.text, "podman does not work here: Error: Cannot connect"));
    ship_done(&ship);
}

/* The keeper, its guard, both: whoever is left removes the container. */
static void test_deaths(void **state)
{
    (void)state;
    for (size_t row = 0; row < 2 * ARRAY_LEN(kinds); row++) {
        struct ship ship;
        struct err err = ERR_INIT;
        ship_init(&ship, kinds[row / 2], "sleep");
        AUTO(service_process_free) struct service_process *process = fixture_start(&ship.fix);
        ship_wait_id(process);
        const struct process_status *status = service_process_status(process);
        struct proc_stat keeper;
        assert_true(proc_read_stat("/proc", status->keeper, &keeper));
        if (row % 2)
            kill(keeper.ppid, SIGKILL);
        kill(status->keeper, SIGKILL);
        CHECK_ROW(row, kinds[row / 2], fixture_reach(process, PROCESS_EMPTY));
        CHECK_ROW(row, kinds[row / 2], service_process_stop_wait(process, 0, &err));
        CHECK_ROW(row, kinds[row / 2], fixture_all_gone(&ship.fix) && ship_known(&ship) == 0);
        process = service_process_free(process);
        ship_done(&ship);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many_names), cmocka_unit_test(test_stop),
        cmocka_unit_test(test_deaf_child),     cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_counted),        cmocka_unit_test(test_deaf_runtime),
        cmocka_unit_test(test_clear),          cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_no_container),   cmocka_unit_test(test_unproven),
        cmocka_unit_test(test_memory),
    };
    struct err err = ERR_INIT;
    if (!service_init(&err))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
