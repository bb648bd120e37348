/* `tls:` of a service: it is reached over https://, and how its certificate is checked.
 *
 * Everything that asks the service is told the same: the look for "ready", the first request, the
 * load, its metrics, guard and promotion. It is always verified. The name is what the certificate
 * is held against and what the server is greeted with, never where a request goes: that is this
 * machine's loopback, as without TLS.
 *
 * Rejected: a whole URL for a service. Its port is chosen anew for each start, and a host of its
 * own would be a machine on which nothing can be started, limited or seen computing. */
#include "spec/loader.h"

#include <ctype.h>
#include <string.h>

static const struct spec_field tls_fields[] = {
    {"ca", FIELD_TEXT, offsetof(struct spec_tls, ca),
     .help = "file of the authorities to trust, in PEM form (default: the system's)"},
    {"name", FIELD_TEXT, offsetof(struct spec_tls, name), .fallback = "localhost",
     .help = "host name that its certificate is for; requests go to this machine whatever it is"},
};
const struct spec_section spec_tls_section = {"services.NAME.tls", tls_fields,
                                              ARRAY_LEN(tls_fields)};

/* "stt.example.org", "localhost"; of numbers this machine's alone, since nothing else is asked. */
bool spec_is_host(const char *name)
{
    size_t len = strlen(name);
    bool letters = false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool edge = i == 0 || i + 1 == len || name[i - 1] == '.' || name[i + 1] == '.';
        if (!isalnum(c) && (edge || (c != '.' && c != '-' && c != '_')))
            return false;
        letters = letters || isalpha(c);
    }
    return len > 0 && len <= SPEC_HOST_MAX && (letters || strcmp(name, "127.0.0.1") == 0);
}

bool spec_load_tls(struct spec_loader *l, const struct spec_service_draft *draft,
                   struct spec_service *s)
{
    const char *where = spec_join(l, s->name, "tls");
    struct spec_tls tls = {.name = "localhost"};
    if (!draft->tls && !draft->tls_map)
        return true;
    if (draft->tls_map &&
        !spec_bind(l, draft->tls_map, where, &spec_tls_section, (struct spec_extra){0}, &tls))
        return false;
    if (!spec_is_host(tls.name))
        return spec_fail(l, spec_place_of(spec_yaml_get(draft->tls_map, "name")),
                         spec_join(l, where, "name"),
                         "\"%s\" is no host name, as in stt.example.org (a number only as "
                         "127.0.0.1)",
                         spec_quote(l, tls.name));
    spec_make_absolute(l, &tls.ca);
    tls.given = true;
    s->tls = tls;
    return true;
}

bool spec_check_tls(struct spec_loader *l, const struct spec_service_draft *draft,
                    const struct spec_service *s)
{
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    const size_t count = spec_service_protocols(s, all, SPEC_PROTOCOLS_MAX);
    if (!s->tls.given)
        return true;
    for (size_t i = 0; i < count; i++)
        if (all[i]->runs_program || all[i]->never_tls)
            return spec_fail(l, spec_place_of(spec_yaml_get(draft->node, "tls")),
                             spec_join(l, s->name, "tls"), "%s is not spoken over TLS",
                             all[i]->name);
    return true;
}
