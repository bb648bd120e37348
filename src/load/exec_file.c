/* A command is a list of words with placeholders. They are filled in one pass, so that a prompt
 * which itself holds "{audio}" stays as it is; and by us, not by a shell, so that a prompt can't
 * become a command. A body is written to its file once, before it is due, and shared by all
 * requests that carry it: programs that write where they read are on their own. */
#include "load/exec_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_MAX_BYTES = 1 << 20 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word at *at, which moves behind it. False: a quote that does not end. */
static bool take_word(const char **at, struct buf *ret_words)
{
    char quote = 0;
    const char *p = *at;
    for (; *p && (quote || !is_blank(*p)); p++) {
        if (*p == '\\' && quote != '\'' && p[1])
            buf_addc(ret_words, *++p);
        else if (quote ? *p == quote : *p == '\'' || *p == '"')
            quote = quote ? 0 : *p;
        else
            buf_addc(ret_words, *p);
    }
    buf_addc(ret_words, '\0');
    *at = p;
    return quote == 0;
}

bool load_exec_words(const char *command, struct buf *ret_words, struct err *err)
{
    const char *at = command;
    for (;;) {
        while (is_blank(*at))
            at++;
        if (!*at)
            break;
        if (!take_word(&at, ret_words))
            return err_set(err, ERR_INPUT, "command: a quote that does not end: %.200s", command);
    }
    if (ret_words->len == 0 || ret_words->data[0] == '\0' || ret_words->over)
        return err_set(err, ERR_INPUT, "command: a program and its arguments are wanted");
    return true;
}

bool load_exec_take(const char *const *argv, struct buf *ret_words, struct err *err)
{
    for (size_t i = 0; argv[i]; i++)
        if (!buf_append(ret_words, argv[i], strlen(argv[i]) + 1))
            return err_set(err, ERR_LIMIT, "command: a command line over our size limit");
    return true;
}

bool load_exec_names(const struct buf *words, const char *placeholder)
{
    return words->len > 0 && memmem(words->data, words->len, placeholder, strlen(placeholder));
}

/* Writes what stands for the text at `at` and returns the length of its placeholder; 0: none. */
static size_t fill(const char *at, const struct load_request *request, const char *path,
                   struct buf *out)
{
    static const char *const files[] = {"{audio}", "{text_file}"};
    static const char prompt[] = "{prompt}";
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (path && strncmp(at, files[i], strlen(files[i])) == 0) {
            buf_add(out, path);
            return strlen(files[i]);
        }
    if (strncmp(at, prompt, sizeof prompt - 1) != 0)
        return 0;
    buf_add(out, buf_text(&request->body));
    return sizeof prompt - 1;
}

static char *fill_word(const char *word, const struct load_request *request, const char *path)
{
    struct buf out = BUF_INIT(request->body.len + WORDS_MAX_BYTES);
    for (const char *at = word; *at;) {
        size_t len = *at == '{' ? fill(at, request, path, &out) : 0;
        if (len == 0)
            buf_addc(&out, *at);
        at += len ? len : 1;
    }
    return buf_take(&out);
}

/* A name nobody else has: programs may judge a file by how its name ends. */
static bool write_file(struct load_exec_line *line, const char *folder,
                       const struct load_request *request)
{
    const char *end = request->file_end ? request->file_end : "";
    size_t size = strlen(folder) + strlen(end) + 32, done = 0;
    line->path = malloc(size);
    if (!line->path)
        abort();
    snprintf(line->path, size, "%s/XXXXXX%s", folder, end);
    AUTO(fd) int fd = mkostemps(line->path, (int)strlen(end), O_CLOEXEC);
    while (fd >= 0 && done < request->body.len) {
        ssize_t n = write(fd, request->body.data + done, request->body.len - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return fd >= 0;
}

struct load_exec_line *load_exec_line_new(const char *folder, const struct load_request *request)
{
    const struct buf *words = &request->words;
    size_t count = 0, used = 0;
    for (size_t i = 0; i < words->len; i++)
        count += words->data[i] == '\0';
    struct load_exec_line *line = calloc(1, sizeof *line);
    char **argv = calloc(count + 1, sizeof *argv);
    if (!line || !argv)
        abort();
    line->argv = argv;
    bool file = load_exec_names(words, "{audio}") || load_exec_names(words, "{text_file}");
    if (file && !write_file(line, folder, request))
        line->sys = errno;
    for (const char *at = buf_text(words); used < count; at += strlen(at) + 1)
        line->argv[used++] = fill_word(at, request, line->path);
    return line;
}

struct load_exec_line *load_exec_line_free(struct load_exec_line *line)
{
    if (!line)
        return NULL;
    for (char **word = line->argv; *word; word++)
        free(*word);
    if (line->path)
        unlink(line->path);
    free(line->argv);
    free(line->path);
    free(line);
    return NULL;
}
