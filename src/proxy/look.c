/* HAProxy as it counts itself now, and changing it while it runs.
 *
 * A server of a front stands in several backends (its own, as a stand-by in the others', alone for
 * those who pinned it), so its numbers are their sum, and whether it is usable is what its own
 * backend's checks say. What is parsed here is outside text of any length: columns are found by
 * their names in the head line, what is missing or no number is left as it was. */
#include "proxy/inside.h"

#include "base/text.h"

#include <string.h>

enum column {
    COLUMN_PROXY,
    COLUMN_SERVER,
    COLUMN_QUEUED,
    COLUMN_CURRENT,
    COLUMN_TOTAL,
    COLUMN_CONNECT_ERRORS,
    COLUMN_ANSWER_ERRORS,
    COLUMN_STATUS,
    COLUMN_WEIGHT,
    COLUMN_5XX,
    COLUMN_COUNT_
};
static const char *const column_names[COLUMN_COUNT_] = {
    [COLUMN_PROXY] = "pxname",        [COLUMN_SERVER] = "svname", [COLUMN_QUEUED] = "qcur",
    [COLUMN_CURRENT] = "scur",        [COLUMN_TOTAL] = "stot",    [COLUMN_CONNECT_ERRORS] = "econ",
    [COLUMN_ANSWER_ERRORS] = "eresp", [COLUMN_STATUS] = "status", [COLUMN_WEIGHT] = "weight",
    [COLUMN_5XX] = "hrsp_5xx",
};
enum { COLUMNS_READ_MAX = 256 };

struct cell {
    const char *text;
    size_t len;
};

static size_t split_line(const char *line, size_t len, struct cell *cells, size_t max)
{
    size_t count = 0;
    for (const char *at = line, *end = line + len; count < max;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        cells[count++] = (struct cell){at, (size_t)((comma ? comma : end) - at)};
        if (!comma)
            break;
        at = comma + 1;
    }
    return count;
}

static bool cell_is(const struct cell *cell, const char *text)
{
    return cell->len == strlen(text) && memcmp(cell->text, text, cell->len) == 0;
}

static bool cell_begins(const struct cell *cell, const char *text)
{
    return cell->len >= strlen(text) && memcmp(cell->text, text, strlen(text)) == 0;
}

static uint64_t cell_number(const struct cell *cell)
{
    uint64_t value = 0;
    for (size_t i = 0; i < cell->len && i < 18; i++) {
        if (cell->text[i] < '0' || cell->text[i] > '9')
            return 0;
        value = 10 * value + (uint64_t)(cell->text[i] - '0');
    }
    return value;
}

static void find_columns(const struct cell *cells, size_t count, int columns[COLUMN_COUNT_])
{
    for (size_t i = 0; i < COLUMN_COUNT_; i++) {
        columns[i] = -1;
        for (size_t j = 0; j < count && columns[i] < 0; j++)
            columns[i] = cell_is(&cells[j], column_names[i]) ? (int)j : -1;
    }
}

/* "spica.stt.base" and "spica.stt.base.pin" -> 0, base. `own`: it is the server's own backend. */
static bool find_backend(const struct spec_study *study, const struct cell *cell, size_t *ret_front,
                         size_t *ret_server, bool *ret_own)
{
    for (size_t i = 0; i < study->guard->front_count; i++)
        for (size_t j = 0; j < proxy_servers(&study->guard->fronts[i]); j++) {
            char name[PROXY_NAME_SIZE + 4];
            proxy_name(study, i, (int)j, name);
            bool own = cell_is(cell, name);
            snprintf(name + strlen(name), 5, ".pin");
            if (!own && !cell_is(cell, name))
                continue;
            *ret_front = i;
            *ret_server = j;
            *ret_own = own;
            return true;
        }
    return false;
}

static void read_row(const struct spec_study *study, const struct cell *by[COLUMN_COUNT_],
                     struct proxy_view *view)
{
    size_t front = 0, backend = 0;
    bool own = false;
    if (!find_backend(study, by[COLUMN_PROXY], &front, &backend, &own))
        return;
    struct proxy_front *its = &view->fronts[front];
    if (cell_is(by[COLUMN_SERVER], "BACKEND")) {
        /* Whom its servers have no room for waits here, without a server: for this one, then. */
        uint64_t unassigned = cell_number(by[COLUMN_QUEUED]);
        its->servers[backend].waiting += unassigned;
        its->in_flight += unassigned;
        return;
    }
    int found = proxy_server_find(&study->guard->fronts[front], by[COLUMN_SERVER]->text,
                                  by[COLUMN_SERVER]->len);
    if (found < 0)
        return;
    struct proxy_server *server = &its->servers[found];
    uint64_t current = cell_number(by[COLUMN_CURRENT]), queued = cell_number(by[COLUMN_QUEUED]);
    server->in_flight += current;
    server->waiting += queued;
    its->in_flight += current + queued;
    server->total += cell_number(by[COLUMN_TOTAL]);
    server->errors += cell_number(by[COLUMN_CONNECT_ERRORS]) +
                      cell_number(by[COLUMN_ANSWER_ERRORS]) + cell_number(by[COLUMN_5XX]);
    if (!own || (size_t)found != backend)
        return;
    const struct cell *status = by[COLUMN_STATUS];
    server->usable = cell_begins(status, "UP") || cell_begins(status, "DRAIN") ||
                     cell_begins(status, "NOLB") || cell_begins(status, "no check");
    server->drained = cell_number(by[COLUMN_WEIGHT]) == 0;
}

