/* What production has changes under a running guard: a promotion, a rollback (guard's own too), a
 * study that was measured again. Guard that goes on asking by the old model's name is refused, and
 * looks for a service on a device that it has left.
 *
 * By stat(2), since the files are replaced or written when something has happened, and reading
 * them is dear. Each is looked at before it is read: what comes in between is seen the next time. A
 * decision may lie in the log beside study.db (-wal) for as long as anybody has that open.
 *
 * Rejected: inotify, which says nothing of a file that a network file system's other side writes.
 *
 * Invariant: who doesn't know keeps what it has. A promotion under way may be half of each; a study
 * that is being measured again has no decision, and production still is what the last one said,
 * unless a promotion or a rollback says otherwise. */
#include "guard/watch_candidate.h"

#include "base/buf.h"
#include "base/clock.h"
#include "promote/journal.h"
#include "study/study.h"

#include <string.h>

static const int64_t EVERY_NS = 2 * NS_PER_S, AGAIN_MAX_NS = 60 * NS_PER_S;

static struct stat stat_of(const char *path)
{
    struct stat now;
    return stat(path, &now) == 0 ? now : (struct stat){0};
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* An empty one says nothing: whoever reads may make it, and take it away again. */
static struct stat log_of(const char *store_path)
{
    AUTO(buf_done) struct buf path = BUF_INIT(8192);
    buf_addf(&path, "%s-wal", store_path);
    struct stat now = stat_of(buf_text(&path));
    return now.st_size > 0 ? now : (struct stat){0};
}

static bool is_undecided(const struct guard_candidate *now, const struct guard_candidate *then)
{
    return now->store_unread || (!now->decision[0] && then->decision[0]);
}

static unsigned compare(const struct spec_study *study, const struct guard_candidate *now,
                        const struct guard_candidate *then)
{
    const bool undecided = is_undecided(now, then);
    const bool same = guard_candidate_is(study, &now->candidate, &then->candidate);
    if (now->under_way || now->journal_unread || (undecided && !now->promoted))
        return 0;
    return (same ? 0 : CANDIDATE_IS_ANOTHER) |
           (undecided || strcmp(now->decision, then->decision) == 0 ? 0 : DECISION_IS_ANOTHER);
}

/* Soon somebody else may be done with it; a file that stays as it is, is dear to try. */
static void plan_again(struct guard_candidate_look *look, bool unread, int64_t now_ns)
{
    const int64_t doubled_ns = look->wait_ns > 0 ? 2 * look->wait_ns : EVERY_NS;
    look->wait_ns = !unread ? 0 : doubled_ns < AGAIN_MAX_NS ? doubled_ns : AGAIN_MAX_NS;
    look->again_ns = unread ? now_ns + look->wait_ns : 0;
}

unsigned guard_candidate_step(struct guard_candidate_look *look, const struct spec_study *study,
                              const char *folder, int64_t now_ns, struct guard_candidate *found)
{
    struct guard_candidate now;
    if (look->began && (!folder || now_ns < look->next_ns))
        return 0;
    AUTO(free) char *journal_path = folder ? promote_journal_path(folder) : NULL;
    AUTO(free) char *store_path = folder ? study_store_path(folder) : NULL;
    const struct stat journal = folder ? stat_of(journal_path) : (struct stat){0};
    const struct stat store = folder ? stat_of(store_path) : (struct stat){0};
    const struct stat log = folder ? log_of(store_path) : (struct stat){0};
    const bool again = look->again_ns > 0 && now_ns >= look->again_ns;
    look->next_ns = now_ns + EVERY_NS;
    if (look->began && !again && is_same(&journal, &look->journal) &&
        is_same(&store, &look->store) && is_same(&log, &look->log))
        return 0;
    guard_candidate_find(study, folder, &now);
    look->journal = journal;
    look->store = store;
    look->log = log;
    plan_again(look, now.store_unread, now_ns);
    const unsigned news =
        look->began ? compare(study, &now, found) : CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER;
    if (look->began && is_undecided(&now, found)) /* production is judged by the last one */
        memcpy(now.decision, found->decision, sizeof now.decision);
    look->began = true;
    if (news)
        *found = now;
    return news;
}
