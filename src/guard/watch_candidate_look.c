/* What production has changes under a running guard: a promotion, a rollback (guard's own too), a
 * study that was measured again. Guard that goes on asking by the old model's name is refused, and
 * looks for a service on a device that it has left.
 *
 * By stat(2), since both files are replaced or written when something has happened, and reading
 * them is dear. Each is looked at before it is read: what comes in between is seen the next time.
 *
 * Rejected: inotify, which says nothing of a file that a network file system's other side writes.
 *
 * Invariant: who doesn't know keeps what it has. A promotion under way may be half of each; a study
 * that is being measured again has no decision, and production still is what the last one said. */
#include "guard/watch_candidate.h"

#include "base/clock.h"
#include "promote/journal.h"
#include "study/study.h"

#include <string.h>

static const int64_t EVERY_NS = 2 * NS_PER_S;

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

static unsigned compare(const struct spec_study *study, const struct guard_candidate *now,
                        const struct guard_candidate *then)
{
    if (now->under_way || now->journal_unread || now->store_unread ||
        (!now->decision[0] && then->decision[0]))
        return 0;
    return (guard_candidate_is(study, &now->candidate, &then->candidate) ? 0
                                                                         : CANDIDATE_IS_ANOTHER) |
           (strcmp(now->decision, then->decision) == 0 ? 0 : DECISION_IS_ANOTHER);
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
    look->next_ns = now_ns + EVERY_NS;
    if (look->began && is_same(&journal, &look->journal) && is_same(&store, &look->store))
        return 0;
    guard_candidate_find(study, folder, &now);
    look->journal = journal;
    look->store = now.store_unread ? (struct stat){0} : store; /* soon somebody else is done */
    const unsigned news =
        look->began ? compare(study, &now, found) : CANDIDATE_IS_ANOTHER | DECISION_IS_ANOTHER;
    look->began = true;
    if (news)
        *found = now;
    return news;
}
