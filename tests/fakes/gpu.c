/*
 * A card of the fake NVML world, as the fake service uses it.
 *
 * The idea: what a process holds and does on a card is one small file of its own in the world
 * folder (nvml/README.md), which the fake driver's library reads. Nothing need be undone when the
 * process is killed: its file counts while it lives. The folder's lock makes looking at the free
 * memory and taking it one step, as a driver does.
 *
 * Words and exit codes at the end of memory are those that were recorded of the real servers.
 *
 * Invariant: the file says what `bytes`, `busy` and `end_us` say, whenever the loop waits.
 */
#include "gpu.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "nvml/world.h"
#include "units.h"

#define MIB (UINT64_C(1) << 20)
#define GIB_F 1073741824.0

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- which card, as CUDA chooses ---- */

static int pci_order(const struct card *a, const struct card *b)
{
    if (a->domain != b->domain)
        return a->domain < b->domain ? -1 : 1;
    if (a->bus != b->bus)
        return a->bus < b->bus ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* CUDA counts the fastest first, which the largest stands for, unless told to count by PCI. */
static int compare_cards(const void *a, const void *b)
{
    const struct card *left = *(const struct card *const *)a;
    const struct card *right = *(const struct card *const *)b;
    const char *order = getenv("CUDA_DEVICE_ORDER");
    const bool by_pci = order != NULL && strcmp(order, "PCI_BUS_ID") == 0;
    if (!by_pci && left->total_mib != right->total_mib)
        return left->total_mib > right->total_mib ? -1 : 1;
    return pci_order(left, right);
}

/* A card that is cut up stands for its first instance. */
static const struct card *whole_or_instance(const struct world *world, const struct card *card)
{
    if (card == NULL || card->mig == 0)
        return card;
    for (int i = 0; i < world->card_count; i++)
        if (world->cards[i].parent == card - world->cards)
            return &world->cards[i];
    return NULL;
}

static const struct card *find_card(const struct world *world, const struct card *const *order,
                                    long count, const char *word)
{
    long index = 0;
    if (units_parse_count(word, &index))
        return index < count ? whole_or_instance(world, order[index]) : NULL;
    const size_t len = strlen(word);
    for (int i = 0; len > 4 && i < world->card_count; i++)
        if (strncmp(world->cards[i].uuid, word, len) == 0)
            return &world->cards[i];
    return NULL;
}

/* The n-th visible card, NULL when there is none: a word that means no card ends the list. */
static const struct card *choose(const struct world *world, long n)
{
    const struct card *order[CARDS];
    long count = 0;
    for (int i = 0; i < world->card_count; i++)
        if (world->cards[i].parent < 0)
            order[count++] = &world->cards[i];
    qsort(order, (size_t)count, sizeof(*order), compare_cards);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible == NULL)
        return n < count ? whole_or_instance(world, order[n]) : NULL;
    char list[512];
    char *rest = NULL;
    snprintf(list, sizeof(list), "%s", visible);
    const struct card *card = NULL;
    const char *word = strtok_r(list, ", ", &rest);
    for (long i = 0; word != NULL && i <= n; i++) {
        card = find_card(world, order, count, word);
        if (card == NULL)
            return NULL;
        word = i < n ? strtok_r(NULL, ", ", &rest) : word;
    }
    return word != NULL ? card : NULL;
}

static const struct card *own_card(const struct gpu *gpu)
{
    const struct world *world = world_now();
    for (int i = 0; i < world->card_count; i++)
        if (strcmp(world->cards[i].uuid, gpu->uuid) == 0)
            return &world->cards[i];
    return NULL;
}

static bool is_lost(const struct card *card)
{
    const struct world *world = world_now();
    return card == NULL || card->lost != 0 || world_fail(world, "nvmlInit") != 0;
}

/* ---- the file ---- */

