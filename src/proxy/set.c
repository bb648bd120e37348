/* Changing HAProxy while it runs: on disk first, then at once through the socket.
 *
 * A disk that takes nothing holds up nobody: HAProxy is told all the same, and what it was told is
 * kept later (proxy_keep()). Rejected: refusing it. Overload and a full disk come together (a log
 * that floods), and then a faster tier is needed most.
 *
 * Workers that a reload has replaced finish their answers, and what waits in their queues and in
 * connections that have just come: they are told as well, where there is a master to do it.
 * Rejected: HAProxy's own "drain" state; a reload forgets it, while a weight of 0 stands in the
 * file and means the same: no new requests but those that are pinned.
 *
 * Invariant: what would leave a front without a usable server is refused before anything changed.
 */
#include "proxy/inside.h"

#include <inttypes.h>
#include <string.h>

static const int64_t TELL_WITHIN_NS = NS_PER_S;
enum { WORKERS_MAX = 64 };

struct change { /* under way */
    struct proxy *proxy;
    size_t at;
    const struct spec_front *front;
    int lock;
    bool applied; /* the configuration on disk is this study's: one that was never checked is not
                   * written in passing */
    struct proxy_view view;
    struct buf commands; /* one a line end */
};

static void change_done(struct change *change)
{
    if (change->lock >= 0)
        close(change->lock);
    buf_done(&change->commands);
}
static void change_done_auto_(struct change *change)
{
    change_done(change);
}
#define AUTO_CHANGE __attribute__((cleanup(change_done_auto_))) struct change

static const char *service_of(const struct change *change)
{
    return change->proxy->study->services[change->front->service].name;
}

/* A disk that can't be read is no reason either, for who knows it from before. */
static bool read_state(struct proxy *proxy, struct err *err)
{
    struct err why = ERR_INIT;
    if (proxy_state_read(proxy, &why) || (proxy->state.token[0] && why.code != ERR_INPUT))
        return true;
    *err = why;
    return false;
}

/* As it was kept last: what is not kept yet is in no file. */
static bool is_applied(struct proxy *proxy)
{
    const struct proxy_state now = proxy->state;
    proxy_state_return(proxy);
    bool is = proxy_config_is(proxy);
    proxy->state = now;
    return is;
}

static bool change_begin(struct change *change, struct proxy *proxy, size_t front, struct err *err)
{
    *change =
        (struct change){.proxy = proxy, .at = front, .lock = -1, .commands = BUF_INIT(1 << 20)};
    if (front >= proxy->guard->front_count)
        return err_set(err, ERR_INPUT, "HAProxy has no front %zu", front);
    change->front = &proxy->guard->fronts[front];
    if (!proxy_lock(proxy, &change->lock, err) || !read_state(proxy, err) ||
        !proxy_state_complete(proxy, err) || !proxy_look(proxy, &change->view, err))
        return false;
    change->applied = is_applied(proxy);
    return change->view.up ||
           err_set(err, ERR_MISSING, "HAProxy does not answer at %s", proxy->socket);
}

static bool tell_worker(const struct change *change, int64_t pid, const char *command, size_t len)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4096);
    struct err ignored = ERR_INIT;
    buf_addf(&line, "@!%" PRId64 " ", pid);
    if (!buf_append(&line, command, len))
        return false;
    buf_add(&line, "; quit");
    return proxy_tell(change->proxy->master_socket, buf_text(&line), TELL_WITHIN_NS, &ignored);
}

/* Best effort: they are on their way out, and may be gone by now. "quit", since a master keeps the
 * connection open after its answer. */
static void tell_old_workers(const struct change *change)
{
    AUTO(buf_done) struct buf answer = BUF_INIT(65536);
    int64_t pids[WORKERS_MAX];
    if (!change->proxy->master_socket ||
        !proxy_ask(change->proxy->master_socket, "show proc; quit", TELL_WITHIN_NS, &answer, NULL))
        return;
    size_t count = proxy_workers_parse(buf_text(&answer), answer.len, pids, WORKERS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *line = buf_text(&change->commands);
        for (; pids[i] != change->view.pid && *line; line += strcspn(line, "\n") + 1)
            if (!tell_worker(change, pids[i], line, strcspn(line, "\n")))
                break;
    }
}

