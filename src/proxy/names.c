/* What things are called in HAProxy, and whether the study's own words may stand there.
 *
 * Everything from the study that reaches a configuration, a map or the socket is a word of
 * letters, digits, "_" and "-" (paths have a few more), a number, or an address that inet_pton()
 * took. Anything else is refused with a line that names it. Rejected: quoting. HAProxy's rules for
 * quotes differ between a line, the arguments of a fetch, a map and the socket, and a mistake in
 * one of them would let a study's text become configuration. Words without meaning need no quotes,
 * and whoever reads the file needs no rules. */
#include "proxy/inside.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* HAProxy binds a socket under a longer name first, "PATH.PID.tmp"; sun_path holds 108. */
enum { FOLDER_MAX = 80 };
/* A line of a configuration has 2048 bytes. */
enum { CA_MAX = 1000 };

static const char word_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
static const char path_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+@=";

size_t proxy_servers(const struct spec_front *front)
{
    return front->split.count ? front->split.count : front->tier_count;
}

const char *proxy_server_name(const struct spec_front *front, size_t server)
{
    return front->split.count ? front->split.arms[server].name : front->tiers[server].name;
}

int proxy_server_port(const struct spec_front *front, size_t server)
{
    return front->split.count ? front->split.arms[server].port : front->tiers[server].port;
}

int proxy_server_find(const struct spec_front *front, const char *name, size_t len)
{
    for (size_t i = 0; i < proxy_servers(front); i++) {
        const char *its = proxy_server_name(front, i);
        if (strlen(its) == len && memcmp(its, name, len) == 0)
            return (int)i;
    }
    return -1;
}

void proxy_name(const struct spec_study *study, size_t front, int server,
                char ret_name[PROXY_NAME_SIZE])
{
    const struct spec_front *its = &study->guard->fronts[front];
    const char *service = study->services[its->service].name;
    if (server < 0)
        snprintf(ret_name, PROXY_NAME_SIZE, "spica.%s", service);
    else
        snprintf(ret_name, PROXY_NAME_SIZE, "spica.%s.%s", service,
                 proxy_server_name(its, (size_t)server));
}

bool proxy_word_fits(const char *word)
{
    size_t len = word ? strlen(word) : 0;
    return len > 0 && len <= PROXY_WORD_MAX && strspn(word, word_bytes) == len;
}

static bool path_fits(const char *path)
{
    return path && path[0] == '/' && path[strspn(path, path_bytes)] == '\0' &&
           !strstr(path, "/../");
}

static bool word_check(const char *what, const char *word, struct err *err)
{
    return proxy_word_fits(word) ||
           err_set(err, ERR_INPUT,
                   "%s \"%.80s\" can't stand in HAProxy's configuration: 1 to %d letters, digits, "
                   "\"_\" and \"-\"",
                   what, word ? word : "", PROXY_WORD_MAX);
}

static bool address_fits(const char *address)
{
    unsigned char bytes[16];
    return !address || inet_pton(AF_INET, address, bytes) == 1 ||
           inet_pton(AF_INET6, address, bytes) == 1;
}

static bool port_check(const char *front, const char *what, int port, struct err *err)
{
    return (port >= 1 && port <= 65535) ||
           err_set(err, ERR_INPUT, "front %s: %s: port %d is none of 1 to 65535", front, what,
                   port);
}

/* A header's value is compared without regard to case, so names that differ in case alone would
 * be one. */
static bool servers_check(const struct spec_front *front, const char *service, struct err *err)
{
    for (size_t i = 0; i < proxy_servers(front); i++) {
        const char *name = proxy_server_name(front, i);
        int port = proxy_server_port(front, i);
        if (!word_check("the name of a tier or arm", name, err) ||
            !port_check(service, name, port, err))
            return false;
        if (port == front->port)
            return err_set(err, ERR_INPUT,
                           "front %s: %s has port %d, where the front itself listens: its requests "
                           "would go round in a circle",
                           service, name, port);
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(proxy_server_name(front, j), name) == 0)
                return err_set(err, ERR_INPUT, "front %s: two are called \"%s\"", service, name);
    }
    return true;
}

