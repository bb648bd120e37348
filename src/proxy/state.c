/* What run time has set, kept beside the configuration: state.json, and the maps and server weights
 * that follow from it. Written whole, first, and only then told to HAProxy: whatever dies between,
 * the next start or reload has what was meant.
 *
 * A person's word is newer than run time's: each kept weight stands with the file's own of that
 * moment, and is dropped when the study file says another today. The token in each log line keeps
 * others on the machine from writing requests that never were: loopback is open to all of them.
 *
 * UDP on loopback, though a socket in the folder would be private: the kernel holds 10 lines in
 * such a socket (net.unix.max_dgram_qlen) where systemd has not raised it, HAProxy may live in a
 * chroot, and as another user. */
#include "proxy/inside.h"

#include "base/file.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { STATE_MAX = 1 << 20, TEXT_MAX = 1 << 22 };
/* Below what the kernel gives to others by itself (ip_local_port_range begins at 32768). */
enum { PORT_FIRST = 20000, PORT_COUNT = 10000, PORT_TRIES = 200 };
static const int64_t LOCK_WITHIN_NS = 20 * NS_PER_S;

void proxy_state_init(struct proxy_state *ret_state)
{
    *ret_state = (struct proxy_state){0};
    for (size_t i = 0; i < SPEC_FRONTS_MAX; i++)
        for (size_t j = 0; j < SPEC_ARMS_MAX; j++)
            ret_state->weight[i][j] = -1;
}

/* ---- reading ---- */

static void read_weights(const struct spec_front *front, const json_t *kept, int *weights)
{
    int read[SPEC_ARMS_MAX], sum = 0;
    const json_t *now = json_object_get(kept, "weights"), *file = json_object_get(kept, "file");
    for (size_t i = 0; i < front->split.count; i++) {
        const struct spec_arm *arm = &front->split.arms[i];
        read[i] = (int)json_get_int(now, arm->name, -1);
        if (read[i] < 0 || read[i] > 100 || json_get_int(file, arm->name, -1) != arm->weight)
            return;
        sum += read[i];
    }
    for (size_t i = 0; sum == 100 && i < front->split.count; i++)
        weights[i] = read[i];
}

static void read_front(const struct spec_front *front, const json_t *kept, size_t at,
                       struct proxy_state *state)
{
    const char *tier = json_get_text(kept, "tier");
    const json_t *drained = json_object_get(kept, "drained");
    const json_t *by_hand = json_object_get(kept, "by_hand");
    int found = tier ? proxy_server_find(front, tier, strlen(tier)) : -1;
    if (front->split.count)
        read_weights(front, kept, state->weight[at]);
    else if (found >= 0)
        state->tier[at] = proxy_server_name(front, (size_t)found);
    for (size_t i = 0; i < proxy_servers(front); i++) {
        const char *name = proxy_server_name(front, i);
        state->drained[at][i] = json_is_true(json_object_get(drained, name));
        state->by_hand[at][i] =
            state->drained[at][i] && json_is_true(json_object_get(by_hand, name));
    }
}

static bool is_token(const char *text)
{
    return text && strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
}

static bool front_is(const struct proxy_state *a, const struct proxy_state *b, size_t at)
{
    return a->tier[at] == b->tier[at] &&
           memcmp(a->weight[at], b->weight[at], sizeof a->weight[at]) == 0 &&
           memcmp(a->drained[at], b->drained[at], sizeof a->drained[at]) == 0 &&
           memcmp(a->by_hand[at], b->by_hand[at], sizeof a->by_hand[at]) == 0;
}

/* What HAProxy was told and the disk did not take, unless another has set that front since. */
static void add_unsaved(struct proxy *proxy, struct proxy_state *state)
{
    const struct proxy_state disk = *state;
    for (size_t i = 0; i < SPEC_FRONTS_MAX; i++) {
        if (!proxy->unsaved.is[i] || !front_is(&disk, &proxy->unsaved.disk, i))
            continue;
        state->tier[i] = proxy->state.tier[i];
        memcpy(state->weight[i], proxy->state.weight[i], sizeof state->weight[i]);
        memcpy(state->drained[i], proxy->state.drained[i], sizeof state->drained[i]);
        memcpy(state->by_hand[i], proxy->state.by_hand[i], sizeof state->by_hand[i]);
    }
    proxy->unsaved.disk = disk;
}