static bool save_all(struct proxy *proxy, bool applied, struct err *err)
{
    return proxy_state_save(proxy, err) &&
           (applied ? proxy_files_save(proxy, err) : proxy_maps_save(proxy, err));
}

static bool change_end(struct change *change, struct err *err)
{
    struct err unsaved = ERR_INIT;
    const char *line = buf_text(&change->commands);
    bool saved = save_all(change->proxy, change->applied, &unsaved);
    for (; *line; line += strcspn(line, "\n") + 1) {
        AUTO(buf_done) struct buf command = BUF_INIT(4096);
        if (!buf_append(&command, line, strcspn(line, "\n")))
            return err_set(err, ERR_LIMIT, "a command for HAProxy is too long");
        if (!proxy_tell(change->proxy->socket, buf_text(&command), TELL_WITHIN_NS, err))
            return false;
    }
    tell_old_workers(change);
    if (saved)
        return true;
    change->proxy->unsaved.is[change->at] = true;
    snprintf(change->proxy->unsaved.why, sizeof change->proxy->unsaved.why, "%.200s", unsaved.text);
    return true;
}

bool proxy_weights(struct proxy *proxy, size_t front, int *ret_weights)
{
    struct err ignored = ERR_INIT; /* what can't be read says nothing */
    if (front >= proxy->guard->front_count || !proxy_state_read(proxy, &ignored) ||
        proxy->state.weight[front][0] < 0)
        return false;
    for (size_t i = 0; i < proxy->guard->fronts[front].split.count; i++)
        ret_weights[i] = proxy->state.weight[front][i];
    return true;
}

const char *proxy_unsaved(const struct proxy *proxy)
{
    return proxy->unsaved.why[0] ? proxy->unsaved.why : NULL;
}

bool proxy_keep(struct proxy *proxy, struct err *err)
{
    AUTO(fd) int lock = -1;
    if (!proxy->unsaved.why[0])
        return true;
    if (!proxy_lock(proxy, &lock, err) || !read_state(proxy, err) ||
        !proxy_state_complete(proxy, err) || !save_all(proxy, is_applied(proxy), err))
        return false;
    memset(proxy->unsaved.is, 0, sizeof proxy->unsaved.is);
    proxy->unsaved.why[0] = '\0';
    return true;
}

/* Wherever it takes requests that were not pinned: its own backend, and as a stand-by. */
static void add_server_weight(struct change *change, size_t server, bool takes)
{
    for (size_t i = 0; i < proxy_servers(change->front); i++) {
        char name[PROXY_NAME_SIZE];
        proxy_name(change->proxy->study, change->at, (int)i, name);
        buf_addf(&change->commands, "set server %s/%s weight %d\n", name,
                 proxy_server_name(change->front, server), takes ? 1 : 0);
    }
}

static int weight_of(const struct change *change, size_t server)
{
    return change->front->split.count
               ? proxy_weight(change->front, &change->proxy->state, change->at, server)
               : 1;
}

void proxy_set_hurried(struct proxy *proxy)
{
    proxy->hurried = true;
}

bool proxy_set_tier(struct proxy *proxy, size_t front, const char *tier, struct err *err)
{
    AUTO_CHANGE change;
    if (!change_begin(&change, proxy, front, err))
        return false;
    int found =
        change.front->split.count ? -1 : proxy_server_find(change.front, tier, strlen(tier));
    if (found < 0)
        return err_set(err, ERR_INPUT, "front %s has no tier \"%.60s\"", service_of(&change), tier);
    if (!change.view.fronts[front].servers[found].usable)
        return err_set(err, ERR_DECLINED,
                       "front %s: tier %s is not usable now, nothing was changed; start it first "
                       "(guard may have stopped it)",
                       service_of(&change), tier);
    if (proxy->state.drained[front][found])
        return err_set(err, ERR_DECLINED, "front %s: tier %s is drained, nothing was changed",
                       service_of(&change), tier);
    char name[PROXY_NAME_SIZE];
    proxy_name(proxy->study, front, found, name);
    proxy->state.tier[front] = proxy_server_name(change.front, (size_t)found);
    buf_addf(&change.commands, "set map %s %s %s\n", proxy->tiers_map, service_of(&change), name);
    return change_end(&change, err);
}

