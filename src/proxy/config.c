/* HAProxy's configuration for a study, as text; pure.
 *
 * Each server of a front (a tier, or an arm) has a backend of its own, in which the front's other
 * servers stand by as backups: which one takes a new request is one lookup in a map, changed at
 * once through the socket, and a server that dies is stood in for without anybody's doing. Lighter
 * ones first: the list is most accurate first. Only where nobody else is usable is there a 503.
 *
 * Split by a hash of the client's key against bounds in a map, not by HAProxy's weights: weights
 * would need a table of who went where, which a restart loses. Here the same key goes to the same
 * arm for as long as the bounds stand, in every process, and raising an arm's share moves only
 * those who are now in it. Without a key the number is drawn for each request.
 *
 * A request that was begun is never sent again: retries only where no connection came about. So
 * connections are closed after each answer, on both sides. A kept one to a server may be closed by
 * it in the moment of a request, which then fails. And a request on a client's kept one whose
 * server dies is not logged, not counted and not answered by HAProxy (the client is to send it
 * again), so that nobody would learn of it; nor could such a client move on from the worker that a
 * reload has replaced. A connection on the same machine or network costs little beside an answer.
 *
 * A service that speaks TLS is asked so here as everywhere, its certificate always verified, and
 * checked over TLS too. There a connection is not the kernel's to accept but the server's own work,
 * which it does late when it is busy: what is patient with answers is then so with connections.
 * HTTP/1.1 is said outright: over HTTP/2 a connection would be kept and shared after all.
 *
 * No `defaults` section, every section says all: in somebody else's HAProxy such a section would
 * become that of theirs which follow. Invariant: words of the study are those that names.c took;
 * as a last defence any other byte becomes "_" here. */
#include "proxy/inside.h"

#include "service/engine.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static const int64_t HOUR_NS = 3600 * NS_PER_S;
static const int64_t CONNECT_NS = 5 * NS_PER_S;
static const int64_t SHAKE_NS = 60 * NS_PER_S; /* with the TLS handshake */

static void add_safe(struct buf *buf, const char *text, const char *also)
{
    for (; text && *text; text++)
        buf_addc(buf, isascii(*text) && (isalnum((unsigned char)*text) || strchr(also, *text))
                          ? *text
                          : '_');
}

static void add_word(struct buf *buf, const char *text)
{
    add_safe(buf, text, "-");
}

static void add_path(struct buf *buf, const char *text)
{
    add_safe(buf, text, "-./+@=");
}

static void add_name(struct buf *buf, const struct spec_study *study, size_t front, int server)
{
    char name[PROXY_NAME_SIZE];
    proxy_name(study, front, server, name);
    add_safe(buf, name, "-.");
}

static void add_ms(struct buf *buf, const char *what, int64_t ns)
{
    buf_addf(buf, "    %s %" PRId64 "ms\n", what, ns / NS_PER_MS);
}

static void add_map_path(struct buf *buf, const struct spec_study *study, const char *name)
{
    add_path(buf, study->guard->proxy.folder);
    buf_addf(buf, "/%s.map", name);
}

static int64_t timeout_ns(const struct spec_front *front)
{
    return front->timeout_ns > 0 ? front->timeout_ns : 600 * NS_PER_S;
}

static size_t current_server(const struct spec_front *front, const struct proxy_state *state,
                             size_t at)
{
    const char *tier = front->split.count ? NULL : state->tier[at];
    int found = tier ? proxy_server_find(front, tier, strlen(tier)) : -1;
    return found < 0 ? 0 : (size_t)found;
}

int proxy_weight(const struct spec_front *front, const struct proxy_state *state, size_t front_at,
                 size_t server)
{
    int kept = state->weight[front_at][server];
    return kept >= 0 ? kept : front->split.arms[server].weight;
}

/* Where its share begins, in hundredths: the sum of those before it. */
static int cut_of(const struct spec_front *front, const struct proxy_state *state, size_t at,
                  size_t server)
{
    int sum = 0;
    for (size_t i = 0; i < server; i++)
        sum += proxy_weight(front, state, at, i);
    return sum;
}

/* ---- global ---- */

