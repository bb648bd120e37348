/* A lane's side: one device, one runner, one connection to the store, one order after the other.
 *
 * It dies with its parent (PR_SET_PDEATHSIG), and its services with it (their keepers see its end),
 * so a kill of either loses the trials under way and leaves nothing. It is in a process group of
 * its own: a ^C on the terminal reaches the parent alone, which hands it on once, so that nobody
 * counts one key twice. Threads were rejected: a runner forks, waits for children and is stopped by
 * signals, all of which belong to processes.
 *
 * Invariant: nothing that was open before the fork is used but the socket: the driver's library,
 * the store and the keepers are this process's own. */
#include "study/lane.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "study/beside.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

struct worker {
    const struct study_loop *loop;
    const struct spec_study *study;
    int fd;
    struct device *device;
    struct store *store;
    struct trial_runner *runner;
};

static const char *const purposes[LANE_PURPOSE_COUNT_] = {
    [LANE_BASELINE] = "baseline",
    [LANE_EXPLORE] = "explore",
    [LANE_FINAL] = "final",
};

const char *study_lane_purpose_name(enum lane_purpose purpose)
{
    return purposes[purpose];
}

enum lane_purpose study_lane_purpose(const char *name)
{
    enum lane_purpose purpose = LANE_BASELINE;
    while (purpose < LANE_FINAL && strcmp(purposes[purpose], name) != 0)
        purpose++;
    return purpose;
}

/* Progress is dropped rather than waited for: the parent may be stopped. */
static void tell(const struct worker *worker, const struct lane_news *news)
{
    int flags = MSG_NOSIGNAL | (news->kind == LANE_PROGRESS ? MSG_DONTWAIT : 0);
    while (send(worker->fd, news, sizeof *news, flags) < 0 && errno == EINTR) {
    } /* any other failure: the parent is gone, and so are we in a moment */
}

static bool hear(const struct worker *worker, struct lane_order *ret_order)
{
    for (;;) {
        ssize_t got = recv(worker->fd, ret_order, sizeof *ret_order, 0);
        if (got == (ssize_t)sizeof *ret_order) {
            ret_order->request.purpose = purposes[ret_order->purpose];
            return true;
        }
        if (got >= 0 || errno != EINTR)
            return false;
    }
}

static void on_progress(void *context, const struct trial_progress *progress)
{
    const struct worker *worker = context;
    struct lane_news news = {.kind = LANE_PROGRESS, .number = progress->number, .service = -1};
    news.progress = *progress;
    news.progress.service = NULL;
    if (progress->service)
        news.service = spec_study_service(worker->study, progress->service);
    tell(worker, &news);
}

static void put_text(char *to, size_t size, const char *text)
{
    if (text && strlen(text) < size)
        snprintf(to, size, "%s", text);
}

static void tell_measured(const struct worker *worker, const struct store_trial *trial)
{
    struct lane_news news = {.kind = LANE_MEASURED,
                             .number = trial->number,
                             .fitness = trial->fitness,
                             .duration_s = trial->duration_s};
    int verdict = verdict_from_name(trial->verdict);
    news.verdict = verdict < 0 ? VERDICT_STOPPED : (enum verdict)verdict;
    put_text(news.ruled_out, sizeof news.ruled_out, trial->ruled_out);
    put_text(news.bound, sizeof news.bound, trial->bound);
    put_text(news.about, sizeof news.about, trial->service);
    tell(worker, &news);
}

/* One trial from order to stored row; false: it is over with this lane. */
static bool run_trial(struct worker *worker, const struct lane_order *order)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct lane_news news = {.kind = LANE_FAILED, .number = order->request.number};
    struct store_trial trial;
    if (!trial_run(worker->runner, &order->request, arena, &trial, &news.err)) {
        tell(worker, &news);
        return false;
    }
    struct lane_order next;
    tell_measured(worker, &trial);
    if (!hear(worker, &next))
        return false;
    trial_finish(worker->runner, next.kind == LANE_KEEP ? &next.request : NULL, arena, &trial);
    bool stored = study_loop_store_exists(worker->loop, &news.err) &&
                  store_trial_add(worker->store, &trial, &news.err);
    if (stored)
        news.kind = LANE_STORED;
    tell(worker, &news);
    return stored;
}

static void become_lane(pid_t parent)
{
    (void)setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    prctl(PR_SET_NAME, "spica-lane");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    cancel_reset();
}

/* Does the study ask how fast something is on the CPU, which lanes share? Then the others' work is
 * contention as anybody's is. */
static bool loads_cpu(const struct spec_study *study)
{
    for (size_t i = 0; i < study->service_count; i++)
        if (study->services[i].on == ON_CPU && study->services[i].load.given)
            return true;
    return false;
}

static bool open_worker(struct worker *worker, size_t index, struct err *err)
{
    const struct study_loop *loop = worker->loop;
    const double *most = NULL;
    AUTO(free) char *path = study_store_path(loop->options->folder);
    if (!device_open(loop->study->devices[index], "/proc", &worker->device, err) ||
        !store_open(path, STORE_WRITE, &worker->store, err) ||
        !study_beside_most(worker->store, worker->study, loop->arena, &most, err))
        return false;
    AUTO(buf_done) struct buf scratch = BUF_INIT(8192);
    buf_addf(&scratch, "%s/scratch/%s", loop->options->folder, loop->study->devices[index]);
    const struct trial_options options = {
        .study = worker->study,
        .folder = loop->options->folder,
        .scratch = arena_strdup(loop->arena, buf_text(&scratch)),
        .devices = &worker->device,
        .corpora = loop->corpora,
        .root = loads_cpu(worker->study) ? 0 : getppid(),
        .neighbours_most_bytes = most,
        .progress = on_progress,
        .context = worker,
    };
    worker->runner = trial_runner_new(&options);
    return true;
}

void study_lane_main(const struct study_loop *loop, size_t index, int socket_fd, pid_t parent)
{
    struct worker worker = {.loop = loop, .study = &loop->lanes[index].study, .fd = socket_fd};
    struct lane_news news = {.kind = LANE_READY};
    struct lane_order order;
    become_lane(parent);
    bool ok = open_worker(&worker, index, &news.err);
    if (!ok)
        news.kind = LANE_FAILED;
    tell(&worker, &news);
    while (ok && hear(&worker, &order))
        if (order.kind == LANE_RUN)
            ok = run_trial(&worker, &order);
    trial_runner_free(worker.runner);
    store_close(worker.store);
    device_close(worker.device);
    _exit(0); /* what the parent has not yet written of its streams is the parent's to write */
}
