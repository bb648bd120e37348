/* Services coming up and going down within a trial.
 *
 * Ready means three things: the service's own check says so, the port belongs to this service's
 * tree (else an old server would be measured), and its memory has stopped growing, since two
 * servers that size themselves while the other still loads corrupt each other's sizing. */
#include "trial/watch.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "device/kernel_log.h"
#include "service/engine.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { PORT_TRIES = 3, LINE_MAX_BYTES = 400 };
static const int64_t READY_CHECK_NS = NS_PER_S / 2; /* one check may take this long */
static const int64_t SETTLE_STEP_NS = 300 * NS_PER_MS;
static const int64_t SETTLE_MAX_NS = 3 * NS_PER_S;

bool attempt_service_matches(const struct trial_runner *runner,
                             const struct spec_candidate *candidate, size_t i)
{
    const struct running *running = &runner->services[i];
    if (!running->process || runner->options.study->services[i].fresh ||
        service_process_status(running->process)->state != PROCESS_RUNNING)
        return false;
    AUTO(buf_done) struct buf settings = BUF_INIT(65536);
    spec_candidate_add_service_text(&settings, runner->options.study, candidate, i);
    return strcmp(buf_text(&settings), running->settings) == 0;
}

char *attempt_log(const struct running *running, size_t *ret_len)
{
    struct err ignored = ERR_INIT; /* nothing was said, or nothing is left to read */
    struct buf text = BUF_INIT(1 << 20);
    if (running->process)
        return service_process_log(running->process, ret_len);
    if (!running->by_request)
        return NULL;
    (void)!buf_read_file(&text, running->launch.log_path, &ignored);
    *ret_len = text.len;
    return buf_take(&text);
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat, (void)type, (void)ftw;
    remove(path);
    return 0;
}