static void add_global(struct buf *buf, const struct spec_study *study,
                       const struct proxy_state *state)
{
    int64_t longest_ns = HOUR_NS;
    for (size_t i = 0; i < study->guard->front_count; i++) {
        int64_t twice_ns = 2 * timeout_ns(&study->guard->fronts[i]);
        longest_ns = twice_ns > longest_ns ? twice_ns : longest_ns;
    }
    buf_add(buf, "global\n"
                 "    maxconn 4096\n"
                 "    no strict-limits\n" /* fewer descriptors than that are no reason to fail */
                 "    nbthread 2\n"       /* the cores belong to the services */
                 "    noreuseport\n");    /* two of them never share a port unseen */
    if (state->run_as_uid > 0)
        buf_addf(buf, "    uid %d\n    gid %d\n", state->run_as_uid, state->run_as_gid);
    buf_add(buf, "    stats socket ");
    add_path(buf, study->guard->proxy.folder);
    buf_add(buf, "/haproxy.sock mode 600 level admin expose-fd listeners\n"
                 "    stats timeout 30s\n");
    /* A worker that a reload has replaced ends with its last answer, or then. */
    add_ms(buf, "hard-stop-after", longest_ns);
}

/* ---- frontend ---- */

/* Fixed names in a fixed order: log.c reads exactly this. */
static void add_log(struct buf *buf, const struct proxy_state *state)
{
    buf_add(buf, "    option dontlognull\n    no log\n");
    if (state->log_port <= 0)
        return;
    buf_addf(buf, "    log 127.0.0.1:%d len 2048 format raw local0\n", state->log_port);
    buf_add(buf, "    log-format '{\"spica\":\"");
    add_word(buf, state->token);
    buf_add(buf,
            "\",\"t\":%Ts.%ms,\"front\":\"%f\",\"for\":\"%b\",\"server\":\"%s\",\"status\":%ST,"
            "\"end\":\"%tsc\",\"TR\":%TR,\"Tw\":%Tw,\"Tc\":%Tc,\"Tr\":%Tr,\"Td\":%Td,"
            "\"Ta\":%Ta,\"in\":%U,\"out\":%B,\"pin\":\"%[var(txn.spica_pin)]\"}'\n");
}

static void add_http(struct buf *buf)
{
    buf_add(buf, "    mode http\n"
                 "    option httpclose\n"
                 "    option http-no-delay\n"); /* each event of a stream at once */
}

static void add_bind(struct buf *buf, const struct spec_front *front)
{
    unsigned char bytes[16];
    const char *address = front->address ? front->address : "127.0.0.1";
    bool six = inet_pton(AF_INET6, address, bytes) == 1;
    buf_add(buf, six ? "    bind [" : "    bind ");
    add_safe(buf, address, ".:");
    buf_addf(buf, six ? "]:%d\n" : ":%d\n", front->port);
}

/* A name that nobody has, or two of them, is answered 400: to send it elsewhere would give an
 * answer of a model that was not asked for. */
static void add_pins(struct buf *buf, const struct spec_study *study, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    const char *header = front->pin_header ? front->pin_header : "X-Spica-Tier";
    buf_add(buf, "    acl spica_pinned req.fhdr(");
    add_word(buf, header);
    buf_add(buf, ") -m found\n    acl spica_pins req.fhdr_cnt(");
    add_word(buf, header);
    buf_add(buf, ") gt 1\n    acl spica_known req.fhdr(");
    add_word(buf, header);
    buf_add(buf, ") -i -m str");
    for (size_t i = 0; i < proxy_servers(front); i++) {
        buf_addc(buf, ' ');
        add_word(buf, proxy_server_name(front, i));
    }
    buf_add(buf, "\n    http-request return status 400 content-type text/plain string \"");
    add_word(buf, header);
    buf_add(buf, " names none of:");
    for (size_t i = 0; i < proxy_servers(front); i++) {
        buf_addc(buf, ' ');
        add_word(buf, proxy_server_name(front, i));
    }
    buf_add(buf, "\" if spica_pins or spica_pinned !spica_known\n"
                 "    http-request set-var(txn.spica_pin) int(1) if spica_pinned\n"
                 "    http-response set-header ");
    add_word(buf, header);
    buf_add(buf, " %[srv_name]\n");
}

/* Rules of choice stand last: HAProxy takes them after all others, wherever they stand. */
static void add_pin_choice(struct buf *buf, const struct spec_study *study, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    const char *header = front->pin_header ? front->pin_header : "X-Spica-Tier";
    for (size_t i = 0; i < proxy_servers(front); i++) {
        buf_add(buf, "    use_backend ");
        add_name(buf, study, at, (int)i);
        buf_add(buf, ".pin if spica_pinned { req.fhdr(");
        add_word(buf, header);
        buf_add(buf, ") -i -m str ");
        add_word(buf, proxy_server_name(front, i));
        buf_add(buf, " }\n");
    }
}

