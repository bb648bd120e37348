/* Several lanes, from the parent's side: it plans, shows and reads back; lanes measure and store.
 *
 * One poll loop. A lane that is free is given what study_next_beside() says beside all that is
 * under way; when it has measured, it is told what it would be given next, so that it can leave up
 * what that keeps. That promise counts as under way for the others until the trial is stored; then
 * it is asked anew, since what others stored meanwhile may have changed it, and a broken promise
 * costs a restart at most.
 *
 * Letting lanes ask the store themselves was rejected: two would have to agree on who runs what,
 * and the plan would no longer be a function of one history.
 *
 * Invariants: a number is given to one trial and rises with the order of starts (that of a lost one
 * is never given again in the same run); a row enters the history only after it has been read back
 * from the store; when this returns, no lane is alive. */
#include "study/lane.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "service/stray.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { POLL_MS = 100 };
static const int64_t ORPHANS_WITHIN_NS = 10 * NS_PER_S;

struct lane {
    pid_t pid; /* 0: reaped */
    int fd;    /* our end; -1 closed */
    bool ready, busy, promised;
    struct trial_request request, promise; /* when busy, promised */
    bool has_up;
    struct spec_candidate up; /* whose services may be up in it */
    int contended;            /* trials of it in a row */
    int told;                 /* cancel level handed on */
};

struct lanes {
    struct study_loop *loop;
    struct lane list[SPEC_DEVICES_MAX];
    size_t count;
    bool stopping;   /* no more trials; what is under way is called off */
    bool lost;       /* a lane was killed: what it left comes to us */
    struct err *err; /* why, first cause */
};

/* ---- starting and ending ---- */

static bool fork_lane(struct lanes *lanes, size_t index)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return err_sys(lanes->err, "making a lane's socket");
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(pair[0]);
        for (size_t i = 0; i < index; i++)
            close(lanes->list[i].fd);
        study_lane_main(lanes->loop, index, pair[1], parent);
    }
    close(pair[1]);
    lanes->list[index] = (struct lane){.pid = pid, .fd = pair[0]};
    lanes->count = index + 1;
    if (pid > 0) {
        service_child_add(pid);
        return true;
    }
    lanes->list[index].pid = 0;
    return err_sys(lanes->err, "starting a lane");
}

/* The store is closed meanwhile: SQLite's locks and maps belong to one process. */
static bool fork_lanes(struct lanes *lanes)
{
    struct study_loop *loop = lanes->loop;
    loop->store = store_close(loop->store);
    fflush(NULL);
    bool ok = true;
    for (size_t i = 0; i < loop->lane_count && ok; i++)
        ok = fork_lane(lanes, i);
    AUTO(free) char *path = study_store_path(loop->options->folder);
    struct err opening = ERR_INIT;
    if (!store_open(path, STORE_WRITE, &loop->store, ok ? lanes->err : &opening))
        return false;
    return ok;
}

static void close_lane(struct lane *lane)
{
    if (lane->fd >= 0)
        close(lane->fd);
    lane->fd = -1;
    lane->busy = lane->promised = false;
}

static void hand_on_cancel(struct lane *lane, int level)
{
    for (; lane->pid > 0 && lane->ready && lane->told < level; lane->told++)
        kill(lane->pid, SIGINT);
}

/* No more trials: who is busy calls its trial off, who is not just ends. */
static void stop(struct lanes *lanes)
{
    lanes->stopping = true;
    for (size_t i = 0; i < lanes->count; i++)
        if (!lanes->list[i].busy)
            close_lane(&lanes->list[i]);
}

/* A killed lane's keepers come to us, as the next subreaper, while they end what they keep. */
static void await_orphans(void)
{
    int64_t deadline_ns = clock_now_ns() + ORPHANS_WITHIN_NS;
    while (clock_now_ns() < deadline_ns) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno != EINTR)
            break;
        (void)service_reap_strays(0);
        if (pid == 0)
            nanosleep(&(struct timespec){.tv_nsec = 20 * NS_PER_MS}, NULL);
    }
}

static void end_lanes(struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        close_lane(&lanes->list[i]);
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->list[i];
        while (lane->pid > 0) {
            hand_on_cancel(lane, lanes->stopping && cancel_level() == CANCEL_NONE ? CANCEL_SOON
                                                                                  : cancel_level());
            pid_t ended = waitpid(lane->pid, NULL, WNOHANG);
            if (ended == lane->pid || (ended < 0 && errno != EINTR)) {
                service_child_remove(lane->pid);
                lane->pid = 0;
            } else {
                nanosleep(&(struct timespec){.tv_nsec = 20 * NS_PER_MS}, NULL);
            }
        }
    }
    if (lanes->lost)
        await_orphans();
}

/* ---- giving ---- */

static struct study_step ask(const struct lanes *lanes, const struct lane *lane,
                             const struct history *history, struct arena *scratch)
{
    struct trial_request *pending = arena_array(scratch, 2 * lanes->count, sizeof *pending);
    struct study_beside beside = {.pending = pending, .up = lane->has_up ? &lane->up : NULL};
    for (size_t i = 0; i < lanes->count; i++) {
        const struct lane *other = &lanes->list[i];
        if (other == lane)
            continue;
        if (other->busy)
            pending[beside.count++] = other->request;
        if (other->promised)
            pending[beside.count++] = other->promise;
    }
    return study_next_beside(&lanes->loop->plan, history, &beside, scratch);
}

