/* The line of a container: what is given, what may not be given, and what we add.
 *
 * Options are read as the runtimes read them (pflag: long ones with "=" or a word after, letters in
 * a bunch), up to the first word that is no option: the image. To tell an option from its value one
 * has to know which take none; that is the table, and everything else takes a value. What follows
 * the image is the server's own and is not looked at.
 *
 * A published port must be a loopback one. "-p 8080:80" opens it to the network, past the
 * machine's firewall, while a study runs: that is refused, not repaired, so that the study file
 * says what happens. Without any network option the container shares the host's network, where a
 * server on 127.0.0.1 is reached as every other service is, without a proxy in the measured path.
 *
 * Ours come right after "run", in front of the study's own: where both name one, the runtime takes
 * the later. `--rm` is not ours: a container that its runtime removes takes with it whether memory
 * ended it. The keeper removes it by its id when it has asked; what no keeper removed is found by
 * its labels (container_end.c). A study's own `--rm` is taken back for the same reason. */
#include "service/container.h"

#include "base/file.h"
#include "base/text.h"

#include <string.h>

enum what {
    WHAT_PLAIN,   /* known only for how it is written */
    WHAT_RM,      /* taken back: the container's state is asked for when it has ended */
    WHAT_NAME,    /* the value is the container's name */
    WHAT_NETWORK, /* ours is not added */
    WHAT_PUBLISH, /* as network, and loopback only */
    WHAT_MEMORY,
    WHAT_PULL,
    WHAT_RESTART,
    WHAT_REFUSED,
};

struct container_option {
    const char *name;
    char letter;
    bool flag; /* takes no value, unless with "=" */
    enum what what;
    const char *why; /* refused: the reason */
};

static const struct container_option options[] = {
    {"rm", 0, true, WHAT_RM, NULL},
    {"name", 0, false, WHAT_NAME, NULL},
    {"network", 0, false, WHAT_NETWORK, NULL},
    {"net", 0, false, WHAT_NETWORK, NULL},
    {"pod", 0, false, WHAT_NETWORK, NULL},
    {"publish", 'p', false, WHAT_PUBLISH, NULL},
    {"memory", 'm', false, WHAT_MEMORY, NULL},
    {"pull", 0, false, WHAT_PULL, NULL},
    {"restart", 0, false, WHAT_RESTART, NULL},
    {"detach", 'd', true, WHAT_REFUSED, "it must stay attached: its output and end are measured"},
    {"cidfile", 0, false, WHAT_REFUSED, "spica gives its own, to find the container by"},
    {"publish-all", 'P', true, WHAT_REFUSED,
     "it opens ports on every interface: publish 127.0.0.1:{port}:PORT"},
    {"replace", 0, true, WHAT_REFUSED, "it would remove a container that may be another's"},
    {"tty", 't', true, WHAT_REFUSED, "a terminal would change what it writes to its log"},
    /* Written without a value. */
    {"interactive", 'i', true, WHAT_PLAIN, NULL},
    {"quiet", 'q', true, WHAT_PLAIN, NULL},
    {"init", 0, true, WHAT_PLAIN, NULL},
    {"privileged", 0, true, WHAT_PLAIN, NULL},
    {"read-only", 0, true, WHAT_PLAIN, NULL},
    {"read-only-tmpfs", 0, true, WHAT_PLAIN, NULL},
    {"rootfs", 0, true, WHAT_PLAIN, NULL},
    {"sig-proxy", 0, true, WHAT_PLAIN, NULL},
    {"tls-verify", 0, true, WHAT_PLAIN, NULL},
    {"no-healthcheck", 0, true, WHAT_PLAIN, NULL},
    {"no-hosts", 0, true, WHAT_PLAIN, NULL},
    {"no-hostname", 0, true, WHAT_PLAIN, NULL},
    {"http-proxy", 0, true, WHAT_PLAIN, NULL},
    {"env-host", 0, true, WHAT_PLAIN, NULL},
    {"passwd", 0, true, WHAT_PLAIN, NULL},
    {"rmi", 0, true, WHAT_PLAIN, NULL},
    {"oom-kill-disable", 0, true, WHAT_PLAIN, NULL},
    {"disable-content-trust", 0, true, WHAT_PLAIN, NULL},
    {"use-api-socket", 0, true, WHAT_PLAIN, NULL},
};

struct line {
    const struct service_launch *launch;
    size_t run, image; /* index of "run", of what follows the options */
    bool rm, network, memory, pull;
    const char *name; /* as given, or NULL */
};

static bool line_fail(const struct line *line, struct err *err, const char *option, const char *why)
{
    AUTO(buf_done) struct buf shown = BUF_INIT(200);
    text_add_escaped(&shown, TEXT_TERMINAL, option, strlen(option), 120);
    return err_set(err, ERR_INPUT, "service %s: container: %s: %s", line->launch->name,
                   buf_text(&shown), why);
}

/* "127.0.0.1:8080:80", "[::1]:8080:80": the host's address comes first, if there is one. */
static bool is_loopback(const char *publish)
{
    return text_starts_with(publish, "127.") || text_starts_with(publish, "[::1]:");
}