static bool weights_check(const struct change *change, const int *weights, struct err *err)
{
    int sum = 0;
    bool usable = false;
    for (size_t i = 0; i < change->front->split.count; i++) {
        if (weights[i] < 0 || weights[i] > 100)
            return err_set(err, ERR_INPUT, "front %s: weight %d is none of 0 to 100",
                           service_of(change), weights[i]);
        sum += weights[i];
        usable |= weights[i] > 0 && change->view.fronts[change->at].servers[i].usable &&
                  !change->proxy->state.drained[change->at][i];
    }
    if (change->front->split.count == 0)
        return err_set(err, ERR_INPUT, "front %s has no split", service_of(change));
    if (sum != 100)
        return err_set(err, ERR_INPUT, "front %s: weights sum up to %d, not 100",
                       service_of(change), sum);
    return usable || err_set(err, ERR_DECLINED,
                             "front %s: no arm with a weight would be usable, nothing was changed",
                             service_of(change));
}

bool proxy_set_weights(struct proxy *proxy, size_t front, const int *weights, struct err *err)
{
    AUTO_CHANGE change;
    if (!change_begin(&change, proxy, front, err) || !weights_check(&change, weights, err))
        return false;
    size_t count = change.front->split.count;
    int sum = 0;
    /* Those that come in first, those that leave last: nobody is sent to an arm of weight 0. */
    for (size_t i = 0; i < count; i++)
        if (weights[i] > 0 && !proxy->state.drained[front][i])
            add_server_weight(&change, i, true);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_addf(&change.commands, "set map %s %s.%zu %d\n", proxy->cuts_map,
                     service_of(&change), i, sum);
        sum += weights[i];
        proxy->state.weight[front][i] = weights[i];
    }
    for (size_t i = 0; i < count; i++)
        if (weights[i] == 0)
            add_server_weight(&change, i, false);
    return change_end(&change, err);
}

bool proxy_set_server(struct proxy *proxy, size_t front, const char *server,
                      enum proxy_server_state state, struct err *err)
{
    AUTO_CHANGE change;
    if (!change_begin(&change, proxy, front, err))
        return false;
    int found = proxy_server_find(change.front, server, strlen(server));
    if (found < 0)
        return err_set(err, ERR_INPUT, "front %s has no server \"%.60s\"", service_of(&change),
                       server);
    const bool drain = state == PROXY_DRAIN || state == PROXY_DRAIN_BY_HAND;
    bool others = false;
    for (size_t i = 0; i < proxy_servers(change.front); i++)
        others |= i != (size_t)found && change.view.fronts[front].servers[i].usable &&
                  !proxy->state.drained[front][i] && weight_of(&change, i) > 0;
    if (state == PROXY_READY && proxy->state.by_hand[front][found])
        return err_set(err, ERR_DECLINED, "front %s: %s was drained by hand and stays so",
                       service_of(&change), server);
    if (drain && !others)
        return err_set(err, ERR_DECLINED,
                       "front %s: %s is its last usable server, it is not drained",
                       service_of(&change), server);
    bool *by_hand = &proxy->state.by_hand[front][found];
    *by_hand = drain && (*by_hand || state == PROXY_DRAIN_BY_HAND);
    proxy->state.drained[front][found] = drain;
    add_server_weight(&change, (size_t)found, !drain && weight_of(&change, (size_t)found) > 0);
    return change_end(&change, err);
}
