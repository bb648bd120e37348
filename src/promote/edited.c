/* Has a unit's file been edited since its process was started? Then a restart brings the edit, with
 * whatever is wrong in it, and the undo, which restarts as well, brings it again: it can't be taken
 * back by us, so a person has to know of it before.
 *
 * By the times of the files, of the content and of the inode: a file that was moved into its place
 * keeps the older of them. systemd's own word (NeedDaemonReload) counts too: it sees a file that is
 * gone. Rejected: systemd's word alone, which ends at the next daemon-reload, whoever asks for it,
 * while the process runs on with the old file. Where a generator makes the file (Podman's Quadlet),
 * it is new after each daemon-reload: what it is made of is looked at. One that is wrongly named
 * (touched, not changed) is accepted by a word; one that is not named takes production down. */
#include "promote/edited.h"

#include "base/buf.h"
#include "promote/target.h"

#include <string.h>
#include <sys/stat.h>

static int64_t us_of(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static bool is_ours(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, PROMOTE_DROP_IN) == 0;
}

/* Where it is ours that was taken away or written anew, systemd's word says no more than that: plan
 * and undo look at its bytes. */
static bool is_stale(const struct host_config *config)
{
    struct stat st;
    for (size_t i = 0; config->drop_ins && config->drop_ins[i]; i++)
        if (is_ours(config->drop_ins[i]) &&
            (stat(config->drop_ins[i], &st) != 0 || us_of(st.st_mtim) > config->started_wall_us))
            return false;
    return config->need_reload;
}

static bool is_generated(const char *path)
{
    static const char *const folders[] = {"/systemd/generator/", "/systemd/generator.early/",
                                          "/systemd/generator.late/"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (strstr(path, folders[i]))
            return true;
    return false;
}

/* Of `systemctl set-property`: in force from that moment, without a restart. */
static bool is_set_property(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && strncmp(slash, "/50-", 4) == 0 &&
           (strstr(path, "/systemd/system.control/") || strstr(path, "/systemd/user.control/"));
}

static bool is_listed(const char *const *paths, const char *path)
{
    for (size_t i = 0; paths && paths[i]; i++)
        if (strcmp(paths[i], path) == 0)
            return true;
    return false;
}

static void look(struct buf *found, const char *path, const char *const *except, int64_t since_us)
{
    struct stat st;
    if (!path || !*path || is_listed(except, path) || is_ours(path) || is_generated(path) ||
        is_set_property(path))
        return;
    if (stat(path, &st) == 0 && (us_of(st.st_mtim) > since_us || us_of(st.st_ctim) > since_us))
        buf_addf(found, "%s%s", found->len ? ", " : "", path);
}

const char *promote_unit_edited(const struct host_config *config, const char *const *except,
                                struct arena *arena)
{
    AUTO(buf_done) struct buf found = BUF_INIT(1 << 16);
    const int64_t since_us = config->started_wall_us;
    const bool stale = is_stale(config);
    if (since_us > 0) {
        look(&found, config->fragment, except, since_us);
        if (config->fragment && is_generated(config->fragment))
            look(&found, config->source, except, since_us);
        for (size_t i = 0; config->drop_ins && config->drop_ins[i]; i++)
            look(&found, config->drop_ins[i], except, since_us);
        for (size_t i = 0; i < config->env_file_count; i++)
            look(&found, config->env_files[i].path, except, since_us);
    }
    if (found.len == 0 && !stale)
        return NULL;
    if (found.len == 0)
        buf_addf(&found, "a file of %s", config->name ? config->name : "it");
    return arena_printf(arena, "%s has changed since its start%s", buf_text(&found),
                        stale ? ", and systemd has not read that yet" : "");
}

void promote_digest_private(const char *path, char ret_hex[DIGEST_HEX_SIZE])
{
    AUTO(buf_done) struct buf facts = BUF_INIT(1024);
    struct stat st;
    ret_hex[0] = '\0';
    if (stat(path, &st) != 0)
        return;
    buf_addf(&facts, "%llu %llu %lld %lld.%09ld %lld.%09ld", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    digest_bytes(buf_text(&facts), facts.len, ret_hex);
}