static bool line_take(struct line *line, const struct container_option *option, const char *word,
                      const char *value, struct err *err)
{
    switch (option ? option->what : WHAT_PLAIN) {
    case WHAT_PLAIN:
        break;
    case WHAT_RM:
        line->rm = true;
        break;
    case WHAT_NAME:
        line->name = value;
        break;
    case WHAT_NETWORK:
        line->network = true;
        break;
    case WHAT_PUBLISH:
        line->network = true;
        if (!is_loopback(value))
            return line_fail(line, err, word,
                             "opens the port on every interface: publish 127.0.0.1:{port}:PORT");
        break;
    case WHAT_MEMORY:
        line->memory = true;
        if (line->launch->spec->memory_limit_bytes > 0)
            return line_fail(line, err, word, "memory_limit is given too: one of them");
        break;
    case WHAT_PULL:
        line->pull = true;
        if (!line->launch->spec->allow_download && strcmp(value, "never") != 0)
            return line_fail(line, err, word, "a trial downloads nothing unless allow_download");
        break;
    case WHAT_RESTART:
        if (strcmp(value, "no") != 0)
            return line_fail(line, err, word, "a service that ends must stay ended");
        break;
    case WHAT_REFUSED:
        return line_fail(line, err, word, option->why);
    }
    return true;
}

static const struct container_option *find_long(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

static const struct container_option *find_letter(char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].letter == letter)
            return &options[i];
    return NULL;
}

/* One option that starts at argv[*at], which moves on past it and its value. */
static bool line_option(struct line *line, size_t *at, struct err *err)
{
    const char *const *argv = line->launch->argv;
    const char *word = argv[(*at)++], *value = NULL;
    const struct container_option *option = NULL;
    bool flag = false;
    if (word[1] == '-') {
        size_t len = strcspn(word + 2, "=");
        option = find_long(word + 2, len);
        flag = option && option->flag;
        if (word[2 + len] == '=')
            value = word + 3 + len;
    } else {
        for (size_t i = 1; word[i]; i++) {
            option = find_letter(word[i]);
            flag = option && option->flag;
            if (flag && !line_take(line, option, word, "", err))
                return false;
            if (!flag && word[i + 1])
                value = word + i + 1 + (word[i + 1] == '=');
            if (!flag)
                break;
        }
        if (flag)
            return true;
    }
    if (!flag && !value) {
        if (!argv[*at])
            return line_fail(line, err, word, "needs a value");
        value = argv[(*at)++];
    }
    return line_take(line, option, word, value ? value : "", err);
}

static bool line_read(struct line *line, struct err *err)
{
    const char *const *argv = line->launch->argv;
    size_t at = 1;
    while (argv[at] && strcmp(argv[at], "run") != 0)
        at++;
    if (!argv[at])
        return line_fail(line, err, argv[0], "this candidate leaves out the word \"run\"");
    line->run = at++;
    while (argv[at] && argv[at][0] == '-' && argv[at][1] && strcmp(argv[at], "--") != 0)
        if (!line_option(line, &at, err))
            return false;
    line->image = at;
    at += argv[at] && strcmp(argv[at], "--") == 0;
    return argv[at] || line_fail(line, err, argv[line->run], "no image follows");
}

struct words {
    struct arena *arena;
    const char **list;
    size_t count;
};

static void add(struct words *words, const char *word)
{
    words->list[words->count++] = word;
}

static void add_label(struct words *words, const char *key, const char *value)
{
    add(words, "--label");
    add(words, arena_printf(words->arena, "spica.%s=%s", key, value));
}

static void add_ours(struct words *words, const struct line *line, const struct spec_study *study,
                     const char *name)
{
    const struct service_launch *launch = line->launch;
    int64_t limit_bytes = launch->spec->memory_limit_bytes;
    add(words, "--cidfile");
    add(words, arena_printf(words->arena, "%s/container-id", launch->scratch));
    if (!line->name) {
        add(words, "--name");
        add(words, name);
    }
    if (!line->network)
        add(words, "--network=host");
    if (!line->pull && !launch->spec->allow_download)
        add(words, "--pull=never");
    if (limit_bytes > 0) { /* our own control group would hold the client alone */
        add(words, arena_printf(words->arena, "--memory=%lldb", (long long)limit_bytes));
        add(words, arena_printf(words->arena, "--memory-swap=%lldb", (long long)limit_bytes));
    }
    add_label(words, "study", study->name);
    add_label(words, "service", launch->name);
    add_label(words, "folder", launch->scratch);
    for (size_t i = 0; launch->env[i]; i++) {
        add(words, "-e");
        add(words, launch->env[i]);
    }
}

bool service_container_build(struct arena *arena, const struct spec_study *study,
                             struct service_launch *launch, struct err *err)
{
    struct line line = {.launch = launch};
    size_t given = 0, env = 0;
    if (!line_read(&line, err))
        return false;
    while (launch->argv[given])
        given++;
    while (launch->env[env])
        env++;
    struct words words = {.arena = arena};
    const size_t ours = 32; /* more than add_ours() can add beside the environment */
    words.list = arena_array(arena, given + 2 * env + ours, sizeof *words.list);
    const char *name =
        line.name ? line.name
                  : arena_printf(arena, "spica-%s-%s-%d", study->name, launch->name, launch->port);
    for (size_t i = 0; i <= line.run; i++)
        add(&words, launch->argv[i]);
    add_ours(&words, &line, study, name);
    for (size_t i = line.run + 1; i < given; i++) {
        if (i == line.image && line.rm)
            add(&words, "--rm=false"); /* the later one counts */
        add(&words, launch->argv[i]);
    }
    launch->argv = words.list;
    launch->env =
        arena_array(arena, 1, sizeof *launch->env); /* the container's, not the client's */
    launch->env_unset = arena_array(arena, 1, sizeof *launch->env_unset);
    launch->env_keys = NULL; /* it hands on what its command line names */
    launch->container_run = line.run;
    launch->container_name = name;
    return true;
}
