/* A split's file as the daemon has it: read at the beginning, followed when `spica split` has
 * decided, written when something is new.
 *
 * Before anything is written the file is looked at: another may have decided since. Then its
 * decision holds, and the few seconds of counts that only this process has are dropped, which costs
 * evidence and never adds any.
 *
 * A decision that the disk did not take (it is full, it is read-only) holds in memory, and is
 * written as soon as it can be. It stands on the revision that the file has: a file of another
 * revision is newer, and somebody's word.
 *
 * Rejected: no decision without a file. An arm that does harm would go on doing it for as long as
 * the disk is full.
 *
 * Invariant: the revision in memory is the one on disk, or one that is owed to it. */
#include "guard/split_inside.h"

#include "proxy/keep.h"

#include <string.h>

void split_adopt(struct guard_split *split)
{
    stats_anytime_resume(split->test, &split->kept.sums);
    split->judged = split->kept.state != SPLIT_RUNNING && split->kept.state != SPLIT_FULL;
    split->said_fine = split->kept.sums.no_harm;
    split->weights_due = true;
    split->dirty = split->unsaved = false;
    const char *missing =
        guard_reference_missing(split->setup.study, split->setup.front, split->setup.reference_rps);
    if (!missing && !split->reference)
        missing = "none of the corpus's recordings could be read with its transcript";
    snprintf(split->kept.no_words, sizeof split->kept.no_words, "%s", missing ? missing : "");
}

/* As HAProxy was set last, where its own state says so. Who does not know gives the second arm
 * nothing: it may have been stopped. */
static const char *set_last_weights(struct guard_split *split)
{
    struct guard_split_kept *kept = &split->kept;
    int weights[SPEC_ARMS_MAX] = {0};
    bool known =
        split->setup.proxy && proxy_weights(split->setup.proxy, split->setup.front, weights);
    for (size_t i = 0; i < kept->arm_count; i++)
        kept->arms[i].weight = known ? weights[i] : i == 0 ? 100 : 0;
    return known ? "weights as HAProxy had them last"
                 : "what weights HAProxy had is not known, so all goes to the first arm";
}

/* What was known of the arms is gone: whether the second does harm may have been known. So nobody
 * begins a new test by himself: a person looks at the file, and says how it goes on. */
static bool set_aside(struct guard_split *split, struct err *err)
{
    AUTO(fd) int lock = -1;
    struct err again = ERR_INIT;
    bool found = false;
    if (!guard_split_lock(split->path, &lock, err))
        return false;
    if (guard_split_kept_read(split->path, split->split, &split->kept, &found, &again))
        return true; /* `spica split` has written a good one meanwhile */
    if (!guard_split_kept_set_aside(split->path, err))
        return false;
    const char *slash = strrchr(split->path, '/');
    split->kept.state = SPLIT_UNJUDGED;
    snprintf(split->kept.why, sizeof split->kept.why,
             "what was known was damaged and stands in %.100s.bad; %s",
             slash ? slash + 1 : split->path, set_last_weights(split));
    split->lost = true;
    return true;
}

static bool is_damaged(const struct err *err)
{
    return err->code == ERR_INPUT || err->code == ERR_LIMIT;
}

bool split_read_first(struct guard_split *split, bool *ret_found, struct err *err)
{
    struct err why = ERR_INIT;
    if (guard_split_kept_read(split->path, split->split, &split->kept, ret_found, &why))
        return true;
    if (is_damaged(&why))
        return set_aside(split, err);
    *err = why;
    return false;
}

bool split_follow(struct guard_split *split, bool *ret_followed, struct err *err)
{
    const uint64_t ours = split->unsaved ? split->unsaved_on : split->kept.revision;
    struct guard_split_kept now = {0};
    struct err why = ERR_INIT;
    bool found = false;
    *ret_followed = false;
    if (!guard_split_kept_read(split->path, split->split, &now, &found, &why)) {
        if (is_damaged(&why) && guard_split_kept_set_aside(split->path, err)) {
            split_tell(split, EVENT_ACTED,
                       "split: its file was damaged and is set aside (.bad); written anew");
            split->dirty = true;
            return true;
        }
        *err = why;
        return false;
    }
    split->dirty = split->dirty || !found;
    if (!found || now.revision == ours) {
        guard_split_kept_done(&now);
        return true;
    }
    guard_split_kept_done(&split->kept);
    split->kept = now;
    split_adopt(split);
    *ret_followed = true;
    split_tell(split, EVENT_ACTED, "split %s by another program (%s): %s %d %%",
               guard_split_state_names[now.state], now.why, now.arms[now.second].name,
               now.arms[now.second].weight);
    return true;
}

bool split_write(struct guard_split *split, struct err *err)
{
    split->kept.sums = *stats_anytime_sums(split->test);
    if (!guard_split_kept_write(split->path, split->split, &split->kept, err))
        return err_wrap(err, "keeping it");
    if (split->unsaved)
        split_tell(split, EVENT_ACTED, "split: that it is %s is kept now",
                   guard_split_state_names[split->kept.state]);
    split->dirty = split->unsaved = false;
    return true;
}

bool split_keep(struct guard_split *split, struct err *err)
{
    AUTO(fd) int lock = -1;
    bool followed;
    return guard_split_lock(split->path, &lock, err) && split_follow(split, &followed, err) &&
           (followed || !split->dirty || split_write(split, err));
}
