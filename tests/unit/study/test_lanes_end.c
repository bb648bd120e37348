/* A lane that waits for an answer gets one, whatever the parent's trouble is. The lane is a forked
 * child that this test plays. */
#include "study/simulate.h"

#include "study/lane.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const struct space_knob knobs[] = {{0, 4}};
static int *heard; /* shared: kind of the last order + 1 */

const char *study_lane_purpose_name(enum lane_purpose purpose)
{
    (void)purpose;
    return "explore";
}

enum lane_purpose study_lane_purpose(const char *name)
{
    (void)name;
    return LANE_EXPLORE;
}

static bool take_order(int fd, struct lane_order *ret_order)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    if (poll(&ready, 1, 10000) <= 0 || recv(fd, ret_order, sizeof *ret_order, 0) <= 0)
        return false;
    *heard = (int)ret_order->kind + 1;
    return true;
}

/* Measures what no history takes. */
void study_lane_main(const struct study_loop *loop, size_t index, int socket_fd, pid_t parent)
{
    (void)loop, (void)index, (void)parent;
    struct lane_news news = {.kind = LANE_READY};
    struct lane_order order;
    signal(SIGINT, SIG_IGN);
    (void)!send(socket_fd, &news, sizeof news, MSG_NOSIGNAL);
    if (take_order(socket_fd, &order)) {
        news = (struct lane_news){.kind = LANE_MEASURED, .number = order.request.number};
        (void)!send(socket_fd, &news, sizeof news, MSG_NOSIGNAL);
        *heard = 0;
        (void)take_order(socket_fd, &order);
    }
    _exit(0);
}

/* Before: it waited for ever, and the study with it. */
static void test_measured_in_vain(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct sim sim;
    struct err err = ERR_INIT;
    heard = mmap(NULL, sizeof *heard, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sim_init(&sim, 1, knobs, ARRAY_LEN(knobs), NULL, NULL);
    sim.study->search.strategy = "grid";
    sim.study->devices[0] = "gpu0";
    for (size_t v = 0; v < sim.study->knobs[0].value_count;
         v++) /* a candidate can't be read back */
        sim.study->knobs[0].values[v].label = "two words";
    sim.plan.trials = 4;
    sim.plan.lanes = 1;
    const struct study_options options = {.study = sim.study, .folder = folder};
    static struct study_loop loop;
    loop = (struct study_loop){.options = &options,
                               .study = sim.study,
                               .arena = sim.arena,
                               .lane_count = 1,
                               .plan = sim.plan,
                               .best = BUF_INIT(4096)};
    loop.lanes[0].study = *sim.study;
    AUTO(free) char *path = study_store_path(folder);
    assert_true(
        device_lock_take_part("gpu0", "spica-test-lane", "", "s", &loop.lanes[0].lock, &err));
    assert_true(store_open(path, STORE_CREATE, &loop.store, &err));
    assert_false(study_lanes_run(&loop, &err));
    assert_int_equal(*heard, LANE_KEEP_NOTHING + 1);
    assert_true(err_is_set(&err));
    store_close(loop.store);
    device_lock_release(loop.lanes[0].lock);
    buf_done(&loop.best);
    sim_done(&sim);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
