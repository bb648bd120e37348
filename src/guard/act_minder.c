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
                                        .restudy = actor->restudy};
    return work;
}

static void read_again(struct guard_actor *actor)
{
    struct err err = ERR_INIT;
    if (!guard_restudy_read(actor->setup.folder, &actor->has_restudy, &actor->restudy, &err)) {
        actor->has_restudy = false;
        act_tell(actor, -1, "", false, "restudy: %.200s", err.text);
    }
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
    if (!guard_restudy_read(actor->setup.folder, &actor->has_restudy, &actor->restudy, err))
        return false;
    if (!study->guard->limits[ACTION_RESTUDY].allowed)
        return true;
    int r = sd_event_add_time_relative(actor->event, &actor->timer, CLOCK_MONOTONIC, LOOK_EVERY_US,
                                       0, on_time, actor);
    if (r >= 0)
        r = sd_event_source_set_description(actor->timer, "the window of a new study");
    return r >= 0 || err_set(err, ERR_INTERNAL, "a timer for new studies: %s", strerror(-r));
}
