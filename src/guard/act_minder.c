/* When the study that was asked for runs: looked at every so often, and at once when it is queued.
 *
 * The request on disk is the truth: our own minder, or one that an earlier guard left, writes how
 * far it is. A minder that is gone without a word was killed; its window counts, and the next one
 * goes on. */
#include "guard/act_inside.h"

#include "base/clock.h"
#include "base/file.h"

#include <limits.h>
#include <string.h>

static const uint64_t LOOK_EVERY_US = 10 * 1000 * 1000;
static const int64_t AGAIN_NS = 1800 * NS_PER_S; /* a device that is held by others, say */

static struct guard_restudy_work *new_work(const struct guard_actor *actor)
{
    struct guard_restudy_work *work = calloc(1, sizeof *work);
    if (!work)
        abort();
    *work = (struct guard_restudy_work){.folder = actor->setup.folder,
                                        .study_path = actor->study_path,
                                        .program = actor->program,
                                        .hours = actor->setup.study->guard->restudy,
                                        .pause = actor->setup.study->guard->restudy.pause,
                                        .pause_user = actor->setup.study->guard->restudy.pause_user,
                                        .restudy = actor->restudy};
    return work;
}

/* The act that is under way may move in what is kept. */
static void withhold(struct guard_actor *actor)
{
    struct guard_kept *kept = &actor->kept;
    struct err ignored = ERR_INIT;
    const size_t from_end = actor->act ? (size_t)(kept->acts + kept->count - actor->act) : 0;
    const int64_t begun_ns = actor->act ? actor->act->mono_ns : 0;
    guard_kept_add_unknown(kept, ACTION_RESTUDY, clock_now_ns(), clock_now_wall_us());
    if (actor->act)
        actor->act = kept->count > from_end ? &kept->acts[kept->count - 1 - from_end] : NULL;
    if (actor->act && actor->act->mono_ns != begun_ns)
        actor->act = NULL; /* older than an hour */
    (void)!guard_kept_write(kept, &ignored);
}

/* A request that is damaged is put aside, and none is made for an hour: who asked for it, and how
 * often it was tried, is not known. False: it can't be read for another reason. */
static bool read_request(struct guard_actor *actor, char *said, size_t size, struct err *err)
{
    struct err cause = ERR_INIT;
    said[0] = '\0';
    if (guard_restudy_read(actor->setup.folder, &actor->has_restudy, &actor->restudy, &cause))
        return true;
    actor->has_restudy = false;
    if (cause.code != ERR_INPUT && cause.code != ERR_LIMIT)
        return err_set(err, cause.code, "%s", cause.text);
    AUTO(free) char *path = guard_restudy_path(actor->setup.folder);
    char aside[200];
    guard_kept_put_aside(path, aside, sizeof aside);
    snprintf(said, size, "%s; no study is queued for an hour", aside);
    withhold(actor);
    return true;
}

static void read_again(struct guard_actor *actor)
{
    char said[240];
    struct err err = ERR_INIT;
    if (!read_request(actor, said, sizeof said, &err))
        act_tell(actor, -1, "", false, "restudy: %.200s", err.text);
    else if (said[0])
        act_tell(actor, -1, "", false, "restudy: %.220s", said);
}

static void on_minded(void *owner, const struct guard_said *said)
{
    struct guard_actor *actor = owner;
    actor->minder = guard_child_free(actor->minder);
    read_again(actor);
    if (said)
        act_tell(actor, -1, actor->restudy.rule, true, "restudy: %s", said->text);
}

static void begin(struct guard_actor *actor)
{
    AUTO(free) struct guard_restudy_work *work = new_work(actor);
    const struct guard_child_job job = {
        .work = guard_work_restudy, .context = work, .ended = on_minded, .owner = actor};
    struct err err = ERR_INIT;
    actor->tried_ns = clock_now_ns();
    if (access(actor->program, X_OK) != 0)
        act_tell(actor, -1, actor->restudy.rule, false,
                 "restudy: this program's file is gone (updated?); restart guard: %.120s",
                 actor->program);
    else if (guard_child_start(actor->event, &job, &actor->minder, &err))
        act_tell(actor, -1, actor->restudy.rule, true,
                 "restudy: the study is measured again, production goes on beside it");
    else
        act_tell(actor, -1, actor->restudy.rule, false, "restudy: %.200s", err.text);
}

/* One that an earlier guard's minder was at, and that is not any more. */
static void take_over(struct guard_actor *actor)
{
    read_again(actor);
    if (!actor->has_restudy)
        return;
    if (actor->restudy.state == RESTUDY_DONE)
        act_tell(actor, -1, actor->restudy.rule, true, "restudy: %s", actor->restudy.result);
    else
        actor->restudy.state = RESTUDY_QUEUED;
}

static bool is_due(const struct guard_actor *actor)
{
    const struct spec_guard *guard = actor->setup.study->guard;
    return actor->has_restudy && actor->restudy.state == RESTUDY_QUEUED &&
           guard->limits[ACTION_RESTUDY].allowed &&
           (actor->tried_ns == 0 || clock_now_ns() - actor->tried_ns >= AGAIN_NS) &&
           guard_restudy_open(&guard->restudy, guard_restudy_minute(clock_now_wall_us()));
}

void act_minder_look(struct guard_actor *actor)
{
    if (actor->minder || actor->setup.dry_run)
        return;
    if (!actor->has_restudy || actor->restudy.state == RESTUDY_DONE)
        read_again(actor); /* somebody may just have asked for one */
    if (actor->has_restudy && actor->restudy.state == RESTUDY_RUNNING &&
        !host_process_alive(&actor->restudy.minder))
        take_over(actor);
    if (is_due(actor))
        begin(actor);
}

static int on_time(sd_event_source *source, uint64_t usec, void *context)
{
    (void)usec;
    act_minder_look(context);
    sd_event_source_set_time_relative(source, LOOK_EVERY_US);
    sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static void find_program(struct guard_actor *actor)
{
    if (actor->setup.program) {
        snprintf(actor->program, sizeof actor->program, "%s", actor->setup.program);
        return;
    }
    ssize_t len = readlink("/proc/self/exe", actor->program, sizeof actor->program - 1);
    actor->program[len > 0 ? len : 0] = '\0';
}

bool act_minder_open(struct guard_actor *actor, struct err *err)
{
    const struct spec_study *study = actor->setup.study;
    actor->study_path = file_absolute(study->path);
    find_program(actor);
    if (!read_request(actor, actor->put_aside[1], sizeof actor->put_aside[1], err))
        return false;
    if (!study->guard->limits[ACTION_RESTUDY].allowed)
        return true;
    int r = sd_event_add_time_relative(actor->event, &actor->timer, CLOCK_MONOTONIC, LOOK_EVERY_US,
                                       0, on_time, actor);
    if (r >= 0)
        r = sd_event_source_set_description(actor->timer, "the window of a new study");
    return r >= 0 || err_set(err, ERR_INTERNAL, "a timer for new studies: %s", strerror(-r));
}
