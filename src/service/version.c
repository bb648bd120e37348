/* The one program that is run outside a keeper: it answers at once or is killed, and what it has
 * started with it. A pipe and poll(2), no shell; its output is outside text and bounded. */
#include "service/version.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "service/engines/engines.h"
#include "service/environment.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

enum { ARGS_MAX = 8, OUTPUT_MAX = 64 * 1024 };
static const int64_t WITHIN_NS = 5 * NS_PER_S;

struct question {
    const char *program;
    const char *argv[ARGS_MAX + 2];
    bool (*read)(const char *text, char *ret_version, size_t size);
};

/* In a session of its own: what it starts can be killed with it, and has no terminal. */
static pid_t spawn(const struct service_launch *launch, const struct question *question, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    pid_t pid = -1;
    char **env = service_environment_build(launch, "version");
    if (posix_spawn(&pid, question->program, &actions, &attributes, (char *const *)question->argv,
                    env) != 0)
        pid = -1;
    service_environment_free(env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void read_all(int fd, struct buf *output)
{
    int64_t deadline_ns = clock_now_ns() + WITHIN_NS;
    for (;;) {
        int64_t left_ns = deadline_ns - clock_now_ns();
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        if (left_ns <= 0 || poll(&pollfd, 1, (int)(left_ns / NS_PER_MS) + 1) <= 0)
            return;
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0 || !buf_append(output, chunk, (size_t)n))
            return;
    }
}

/* Of "python3 -u server.py" the script is what a result depends on, not the interpreter. */
const char *service_version_subject(struct arena *arena, const struct service_launch *launch)
{
    static const char *const interpreters[] = {"python", "pypy", "node", "ruby",
                                               "perl",   "sh",   "bash"};
    const char *base = strrchr(launch->program, '/');
    bool interpreter = false;
    base = base ? base + 1 : launch->program;
    for (size_t i = 0; i < ARRAY_LEN(interpreters) && !launch->engine; i++) {
        size_t len = strlen(interpreters[i]);
        interpreter |= strncmp(base, interpreters[i], len) == 0 &&
                       base[len + strspn(base + len, "0123456789.")] == '\0';
    }
    for (size_t i = 1; interpreter && launch->argv && launch->argv[i]; i++) {
        const char *word = launch->argv[i];
        if (word[0] == '-')
            continue;
        const char *path =
            word[0] == '/' ? word : arena_printf(arena, "%s/%s", launch->folder, word);
        return file_exists(path) ? path : launch->program;
    }
    return launch->program;
}

static char *program_digest(const char *program)
{
    char hex[DIGEST_HEX_SIZE], text[32];
    if (!digest_file(program, hex, NULL))
        return NULL;
    snprintf(text, sizeof text, "sha256 %.12s", hex);
    return strdup(text);
}

static bool read_package(const char *text, char *ret_version, size_t size)
{
    return engine_version_after(text, "package: ", "\n", ret_version, size);
}

/* How the program is asked; false: it can't be. */
static bool question_make(const struct service_launch *launch, struct arena *arena,
                          struct question *ret_question)
{
    static const char code[] = "import importlib.metadata as m, sys\n"
                               "print('package:', sys.argv[1], m.version(sys.argv[1]))";
    const struct engine_ops *engine = launch->engine ? engine_find(launch->engine->name) : NULL;
    struct question question = {.program = launch->program, .argv = {launch->program}};
    const char **python =
        engine && engine->python_package
            ? engine_python_argv(arena, code, engine->python_package, &question.program)
            : NULL;
    for (int i = 0; python && i <= ARGS_MAX && python[i]; i++)
        question.argv[i] = python[i];
    if (python) {
        question.read = read_package;
    } else if (engine && engine->version && engine->version_argv) {
        for (int i = 0; i < ARGS_MAX && engine->version_argv[i]; i++)
            question.argv[i + 1] = engine->version_argv[i];
        question.read = engine->version;
    }
    *ret_question = question;
    return question.read != NULL;
}

char *service_version_read(const struct service_launch *launch)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct question question;
    if (!question_make(launch, arena, &question))
        return program_digest(service_version_subject(arena, launch));
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return NULL;
    AUTO(fd) int in = fds[0];
    AUTO(buf_done) struct buf output = BUF_INIT(OUTPUT_MAX);
    pid_t pid = spawn(launch, &question, fds[1]);
    close(fds[1]);
    if (pid < 0)
        return NULL;
    read_all(in, &output);
    kill(-pid, SIGKILL); /* ours and unreaped, so the number is still its session's */
    waitpid(pid, NULL, 0);
    char version[64];
    if (!question.read(buf_text(&output), version, sizeof version))
        return program_digest(service_version_subject(arena, launch));
    return strdup(version);
}
