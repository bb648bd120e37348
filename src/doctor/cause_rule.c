/* Why a service is not on the GPU. Pure.
 *
 * Rules stand in one ordered table, the surest first: what the environment says is certain, a line
 * of a log is a witness, absent libraries are a guess that the fix can be built on. The first that
 * holds is the cause; a list of everything that might be wrong helps nobody. What was asked for is
 * no problem: a service told to stay on the CPU does. And a server that loads its model when asked
 * is not blamed for an empty card unless something else says that it could not use it.
 *
 * Rejected: calling a service healthy because its port answers. That is how it fell to the CPU
 * unseen.
 *
 * Invariant: no problem is made of something that could not be read. */
#include "doctor/cause.h"

#include "base/text.h"
#include "doctor/process.h"

#include <string.h>

struct rule {
    /* Where the service may only be idle, or can't be told from here: a log of earlier runs says
     * nothing about this one, and nothing beside it does. */
    enum { ON_CPU_ONLY, BY_WORDS_OF_THIS_RUN, ALWAYS } where;
    /* Writes cause and fix; false: not this one. */
    bool (*holds)(const struct doctor_report *report, const struct doctor_service *service,
                  struct doctor_problem *problem);
};

/* Does a UUID (an abbreviated one too) name a card here? */
static bool names_uuid(const struct doctor_report *report, const char *text, size_t len)
{
    for (size_t i = 0; i < report->card_count; i++)
        if (len >= strlen("GPU-x") && strncmp(report->cards[i].identity.uuid, text, len) == 0)
            return true;
    return false;
}

static bool hidden_by_environment(const struct doctor_report *report,
                                  const struct doctor_service *service,
                                  struct doctor_problem *problem)
{
    const char *visible = service->visible;
    size_t len = strcspn(visible, ","), whole = 0;
    int64_t number = 0;
    char first[64];
    snprintf(first, sizeof first, "%.*s", (int)(len < 63 ? len : 63), visible);
    for (size_t i = 0; i < report->card_count; i++)
        whole += !report->cards[i].identity.instance;
    if (!service->visible_set)
        return false;
    AUTO(buf_done) struct buf shown = BUF_INIT(256);
    text_add_escaped(&shown, TEXT_TERMINAL, visible, strlen(visible), 60);
    if (!first[0] || strcmp(first, "-1") == 0 || strcmp(first, "NoDevFiles") == 0)
        snprintf(problem->cause, sizeof problem->cause,
                 "CUDA_VISIBLE_DEVICES is %s: it hides every card",
                 first[0] ? buf_text(&shown) : "set and empty");
    else if (text_to_i64(first, &number) ? number >= 0 && (size_t)number < whole
                                         : names_uuid(report, first, len))
        return false;
    else
        snprintf(problem->cause, sizeof problem->cause,
                 "CUDA_VISIBLE_DEVICES=%s names a card that is not here: CUDA then sees none",
                 buf_text(&shown));
    snprintf(problem->fix, sizeof problem->fix,
             "unset it where the service is started, or set CUDA_VISIBLE_DEVICES=%s; then restart",
             report->card_count ? report->cards[0].identity.uuid : "0");
    return true;
}

static bool hidden_by_container(const struct doctor_report *report,
                                const struct doctor_service *service,
                                struct doctor_problem *problem)
{
    (void)report;
    bool boxed = service->owner.container[0] != '\0';
    if (service->nodes != SEEN_NO && !service->nvidia_void)
        return false;
    snprintf(problem->cause, sizeof problem->cause, "%s",
             service->nodes != SEEN_NO ? "NVIDIA_VISIBLE_DEVICES hides the cards from its container"
             : boxed ? "its container was started without the GPU (no /dev/nvidiactl in it)"
                     : "the driver's device files are hidden from it (no /dev/nvidiactl)");
    snprintf(problem->fix, sizeof problem->fix, "%s",
             boxed ? "start it with --gpus all (docker) or --device nvidia.com/gpu=all (podman)"
                   : "look for PrivateDevices= and DeviceAllow= in its unit; then restart");
    return true;
}