/* So that two fronts with the same keys do not put the same clients into their second arms. */
static uint32_t salt_of(const struct spec_study *study, size_t at)
{
    uint32_t hash = 2166136261u;
    const char *words[] = {study->name, study->services[study->guard->fronts[at].service].name};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        for (const char *c = words[i]; c && *c; c++)
            hash = (hash ^ (unsigned char)*c) * 16777619u;
    return hash >> 1;
}

static void add_key(struct buf *buf, const struct spec_split *split)
{
    if (split->sticky_header) {
        buf_add(buf, "    http-request set-var(txn.spica_key) req.fhdr(");
        add_word(buf, split->sticky_header);
        buf_add(buf, ")\n");
    } else if (split->sticky_cookie) {
        buf_add(buf, "    http-request set-var(txn.spica_key) req.cook(");
        add_word(buf, split->sticky_cookie);
        buf_add(buf, ")\n    http-request set-var(txn.spica_new) uuid() unless { "
                     "var(txn.spica_key) -m found }\n"
                     "    http-request set-var(txn.spica_key) var(txn.spica_new) if { "
                     "var(txn.spica_new) -m found }\n"
                     "    http-response add-header Set-Cookie \"");
        add_word(buf, split->sticky_cookie);
        buf_add(buf, "=%[var(txn.spica_new)]; Path=/; HttpOnly; SameSite=Lax\" if { "
                     "var(txn.spica_new) -m found } !{ res.cook(");
        add_word(buf, split->sticky_cookie);
        buf_add(buf, ") -m found }\n");
    }
}

static void add_numbers(struct buf *buf, const struct spec_study *study,
                        const struct proxy_state *state, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    const char *service = study->services[front->service].name;
    add_key(buf, &front->split);
    buf_add(buf, "    http-request set-var(txn.spica_at) rand(100)\n");
    if (front->split.sticky_header || front->split.sticky_cookie)
        buf_addf(buf,
                 "    http-request set-var(txn.spica_at) var(txn.spica_key),xxh32(%u),mod(100) if "
                 "{ var(txn.spica_key) -m len gt 0 }\n",
                 salt_of(study, at));
    for (size_t i = 1; i < front->split.count; i++) {
        buf_addf(buf, "    http-request set-var(txn.spica_cut%zu) str(", i);
        add_word(buf, service);
        buf_addf(buf, ".%zu),map_str_int(", i);
        add_map_path(buf, study, "cuts");
        buf_addf(buf, ",%d)\n", cut_of(front, state, at, i));
    }
}

/* The last arm whose share begins at or before the number; the first where nothing else holds. */
static void add_split(struct buf *buf, const struct spec_study *study, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    for (size_t i = front->split.count - 1; i >= 1; i--) {
        buf_add(buf, "    use_backend ");
        add_name(buf, study, at, (int)i);
        buf_addf(buf, " if { var(txn.spica_at),sub(txn.spica_cut%zu) -m int ge 0 }\n", i);
    }
    buf_add(buf, "    default_backend ");
    add_name(buf, study, at, 0);
    buf_add(buf, "\n");
}

static void add_tiers(struct buf *buf, const struct spec_study *study,
                      const struct proxy_state *state, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    int current = (int)current_server(front, state, at);
    buf_add(buf, "    use_backend %[str(");
    add_word(buf, study->services[front->service].name);
    buf_add(buf, "),map_str(");
    add_map_path(buf, study, "tiers");
    buf_addc(buf, ',');
    add_name(buf, study, at, current);
    buf_add(buf, ")]\n    default_backend ");
    add_name(buf, study, at, current);
    buf_add(buf, "\n");
}

