/* Tiers and arms that no `watch:` names, as they are shown: in /status and /metrics.
 *
 * A front's servers stand on the same card, and the one that memory ended, or that came back on the
 * CPU, is mostly not the one that is watched. They have the same families as watched services, with
 * one label more (`tier` or `arm`), so that one rule and one panel show all. Of the server that
 * `watch:` names there is one series, without that label: shown a second time as a tier it would be
 * twice in every sum. Rejected: families of their own, which every rule would have to name beside
 * the first.
 *
 * Who switches tiers, and who splits, ask their servers for memory and place already; asked here
 * again it would cost twice and might differ. */
#include "guard/openmetrics_line.h"
#include "guard/status_inside.h"

#include "base/json.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

/* What the one who asks for it knows of it. */
static void fill(struct guard_server *server, double memory_bytes, const char *placement)
{
    if (isnan(server->memory_bytes))
        server->memory_bytes = memory_bytes;
    if (!server->placement)
        server->placement = placement;
}

static void take_tier(struct guard_server *server, const struct status_front *front)
{
    for (size_t t = 0; t < front->tier_count; t++) {
        const struct guard_tier_standing *tier = &front->tiers[t];
        if (strcmp(tier->name, server->name) != 0)
            continue;
        fill(server, tier->memory_bytes, tier->placement);
    }
}

static void take_arm(struct guard_server *server, const struct status_front *front)
{
    for (size_t a = 0; a < front->split.arm_count; a++) {
        const struct guard_status_arm *arm = &front->split.arms[a];
        if (strcmp(arm->name, server->name) != 0)
            continue;
        fill(server, arm->memory_bytes, arm->placement);
        if (arm->over && server->up == 0)
            server->up = NAN; /* as one that was put aside */
    }
}

void guard_status_servers(struct guard_status *status, const struct guard_server *servers,
                          size_t count)
{
    status->server_count = count < GUARD_SERVERS_MAX ? count : GUARD_SERVERS_MAX;
    memcpy(status->servers, servers, status->server_count * sizeof *servers);
    for (size_t i = 0; i < status->server_count; i++) {
        struct guard_server *server = &status->servers[i];
        (server->arm ? take_arm : take_tier)(server, &status->fronts[server->front]);
        if (server->up != 1)
            server->placement = NULL; /* of the process before */
    }
}

json_t *guard_status_servers_json(const struct guard_status *status)
{
    json_t *list = json_array();
    for (size_t i = 0; i < status->server_count; i++) {
        const struct guard_server *server = &status->servers[i];
        json_t *up = isnan(server->up) ? json_null() : json_boolean(server->up == 1);
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "service",
                                              status->study->services[server->service].name,
                                              server->arm ? "arm" : "tier",
                                              json_text_or_null(server->name), "up", up, "why",
                                              json_text_or_null(server->why), "placement",
                                              json_text_or_null(server->placement), "memory_bytes",
                                              json_real_or_null(server->memory_bytes), "restarts",
                                              json_real_or_null(server->restarts), "out_of_memory",
                                              json_real_or_null(server->out_of_memory)));
    }
    return list;
}

static double figure_of(const struct guard_server *server, enum guard_metric metric)
{
    switch (metric) {
    case GUARD_UP:
        return server->up;
    case GUARD_MEMORY:
        return server->memory_bytes;
    case GUARD_RESTARTS:
        return server->restarts;
    case GUARD_OOM:
        return server->out_of_memory;
    default:
        return NAN;
    }
}

void guard_status_expose_servers(struct line_out *out, const struct line_family *family,
                                 enum guard_metric metric)
{
    const struct guard_status *status = out->status;
    for (size_t i = 0; i < status->server_count; i++) {
        const struct guard_server *server = &status->servers[i];
        struct line_label labels[LINE_LABELS_MAX] = {
            {"service", status->study->services[server->service].name},
            {server->arm ? "arm" : "tier", server->name}};
        if (metric != GUARD_PLACEMENT)
            openmetrics_line_sample(out, family, labels, figure_of(server, metric));
        for (int p = 0; metric == GUARD_PLACEMENT && server->placement && p < PLACEMENT_COUNT_;
             p++) {
            labels[2] = (struct line_label){"placement", device_placement_names[p]};
            openmetrics_line_sample(out, family, labels,
                                    strcmp(server->placement, device_placement_names[p]) == 0);
        }
    }
}