static bool split_check(const struct spec_split *split, const char *service, struct err *err)
{
    int sum = 0;
    for (size_t i = 0; i < split->count; i++) {
        sum += split->arms[i].weight;
        if (split->arms[i].shadow)
            return err_set(err, ERR_INPUT, "front %s: arm %s: %s", service, split->arms[i].name,
                           spec_no_shadow);
    }
    if (split->count && sum != 100)
        return err_set(err, ERR_INPUT, "front %s: its arms' weights sum up to %d, not 100", service,
                       sum);
    if (split->sticky_header && !word_check("the header of stick:", split->sticky_header, err))
        return false;
    return !split->sticky_cookie || word_check("the cookie of stick:", split->sticky_cookie, err);
}

/* Of the certificate's name only what a host name may have; of the path ".." too: it is read alone,
 * and nothing is written there. */
static bool tls_check(const struct spec_tls *tls, const char *service, struct err *err)
{
    const char *ca = tls->ca;
    if (!tls->given)
        return true;
    if (!tls->name || !spec_is_host(tls->name) || address_fits(tls->name))
        return err_set(err, ERR_INPUT,
                       "front %s: HAProxy can't hold a certificate against \"%.80s\": give tls: "
                       "name: a host's name",
                       service, tls->name ? tls->name : "");
    if (ca && (ca[0] != '/' || ca[strspn(ca, path_bytes)] != '\0' || strlen(ca) > CA_MAX))
        return err_set(err, ERR_INPUT,
                       "front %s: tls: ca: \"%.200s\" can't stand in HAProxy's configuration: at "
                       "most %d letters, digits and any of _-./+@=",
                       service, ca, CA_MAX);
    return true;
}

static bool front_check(const struct spec_study *study, size_t at, struct err *err)
{
    const struct spec_guard *guard = study->guard;
    const struct spec_front *front = &guard->fronts[at];
    const char *service = study->services[front->service].name;
    if (!word_check("the name of a service behind HAProxy", service, err) ||
        !port_check(service, "port:", front->port, err))
        return false;
    if (!address_fits(front->address))
        return err_set(err, ERR_INPUT, "front %s: address \"%.80s\" is no IP address", service,
                       front->address);
    if (proxy_servers(front) == 0)
        return err_set(err, ERR_INPUT,
                       "front %s: nobody is behind it: give tiers: or split:", service);
    if (front->pin_header && !word_check("the header that pins a tier", front->pin_header, err))
        return false;
    for (size_t i = 0; i < at; i++)
        if (guard->fronts[i].port == front->port)
            return err_set(err, ERR_INPUT, "front %s: port %d is another front's too", service,
                           front->port);
    return servers_check(front, service, err) && split_check(&front->split, service, err) &&
           tls_check(&study->services[front->service].tls, service, err);
}

bool proxy_names_check(const struct spec_study *study, struct err *err)
{
    const struct spec_guard *guard = study->guard;
    if (!guard || guard->front_count == 0)
        return err_set(err, ERR_INPUT,
                       "%s: it has no guard: fronts:, so there is nothing for "
                       "HAProxy to do",
                       study->path ? study->path : study->name);
    if (!path_fits(guard->proxy.folder) || strlen(guard->proxy.folder) > FOLDER_MAX)
        return err_set(err, ERR_INPUT,
                       "guard: proxy: folder \"%.200s\" can't be HAProxy's: an absolute path of at "
                       "most %d letters, digits and any of _-./+@= (its sockets are in it)",
                       guard->proxy.folder ? guard->proxy.folder : "", FOLDER_MAX);
    if (guard->proxy.attach_file && !path_fits(guard->proxy.attach_file))
        return err_set(err, ERR_INPUT,
                       "guard: proxy: attach: file \"%.200s\" must be an absolute path of letters, "
                       "digits and any of _-./+@=",
                       guard->proxy.attach_file);
    if (guard->proxy.attach_socket && !guard->proxy.attach_file)
        return err_set(err, ERR_INPUT, "guard: proxy: attach: wants a file: for our sections");
    for (size_t i = 0; i < guard->front_count; i++)
        if (!front_check(study, i, err))
            return false;
    return true;
}
