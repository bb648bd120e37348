/* The loop with what is watched in it, for the daemon and for one look.
 *
 * Which candidate runs is found out first, since everything that is asked is asked by its values;
 * and then again and again, since a promotion or a rollback may come while guard runs: the watch
 * follows in its place, and HAProxy knows nothing of it. Rejected: ending with a status of our own
 * so that systemd starts us again, which costs each window its minute and nobody is there to do it
 * in a terminal. Finding it may read a whole study's rows; that memory is given back before the
 * watching begins, and the loop's own parts are small. */
#include "guard/daemon.h"

#include "base/clock.h"
#include "load/http.h"

#include <malloc.h>
#include <string.h>

static unsigned look_for_candidate(struct guard_lookout *lookout,
                                   const struct guard_options *options, int64_t now_ns)
{
    const unsigned news = guard_candidate_step(&lookout->look, options->study, options->folder,
                                               now_ns, &lookout->found);
    lookout->candidate = lookout->found.candidate;
    lookout->candidate_from = lookout->found.from;
    return news;
}

unsigned guard_lookout_step(struct guard_lookout *lookout, const struct guard_options *options,
                            int64_t now_ns)
{
    const unsigned news = look_for_candidate(lookout, options, now_ns);
    if (news)
        guard_watch_follow(lookout->watch, now_ns);
    if (news)
        malloc_trim(0); /* whole corpora and rows were read for it */
    return news;
}

bool guard_lookout_open(const struct guard_options *options, enum guard_lookout_for purpose,
                        void (*request)(void *context, const struct proxy_request *request,
                                        int64_t now_ns),
                        void *context, struct guard_lookout *ret_lookout, struct err *err)
{
    struct guard_lookout *lookout = ret_lookout; /* in its place: the watch points into it */
    *lookout = (struct guard_lookout){0};
    int r = sd_event_default(&lookout->event);
    if (r < 0)
        return err_set(err, ERR_INTERNAL, "guard can't wait for what happens (sd-event): %s",
                       strerror(-r));
    (void)look_for_candidate(lookout, options, clock_now_ns());
    const struct guard_watch_setup setup = {.study = options->study,
                                            .folder = options->folder,
                                            .candidate = &lookout->candidate,
                                            .event = lookout->event,
                                            .once = purpose == GUARD_LOOKOUT_ONCE,
                                            .dry_run = options->dry_run,
                                            .request = request,
                                            .context = context};
    if (load_http_setup(err) && guard_watch_new(&setup, &lookout->watch, err))
        return true;
    guard_lookout_close(lookout);
    return false;
}

void guard_lookout_close(struct guard_lookout *lookout)
{
    guard_watch_free(lookout->watch);
    sd_event_unref(lookout->event);
    *lookout = (struct guard_lookout){0};
}
