/* The swinging load of bench/guard_swing.py, simulated: two servers that answer one request after
 * the other, each slower while the other computes too, HAProxy's counters, a look twice a second.
 * Six minutes take a millisecond, so it is played with many seeds: what a bench shows once must
 * hold in general. */
#include "guard/tier_load.h"
#include "guard/tier_study.h"

#include "check.h"

#include <math.h>

#include "base/clock.h"
#include "base/rng.h"

enum { REQUESTS_MAX = 4000, SEEDS = 200, ARMS = 3 };
static const double LIMIT_S = 5, LOOK_S = 0.5, PLAYED_S = 420;
static const double BASE_S = 1.0; /* of one request, alone and on average */

static const struct world {
    const char *name;
    double tiny_s;
    double beside; /* speed of a server while the other one computes too */
    double spread; /* of what a request takes, each way */
} worlds[] = {
    {"a device for each", 0.33, 1, 0},
    {"two cores", 0.43, 0.8, 0.3},
};

static const struct {
    double length_s, share;
} phases[] = {{150, 0.2}, {20, 0.8}, {40, 1.8}, {150, 0.2}};

struct request {
    double at_s, done_s; /* done_s: infinite until then */
    double work;         /* that is left; of the mean request 1 */
    size_t phase;
    int server;
    bool told;
};

struct swing {
    const struct world *world;
    struct request requests[REQUESTS_MAX];
    size_t count, sent;
    double now_s;
    size_t head[2]; /* of each server: no request before this one is its own and not done */
    struct spec_tier tiers[2];
    struct spec_front spec;
    struct policy_front front;
    int switches;
};

static void draw_arrivals(struct swing *swing, uint64_t seed)
{
    struct rng rng = rng_init(seed, "swing");
    double begun = 0, tiny_most = 1 / swing->world->tiny_s;
    for (size_t p = 0; p < sizeof phases / sizeof *phases; p++) {
        double end = begun + phases[p].length_s;
        double rate = fmin(phases[p].share / BASE_S, 0.8 * tiny_most);
        for (double at = begun; swing->count < REQUESTS_MAX;) {
            at += rng_exponential(&rng, 1 / rate);
            if (at >= end)
                break;
            double work = 1 + swing->world->spread * (2 * rng_unit(&rng) - 1);
            swing->requests[swing->count++] =
                (struct request){.at_s = at, .work = work, .done_s = INFINITY, .phase = p};
        }
        begun = end;
    }
}

static struct request *find_head(struct swing *swing, int server)
{
    for (size_t *i = &swing->head[server]; *i < swing->sent; ++*i) {
        struct request *r = &swing->requests[*i];
        if (r->server == server && isinf(r->done_s))
            return r;
    }
    return NULL;
}

/* Each works on the first of its own. */
static void work_until(struct swing *swing, double until_s)
{
    while (swing->now_s < until_s) {
        struct request *heads[2] = {find_head(swing, 0), find_head(swing, 1)};
        const double beside = heads[0] && heads[1] ? swing->world->beside : 1;
        const double speeds[2] = {beside / BASE_S, beside / swing->world->tiny_s};
        double step_s = until_s - swing->now_s;
        for (int s = 0; s < 2; s++)
            if (heads[s])
                step_s = fmin(step_s, heads[s]->work / speeds[s]);
        swing->now_s += step_s;
        for (int s = 0; s < 2; s++) {
            if (!heads[s])
                continue;
            heads[s]->work -= step_s * speeds[s];
            if (heads[s]->work < 1e-9)
                heads[s]->done_s = swing->now_s;
        }
    }
}

/* As a search for clients would have measured a server that takes `service_s` for each. */
static struct policy_tier make_tier(const char *name, double service_s)
{
    struct policy_tier tier = {.name = name, .resident = true, .managed = true, .peak_bytes = NAN};
    tier.curve.most_rps = 1 / service_s;
    for (int clients = 1; clients <= 8; clients *= 2)
        policy_curve_add(&tier.curve, tier_study_open_rps(clients, 1 / service_s, 0.95),
                         clients * service_s);
    return tier;
}

static void begin(struct swing *swing, const struct world *world, uint64_t seed)
{
    memset(swing, 0, sizeof *swing);
    swing->world = world;
    swing->now_s = -3;
    draw_arrivals(swing, seed);
    swing->tiers[0].name = "base";
    swing->tiers[1].name = "tiny";
    swing->spec = (struct spec_front){.tiers = swing->tiers,
                                      .tier_count = 2,
                                      .limit_s = LIMIT_S,
                                      .quantile = 0.95,
                                      .up_after_ns = 3 * NS_PER_S};
    swing->front = (struct policy_front){
        .tiers = {make_tier("base", BASE_S), make_tier("tiny", world->tiny_s)},
        .count = 2,
        .limit_s = LIMIT_S,
        .quantile = 0.95,
        .switches_per_minute = 4,
        .up_after_ns = 3 * NS_PER_S};
}

