/* Sessions one after the other are one series, so that the tests and the bootstrap of
 * stats/series.h see turns as neighbours. Rejected: each session as a run of its own, whose mean
 * these subtract: what a session has in common is just that mean. Rejected too: sums over sessions
 * as independent clusters, which says nothing of sessions that wait behind one another; that is
 * what the order of requests shows. */
#include "stats/sessions.h"

#include <math.h>
#include <stdlib.h>

struct member {
    size_t run, at;
    uint32_t session;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    if (x->session != y->session)
        return x->session < y->session ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The values session by session, run by run; NULL: no session has two. The caller frees it. */
static double *grouped(const struct stats_series *series, const uint32_t *sessions)
{
    size_t n = series->n, run = 0, end = series->run_lengths ? 0 : n;
    if (!sessions || n < 2)
        return NULL;
    struct member *order = calloc(n, sizeof *order);
    double *result = calloc(n, sizeof *result);
    bool several = false;
    if (!order || !result)
        abort();
    for (size_t i = 0; i < n; i++) {
        while (i >= end && run < series->run_count)
            end += series->run_lengths[run++];
        order[i] = (struct member){run, i, sessions[i]};
    }
    qsort(order, n, sizeof *order, compare_members);
    for (size_t i = 0; i < n; i++) {
        result[i] = series->values[order[i].at];
        several = several || (i > 0 && order[i].run == order[i - 1].run &&
                              order[i].session == order[i - 1].session);
    }
    free(order);
    if (!several) {
        free(result);
        return NULL;
    }
    return result;
}

struct stats_series_interval stats_sessions_quantile(const struct stats_series *in_time,
                                                     const uint32_t *sessions, double q,
                                                     double confidence)
{
    struct stats_series_interval found = stats_series_quantile(in_time, q, confidence);
    double *order = grouped(in_time, sessions);
    if (order && found.refusal == STATS_REFUSAL_NONE) {
        struct stats_series by_session = *in_time;
        by_session.values = order;
        struct stats_series_interval other = stats_series_quantile(&by_session, q, confidence);
        if (other.refusal != STATS_REFUSAL_NONE || other.worth < found.worth)
            found = other;
    }
    free(order);
    return found;
}

double stats_sessions_worth(const struct stats_series *in_time, const uint32_t *sessions,
                            double limit)
{
    double worth = stats_series_worth(in_time, limit);
    double *order = grouped(in_time, sessions);
    if (order) {
        struct stats_series by_session = *in_time;
        by_session.values = order;
        worth = fmin(worth, stats_series_worth(&by_session, limit));
    }
    free(order);
    return worth;
}
