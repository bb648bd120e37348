/* Everything that can be asked of the fake, as read from its command line. */
#ifndef FAKES_OPTIONS_H
#define FAKES_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "script.h"

enum options_disguise {
    DISGUISE_NONE,
    DISGUISE_LLAMA,
    DISGUISE_WHISPER,
    DISGUISE_FASTER_WHISPER,
    DISGUISE_VLLM,
    DISGUISE_OLLAMA,
};

enum options_kind {
    KIND_STT = 1,
    KIND_LLM = 2,
    KIND_BOTH = 3,
    KIND_EMBEDDINGS = 4,
    KIND_TTS = 8,
    KIND_KSERVE = 16,
    KIND_ALL = 31,
};
const char *options_kind_name(enum options_kind kind);

/* A line for stderr, or a file copied there, before anything else happens. */
struct options_print {
    bool is_file;
    const char *text;
};

struct options_freeze {
    int64_t at_ns, for_ns;
};

/* What a card's memory or work becomes, some time after the start. */
struct options_change {
    int64_t at_ns;
    enum { CHANGE_HOLD, CHANGE_WORK, CHANGE_REST } kind;
    uint64_t bytes;
};

#define OPTIONS_LIST_MAX 64
#define OPTIONS_CHANGES_MAX 16

/* Texts are borrowed from argv, or from the lines of script files in `kept`. Zero means "not asked
 * for" everywhere: all behaviours are additions. */
struct options {
    /* who and where */
    long port;
    bool port_given;
    const char *host, *name, *model, *inference_path;
    enum options_kind kind;
    enum options_disguise disguise;
    bool no_reuse_address, only_model;
    /* time */
    int64_t latency_ns, per_token_ns, per_prompt_token_ns, spin_request_ns;
    bool prefix_cache;
    double jitter_sigma, audio_ratio, share_factor;
    long tokens, slots, seed;
    const char *share_dir, *interfere_file;
    /* start */
    int64_t start_delay_ns, loading_ns, progress_ns, ready_then_die_ns;
    long exit_at_start; /* -1: not asked for */
    int signal_at_start;
    bool never_ready, lie_ready, bind_fail, background, health_blocks;
    const char *bind_text;
    struct options_print prints[OPTIONS_LIST_MAX];
    int print_count;
    /* requests */
    struct script script;
    uint32_t sse;
    long sse_split;
    int64_t sse_split_ns, ping_every_ns;
    bool role_early, drop_idle, drop_reused;
    int64_t idle_timeout_ns;
    const char *say, *metrics_style, *require_field;
    /* process */
    struct options_freeze freezes[OPTIONS_LIST_MAX];
    int freeze_count;
    uint64_t rss_bytes, grow_bytes, ramp_bytes, child_bytes;
    int64_t ramp_ns, term_delay_ns, child_life_ns, life_ns;
    bool fork_child, fork_setsid, double_fork, ignore_term, orphan_lives;
    long term_exit, spin_threads;
    const char *start_file, *end_file;
    /* the card */
    const char *gpu_dir, *gpu_layers, *gpu_when;
    uint64_t gpu_bytes, gpu_first_bytes, gpu_grow_bytes, gpu_leak_bytes;
    double gpu_ratio;
    long gpu_sm, gpu_device;
    int64_t gpu_linger_ns, gpu_cpu_ns;
    bool gpu_alone, gpu_child, gpu_cpu_build, gpu_oom_lives, gpu_profiles;
    struct options_change gpu_changes[OPTIONS_CHANGES_MAX];
    int gpu_change_count;
    /* logs */
    uint64_t flood_bytes_per_s, long_line_bytes;
    bool log_binary, log_requests;
    /* answers */
    double wer;
    const char *transcripts;
    const char *arrivals, *served;

    char **kept; /* owned texts */
    size_t kept_count;
};

enum options_end { OPTIONS_GO, OPTIONS_HELPED, OPTIONS_WRONG };

/* Reads argv, the script file named there and the one named by FAKE_SERVICE_SCRIPT. On
 * OPTIONS_WRONG one line was printed. */
enum options_end options_read(struct options *options, int argc, char **argv);
void options_done(struct options *options);

#endif