static void look(struct swing *swing, struct tier_load *load, double now_s)
{
    int64_t now_ns = (int64_t)((now_s + 1000) * NS_PER_S);
    struct proxy_front front = {.server_count = 2, .servers = {{.usable = true}, {.usable = true}}};
    for (size_t i = 0; i < swing->sent; i++) {
        struct request *r = &swing->requests[i];
        struct proxy_server *server = &front.servers[r->server];
        server->total++;
        server->in_flight += r->done_s > now_s;
        if (r->done_s <= now_s && !r->told) {
            struct proxy_request request = {
                .server = r->server, .end = PROXY_OK, .total_s = r->done_s - r->at_s};
            tier_load_request(load, &request, now_ns);
            r->told = true;
        }
    }
    tier_load_look(load, &front, 1, now_ns);
}

/* `arm`: 0 the policy, 1 always tiny, 2 always base. */
static void play(struct swing *swing, int arm)
{
    struct tier_load *load = tier_load_new(&swing->spec, 60 * NS_PER_S);
    struct policy_state state = policy_init();
    int current = arm == 1 ? 1 : 0;
    const double begun_s = swing->now_s;
    const int looks = (int)((PLAYED_S - begun_s) / LOOK_S);
    for (int k = 0; k < looks; k++) {
        const double now_s = begun_s + k * LOOK_S;
        while (swing->sent < swing->count && swing->requests[swing->sent].at_s <= now_s) {
            work_until(swing, swing->requests[swing->sent].at_s);
            swing->requests[swing->sent++].server = current;
        }
        work_until(swing, now_s);
        look(swing, load, now_s);
        if (arm != 0)
            continue;
        struct policy_input input = {
            .now_ns = (int64_t)((now_s + 1000) * NS_PER_S), .current = current, .free_bytes = NAN};
        tier_load_fill(load, current, input.now_ns, &input);
        for (int t = 0; t < 2; t++)
            input.tiers[t].power = POWER_ON;
        struct policy_choice choice = policy_step(&state, &swing->front, &input);
        if (choice.switched)
            tier_load_switched(load, input.now_ns);
        swing->switches += choice.switched;
        current = choice.tier;
    }
    tier_load_free(load);
}

static double inside(const struct swing *swing)
{
    size_t found = 0;
    for (size_t i = 0; i < swing->count; i++)
        found += swing->requests[i].done_s - swing->requests[i].at_s <= LIMIT_S;
    return (double)found / (double)swing->count;
}

static double calm_by_base(const struct swing *swing)
{
    size_t calm = 0, base = 0;
    for (size_t i = 0; i < swing->count; i++) {
        bool is_calm = swing->requests[i].phase == 0 || swing->requests[i].phase == 3;
        calm += is_calm;
        base += is_calm && swing->requests[i].server == 0;
    }
    return (double)base / (double)calm;
}

static void play_world(const struct world *world)
{
    struct swing *swing = malloc(sizeof *swing);
    double by_base = 0, share = 0;
    int most = 0, good = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double in[ARMS] = {0};
        double calm = 0;
        int switches = 0;
        for (int arm = 0; arm < ARMS; arm++) {
            begin(swing, world, seed);
            play(swing, arm);
            in[arm] = inside(swing);
            if (arm == 0) {
                calm = calm_by_base(swing);
                switches = swing->switches;
            }
        }
        CHECK_ROW(seed, "base alone is far too slow", in[2] < 0.9);
        CHECK_ROW(seed, "few switches", switches <= 6);
        CHECK_ROW(seed, "nearly as tiny", in[0] > 0.94 * in[1]);
        by_base += calm / SEEDS;
        share += in[0] / in[1] / SEEDS;
        most = switches > most ? switches : most;
        good += in[0] >= 0.98 * in[1] && calm >= 0.95 && switches < 6;
    }
    print_message(
        "%s: inside %.4f of tiny's, in calm %.4f by base, at most %d switches, %d of %d good\n",
        world->name, share, by_base, most, good, SEEDS);
    assert_true(share > 0.98 && by_base > 0.95);
    assert_true(good > 3 * SEEDS / 4); /* with some 60 calm requests, three by tiny are 5 % */
    free(swing);
}

static void test_swing(void **state)
{
    (void)state;
    for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++)
        play_world(&worlds[w]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