void proxy_state_return(struct proxy *proxy)
{
    for (size_t i = 0; i < SPEC_FRONTS_MAX; i++) {
        if (!proxy->unsaved.is[i])
            continue;
        proxy->state.tier[i] = proxy->unsaved.disk.tier[i];
        memcpy(proxy->state.weight[i], proxy->unsaved.disk.weight[i],
               sizeof proxy->unsaved.disk.weight[i]);
        memcpy(proxy->state.drained[i], proxy->unsaved.disk.drained[i],
               sizeof proxy->unsaved.disk.drained[i]);
        memcpy(proxy->state.by_hand[i], proxy->unsaved.disk.by_hand[i],
               sizeof proxy->unsaved.disk.by_hand[i]);
    }
}

bool proxy_state_read(struct proxy *proxy, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(STATE_MAX);
    struct err ignored = ERR_INIT;
    if (!buf_read_file(&text, proxy->state_file, &ignored)) {
        if (ignored.code == ERR_MISSING)
            return true;
        *err = ignored;
        return err_wrap(err, "reading what HAProxy was set to");
    }
    json_error_t error;
    AUTO_JSON json_t *root = json_loadb(buf_text(&text), text.len, 0, &error);
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, "%s: line %d: %s; remove it to begin with the study's own",
                       proxy->state_file, error.line, error.text);
    struct proxy_state state;
    proxy_state_init(&state);
    for (size_t i = 0; i < proxy->guard->front_count; i++) {
        const struct spec_front *front = &proxy->guard->fronts[i];
        const char *service = proxy->study->services[front->service].name;
        read_front(front, json_object_get(json_object_get(root, "fronts"), service), i, &state);
    }
    int64_t port = json_get_int(root, "log_port", 0);
    const char *token = json_get_text(root, "token");
    state.log_port = port > 0 && port <= 65535 ? (int)port : 0;
    if (is_token(token))
        snprintf(state.token, sizeof state.token, "%s", token);
    state.run_as_uid = proxy->state.run_as_uid;
    state.run_as_gid = proxy->state.run_as_gid;
    add_unsaved(proxy, &state);
    proxy->state = state;
    proxy->reload_due = json_is_true(json_object_get(root, "reload_due"));
    proxy->stopped = json_is_true(json_object_get(root, "stopped"));
    proxy->worker = json_get_int(root, "worker", 0);
    return true;
}

/* ---- writing ---- */

static json_t *front_json(const struct proxy *proxy, size_t at)
{
    const struct spec_front *front = &proxy->guard->fronts[at];
    json_t *kept = json_object(), *drained = json_object(), *by_hand = json_object();
    if (proxy->state.tier[at])
        json_object_set_new(kept, "tier", json_string(proxy->state.tier[at]));
    if (front->split.count && proxy->state.weight[at][0] >= 0) {
        json_t *now = json_object(), *file = json_object();
        for (size_t i = 0; i < front->split.count; i++) {
            const struct spec_arm *arm = &front->split.arms[i];
            json_object_set_new(now, arm->name,
                                json_integer(proxy_weight(front, &proxy->state, at, i)));
            json_object_set_new(file, arm->name, json_integer(arm->weight));
        }
        json_object_set_new(kept, "weights", now);
        json_object_set_new(kept, "file", file);
    }
    for (size_t i = 0; i < proxy_servers(front); i++) {
        if (proxy->state.drained[at][i])
            json_object_set_new(drained, proxy_server_name(front, i), json_true());
        if (proxy->state.by_hand[at][i])
            json_object_set_new(by_hand, proxy_server_name(front, i), json_true());
    }
    json_object_set_new(kept, "drained", drained);
    json_object_set_new(kept, "by_hand", by_hand);
    return kept;
}

bool proxy_state_save(struct proxy *proxy, struct err *err)
{
    AUTO_JSON json_t *root = json_pack(
        "{s:s, s:i, s:s, s:b, s:b, s:I}", "format", "spica proxy", "log_port",
        proxy->state.log_port, "token", proxy->state.token, "reload_due", proxy->reload_due,
        "stopped", proxy->stopped, "worker", (json_int_t)proxy->worker);
    json_t *fronts = json_object();
    for (size_t i = 0; i < proxy->guard->front_count; i++)
        json_object_set_new(fronts, proxy->study->services[proxy->guard->fronts[i].service].name,
                            front_json(proxy, i));
    json_object_set_new(root, "fronts", fronts);
    AUTO(free) char *text = json_dump_text(root);
    return file_write_private(proxy->state_file, text, strlen(text), err) ||
           err_wrap(err, "keeping what HAProxy is set to");
}