static void tell(const struct gpu *gpu)
{
    const struct options *options = gpu->options;
    char beside[4200];
    if (gpu->uuid[0] == '\0')
        return;
    snprintf(beside, sizeof(beside), "%s.new", gpu->path);
    FILE *file = fopen(beside, "we");
    if (file == NULL)
        return;
    const int pid = (int)gpu->owner;
    fprintf(file, "owner %d %llu %.3f\non %s\n", pid, world_process_start(pid),
            (double)options->gpu_linger_ns / 1e9, gpu->uuid);
    if (gpu->bytes > 0)
        fprintf(file, "process c %d %llu\n", pid,
                (unsigned long long)((gpu->bytes + MIB - 1) / MIB));
    if (options->gpu_leak_bytes > 0)
        fprintf(file, "leak %llu\n", (unsigned long long)(options->gpu_leak_bytes / MIB));
    if (gpu->busy > 0 && options->gpu_sm > 0)
        fprintf(file, "sm %d %ld\n", pid, options->gpu_sm);
    else if (gpu->end_us > 0 && options->gpu_sm > 0)
        fprintf(file, "worked %d %ld %lld\n", pid, options->gpu_sm, (long long)gpu->end_us);
    fclose(file);
    rename(beside, gpu->path);
}

static int lock_world(const struct gpu *gpu)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/lock", gpu->options->gpu_dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0)
        flock(fd, LOCK_EX);
    return fd;
}

/* Holds that much altogether; false, with nothing changed, when the card has not so much. */
static bool hold(struct gpu *gpu, uint64_t bytes)
{
    if (gpu->uuid[0] == '\0')
        return true;
    const int fd = lock_world(gpu);
    const struct card *card = own_card(gpu);
    const bool fits =
        bytes <= gpu->bytes || (card != NULL && bytes - gpu->bytes <= world_free_bytes(card));
    if (fits) {
        gpu->bytes = bytes;
        tell(gpu);
    }
    if (fd >= 0)
        close(fd);
    return fits;
}

/* ---- out of memory, in each server's words ---- */

static void say_vllm(const struct card *card, double ratio)
{
    const double free_gib = (double)world_free_bytes(card) / GIB_F;
    const double total_gib = (double)card->total_mib / 1024;
    fprintf(
        stderr,
        "(EngineCore pid=%d) ERROR 11-25 16:17:27 [core.py:1231] EngineCore failed to start.\n"
        "(EngineCore pid=%d) ValueError: Free memory on device cuda:0 (%.2f/%.2f GiB) on startup "
        "is less than desired GPU memory utilization (%g, %.2f GiB). Decrease GPU memory "
        "utilization or reduce GPU memory used by other processes.\n"
        "(APIServer pid=%d) RuntimeError: Engine core initialization failed. See root cause "
        "above. Failed core proc(s): {}\n",
        getpid(), getpid(), free_gib, total_gib, ratio, ratio * total_gib, getpid());
}

static void say_llama(uint64_t bytes)
{
    const double mib = (double)bytes / (double)MIB;
    fprintf(
        stderr,
        "0.01.394.921 E ggml_backend_cuda_buffer_type_alloc_buffer: allocating %.2f MiB on "
        "device 0: cudaMalloc failed: out of memory\n"
        "0.01.395.442 E alloc_tensor_range: failed to allocate CUDA0 buffer of size %llu\n"
        "0.01.395.475 E llama_model_load: error loading model: unable to allocate CUDA0 buffer\n"
        "0.01.395.497 E llama_model_load_from_file_impl: failed to load model\n"
        "0.01.396.748 E srv  llama_server: exiting due to model loading error\n",
        mib, (unsigned long long)bytes);
}

static const char torch_words[] = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate";

static void say_torch(const struct card *card, uint64_t bytes)
{
    fprintf(stderr,
            "%s %.2f MiB. GPU 0 has a total capacity of %.2f GiB of which %.2f MiB is free.\n",
            torch_words, (double)bytes / (double)MIB, (double)card->total_mib / 1024,
            (double)world_free_bytes(card) / (double)MIB);
}

