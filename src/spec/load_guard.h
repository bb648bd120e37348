/* Private to the reading of `guard:`: what its files share. Each reads one part into the guard. */
#pragma once

#include "spec/guard.h"
#include "spec/loader.h"

NODISCARD bool spec_load_guard(struct spec_loader *l, const struct yaml_node *guard);

/* Where every service runs, and how it is probed. `probes` maps services to rates, or NULL. */
NODISCARD bool spec_load_guard_watches(struct spec_loader *l, const struct yaml_node *watch,
                                       const struct yaml_node *probes, double probe_rps,
                                       int64_t within_ns, struct spec_guard *g);
NODISCARD bool spec_load_guard_act(struct spec_loader *l, const struct yaml_node *act,
                                   struct spec_guard *g);
/* Once watches, fronts and actions are known. */
NODISCARD bool spec_load_guard_rules(struct spec_loader *l, const struct yaml_node *rules,
                                     struct spec_guard *g);
/* Once the fronts are known. */
NODISCARD bool spec_load_guard_proxy(struct spec_loader *l, const struct yaml_node *proxy,
                                     struct spec_guard *g);
NODISCARD bool spec_load_guard_fronts(struct spec_loader *l, const struct yaml_node *fronts,
                                      struct spec_guard *g);
NODISCARD bool spec_load_guard_split(struct spec_loader *l, const struct yaml_node *split,
                                     const char *where, struct spec_split *ret);

/* Of the service's name in a mapping; -1 with the error set when there is none. */
int spec_find_service(struct spec_loader *l, const struct yaml_node *key, const char *where);
/* The front of a service; NULL: it has none. */
const struct spec_front *spec_guard_front(const struct spec_guard *g, size_t service);
/* An address in digits, of IPv4 or IPv6. */
bool spec_is_address(const char *text);
bool spec_is_loopback(const char *text);
/* A header's or cookie's name. NULL stays NULL. */
NODISCARD bool spec_check_token(struct spec_loader *l, const struct yaml_node *map,
                                const char *where, const char *key, const char *text);
