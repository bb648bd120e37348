/* What a probe's end says.
 *
 * A probe without an answer in time may mean a dead server or a full one. What tells them apart is
 * whether anybody else was answered meanwhile: requests that HAProxy logged from this very server,
 * the engine's own counts of requests and tokens. A full server is slow and does not hang, and its
 * probe counts as a client that left: at least so long. Where nobody else can be seen a full server
 * still reads as one that hangs, which docs/METHOD.md says. CPU time was rejected as a witness: an
 * engine that spins in a dead kernel has plenty.
 *
 * An engine that is dead behind a living front answers each request with a 500 or a 503 at once.
 * Three in a row say so at any rate of probes; a ratio needs more values than one probe in ten
 * seconds gives a window. Not counted: 4xx, which is about our request; 503 of a process that has
 * not answered yet, which still loads its model; and anything while others are answered, for then
 * it sheds load, or dislikes that one clip. That others are is HAProxy's word alone here: a failed
 * probe moves the engine's own counts as well.
 *
 * The first request to a process pays for what is done once: kernels are compiled, weights read. A
 * Whisper that answers in 0.1 s takes 3 s for its first on an H100. So for a minute after a new
 * process is up, a probe that is late says nothing where none was answered before: a restart that a
 * rule asked for must not ask for the next. What runs for long when guard begins is judged at
 * once. */
#include "guard/probe_past.h"

#include "base/clock.h"

/* A model that takes longer than this to load is told as failing. */
static const int64_t LOADS_NS = 300 * NS_PER_S;
/* So long after it is up its first answer may take, whatever a probe's deadline is. */
static const int64_t FIRST_NS = 60 * NS_PER_S;

int64_t guard_probe_patience_ns(int64_t within_ns)
{
    return within_ns / 4;
}

static bool has_answered(const struct guard_probe_past *past, const struct guard_probe_scene *scene)
{
    return past->answered && past->process == scene->process;
}

static bool is_first_late(const struct guard_probe_past *past, const struct guard_probe *probe,
                          const struct guard_probe_scene *scene)
{
    return probe->hung && !has_answered(past, scene) && probe->sent_ns - scene->up_ns < FIRST_NS &&
           scene->age_ns >= 0 && scene->age_ns < LOADS_NS + FIRST_NS;
}

bool guard_probe_is_failure(const struct guard_probe_past *past, const struct guard_probe *probe,
                            const struct guard_probe_scene *scene)
{
    if (probe->error == LOAD_OK || is_first_late(past, probe, scene))
        return false;
    if (probe->error != LOAD_HTTP_STATUS)
        return true;
    if (probe->http_status == 503 && !has_answered(past, scene) &&
        scene->now_ns - scene->up_ns < LOADS_NS)
        return false;
    return probe->http_status < 400 || probe->http_status >= 500;
}

static enum guard_probe_turn step_late(const struct guard_probe *probe,
                                       const struct guard_probe_scene *scene)
{
    const int64_t from_ns = probe->sent_ns + guard_probe_patience_ns(scene->within_ns);
    return scene->answered_ns >= from_ns || scene->moved_ns >= from_ns ? PROBE_SLOW : PROBE_HANGS;
}

enum guard_probe_turn guard_probe_step(struct guard_probe_past *past,
                                       const struct guard_probe *probe,
                                       const struct guard_probe_scene *scene)
{
    if (past->process != scene->process)
        *past = (struct guard_probe_past){.process = scene->process};
    if (probe->ours || probe->error == LOAD_RELOAD || is_first_late(past, probe, scene))
        return PROBE_SAYS_NOTHING;
    if (probe->error == LOAD_OK) {
        const bool told = past->told;
        *past = (struct guard_probe_past){.process = scene->process, .answered = true};
        return told ? PROBE_ANSWERED : PROBE_SAYS_NOTHING;
    }
    if (probe->hung)
        return step_late(probe, scene);
    if (!guard_probe_is_failure(past, probe, scene))
        return PROBE_SAYS_NOTHING;
    if (past->failed == 0 || scene->answered_ns >= past->failed_ns) {
        past->failed = 0;
        past->failed_ns = probe->sent_ns;
    }
    past->failed++;
    if (past->failed < GUARD_FAILS_IN_A_ROW || past->told)
        return PROBE_SAYS_NOTHING;
    past->told = true;
    return PROBE_FAILS;
}