static int say_no_memory(const struct gpu *gpu, uint64_t bytes)
{
    const struct card *card = own_card(gpu);
    const enum options_disguise disguise = gpu->options->disguise;
    if (card == NULL)
        return 1;
    if (disguise == DISGUISE_LLAMA || disguise == DISGUISE_WHISPER)
        say_llama(bytes);
    else if (disguise == DISGUISE_FASTER_WHISPER)
        fprintf(stderr, "RuntimeError: CUDA failed with error out of memory\n");
    else
        say_torch(card, bytes);
    return 1;
}

/* ---- the life ---- */

static bool say_no_gpu(const struct options *options, int *ret_code)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    switch (options->disguise) {
    case DISGUISE_LLAMA:
        fprintf(
            stderr,
            "0.00.020.682 E ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device "
            "is detected\n"
            "warning: no usable GPU found, --gpu-layers option will be ignored\n"
            "warning: one possible reason is that llama.cpp was compiled without GPU support\n");
        return true;
    case DISGUISE_WHISPER:
        fprintf(stderr, "whisper_backend_init_gpu: no GPU found\n");
        return true;
    case DISGUISE_VLLM:
        fprintf(stderr, "RuntimeError: Failed to infer device type, please set the environment "
                        "variable `VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging\n");
        *ret_code = 1;
        return false;
    case DISGUISE_OLLAMA: /* says where it computes once it listens */
        return true;
    case DISGUISE_FASTER_WHISPER:
    case DISGUISE_NONE:
        break;
    }
    fprintf(stderr, "Device=cpu load_s=0.70 CUDA_VISIBLE_DEVICES=%s\n",
            visible != NULL ? visible : "None");
    return true;
}

void gpu_load_driver(const struct options *options)
{
    char path[4200];
    if (options->gpu_dir == NULL || options->gpu_cpu_build)
        return;
    snprintf(path, sizeof(path), "%s/libcuda.so.1", options->gpu_dir);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    /* Stays mapped for good; nothing of it is ever read. */
    (void)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
}

bool gpu_open(struct gpu *gpu, struct loop *loop, const struct options *options, pid_t engine,
              int *ret_code)
{
    *gpu = (struct gpu){.options = options, .loop = loop, .owner = engine > 0 ? engine : getpid()};
    if (options->gpu_dir == NULL)
        return true;
    setenv("FAKE_NVML_WORLD", options->gpu_dir, 1);
    const struct world *world = world_now();
    const struct card *card = options->gpu_cpu_build ? NULL : choose(world, options->gpu_device);
    if (card == NULL || card->lost != 0)
        return say_no_gpu(options, ret_code);
    snprintf(gpu->uuid, sizeof(gpu->uuid), "%s", card->uuid);
    snprintf(gpu->path, sizeof(gpu->path), "%s/%d.gpu", options->gpu_dir, (int)getpid());
    gpu->free_before_bytes = world_free_bytes(card);
    return true;
}

/* vLLM wants a share of the whole card, whatever others hold. */
static bool start_by_ratio(struct gpu *gpu, const struct card *card, int *ret_code)
{
    const double ratio = gpu->options->gpu_ratio;
    const uint64_t bytes = (uint64_t)(ratio * (double)card->total_mib) * MIB;
    if (hold(gpu, bytes))
        return true;
    say_vllm(card, ratio);
    *ret_code = 1;
    return false;
}

bool gpu_start(struct gpu *gpu, int *ret_code)
{
    const struct options *options = gpu->options;
    const struct card *card = gpu->uuid[0] != '\0' ? own_card(gpu) : NULL;
    if (card == NULL)
        return true;
    if (options->gpu_profiles && world_free_bytes(card) > gpu->free_before_bytes) {
        fprintf(
            stderr,
            "AssertionError: Error in memory profiling. Initial free memory %.2f GiB, current "
            "free memory %.2f GiB. This happens when other processes sharing the same container "
            "release GPU memory while vLLM is profiling during initialization.\n",
            (double)gpu->free_before_bytes / GIB_F, (double)world_free_bytes(card) / GIB_F);
        *ret_code = 1;
        return false;
    }
    if (options->gpu_layers != NULL)
        fprintf(stderr, "0.00.530.800 I load_tensors: offloaded %s layers to GPU\n",
                options->gpu_layers);
    if (options->gpu_ratio > 0)
        return start_by_ratio(gpu, card, ret_code);
    if (hold(gpu, options->gpu_bytes))
        return true;
    *ret_code = say_no_memory(gpu, options->gpu_bytes);
    return false;
}