/* What to install, by the start of the missing library's name. */
static const struct {
    const char *library, *fix;
} packages[] = {
    {"libcublas", "install the CUDA cuBLAS library of that version (pip install "
                  "nvidia-cublas-cu12) or set LD_LIBRARY_PATH to where it is"},
    {"libcudnn", "install cuDNN of that version (pip install nvidia-cudnn-cu12) or set "
                 "LD_LIBRARY_PATH to where it is"},
    {"libcudart", "install the CUDA runtime of that version (pip install nvidia-cuda-runtime-cu12) "
                  "or set LD_LIBRARY_PATH to where it is"},
    {"libcuda.so", "the driver's library is not visible to it: in a container, start it with the "
                   "GPU; else add the driver's folder to LD_LIBRARY_PATH"},
    {"cudnn", "install cuDNN 9 (pip install nvidia-cudnn-cu12) or set LD_LIBRARY_PATH"},
};

bool doctor_cause_library(const struct doctor_service *service, struct doctor_problem *problem)
{
    if (service->log_cause != CAUSE_MISSING_LIBRARY || strstr(service->log_line, "driver version"))
        return false;
    const char *fix = "install the library that it names or set LD_LIBRARY_PATH to where it is";
    for (size_t i = 0; i < ARRAY_LEN(packages); i++)
        if (text_find_nocase(service->log_line, strlen(service->log_line), packages[i].library)) {
            fix = packages[i].fix;
            break;
        }
    snprintf(problem->cause, sizeof problem->cause, "a library is missing: \"%.200s\"",
             service->log_line);
    snprintf(problem->fix, sizeof problem->fix, "%s; then restart", fix);
    return true;
}

static bool missing_library(const struct doctor_report *report,
                            const struct doctor_service *service, struct doctor_problem *problem)
{
    (void)report;
    return doctor_cause_library(service, problem);
}

static bool driver_too_old(const struct doctor_report *report, const struct doctor_service *service,
                           struct doctor_problem *problem)
{
    if (service->log_cause != CAUSE_DEVICE_LOST && !(service->log_cause == CAUSE_MISSING_LIBRARY &&
                                                     strstr(service->log_line, "driver version")))
        return false;
    snprintf(problem->cause, sizeof problem->cause, "driver and library do not fit: \"%.200s\"",
             service->log_line);
    snprintf(problem->fix, sizeof problem->fix,
             "here is %.120s: update the driver (and reboot), or install a build for its CUDA "
             "version; then restart",
             report->driver);
    return true;
}

static bool cpu_build(const struct doctor_report *report, const struct doctor_service *service,
                      struct doctor_problem *problem)
{
    (void)report;
    if (service->maps != SEEN_YES || service->beside[0] || service->kind->lazy)
        return false;
    bool torch = (service->libraries & DOCTOR_LIB_TORCH_CPU) &&
                 !(service->libraries & DOCTOR_LIB_TORCH_CUDA);
    if (!torch && (service->libraries & DOCTOR_LIBS_CUDA))
        return false;
    snprintf(problem->cause, sizeof problem->cause, "%s",
             torch ? "a CPU build of PyTorch: it has no libtorch_cuda"
                   : "a CPU build: no CUDA library is loaded nor beside the program");
    snprintf(problem->fix, sizeof problem->fix, "%s; then restart",
             torch ? "install PyTorch with CUDA (pip install torch from PyTorch's own index)"
                   : service->kind->gpu_build);
    return true;
}