/* A lane that is gone does not hear it: how it ended is seen where its news are read. */
static void send_order(const struct lane *lane, enum lane_order_kind kind,
                       const struct trial_request *request)
{
    struct lane_order order = {.kind = kind};
    if (request) {
        order.request = *request;
        order.request.purpose = NULL;
        order.purpose = study_lane_purpose(request->purpose);
    }
    (void)!send(lane->fd, &order, sizeof order, MSG_NOSIGNAL);
}

static void begin(struct lanes *lanes, struct lane *lane, const struct study_step *step)
{
    struct study_loop *loop = lanes->loop;
    const struct study_observer *observer = &loop->options->observer;
    size_t index = (size_t)(lane - lanes->list);
    char detail[64];
    snprintf(detail, sizeof detail, "trial %" PRId64, step->request.number);
    device_lock_describe(loop->lanes[index].lock, detail);
    lane->request = step->request;
    lane->busy = true;
    lane->has_up = true;
    lane->up = step->request.candidate;
    send_order(lane, LANE_RUN, &lane->request);
    loop->view.lane = index;
    if (observer->trial_begin)
        observer->trial_begin(observer->context, &loop->view, &lane->request);
}

/* What a free lane can do now; whether there was anything. */
static enum study_stage give(struct lanes *lanes, struct lane *lane)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct study_loop *loop = lanes->loop;
    struct study_step step = ask(lanes, lane, &loop->history, scratch);
    if (step.stage < STAGE_WAIT) {
        study_loop_update_view(loop, step.stage, scratch);
        begin(lanes, lane, &step);
    }
    return step.stage;
}

/* ---- hearing ---- */

static void fill_row(const struct trial_request *request, const struct spec_study *study,
                     const struct lane_news *news, struct arena *scratch, struct store_trial *ret)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, study, &request->candidate);
    *ret = (struct store_trial){
        .number = request->number,
        .candidate = arena_strdup(scratch, buf_text(&text)),
        .purpose = request->purpose,
        .round = request->round,
        .repeat = request->repeat,
        .retry_of = request->retry_of,
        .workers = request->workers,
        .verdict = verdict_facts(news->verdict)->name,
        .service = news->about[0] ? news->about : NULL,
        .ruled_out = news->ruled_out[0] ? news->ruled_out : NULL,
        .bound = news->bound[0] ? news->bound : NULL,
        .fitness = news->fitness,
        .duration_s = news->duration_s,
    };
}

/* Looks ahead with the row put in place provisionally, in a copy of the history. */
static bool promise(struct lanes *lanes, struct lane *lane, const struct lane_news *news)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    const struct study_loop *loop = lanes->loop;
    struct history guess = {.count = loop->history.count, .capacity = loop->history.count};
    guess.trials = arena_array(scratch, guess.count, sizeof *guess.trials);
    if (guess.count && guess.trials)
        memcpy(guess.trials, loop->history.trials, guess.count * sizeof *guess.trials);
    struct store_trial row;
    fill_row(&lane->request, loop->study, news, scratch, &row);
    if (!history_append(&guess, loop->study, &row, scratch, lanes->err))
        return false;
    struct study_step next = ask(lanes, lane, &guess, scratch);
    bool final = lane->request.purpose && strcmp(lane->request.purpose, "final") == 0;
    lane->promised = next.stage < STAGE_WAIT && !lanes->stopping;
    const struct trial_request *keep = lane->promised ? &next.request
                                       : next.stage == STAGE_WAIT && !final && !lanes->stopping
                                           ? &lane->request /* the next round has use for some */
                                           : NULL;
    send_order(lane, keep ? LANE_KEEP : LANE_KEEP_NOTHING, keep);
    lane->has_up = keep && !keep->cold && verdict_facts(news->verdict)->has_fitness;
    lane->promise = next.request;
    lane->promise.number = 0; /* none is given before the start */
    return true;
}

static size_t index_of(const struct history *history, int64_t number)
{
    size_t i = 0;
    while (i + 1 < history->count && history->trials[i].number != number)
        i++;
    return i;
}

static bool take_stored(struct lanes *lanes, struct lane *lane)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct study_loop *loop = lanes->loop;
    const struct study_observer *observer = &loop->options->observer;
    int64_t number = lane->request.number;
    struct store_trial *trial = NULL;
    lane->busy = lane->promised = false;
    if (!study_loop_store_exists(loop, lanes->err) ||
        !store_read_trial(loop->store, arena, number, &trial, lanes->err))
        return false;
    if (!trial)
        return err_set(lanes->err, ERR_INTERNAL, "trial %" PRId64 " was stored and is not there",
                       number);
    if (!history_append(&loop->history, loop->study, trial, loop->arena, lanes->err))
        return false;
    bool contended = strcmp(trial->verdict, verdict_facts(VERDICT_CONTENDED)->name) == 0;
    lane->contended = contended ? lane->contended + 1 : 0;
    study_loop_update_view(loop, loop->view.stage, arena);
    loop->view.lane = (size_t)(lane - lanes->list);
    if (observer->trial_end)
        observer->trial_end(observer->context, &loop->view, trial);
    if (!study_loop_check(loop, trial, index_of(&loop->history, number), lane->contended,
                          lanes->err))
        return false;
    /* First of all: what was promised to it is up in it. */
    if (!lanes->stopping && cancel_level() == CANCEL_NONE)
        (void)give(lanes, lane);
    return true;
}