static void remove_folder(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void running_forget(struct running *running)
{
    running->process = service_process_free(running->process);
    if (running->launch.scratch)
        remove_folder(running->launch.scratch);
    arena_free(running->arena);
    *running = (struct running){.ready_s = NAN,
                                .first_request_s = NAN,
                                .idle_memory_bytes = NAN,
                                .peak_memory_bytes = NAN,
                                .peak_host_bytes = NAN};
}

/* Waits for the end as long as the service's grace lasts, and no longer once we are asked to stop
 * now. Returns what is left of the grace. */
static int64_t wait_stop(struct service_process *process, int64_t grace_ns)
{
    int64_t end_ns = clock_now_ns() + grace_ns;
    if (cancel_level() != CANCEL_NOW)
        service_process_stop(process, grace_ns);
    while (cancel_level() != CANCEL_NOW && clock_now_ns() < end_ns) {
        service_process_poll(process);
        if (service_process_status(process)->state == PROCESS_EMPTY)
            break;
        struct pollfd fd = {.fd = service_process_fd(process), .events = POLLIN};
        poll(&fd, 1, 100); /* a signal ends it early */
    }
    int64_t left_ns = end_ns - clock_now_ns();
    return cancel_level() == CANCEL_NOW || left_ns < 0 ? 0 : left_ns;
}

void attempt_stop_service(struct trial_runner *runner, size_t i, struct arena *arena,
                          const char **ret_left)
{
    struct running *running = &runner->services[i];
    *ret_left = NULL;
    if (!running->process) {
        running_forget(running); /* of a launch that failed */
        return;
    }
    int64_t grace_ns =
        wait_stop(running->process, runner->options.study->services[i].stop_grace_ns);
    struct err left = ERR_INIT;
    if (!service_process_stop_wait(running->process, grace_ns, &left))
        *ret_left =
            arena_printf(arena, "%s: %s", runner->options.study->services[i].name, left.text);
    running_forget(running);
}

/* The log's last line that says something, bounded, in the arena. */
static const char *last_line(struct arena *arena, const char *log, size_t len)
{
    while (len > 0 && (unsigned char)log[len - 1] <= ' ')
        len--;
    size_t start = len;
    while (start > 0 && log[start - 1] != '\n' && len - start < LINE_MAX_BYTES)
        start--;
    return arena_strndup(arena, log + start, len - start);
}

void attempt_note_log(struct attempt *attempt, size_t i)
{
    const struct running *running = &attempt->runner->services[i];
    struct judge_service *facts = &attempt->facts.services[i];
    size_t len = 0;
    /* Of a living parent, a killed child is all that tells of memory. */
    if (running->process) {
        facts->oom_kills = service_process_status(running->process)->oom_kills;
        facts->runtime_oom = service_process_status(running->process)->runtime_oom > 0;
    }
    AUTO(free) char *log = attempt_log(running, &len);
    if (!log)
        return;
    const struct engine_ops *engine =
        running->launch.engine ? engine_find(running->launch.engine->name) : NULL;
    facts->has_match = signature_scan(engine ? engine->signatures : NULL, log, len, &facts->match);
    if (facts->has_match) {
        size_t n = facts->match.line_len < LINE_MAX_BYTES ? facts->match.line_len : LINE_MAX_BYTES;
        facts->match_line = arena_strndup(attempt->arena, log + facts->match.line_start, n);
    }
    facts->last_line = last_line(attempt->arena, log, len);
}

/* A card that failed under it and still answers: its end says nothing about the settings. */
static void note_xid(struct attempt *attempt, size_t i)
{
    const struct device_facts *device = device_facts(attempt_device(attempt, i));
    char words[128];
    if (!device->pci[0] || attempt->facts.device_fault ||
        !device_kernel_fatal(device->pci, attempt->kernel_mark_s, words, sizeof words))
        return;
    attempt->facts.device_fault = arena_printf(
        attempt->arena, "%s: the kernel logged %s while %s ran on it",
        attempt->study
            ->devices[spec_candidate_device(attempt->study, &attempt->request->candidate, i)],
        words, attempt->study->services[i].name);
}

void attempt_note_end(struct attempt *attempt, size_t i, enum service_end end,
                      enum trial_phase phase, const char *detail)
{
    struct judge_service *facts = &attempt->facts.services[i];
    facts->end = end;
    facts->phase = phase;
    facts->detail = detail ? arena_strdup(attempt->arena, detail) : NULL;
    attempt_note_log(attempt, i);
    note_xid(attempt, i);
    const struct running *running = &attempt->runner->services[i];
    if (!running->process)
        return;
    const struct process_status *status = service_process_status(running->process);
    if (status->keeper_lost)
        facts->end = SERVICE_KEEPER_LOST;
    facts->exit_code = status->exit_code;
    facts->term_signal = status->signal;
    facts->kernel_oom =
        status->signal == SIGKILL && !status->signal_was_ours && device_kernel_killed(status->pid);
}

/* Ours, when the listener is in the service's tree or can't be seen. */
static bool listener_is_ours(const struct running *running, pid_t *ret_other)
{
    pid_t listener = proc_listener("/proc", running->launch.port);
    /* A published port of a container is listened to by a proxy of its runtime. */
    if (listener <= 0 || running->launch.container_run > 0)
        return true;
    struct proc_stat *tree = NULL;
    size_t count = 0;
    if (!proc_tree("/proc", running->root, &tree, &count, NULL))
        return true;
    bool ours = false;
    for (size_t k = 0; k < count; k++)
        ours = ours || tree[k].pid == listener;
    free(tree);
    *ret_other = listener;
    return ours;
}

/* Some servers answer /health before they serve: the list of models has to name ours. */
static bool serves_model(const struct running *running, const struct load_site *site, char *why,
                         size_t size)
{
    const struct engine_ops *ops =
        running->launch.engine ? engine_find(running->launch.engine->name) : NULL;
    AUTO(buf_done) struct buf body = BUF_INIT(1 << 20);
    struct load_look look;
    if (!ops || !ops->ready_models || !running->launch.model)
        return true;
    load_http_fetch(site, ops->ready_models, READY_CHECK_NS, &body, &look);
    if (look.status == 200 && engine_models_list(buf_text(&body), body.len, running->launch.model))
        return true;
    snprintf(why, size, "%s does not list %s yet (%s)", ops->ready_models, running->launch.model,
             look.why);
    return false;
}

bool attempt_says_ready(const struct attempt *attempt, size_t i, bool *ret_untrusted, char *why,
                        size_t size)
{
    const struct running *running = &attempt->runner->services[i];
    const char *path = attempt->study->services[i].ready_path;
    if (running->by_request)
        return true; /* there is nothing to wait for */
    const struct load_site site = {running->launch.port, &attempt->study->services[i].tls};
    struct load_look look;
    if (!path && running->launch.engine)
        path = running->launch.engine->ready_path;
    load_http_get(&site, path, READY_CHECK_NS, &look);
    if (look.status == 200)
        return serves_model(running, &site, why, size);
    if (look.why[0])
        snprintf(why, size, "%s port %d: %s", look.untrusted ? "on" : "last seen on",
                 running->launch.port, look.why);
    *ret_untrusted = look.untrusted;
    return false;
}

enum ready_end {
    READY_YES,
    READY_ENDED,
    READY_LATE,
    READY_FOREIGN,
    READY_UNTRUSTED, /* no waiting gives it another certificate */
    READY_CANCEL,
};

static enum ready_end wait_ready(struct attempt *attempt, size_t i, char *why, size_t size)
{
    struct running *running = &attempt->runner->services[i];
    const struct spec_service *spec = &attempt->study->services[i];
    int64_t started_ns = clock_now_ns(), deadline_ns = started_ns + spec->ready_within_ns;
    int64_t pause_ns = 10 * NS_PER_MS;
    snprintf(why, size, "its port never opened");
    for (;;) {
        size_t ended = 0;
        int64_t now_ns = clock_now_ns();
        int64_t until_ns = now_ns + pause_ns < deadline_ns ? now_ns + pause_ns : deadline_ns;
        enum wait_end end = attempt_wait(attempt, until_ns, &ended);
        if (end == WAIT_CANCEL)
            return READY_CANCEL;
        if (end == WAIT_SERVICE)
            return READY_ENDED; /* of this service, or of one that was up: the caller looks */
        bool untrusted = false;
        bool ready = attempt_says_ready(attempt, i, &untrusted, why, size);
        if (ready || untrusted) {
            pid_t other = 0;
            if (listener_is_ours(running, &other)) {
                running->ready_s = ready ? (double)(clock_now_ns() - started_ns) / NS_PER_S : NAN;
                return ready ? READY_YES : READY_UNTRUSTED;
            }
            snprintf(why, size, "port %d belongs to process %d, not to this service",
                     running->launch.port, (int)other);
            return READY_FOREIGN;
        }
        if (clock_now_ns() >= deadline_ns)
            return READY_LATE;
        /* Short at first, for engines that need 0.2 s; never a noticeable load on one that is slow.
         */
        pause_ns = clock_now_ns() - started_ns < 2 * NS_PER_S ? 10 * NS_PER_MS : 100 * NS_PER_MS;
    }
}

static double memory_now(struct attempt *attempt, size_t i)
{
    struct device_usage usage;
    device_usage(attempt_device(attempt, i), attempt->runner->services[i].root, &usage);
    return reading_value(usage.memory_bytes);
}

/* Does another service still have to start in this trial? Only then does anybody care whether this
 * one's memory has settled. */
static bool is_last_to_start(const struct attempt *attempt, size_t i)
{
    for (size_t k = i + 1; k < attempt->study->service_count; k++)
        if (!attempt->study->services[k].by_request &&
            (attempt->request->cold ||
             !attempt_service_matches(attempt->runner, &attempt->request->candidate, k)))
            return false;
    return true;
}

/* Waits until two readings are within 2 % of each other; gives up quietly at SETTLE_MAX_NS. */
static enum wait_end settle(struct attempt *attempt, size_t i, size_t *ret_ended)
{
    int64_t deadline_ns = clock_now_ns() + SETTLE_MAX_NS;
    double before = memory_now(attempt, i);
    attempt->runner->services[i].idle_memory_bytes = before;
    if (is_last_to_start(attempt, i))
        return WAIT_TIME;
    for (;;) {
        enum wait_end end = attempt_wait(attempt, clock_now_ns() + SETTLE_STEP_NS, ret_ended);
        if (end != WAIT_TIME)
            return end;
        double now = memory_now(attempt, i);
        if (isnan(now) || fabs(now - before) <= 0.02 * now || clock_now_ns() > deadline_ns) {
            attempt->runner->services[i].idle_memory_bytes = now;
            return WAIT_TIME;
        }
        before = now;
    }
}

/* As a service would have been started. */
void attempt_take_program(const struct spec_study *study, struct running *running)
{
    const struct service_launch *launch = &running->launch;
    running->by_request = true;
    running->program = (struct load_program){
        .path = launch->program,
        .argv = launch->argv,
        .env = launch->env,
        .unset = launch->env_unset,
        .keys = launch->env_keys,
        .folder = launch->folder,
        .log_path = launch->log_path,
        .study = study->name,
        .name = launch->name,
    };
}

static bool launch(struct attempt *attempt, size_t i, const int *taken, size_t taken_count,
                   struct err *err)
{
    struct trial_runner *runner = attempt->runner;
    struct running *running = &runner->services[i];
    const char *name = attempt->study->services[i].name;
    running_forget(running);
    running->arena = arena_new();
    /* The service works in another folder than we do. */
    AUTO(free) char *folder = file_absolute(runner->options.folder);
    AUTO(free) char *own = runner->options.scratch ? file_absolute(runner->options.scratch) : NULL;
    char *logs = arena_printf(running->arena, "%s/logs", folder);
    char *scratch = own ? arena_printf(running->arena, "%s/%s", own, name)
                        : arena_printf(running->arena, "%s/scratch/%s", folder, name);
    char *log = arena_printf(running->arena, "%s/trial-%06" PRId64 "-%s.log", logs,
                             attempt->request->number, name);
    remove_folder(scratch); /* of a run that was killed: a start finds nothing of it */
    if (!file_make_folders(logs, err) || !file_make_folders(scratch, err))
        return err_wrap(err, "starting %s", name);
    int port = 0;
    bool by_request = attempt->study->services[i].by_request;
    if (!by_request && !service_port_allot(taken, taken_count, &port, err))
        return false;
    AUTO(buf_done) struct buf settings = BUF_INIT(65536);
    spec_candidate_add_service_text(&settings, attempt->study, &attempt->request->candidate, i);
    running->settings = arena_strdup(running->arena, buf_text(&settings));
    running->started_in_trial = attempt->request->number;
    const struct device_facts *facts = device_facts(attempt_device(attempt, i));
    struct launch_device device = {facts->cores > 0 ? NULL : facts->id, facts->number};
    if (!service_launch_build(running->arena, attempt->study, &attempt->request->candidate, i, port,
                              &device, scratch, log, &running->launch, err))
        return false;
    if (!by_request) {
        if (!service_process_start(&running->launch, attempt->study->name, &running->process, err))
            return false;
        running->root = service_process_status(running->process)->keeper;
        return true;
    }
    unlink(log); /* of a run that was killed: what is run now appends to it */
    attempt_take_program(attempt->study, running);
    return true;
}

/* Whose end was it, and was it only a taken port? */
static bool port_was_taken(struct attempt *attempt, size_t i)
{
    attempt_note_log(attempt, i);
    const struct judge_service *facts = &attempt->facts.services[i];
    return facts->has_match && facts->match.signature->cause == CAUSE_PORT_BUSY;
}

static bool fault_of_launch(struct attempt *attempt, size_t i, struct err *launch_err,
                            struct err *err)
{
    if (launch_err->code != ERR_MISSING) {
        *err = *launch_err;
        return false;
    }
    attempt_note_end(attempt, i, SERVICE_UNSTARTABLE, PHASE_START, launch_err->text);
    return true;
}

/* One try on one port. *ret_again: the port was the problem. */
static bool start_once(struct attempt *attempt, size_t i, bool *ret_up, bool *ret_again,
                       struct err *err)
{
    char why[256];
    size_t ended = i;
    switch (wait_ready(attempt, i, why, sizeof why)) {
    case READY_CANCEL:
        return err_set(err, ERR_STOPPED, "stopped while %s was starting",
                       attempt->study->services[i].name);
    case READY_FOREIGN:
        attempt_note_end(attempt, i, SERVICE_PORT_TAKEN, PHASE_START, why);
        *ret_again = true;
        return true;
    case READY_LATE:
        attempt_note_end(attempt, i, SERVICE_NOT_READY, PHASE_START, why);
        return true;
    case READY_UNTRUSTED:
        attempt_note_end(attempt, i, SERVICE_UNTRUSTED, PHASE_START, why);
        return true;
    case READY_YES:
        switch (settle(attempt, i, &ended)) {
        case WAIT_CANCEL:
            return err_set(err, ERR_STOPPED, "stopped while %s was starting",
                           attempt->study->services[i].name);
        case WAIT_SERVICE:
            break;
        default:
            *ret_up = true;
            return true;
        }
        break;
    case READY_ENDED:
        break;
    }
    /* Something ended: this service, or one that was up before it. */
    for (size_t k = 0; k < attempt->study->service_count; k++) {
        struct service_process *process = attempt->runner->services[k].process;
        if (!process || service_process_status(process)->state == PROCESS_RUNNING)
            continue;
        *ret_again = k == i && port_was_taken(attempt, i);
        char port[64];
        snprintf(port, sizeof port, "the last one %d", attempt->runner->services[k].launch.port);
        attempt_note_end(attempt, k, *ret_again ? SERVICE_PORT_TAKEN : SERVICE_ENDED, PHASE_START,
                         port);
        /* One that was up when another starts did not end "before it was ready". */
        if (k != i)
            attempt->facts.services[k].phase = PHASE_PROBE;
        break;
    }
    return true;
}

/* The next start sizes itself by what is free: what this one held has to be back first. */
static void stop_and_await(struct attempt *attempt, size_t i)
{
    const char *left = NULL;
    struct store_reading readings[2 * SPEC_DEVICES_MAX];
    size_t count = 0;
    bool ran = attempt->runner->services[i].process != NULL;
    attempt_stop_service(attempt->runner, i, attempt->arena, &left);
    const char *missing =
        ran ? watch_await_memory(attempt->runner, attempt->arena, readings, &count) : NULL;
    if (left || missing)
        watch_note_words(attempt, "start", i, "left behind", left ? left : missing);
}

/* It sized itself while another's memory moved: once more, now that the other has settled. Named in
 * the evidence, whatever comes of it. */
static bool lost_race(struct attempt *attempt, size_t i)
{
    struct judge_service *facts = &attempt->facts.services[i];
    if (facts->end != SERVICE_ENDED || !facts->has_match ||
        facts->match.signature->cause != CAUSE_START_RACE)
        return false;
    facts->start_race = arena_printf(attempt->arena, "started twice: %s (%s)",
                                     facts->match.signature->meaning, facts->match_line);
    return true;
}

bool attempt_start_service(struct attempt *attempt, size_t i, bool *ret_up, struct err *err)
{
    struct trial_runner *runner = attempt->runner;
    *ret_up = false;
    if (attempt_service_matches(runner, &attempt->request->candidate, i) &&
        !attempt->request->cold) {
        *ret_up = true;
        return true;
    }
    stop_and_await(attempt, i);
    attempt_progress(attempt, PHASE_START, attempt->study->services[i].name, NAN);
    int taken[SPEC_SERVICES_MAX + PORT_TRIES];
    size_t taken_count = 0;
    for (size_t k = 0; k < attempt->study->service_count; k++)
        if (runner->services[k].process)
            taken[taken_count++] = runner->services[k].launch.port;
    bool raced = false;
    /* Nobody starts it: it is up as soon as it is known what to run. */
    if (attempt->study->services[i].by_request) {
        struct err launch_err = ERR_INIT;
        *ret_up = launch(attempt, i, NULL, 0, &launch_err);
        return *ret_up || fault_of_launch(attempt, i, &launch_err, err);
    }
    for (int try = 0; try < PORT_TRIES; try++) {
        struct err launch_err = ERR_INIT;
        if (!launch(attempt, i, taken, taken_count, &launch_err))
            return fault_of_launch(attempt, i, &launch_err, err);
        bool again = false;
        attempt->facts.services[i].end = SERVICE_UP;
        if (!start_once(attempt, i, ret_up, &again, err))
            return false;
        if (!again && !raced && lost_race(attempt, i))
            raced = again = true;
        if (!again)
            return true;
        taken[taken_count++] = runner->services[i].launch.port;
        if (try + 1 < PORT_TRIES)
            stop_and_await(attempt, i);
    }
    return true;
}
