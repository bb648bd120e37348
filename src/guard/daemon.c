/* The daemon: a loop, a tick, and who is told of it.
 *
 * Each tick goes the same way: it is seen (watch), judged, done (act), shown (status, /metrics) and
 * recorded, in this order, from one clock reading. Requests that HAProxy logged go to the tiers and
 * splits as they come. Whatever ends guard ends nothing else: services, HAProxy and what it was
 * told last stay as they are.
 *
 * One guard per study, by a POSIX record lock: unlike flock() it belongs to the process and not to
 * the descriptor, so that a child under way (a restart that is being done) does not hold it when
 * guard is gone. It names its holder.
 *
 * The watchdog is fed by the tick alone: a loop that turns without ticking is as dead as one that
 * stands. Rejected: threads, and several processes for several devices; one loop sees everything at
 * one moment, which is what rules are about. */
#include "guard/daemon.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "guard/act.h"
#include "guard/fronts.h"
#include "guard/record.h"
#include "guard/replay.h"
#include "guard/serve.h"
#include "guard/tiers.h"
#include "promote/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static const char who[] = "guard";
static const int64_t DISK_EVERY_NS = 10 * NS_PER_S;
static const int64_t TIERS_WAIT_NS = 10 * NS_PER_S; /* for who holds the study's results */
static const int64_t TIERS_AGAIN_NS = 2 * NS_PER_S; /* each look at those takes its time */
static const uint64_t TURN_MAX_US = 1000 * 1000;    /* a wish to stop is seen by then */

struct daemon {
    const struct guard_options *options;
    const struct spec_study *study;
    FILE *out;
    struct guard_lookout lookout;
    size_t missing_said;       /* of what can't be seen, so many bytes */
    struct guard_judge *judge; /* owned, as all below; NULL: there is none */
    struct guard_actor *actor;
    struct guard_status *status;
    struct guard_serve *serve;
    char *token; /* of /metrics; the serve borrows it */
    struct guard_record *record;
    struct guard_tiers *tiers;
    int64_t tiers_ns;       /* since when they are due; 0: not yet */
    bool tiers_follow;      /* another setting runs, or the study has another decision */
    int64_t tiers_again_ns; /* somebody held the results: not tried before */
    struct guard_refusal refused[GUARD_REFUSALS_MAX]; /* since the last tick was judged */
    size_t refused_count;
    struct guard_fronts *fronts;
    sd_event_source *timer;
    int lock_fd;
    int64_t due_ns, disk_ns;
    bool ready;
    uint64_t decisions;
    struct err failed;
};

/* ---- one guard ---- */