void proxy_stat_parse(const struct spec_study *study, const char *text, size_t len,
                      struct proxy_view *view)
{
    static const struct cell empty = {"", 0};
    struct cell cells[COLUMNS_READ_MAX];
    int columns[COLUMN_COUNT_];
    find_columns(NULL, 0, columns);
    for (const char *line = text, *end = text + len; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)((stop ? stop : end) - line);
        bool head = line_len > 2 && line[0] == '#' && line[1] == ' ';
        size_t count = split_line(head ? line + 2 : line, head ? line_len - 2 : line_len, cells,
                                  COLUMNS_READ_MAX);
        const struct cell *by[COLUMN_COUNT_];
        for (size_t i = 0; i < COLUMN_COUNT_; i++)
            by[i] = columns[i] >= 0 && (size_t)columns[i] < count ? &cells[columns[i]] : &empty;
        if (head)
            find_columns(cells, count, columns);
        else
            read_row(study, by, view);
        line = stop ? stop + 1 : end;
    }
}

/* ---- maps ---- */

/* "0x55c0f key value" */
static void read_entry(const struct spec_study *study, const struct cell *key,
                       const struct cell *value, struct proxy_view *view,
                       int cuts[SPEC_FRONTS_MAX][SPEC_ARMS_MAX])
{
    for (size_t i = 0; i < study->guard->front_count; i++) {
        const struct spec_front *front = &study->guard->fronts[i];
        const char *service = study->services[front->service].name;
        size_t backend_front = 0, server = 0;
        bool own = false;
        if (cell_is(key, service) && find_backend(study, value, &backend_front, &server, &own) &&
            backend_front == i && own && !front->split.count)
            view->fronts[i].tier = proxy_server_name(front, server);
        size_t len = strlen(service);
        if (key->len == len + 2 && cell_begins(key, service) && key->text[len] == '.' &&
            key->text[len + 1] > '0' && key->text[len + 1] < '0' + (int)front->split.count)
            cuts[i][key->text[len + 1] - '0'] = (int)cell_number(value);
    }
}

void proxy_map_parse(const struct spec_study *study, const char *text, size_t len,
                     struct proxy_view *view)
{
    int cuts[SPEC_FRONTS_MAX][SPEC_ARMS_MAX];
    memset(cuts, -1, sizeof cuts);
    for (const char *line = text, *end = text + len; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = stop ? stop : end;
        const char *key = memchr(line, ' ', (size_t)(line_end - line));
        const char *value = key ? memchr(key + 1, ' ', (size_t)(line_end - key - 1)) : NULL;
        if (value)
            read_entry(study, &(struct cell){key + 1, (size_t)(value - key - 1)},
                       &(struct cell){value + 1, (size_t)(line_end - value - 1)}, view, cuts);
        line = stop ? stop + 1 : end;
    }
    for (size_t i = 0; i < study->guard->front_count; i++) {
        size_t count = study->guard->fronts[i].split.count;
        bool known = count > 0;
        for (size_t j = 1; j < count; j++)
            known &= cuts[i][j] >= 0 && cuts[i][j] <= 100;
        for (size_t j = 0; known && j < count; j++)
            view->fronts[i].servers[j].weight =
                (j + 1 < count ? cuts[i][j + 1] : 100) - (j ? cuts[i][j] : 0);
    }
}

size_t proxy_workers_parse(const char *text, size_t len, int64_t *ret_pids, size_t max)
{
    size_t count = 0;
    for (const char *line = text, *end = text + len; line < end && count < max;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *line_end = stop ? stop : end;
        size_t digits = 0;
        while (line + digits < line_end && line[digits] >= '0' && line[digits] <= '9')
            digits++;
        if (digits > 0 && digits < 12 && line[0] != '0' &&
            memmem(line, (size_t)(line_end - line), "worker", 6))
            ret_pids[count++] = (int64_t)cell_number(&(struct cell){line, digits});
        line = stop ? stop + 1 : end;
    }
    return count;
}