static void add_frontend(struct buf *buf, const struct spec_study *study,
                         const struct proxy_state *state, size_t at)
{
    const struct spec_front *front = &study->guard->fronts[at];
    buf_add(buf, "\nlisten ");
    add_name(buf, study, at, -1);
    buf_add(buf, "\n");
    add_http(buf);
    /* Who has left needs no answer. A `frontend` may not say it itself, and is not asked whether
     * its backend did: the request would go on where nobody reads it. Hence `listen`. */
    buf_add(buf, "    option abortonclose\n");
    add_bind(buf, front);
    add_ms(buf, "timeout client", timeout_ns(front));
    buf_add(buf,
            "    timeout http-request 60s\n"        /* its head alone */
            "    option idle-close-on-response\n"); /* a reload fails none that has just come */
    add_log(buf, state);
    add_pins(buf, study, at);
    if (front->split.count)
        add_numbers(buf, study, state, at);
    add_pin_choice(buf, study, at);
    if (front->split.count)
        add_split(buf, study, at);
    else
        add_tiers(buf, study, state, at);
}

/* ---- backends ---- */

static const char *ready_path(const struct spec_study *study, size_t service)
{
    const struct spec_service *its = &study->services[service];
    if (its->ready_path)
        return its->ready_path;
    return its->engine_use_count ? its->engine_uses[0].engine->ready_path : NULL;
}