static void show_progress(struct lanes *lanes, const struct lane *lane, struct lane_news *news)
{
    struct study_loop *loop = lanes->loop;
    const struct study_observer *observer = &loop->options->observer;
    if (news->service >= 0 && (size_t)news->service < loop->study->service_count)
        news->progress.service = loop->study->services[news->service].name;
    loop->view.lane = (size_t)(lane - lanes->list);
    if (observer->progress && lane->busy)
        observer->progress(observer->context, &loop->view, &lane->request, &news->progress);
}

/* A lane that ends without a word was killed: its trial is lost, as with any kill. */
static bool note_lost(struct lanes *lanes, struct lane *lane)
{
    int status = 0;
    AUTO(buf_done) struct buf trial = BUF_INIT(128);
    if (lane->busy)
        buf_addf(&trial, " during trial %" PRId64 ", which is lost", lane->request.number);
    close_lane(lane);
    while (waitpid(lane->pid, &status, 0) < 0 && errno == EINTR) {
    }
    service_child_remove(lane->pid);
    lane->pid = 0;
    bool killed = WIFSIGNALED(status);
    lanes->lost = lanes->lost || killed;
    return err_set(lanes->err, ERR_INTERNAL, "the lane on %s ended (%s %d)%s; run again to resume",
                   lanes->loop->study->devices[lane - lanes->list], killed ? "signal" : "status",
                   killed ? WTERMSIG(status) : WEXITSTATUS(status), buf_text(&trial));
}

static bool hear(struct lanes *lanes, struct lane *lane)
{
    struct lane_news news;
    ssize_t got = recv(lane->fd, &news, sizeof news, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got != (ssize_t)sizeof news)
        return note_lost(lanes, lane);
    switch (news.kind) {
    case LANE_READY:
        lane->ready = true;
        return true;
    case LANE_PROGRESS:
        show_progress(lanes, lane, &news);
        return true;
    case LANE_MEASURED:
        if (promise(lanes, lane, &news))
            return true;
        send_order(lane, LANE_KEEP_NOTHING, NULL); /* it waits for an answer, whatever we lack */
        return false;
    case LANE_STORED:
        return take_stored(lanes, lane);
    case LANE_FAILED:
        break;
    }
    close_lane(lane);            /* it ends by itself */
    if (!err_is_set(lanes->err)) /* else it was called off for that */
        *lanes->err = news.err;
    return false;
}

/* ---- the loop ---- */

static bool is_working(const struct lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->list[i].busy)
            return true;
    return false;
}

/* Waits for news of anybody, and hears it. */
static void serve(struct lanes *lanes)
{
    struct pollfd fds[SPEC_DEVICES_MAX];
    for (size_t i = 0; i < lanes->count; i++) /* a closed one is -1, which poll passes over */
        fds[i] = (struct pollfd){.fd = lanes->list[i].fd, .events = POLLIN};
    poll(fds, lanes->count, POLL_MS); /* a signal ends it early */
    for (size_t i = 0; i < lanes->count; i++) {
        struct lane *lane = &lanes->list[i];
        if (lane->fd >= 0 && fds[i].revents && !hear(lanes, lane))
            stop(lanes);
        int level = cancel_level();
        hand_on_cancel(lane, lanes->stopping && level == CANCEL_NONE ? CANCEL_SOON : level);
    }
}

static bool run_lanes(struct lanes *lanes)
{
    for (;;) {
        enum study_stage stage = STAGE_WAIT;
        if (cancel_level() != CANCEL_NONE && !lanes->stopping) {
            if (!is_working(lanes))
                return err_set(lanes->err, ERR_STOPPED, "stopped between trials");
            stop(lanes);
        }
        for (size_t i = 0; i < lanes->count && !lanes->stopping; i++)
            if (!lanes->list[i].busy && lanes->list[i].fd >= 0)
                stage = give(lanes, &lanes->list[i]);
        if (!is_working(lanes) && (lanes->stopping || stage == STAGE_DONE))
            return !lanes->stopping;
        serve(lanes);
    }
}

bool study_lanes_run(struct study_loop *loop, struct err *err)
{
    struct lanes lanes = {.loop = loop, .err = err};
    bool ok = fork_lanes(&lanes);
    ok = ok && run_lanes(&lanes);
    lanes.stopping = !ok;
    end_lanes(&lanes);
    if (!ok && !err_is_set(err))
        return err_set(err, ERR_STOPPED, "stopped while trials were under way");
    return ok;
}