int64_t proxy_failed_parse(const char *text, size_t len)
{
    static const char before[] = "[failed: ";
    const char *at = memmem(text, len, before, sizeof before - 1);
    const char *digits = at ? at + sizeof before - 1 : NULL, *end = text + len;
    size_t count = 0;
    while (digits && digits + count < end && digits[count] >= '0' && digits[count] <= '9')
        count++;
    return count > 0 && count < 10 ? (int64_t)cell_number(&(struct cell){digits, count}) : -1;
}

/* ---- asking ---- */

static const int64_t LOOK_WITHIN_NS = NS_PER_S;

static void add_questions(const struct proxy *proxy, struct buf *line)
{
    buf_addf(line, "show info; show map %s; show map %s", proxy->tiers_map, proxy->cuts_map);
    if (!proxy->guard->proxy.attach_file) {
        buf_add(line, "; show stat");
        return;
    }
    for (size_t i = 0; i < proxy->guard->front_count; i++)
        for (size_t j = 0; j < proxy_servers(&proxy->guard->fronts[i]); j++) {
            char name[PROXY_NAME_SIZE];
            proxy_name(proxy->study, i, (int)j, name);
            buf_addf(line, "; show stat %s 4 -1; show stat %s.pin 4 -1", name, name);
        }
}

/* The file is read only when the worker is another than the one known: once after each reload. */
static bool was_applied(struct proxy *proxy, int64_t pid)
{
    struct err ignored = ERR_INIT;
    if (proxy->worker == pid)
        return true;
    return proxy->state_file && proxy_state_read(proxy, &ignored) &&
           (proxy->worker == pid || proxy->worker == -1);
}

/* Who has drained what may be another program's word: then the file is another. */
static bool knows_drains(struct proxy *proxy)
{
    struct stat now = {0}, *before = &proxy->read;
    struct err ignored = ERR_INIT;
    if (!proxy->state_file || stat(proxy->state_file, &now) != 0)
        return false;
    if (now.st_ino == before->st_ino && now.st_size == before->st_size &&
        now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)
        return true;
    if (!proxy_state_read(proxy, &ignored))
        return false;
    *before = now;
    return true;
}

/* Drained, and nothing that we keep says so: somebody has told HAProxy. */
static void note_drains(struct proxy *proxy, struct proxy_view *view)
{
    bool any = false, known = false;
    for (size_t i = 0; i < proxy->guard->front_count; i++)
        for (size_t j = 0; j < view->fronts[i].server_count; j++) {
            struct proxy_server *server = &view->fronts[i].servers[j];
            proxy->drained[i][j] = server->drained;
            if (proxy->guard->fronts[i].split.count > 0 || !server->drained)
                continue;
            known = any ? known : knows_drains(proxy);
            any = true;
            server->by_hand = proxy->state.by_hand[i][j] || (known && !proxy->state.drained[i][j]);
        }
}

bool proxy_look(struct proxy *proxy, struct proxy_view *ret_view, struct err *err)
{
    struct proxy_view view = {0};
    struct proxy_info info = {0};
    struct err why = ERR_INIT;
    AUTO(buf_done) struct buf line = BUF_INIT(65536);
    AUTO(buf_done) struct buf answer = BUF_INIT(4 << 20);
    for (size_t i = 0; i < proxy->guard->front_count; i++) {
        view.fronts[i].server_count = proxy_servers(&proxy->guard->fronts[i]);
        for (size_t j = 0; j < view.fronts[i].server_count; j++)
            view.fronts[i].servers[j].name = proxy_server_name(&proxy->guard->fronts[i], j);
    }
    add_questions(proxy, &line);
    if (!proxy_ask(proxy->socket, buf_text(&line), LOOK_WITHIN_NS, &answer, &why)) {
        if (why.code != ERR_MISSING) {
            *err = why;
            return err_wrap(err, "looking at HAProxy");
        }
        *ret_view = view;
        return true;
    }
    if (!proxy_info_parse(buf_text(&answer), answer.len, &info))
        return err_set(err, ERR_INTERNAL, "who answers at %s is no HAProxy", proxy->socket);
    view.up = true;
    view.pid = info.pid;
    view.uptime_s = info.uptime_s;
    view.by_apply = was_applied(proxy, info.pid);
    view.dropped_logs = info.dropped_logs;
    proxy_stat_parse(proxy->study, buf_text(&answer), answer.len, &view);
    proxy_map_parse(proxy->study, buf_text(&answer), answer.len, &view);
    note_drains(proxy, &view);
    *ret_view = view;
    return true;
}