static bool part_not_loaded(const struct doctor_report *report,
                            const struct doctor_service *service, struct doctor_problem *problem)
{
    (void)report;
    if (service->maps != SEEN_YES || !service->beside[0] ||
        (service->libraries & DOCTOR_LIB_GGML_CUDA))
        return false;
    snprintf(problem->cause, sizeof problem->cause,
             "its CUDA part (%.100s) is there and was not loaded: a library that it needs is "
             "missing",
             service->beside);
    snprintf(problem->fix, sizeof problem->fix,
             "ldd %.100s says which (often libcublas, libcudart); install it; then restart",
             service->beside);
    return true;
}

static bool taken_exclusively(const struct doctor_report *report,
                              const struct doctor_service *service, struct doctor_problem *problem)
{
    enum { EXCLUSIVE = 3 };
    for (size_t i = 0; i < report->card_count; i++) {
        const struct doctor_card *card = &report->cards[i];
        if (service->listed[i] == SEEN_YES || card->holder_count == 0 ||
            reading_value(card->state.compute_mode) != EXCLUSIVE)
            continue;
        snprintf(problem->cause, sizeof problem->cause,
                 "%s is in compute mode Exclusive and pid %d has it: no second process may use it",
                 card->name, (int)card->holders[0].pid);
        snprintf(problem->fix, sizeof problem->fix,
                 "nvidia-smi -i %d -c DEFAULT (as root); then restart", card->identity.index);
        return true;
    }
    return false;
}

static bool said_so(const struct doctor_report *report, const struct doctor_service *service,
                    struct doctor_problem *problem)
{
    (void)report;
    if (service->log_cause != CAUSE_CPU_FALLBACK && service->log_cause != CAUSE_OOM)
        return false;
    snprintf(problem->cause, sizeof problem->cause, "it says: \"%.200s\"", service->log_line);
    snprintf(
        problem->fix, sizeof problem->fix, "%s",
        service->log_cause == CAUSE_OOM
            ? "free memory on the card first; then restart"
            : "look at the lines around that one; nvidia-smi run as its user must show a card");
    return true;
}

static bool not_found_out(const struct doctor_report *report, const struct doctor_service *service,
                          struct doctor_problem *problem)
{
    (void)report;
    const char *unread = service->environ == SEEN_NOT && service->maps == SEEN_NOT
                             ? "its environment and libraries (another user's)"
                         : service->log != SEEN_YES ? "its log"
                                                    : NULL;
    snprintf(problem->cause, sizeof problem->cause, "not found out%s%s%s", unread ? ": " : "",
             unread ? unread : "", unread ? " could not be read" : "");
    if (service->environ == SEEN_NOT)
        snprintf(problem->fix, sizeof problem->fix,
                 "run spica doctor as root or as %.32s to see more",
                 service->owner.user[0] ? service->owner.user : "its user");
    else
        snprintf(problem->fix, sizeof problem->fix,
                 "tell it to use the GPU and to fail without one%s",
                 service->kind->lazy ? "" : " (device=cuda, not auto)");
    return true;
}

static const struct rule rules[] = {
    {ALWAYS, hidden_by_environment},         /* certain: CUDA reads the same text */
    {ALWAYS, hidden_by_container},           /* as certain */
    {BY_WORDS_OF_THIS_RUN, missing_library}, /* its own words */
    {BY_WORDS_OF_THIS_RUN, driver_too_old},
    {ON_CPU_ONLY, cpu_build}, /* guesses by absence */
    {ON_CPU_ONLY, part_not_loaded},
    {ON_CPU_ONLY, taken_exclusively},
    {ON_CPU_ONLY, said_so}, /* words that say that, not why; memory that ran out once may be free */
    {ON_CPU_ONLY, not_found_out},
};

static bool may_hold(const struct rule *rule, const struct doctor_service *service)
{
    return service->place == PLACE_CPU || rule->where == ALWAYS ||
           (rule->where == BY_WORDS_OF_THIS_RUN && service->log_of_run);
}

bool doctor_cause_find(const struct doctor_report *report, const struct doctor_service *service,
                       struct doctor_problem *problem)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (may_hold(&rules[i], service) && rules[i].holds(report, service, problem))
            return true;
    return false;
}