static bool uri_fits(const char *path)
{
    static const char bytes[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./~";
    return path && path[0] == '/' && path[strspn(path, bytes)] == '\0' && strlen(path) < 200;
}

static const struct spec_tls *tls_of(const struct spec_study *study, const struct spec_front *front)
{
    const struct spec_tls *tls = &study->services[front->service].tls;
    return tls->given ? tls : NULL;
}

/* Ready by its own word where there is such a path, else: its port accepts (over TLS: and is
 * trusted). Patient: a server that is busy on a full GPU answers late, and to take it out would
 * make it worse. */
static void add_check(struct buf *buf, const struct spec_study *study,
                      const struct spec_front *front)
{
    const char *path = ready_path(study, front->service);
    const struct spec_tls *tls = tls_of(study, front);
    buf_add(buf, "    timeout check 10s\n");
    if (!uri_fits(path))
        return;
    buf_addf(buf,
             "    option httpchk\n"
             "    http-check send meth GET uri %s ver HTTP/1.1 hdr Host ",
             path);
    add_safe(buf, tls ? tls->name : "localhost", "-.");
    buf_add(buf, "\n");
}

static void add_backend_head(struct buf *buf, const struct spec_study *study, size_t at,
                             size_t server, const char *suffix)
{
    const struct spec_front *front = &study->guard->fronts[at];
    int64_t ns = timeout_ns(front);
    buf_add(buf, "\nbackend ");
    add_name(buf, study, at, (int)server);
    buf_addf(buf, "%s\n", suffix);
    add_http(buf);
    buf_add(buf, "    balance roundrobin\n"
                 "    option abortonclose\n"
                 "    retries 5\n"
                 "    retry-on conn-failure\n");
    add_ms(buf, "timeout connect",
           !tls_of(study, front) ? CONNECT_NS
           : ns < SHAKE_NS       ? ns
                                 : SHAKE_NS);
    add_ms(buf, "timeout server", ns);
    add_ms(buf, "timeout queue", ns);
    add_ms(buf, "timeout tunnel", ns > HOUR_NS ? ns : HOUR_NS);
}

/* With `sni` it is the name that the certificate is held against; `verifyhost` says the same where
 * none is sent. */
static void add_tls(struct buf *buf, const struct spec_tls *tls)
{
    buf_add(buf, " ssl ssl-min-ver TLSv1.2 alpn http/1.1 verify required ca-file ");
    add_path(buf, tls->ca ? tls->ca : "@system-ca");
    buf_add(buf, " verifyhost ");
    add_safe(buf, tls->name, "-.");
    buf_add(buf, " sni str(");
    add_safe(buf, tls->name, "-.");
    buf_add(buf, ")");
}

static void add_server_head(struct buf *buf, const struct spec_study *study,
                            const struct spec_front *front, size_t server)
{
    const struct spec_tls *tls = tls_of(study, front);
    buf_add(buf, "    server ");
    add_word(buf, proxy_server_name(front, server));
    buf_addf(buf, " 127.0.0.1:%d", proxy_server_port(front, server));
    if (tls)
        add_tls(buf, tls);
    if (front->queue_max > 0)
        buf_addf(buf, " maxconn %d", front->queue_max);
}

static bool takes_new(const struct spec_front *front, const struct proxy_state *state, size_t at,
                      size_t server)
{
    return !state->drained[at][server] &&
           (!front->split.count || proxy_weight(front, state, at, server) > 0);
}

static void add_standby(struct buf *buf, const struct spec_study *study,
                        const struct proxy_state *state, size_t at, size_t server)
{
    const struct spec_front *front = &study->guard->fronts[at];
    add_server_head(buf, study, front, server);
    buf_addf(buf, " weight %d backup track ", takes_new(front, state, at, server) ? 1 : 0);
    add_name(buf, study, at, (int)server);
    buf_addc(buf, '/');
    add_word(buf, proxy_server_name(front, server));
    buf_add(buf, "\n");
}

/* `inter` is also how long a check waits for its connection, with TLS for the handshake. */
static void add_check_words(struct buf *buf, const struct spec_tls *tls)
{
    buf_add(buf, " check");
    if (tls) {
        buf_add(buf, " check-ssl check-alpn http/1.1 check-sni ");
        add_safe(buf, tls->name, "-.");
    }
    buf_addf(buf, " inter %s fastinter 500ms downinter 500ms fall 3 rise 1", tls ? "10s" : "2s");
}

/* One refused connection marks a server down where others stand by, so that the retry goes there;
 * where nobody does, the retries wait for it to come back (a restart takes less than they do). */
static void add_backend(struct buf *buf, const struct spec_study *study,
                        const struct proxy_state *state, size_t at, size_t server)
{
    const struct spec_front *front = &study->guard->fronts[at];
    size_t count = proxy_servers(front);
    add_backend_head(buf, study, at, server, "");
    add_check(buf, study, front);
    if (count > 1)
        buf_add(buf, "    option redispatch 1\n");
    add_server_head(buf, study, front, server);
    buf_addf(buf, " weight %d", takes_new(front, state, at, server) ? 1 : 0);
    add_check_words(buf, tls_of(study, front));
    buf_add(buf, count > 1 ? " observe layer4 error-limit 1 on-error mark-down\n" : "\n");
    for (size_t i = server + 1; i < count; i++)
        add_standby(buf, study, state, at, i);
    for (size_t i = server; i-- > 0;)
        add_standby(buf, study, state, at, i);
}

/* use-server: also while it is drained. */
static void add_pin_backend(struct buf *buf, const struct spec_study *study, size_t at,
                            size_t server)
{
    const struct spec_front *front = &study->guard->fronts[at];
    add_backend_head(buf, study, at, server, ".pin");
    buf_add(buf, "    use-server ");
    add_word(buf, proxy_server_name(front, server));
    buf_add(buf, " if TRUE\n");
    add_server_head(buf, study, front, server);
    buf_add(buf, " track ");
    add_name(buf, study, at, (int)server);
    buf_addc(buf, '/');
    add_word(buf, proxy_server_name(front, server));
    buf_add(buf, "\n");
}

void proxy_config_write(const struct spec_study *study, const struct proxy_state *state,
                        struct buf *buf)
{
    const struct spec_guard *guard = study->guard;
    buf_add(buf, "# Written by spica for the study ");
    add_word(buf, study->name);
    buf_add(buf, "; what is changed here is lost with its next change.\n");
    if (!guard->proxy.attach_file)
        add_global(buf, study, state);
    for (size_t i = 0; i < guard->front_count; i++) {
        add_frontend(buf, study, state, i);
        for (size_t j = 0; j < proxy_servers(&guard->fronts[i]); j++) {
            add_backend(buf, study, state, i, j);
            add_pin_backend(buf, study, i, j);
        }
    }
}

void proxy_tiers_map_write(const struct spec_study *study, const struct proxy_state *state,
                           struct buf *buf)
{
    for (size_t i = 0; i < study->guard->front_count; i++) {
        const struct spec_front *front = &study->guard->fronts[i];
        if (front->split.count)
            continue;
        add_word(buf, study->services[front->service].name);
        buf_addc(buf, ' ');
        add_name(buf, study, i, (int)current_server(front, state, i));
        buf_addc(buf, '\n');
    }
}

void proxy_cuts_map_write(const struct spec_study *study, const struct proxy_state *state,
                          struct buf *buf)
{
    for (size_t i = 0; i < study->guard->front_count; i++) {
        const struct spec_front *front = &study->guard->fronts[i];
        for (size_t j = 1; j < front->split.count; j++) {
            add_word(buf, study->services[front->service].name);
            buf_addf(buf, ".%zu %d\n", j, cut_of(front, state, i, j));
        }
    }
}