enum gpu_end gpu_request(struct gpu *gpu, const char **ret_text, int *ret_code)
{
    const struct options *options = gpu->options;
    if (gpu->uuid[0] == '\0')
        return GPU_GOES_ON;
    *ret_code = options->disguise == DISGUISE_LLAMA ? 134 : 1;
    if (is_lost(own_card(gpu))) {
        *ret_text = "CUDA error: unspecified launch failure";
        fprintf(stderr, "RuntimeError: %s\n", *ret_text);
        return GPU_ANSWERS_500;
    }
    const uint64_t more = options->gpu_grow_bytes + (gpu->asked ? 0 : options->gpu_first_bytes);
    gpu->asked = true;
    if (more == 0 || hold(gpu, gpu->bytes + more))
        return GPU_GOES_ON;
    say_no_memory(gpu, more);
    *ret_text = "CUDA out of memory";
    return options->gpu_oom_lives ? GPU_ANSWERS_500 : GPU_DIES;
}

void gpu_begin(struct gpu *gpu)
{
    if (gpu->busy++ == 0)
        tell(gpu);
}

void gpu_end(struct gpu *gpu)
{
    gpu->end_us = wall_us();
    if (--gpu->busy == 0)
        tell(gpu);
}

int64_t gpu_cpu_ns(const struct gpu *gpu)
{
    return gpu->options->gpu_dir != NULL && gpu->uuid[0] == '\0' ? gpu->options->gpu_cpu_ns : 0;
}

/* ---- by its own clock: a stranger, a neighbour ---- */

static void change(void *ctx, int64_t now_ns)
{
    const struct gpu_change *change = ctx;
    (void)now_ns;
    switch (change->what->kind) {
    case CHANGE_HOLD:
        if (!hold(change->gpu, change->what->bytes))
            fprintf(stderr, "fake-service: the card has not so much memory\n");
        return;
    case CHANGE_WORK:
        gpu_begin(change->gpu);
        return;
    case CHANGE_REST:
        gpu_end(change->gpu);
        return;
    }
}

static void set_changes(struct gpu *gpu, int64_t now_ns)
{
    for (int i = 0; i < gpu->options->gpu_change_count; i++) {
        struct gpu_change *next = &gpu->changes[i];
        next->gpu = gpu;
        next->what = &gpu->options->gpu_changes[i];
        next->timer = (struct loop_timer){.fire = change, .ctx = next};
        loop_timer_set(gpu->loop, &next->timer, now_ns + next->what->at_ns);
    }
}

static void look(void *ctx, int64_t now_ns)
{
    struct gpu *gpu = ctx;
    /* Removed, so that the next one counts anew. */
    if (unlink(gpu->options->gpu_when) == 0)
        set_changes(gpu, now_ns);
    loop_timer_set(gpu->loop, &gpu->when, now_ns + 10 * NS_PER_MS);
}

void gpu_start_timers(struct gpu *gpu)
{
    gpu->when = (struct loop_timer){.fire = look, .ctx = gpu};
    if (gpu->uuid[0] != '\0' && gpu->options->gpu_when != NULL)
        loop_timer_set(gpu->loop, &gpu->when, loop_now_ns());
    else if (gpu->uuid[0] != '\0')
        set_changes(gpu, loop_now_ns());
}

void gpu_close(struct gpu *gpu)
{
    const struct options *options = gpu->options;
    if (gpu == NULL || options == NULL || gpu->uuid[0] == '\0')
        return;
    gpu->busy = 0;
    if (options->gpu_linger_ns == 0 && options->gpu_leak_bytes == 0 && gpu->owner == getpid())
        unlink(gpu->path);
}