static bool take_lock(struct daemon *daemon, struct err *err)
{
    AUTO(free) char *absolute = file_absolute(daemon->options->folder);
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    buf_addf(&path, "%s.guard.lock", absolute);
    daemon->lock_fd =
        open(buf_text(&path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (daemon->lock_fd < 0)
        return err_sys(err, "opening %s", buf_text(&path));
    if (fcntl(daemon->lock_fd, F_SETLK, &lock) == 0)
        return true;
    if (errno != EACCES && errno != EAGAIN)
        return err_sys(err, "locking %s", buf_text(&path));
    if (fcntl(daemon->lock_fd, F_GETLK, &lock) < 0)
        lock.l_pid = 0;
    if (lock.l_pid <= 0) /* in another container it has no number that we know */
        return err_set(err, ERR_BUSY,
                       "\"%s\" is guarded already, by a process that can't be seen from here: "
                       "stop it where it runs (another container?), or read its /status",
                       daemon->study->name);
    return err_set(err, ERR_BUSY,
                   "\"%s\" is guarded already, by process %d: stop that one first (systemctl stop "
                   "spica-guard, or kill %d); guard --once may look beside it",
                   daemon->study->name, (int)lock.l_pid, (int)lock.l_pid);
}

/* ---- a tick ---- */

static void on_acted(void *context, const struct guard_event *event)
{
    struct daemon *daemon = context;
    guard_events_add(guard_watch_events(daemon->lookout.watch), event->kind, event->service, "%s",
                     event->text);
}

static bool on_tier(void *context, size_t service, enum spec_action action, char *text, size_t size)
{
    struct daemon *daemon = context;
    if (daemon->tiers)
        return guard_tiers_wish(daemon->tiers, service, action, text, size);
    snprintf(text, size, "there are no tiers here");
    return false;
}

static void on_refused(void *context, enum spec_action action, int service)
{
    struct daemon *daemon = context;
    guard_judge_refused(daemon->judge, action, service);
    if (daemon->refused_count < GUARD_REFUSALS_MAX)
        daemon->refused[daemon->refused_count++] =
            (struct guard_refusal){.action = action, .service = service};
}

static void print_decision(struct daemon *daemon, const struct guard_decision *decision)
{
    if (!daemon->out || !daemon->options->json) /* the actor has a word for people */
        return;
    guard_decision_print(daemon->study, decision, true, daemon->out);
    fflush(daemon->out);
}

static void on_decision(void *context, const struct guard_decision *decision)
{
    struct daemon *daemon = context;
    daemon->decisions++;
    guard_status_decision(daemon->status, decision);
    print_decision(daemon, decision);
    if (daemon->actor)
        guard_actor_do(daemon->actor, decision);
}

static void print_events(struct daemon *daemon, const struct guard_tick *tick)
{
    char when[32];
    for (size_t k = 0; k < tick->event_count && daemon->out; k++) {
        const struct guard_event *event = &tick->events[k];
        const int i = event->service;
        const char *name = i >= 0 ? daemon->study->services[i].name : NULL;
        if (event->kind == EVENT_ACTED && daemon->actor && !daemon->options->json &&
            guard_actor_has_journal(daemon->actor))
            continue; /* it is there already, with its fields */
        if (daemon->options->json) {
            AUTO_JSON json_t *json = json_pack(
                "{s:s, s:f, s:s, s:o, s:o}", "is", "event", "t", (double)tick->wall_us / 1e6,
                "kind", guard_event_names[event->kind], "service", json_text_or_null(name), "text",
                json_text_or_null(event->text));
            AUTO(free) char *line = json ? json_dump_text(json) : NULL;
            fprintf(daemon->out, "%s\n", line ? line : "");
        } else {
            fprintf(daemon->out, "%s  %s: %s%s%s\n",
                    clock_format_wall(tick->wall_us, when, sizeof when),
                    guard_event_names[event->kind], name ? name : "", name ? ": " : "",
                    event->text);
        }
    }
    if (daemon->out && tick->event_count > 0)
        fflush(daemon->out);
}

static void show_tiers(struct daemon *daemon, size_t front)
{
    struct guard_tier_standing tiers[SPEC_TIERS_MAX];
    const char *text = NULL;
    size_t count = guard_tiers_standing(daemon->tiers, front, tiers, &text);
    for (size_t t = 0; t < count; t++)
        guard_watch_note_power(daemon->lookout.watch, daemon->study->guard->fronts[front].service,
                               tiers[t].name, tiers[t].power);
    guard_status_tiers(daemon->status, front, tiers, count, text);
}

/* What tiers are chosen by, beside each tick's figures. */
static void record_head(struct daemon *daemon)
{
    AUTO(buf_done) struct buf head = BUF_INIT(256 << 10);
    if (guard_tiers_head(daemon->tiers, &head) && !head.over)
        guard_record_set_head(daemon->record, buf_text(&head));
}

/* HAProxy may come later than we did. */
static void open_tiers(struct daemon *daemon, int64_t now_ns)
{
    struct proxy *proxy = guard_watch_proxy(daemon->lookout.watch);
    if (daemon->tiers || daemon->study->guard->front_count == 0 ||
        (!proxy && !daemon->options->dry_run))
        return;
    /* It is read once, so it is worth some ticks. */
    if (daemon->tiers_ns == 0)
        daemon->tiers_ns = now_ns;
    if (now_ns < daemon->tiers_again_ns)
        return;
    daemon->tiers_again_ns = now_ns + TIERS_AGAIN_NS;
    const struct guard_tiers_options tiers = {
        .study = daemon->study,
        .catalog = daemon->options->catalog,
        .running = &daemon->lookout.candidate,
        .folder = daemon->options->folder,
        .proxy = proxy,
        .devices = guard_watch_devices(daemon->lookout.watch),
        .event = daemon->lookout.event,
        .dry_run = daemon->options->dry_run,
        .waits = now_ns - daemon->tiers_ns < TIERS_WAIT_NS,
    };
    daemon->tiers = guard_tiers_new(&tiers);
    if (!daemon->tiers)
        return;
    daemon->tiers_follow = !guard_tiers_are_read(daemon->tiers);
    record_head(daemon);
}

static void show_servers(struct daemon *daemon)
{
    struct guard_server servers[GUARD_SERVERS_MAX];
    size_t count = 0;
    const struct guard_also *also = guard_watch_also(daemon->lookout.watch, &count);
    for (size_t k = 0; k < count; k++)
        servers[k] = guard_also_server(&also[k]);
    guard_status_servers(daemon->status, servers, count);
}

static void step_fronts(struct daemon *daemon, int64_t now_ns, int64_t wall_us)
{
    const struct spec_guard *guard = daemon->study->guard;
    struct guard_watch *watch = daemon->lookout.watch;
    const struct proxy_view *view = guard_watch_proxy_view(watch);
    open_tiers(daemon, now_ns);
    if (daemon->tiers) {
        for (size_t f = 0; f < guard->front_count; f++)
            guard_tiers_freeze(daemon->tiers, f,
                               guard_judge_driver(daemon->judge, (int)guard->fronts[f].service));
        guard_tiers_promoting(daemon->tiers, promote_is_under_way(daemon->options->folder));
        guard_tiers_step(daemon->tiers, view, now_ns, on_acted, daemon);
        for (size_t f = 0; f < guard->front_count; f++) {
            const char *tier = guard_tiers_current(daemon->tiers, f);
            if (tier)
                guard_watch_set_tier(watch, guard->fronts[f].service, tier);
            show_tiers(daemon, f);
        }
    }
    guard_fronts_step(daemon->fronts, guard_watch_proxy(watch), daemon->status, now_ns, wall_us);
    show_servers(daemon);
    if (view)
        guard_status_proxy(daemon->status, view);
}

static void look_at_disk(struct daemon *daemon, int64_t now_ns)
{
    if (daemon->disk_ns && now_ns - daemon->disk_ns < DISK_EVERY_NS)
        return;
    daemon->disk_ns = now_ns;
    guard_watch_set_disk(daemon->lookout.watch, guard_record_free_bytes(daemon->options->folder));
}

static void say_ready(struct daemon *daemon)
{
    uint64_t watchdog_us = 0;
    if (!daemon->ready)
        (void)sd_notify(0, "READY=1");
    daemon->ready = true;
    (void)sd_notifyf(0, "STATUS=watching %zu services, %llu decisions so far",
                     daemon->study->service_count, (unsigned long long)daemon->decisions);
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        (void)sd_notify(0, "WATCHDOG=1");
}

static void show_kinds(struct daemon *daemon)
{
    for (size_t i = 0; i < daemon->study->service_count; i++) {
        const struct guard_subject *subject = guard_watch_subject(daemon->lookout.watch, i);
        if (subject->request_window)
            guard_status_kinds(daemon->status, i, SOURCE_REQUESTS, &subject->request.kinds);
        if (subject->watch->probe_rps > 0)
            guard_status_kinds(daemon->status, i, SOURCE_PROBE, &subject->probe.kinds);
    }
}

/* What can't be seen, each line once: most of it is known at first. */
static void say_missing(struct daemon *daemon)
{
    const char *all = guard_watch_missing(daemon->lookout.watch);
    for (const char *line = all + daemon->missing_said; *line;) {
        size_t len = strcspn(line, "\n");
        log_write(LOG_WARNING, who, "%.*s", (int)len, line);
        line += len + (line[len] == '\n');
        daemon->missing_said = (size_t)(line - all);
    }
}

/* ---- what production runs ---- */

static void open_fronts(struct daemon *daemon)
{
    const struct guard_split_setup split = {.study = daemon->study,
                                            .folder = daemon->options->folder,
                                            .candidate = &daemon->lookout.candidate,
                                            .dry_run = daemon->options->dry_run,
                                            .devices = guard_watch_devices(daemon->lookout.watch),
                                            .tell = on_acted,
                                            .context = daemon};
    daemon->fronts = guard_fronts_new(&split);
}

/* While somebody holds the study's results the tiers are chosen as before. */
static void follow_tiers(struct daemon *daemon, int64_t now_ns)
{
    if (!daemon->tiers_follow || !daemon->tiers || now_ns < daemon->tiers_again_ns)
        return;
    daemon->tiers_follow = !guard_tiers_follow(daemon->tiers, &daemon->lookout.candidate);
    daemon->tiers_again_ns = daemon->tiers_follow ? now_ns + TIERS_AGAIN_NS : 0;
    if (!daemon->tiers_follow)
        record_head(daemon);
}

/* A promotion, a rollback, a study that was measured again: nothing of it stops guard's watching,
 * nor touches HAProxy. Tiers are chosen by what was measured beside what runs now. */
static void follow_production(struct daemon *daemon, int64_t now_ns)
{
    const unsigned news = guard_lookout_step(&daemon->lookout, daemon->options, now_ns);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    daemon->tiers_follow |= news != 0;
    follow_tiers(daemon, now_ns);
    if (!news)
        return;
    guard_fronts_follow(daemon->fronts);
    spec_candidate_add_text(&text, daemon->study, &daemon->lookout.candidate);
    if (news & CANDIDATE_IS_ANOTHER) /* whole: the event has the beginning of it */
        log_write(LOG_INFO, who, "taken to run from here on: %s (%s)", buf_text(&text),
                  daemon->lookout.candidate_from);
    guard_events_add(guard_watch_events(daemon->lookout.watch), EVENT_SETTING, -1,
                     news & CANDIDATE_IS_ANOTHER
                         ? "production runs another setting, which is watched from here on (%s): "
                           "%.120s"
                         : "the study has another decision, by which is judged from here on (%s: "
                           "%.120s)",
                     daemon->lookout.candidate_from, buf_text(&text));
}

/* ---- one of them, in order ---- */

static void tick(struct daemon *daemon)
{
    int64_t now_ns = clock_now_ns(), wall_us = clock_now_wall_us();
    struct guard_tick seen = {0};
    struct guard_watch *watch = daemon->lookout.watch;
    size_t count = 0;
    const struct guard_metric_ref *refs = guard_watch_refs(watch, &count);
    look_at_disk(daemon, now_ns);
    follow_production(daemon, now_ns);
    guard_watch_tick(watch, now_ns, wall_us, &seen);
    say_missing(daemon);
    print_events(daemon, &seen);
    if (daemon->actor)
        guard_actor_see(daemon->actor, &seen);
    guard_status_tick(daemon->status, &seen);
    show_kinds(daemon);
    memcpy(seen.refusals, daemon->refused, sizeof seen.refusals);
    seen.refusal_count = daemon->refused_count;
    daemon->refused_count = 0;
    guard_judge_step(daemon->judge, &seen, on_decision, daemon);
    step_fronts(daemon, now_ns, wall_us);
    seen.tiers = daemon->tiers ? guard_tiers_records(daemon->tiers) : NULL;
    guard_record_add(daemon->record, &seen, refs, count, guard_watch_events(watch));
    say_ready(daemon);
}

static int on_timer(sd_event_source *source, uint64_t at_us, void *context)
{
    struct daemon *daemon = context;
    const int64_t every_ns = daemon->study->guard->every_ns;
    int64_t now_ns = clock_now_ns();
    (void)at_us;
    tick(daemon);
    daemon->due_ns += every_ns;
    if (daemon->due_ns < now_ns) /* stopped, or starved: ticks that were missed are not made up */
        daemon->due_ns = now_ns + every_ns;
    (void)sd_event_source_set_time(source, (uint64_t)(daemon->due_ns / NS_PER_US));
    return 0;
}

static void on_request(void *context, const struct proxy_request *request, int64_t now_ns)
{
    struct daemon *daemon = context;
    if (daemon->tiers)
        guard_tiers_request(daemon->tiers, request, now_ns);
    if (daemon->fronts)
        guard_fronts_add(daemon->fronts, request);
}

/* ---- the parts ---- */

static bool open_parts(struct daemon *daemon, struct err *err)
{
    const struct guard_act_setup act = {
        .study = daemon->study,
        .folder = daemon->options->folder,
        .event = daemon->lookout.event,
        .dry_run = daemon->options->dry_run,
        .acted = on_acted,
        .tier = on_tier,
        .refused = on_refused,
        .context = daemon,
    };
    open_fronts(daemon);
    daemon->judge = guard_judge_new(daemon->study);
    daemon->status = guard_status_new(daemon->study, daemon->judge, daemon->options->dry_run);
    return guard_record_open(daemon->options->folder, daemon->study->guard->record_bytes,
                             &daemon->record, err) &&
           guard_actor_open(&act, &daemon->actor, err) &&
           guard_serve_open(daemon->study->guard, daemon->lookout.event, daemon->status,
                            daemon->token, &daemon->serve, err);
}

static void close_parts(struct daemon *daemon)
{
    sd_event_source_disable_unref(daemon->timer);
    guard_serve_close(daemon->serve);
    free(daemon->token);
    guard_actor_close(daemon->actor);
    guard_fronts_free(daemon->fronts);
    guard_tiers_free(daemon->tiers);
    guard_record_close(daemon->record);
    guard_status_free(daemon->status);
    guard_judge_free(daemon->judge);
    guard_lookout_close(&daemon->lookout);
    if (daemon->lock_fd >= 0)
        close(daemon->lock_fd);
}

static void say_begin(struct daemon *daemon)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    spec_candidate_add_text(&text, daemon->study, &daemon->lookout.candidate);
    log_write(LOG_INFO, who, "watching \"%s\"%s; taken to run: %s (%s)", daemon->study->name,
              daemon->options->dry_run ? ", dry run" : "", buf_text(&text),
              daemon->lookout.candidate_from);
    say_missing(daemon);
}

static bool run(struct daemon *daemon, struct err *err)
{
    daemon->due_ns = clock_now_ns();
    int r = sd_event_add_time(daemon->lookout.event, &daemon->timer, CLOCK_MONOTONIC,
                              (uint64_t)(daemon->due_ns / NS_PER_US), 1, on_timer, daemon);
    if (r >= 0)
        r = sd_event_source_set_enabled(daemon->timer, SD_EVENT_ON);
    (void)sd_event_source_set_description(daemon->timer, "tick");
    while (r >= 0 && cancel_level() == CANCEL_NONE) {
        r = sd_event_run(daemon->lookout.event, TURN_MAX_US);
        if (r == -EINTR)
            r = 0;
    }
    if (r < 0)
        return err_set(err, ERR_INTERNAL, "the event loop: %s", strerror(-r));
    (void)sd_notify(0, "STOPPING=1");
    return true;
}

bool guard_run(const struct guard_options *options, FILE *out, struct err *err)
{
    struct daemon daemon = {.options = options, .study = options->study, .out = out, .lock_fd = -1};
    daemon.token = guard_serve_take_token(options->study->guard); /* before anything is started */
    bool ok = take_lock(&daemon, err) &&
              guard_lookout_open(options, GUARD_LOOKOUT_RUNS, on_request, &daemon, &daemon.lookout,
                                 err) &&
              open_parts(&daemon, err);
    if (ok) {
        say_begin(&daemon);
        ok = run(&daemon, err);
    }
    close_parts(&daemon);
    return ok;
}