/* A file that others must read keeps the mode they gave it: of an HAProxy that is attached to. */
static bool save(const char *path, const struct buf *text, struct err *err)
{
    struct stat old;
    bool there = stat(path, &old) == 0;
    if (text->over)
        return err_set(err, ERR_LIMIT, "%s would be over %d bytes", path, TEXT_MAX);
    if (!file_write_private(path, buf_text(text), text->len, err))
        return false;
    return !there || chmod(path, old.st_mode & 0777) == 0 || err_sys(err, "%s", path);
}

bool proxy_config_is(const struct proxy *proxy)
{
    AUTO(buf_done) struct buf old = BUF_INIT(TEXT_MAX);
    AUTO(buf_done) struct buf wanted = BUF_INIT(TEXT_MAX);
    proxy_config_write(proxy->study, &proxy->state, &wanted);
    return buf_read_file(&old, proxy->config, NULL) && old.len == wanted.len &&
           memcmp(buf_text(&old), buf_text(&wanted), old.len) == 0;
}

bool proxy_maps_save(struct proxy *proxy, struct err *err)
{
    AUTO(buf_done) struct buf tiers = BUF_INIT(TEXT_MAX);
    AUTO(buf_done) struct buf cuts = BUF_INIT(TEXT_MAX);
    proxy_tiers_map_write(proxy->study, &proxy->state, &tiers);
    proxy_cuts_map_write(proxy->study, &proxy->state, &cuts);
    return save(proxy->tiers_map, &tiers, err) && save(proxy->cuts_map, &cuts, err);
}

bool proxy_files_save(struct proxy *proxy, struct err *err)
{
    AUTO(buf_done) struct buf config = BUF_INIT(TEXT_MAX);
    proxy_config_write(proxy->study, &proxy->state, &config);
    return proxy_maps_save(proxy, err) && save(proxy->config, &config, err);
}

/* ---- the log's port and token ---- */

static bool port_is_free(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

/* As root the worker becomes Debian's user for it, once it listens. */
static void find_user(struct proxy_state *state)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam("haproxy") : NULL;
    state->run_as_uid = user ? (int)user->pw_uid : 0;
    state->run_as_gid = user ? (int)user->pw_gid : 0;
}

bool proxy_state_complete(struct proxy *proxy, struct err *err)
{
    struct proxy_state *state = &proxy->state;
    unsigned char bytes[12];
    find_user(state);
    if (state->token[0] && state->log_port)
        return true;
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_sys(err, "drawing a token for HAProxy's log");
    for (size_t i = 0; i < 8; i++)
        snprintf(state->token + 2 * i, 3, "%02x", bytes[i]);
    int first = (bytes[8] << 16 | bytes[9] << 8 | bytes[10]) % PORT_COUNT;
    for (int i = 0; i < PORT_TRIES; i++) {
        int port = PORT_FIRST + (first + i) % PORT_COUNT;
        if (!port_is_free(port))
            continue;
        state->log_port = port;
        return true;
    }
    return err_set(err, ERR_INTERNAL, "no free port on loopback for HAProxy's log");
}

bool proxy_lock(struct proxy *proxy, int *ret_fd, struct err *err)
{
    int64_t end_ns = clock_now_ns() + (proxy->hurried ? 0 : LOCK_WITHIN_NS);
    AUTO(fd) int fd = open(proxy->lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EROFS) /* a disk that has become so: one that is there locks as well */
        fd = open(proxy->lock_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOSPC || errno == EDQUOT))
        return true; /* it was never made, so nobody holds it */
    if (fd < 0)
        return err_sys(err, "%s", proxy->lock_file);
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, "%s", proxy->lock_file);
        if (clock_now_ns() >= end_ns)
            return err_set(err, ERR_BUSY,
                           !proxy->hurried
                               ? "%s: somebody else changes HAProxy's settings for over "
                                 "20 s now"
                               : "%s: somebody else changes HAProxy's settings just now",
                           proxy->lock_file);
        usleep(10000);
    }
    *ret_fd = fd_take(&fd);
    return true;
}
