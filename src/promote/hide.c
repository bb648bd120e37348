/* Secrets hidden in what is shown: files of systemd, variables, YAML, command lines.
 *
 * One scanner for all of them, by what they have in common: a name, something that says "is", a
 * value that ends at its quote, at a blank, or with the line. Rejected: a parser for each format.
 * What one of them does not understand it would show.
 *
 * What looks like a secret is hidden too, wherever it stands. What was hidden before stays as it
 * is, so that a text may pass more than once. */
#include "promote/secret.h"

#include "base/digest.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct scanner {
    const char *at;
    const char *line; /* start of the one that `at` is in */
    const char *const *marked;
    struct buf *buf;
    void (*found)(void *context, const char *value); /* each that is hidden; NULL: nobody asks */
    void *context;
    char name[160];   /* the last one that a value may follow */
    char listed[160]; /* of "- name: X", whose value stands in the next line */
};

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_marked(const struct scanner *s, const char *name)
{
    for (size_t i = 0; s->marked && s->marked[i]; i++)
        if (strcmp(s->marked[i], name) == 0)
            return true;
    return false;
}

void promote_hide_value(const char *value, struct buf *buf)
{
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(value, strlen(value), hex);
    buf_addf(buf, "<secret %.8s>", hex);
}

static void add_hidden(const struct scanner *s, const char *value)
{
    promote_hide_value(value, s->buf);
    if (s->found)
        s->found(s->context, value);
}

/* "<secret 1a2b3c4d>" by itself, hidden before: its length, else 0. */
static size_t hidden_length(const char *text)
{
    static const char begin[] = "<secret ";
    enum { HEX = 8 };
    const char *hex = text + sizeof begin - 1;
    if (!text_starts_with(text, begin) || strspn(hex, "0123456789abcdef") < HEX ||
        hex[HEX] != '>' || (hex[HEX + 1] && !strchr(" \t\n\"',;:)]", hex[HEX + 1])))
        return 0;
    return sizeof begin - 1 + HEX + 1;
}

/* The value as its format means it: without the escapes that systemd, env files and YAML write. */
static char *plain(const char *raw, size_t len)
{
    struct buf buf = BUF_INIT(1 << 20);
    for (size_t i = 0; i < len; i++) {
        if ((raw[i] == '\\' || ((raw[i] == '%' || raw[i] == '$') && raw[i + 1] == raw[i])) &&
            i + 1 < len)
            i++;
        buf_addc(&buf, raw[i]);
    }
    return buf_take(&buf);
}

/* Over several lines, as files of variables allow it. One that is never closed ends with its
 * line. */
static size_t quoted_length(const char *text, char quote)
{
    size_t len = 0;
    while (text[len] && text[len] != quote)
        len += text[len] == '\\' && text[len + 1] ? 2 : 1;
    return text[len] ? len : strcspn(text, "\n");
}

/* To the end of the line; a backslash there, and YAML's block ("|", ">"), goes on in the next. */
static size_t lines_length(const struct scanner *s, char sign)
{
    const char *at = s->at;
    size_t len = strcspn(at, "\n"), depth = strspn(s->line, " ");
    while (sign == '=' && len && at[len] && at[len - 1] == '\\')
        len += 1 + strcspn(at + len + 1, "\n");
    while (sign == ':' && strchr("|>", *at) && at[len]) {
        const char *next = at + len + 1;
        size_t blanks = strspn(next, " ");
        if (next[blanks] && next[blanks] != '\n' && blanks <= depth)
            break;
        len += 1 + strcspn(next, "\n");
    }
    while (sign == ':' && len && at[len - 1] == '\n')
        len--;
    return len;
}

/* A comma is part of it unless it is at its end, as in a list of YAML without quotes. */
static size_t word_length(const char *text)
{
    size_t len = 0;
    while (text[len] && !strchr(" \t\n\"'", text[len]))
        len += text[len] == '\\' && text[len + 1] && text[len + 1] != '\n' ? 2 : 1;
    while (len && text[len - 1] == ',')
        len--;
    return len;
}

/* "-u anna:hunter2": up to the password; 0: there is none. "-u 1000:1000" is a user and a group. */
static size_t user_length(const char *option, const char *value)
{
    static const char *const options[] = {"u", "user", "proxy-user"};
    const size_t len = strcspn(value, ":/");
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        known = known || strcmp(options[i], option) == 0;
    if (!known || len == 0 || value[len] != ':' || !value[len + 1] ||
        !value[strspn(value, "0123456789:")])
        return 0;
    return len + 1;
}

static void pass(struct scanner *s, size_t len)
{
    if (!buf_append(s->buf, s->at, len))
        s->buf->over = true;
    s->at += len;
}

/* A value of `len` bytes at hand, hidden if it is to be. */
static void add_value(struct scanner *s, const char *name, size_t len)
{
    AUTO(free) char *value = plain(s->at, len);
    const size_t hidden = hidden_length(s->at), user = user_length(name, value);
    if (hidden) {
        pass(s, hidden);
    } else if (user && user < len && !is_marked(s, name)) {
        pass(s, user);
        add_value(s, "PASSWORD", len - user);
    } else if (len && (is_marked(s, name) || promote_is_secret(name, value))) {
        add_hidden(s, value);
        s->at += len;
    } else {
        pass(s, len);
    }
}

/* What is between a name and its value: `=`, `: `, or for an option a blank, with their quotes. */
static size_t link_length(const char *at, char quote, bool option, char *ret_sign)
{
    size_t len = quote && at[0] == quote ? 1 : 0;
    if (at[len] == '=' && (!quote || len == 0)) {
        *ret_sign = '=';
        return len + 1;
    }
    if (at[len] == ':' && (at[len + 1] == ' ' || at[len + 1] == '"')) {
        *ret_sign = ':';
        return len + 1 + strspn(at + len + 1, " ");
    }
    size_t blanks = strspn(at + len, " \t,\\\n");
    *ret_sign = ' ';
    return option && blanks ? len + blanks : 0;
}

/* At the start of a name. */
static void scan_name(struct scanner *s)
{
    const char before = s->at > s->line ? s->at[-1] : '\n';
    const char quote = before == '"' || before == '\'' ? before : '\0';
    size_t len = 0;
    char sign = 0;
    while (is_name_char(s->at[len]))
        len++;
    const size_t dashes = strspn(s->at, "-");
    snprintf(s->name, sizeof s->name, "%.*s", (int)len, s->at);
    /* "Bearer XYZ" is followed by its value, as an option is. */
    const bool bearer = strcasecmp(s->name, "Bearer") == 0;
    const bool option = bearer || (dashes && dashes < len);
    size_t link = link_length(s->at + len, quote, option, &sign);
    if (link == 0) {
        add_value(s, "", len); /* a word by itself may look like one */
        return;
    }
    const char *name = s->name + (option && !bearer ? dashes : 0);
    const bool named = promote_is_secret(name, "a value") || is_marked(s, name) ||
                       (dashes && user_length(name, "a:b"));
    const bool at_line = s->at == s->line + strspn(s->line, " \t-");
    const bool closed = s->at[len] == quote;
    pass(s, len + link);
    const bool listed = strcmp(name, "value") == 0 && s->listed[0];
    const char *whose = listed ? s->listed : name;
    if (!named && !listed && strcmp(name, "name") != 0)
        return; /* the value is looked at as any text */
    size_t value = 0;
    if (quote && (sign == '=' || !closed)) { /* the quotes are around the name and the value */
        value = quoted_length(s->at, quote);
    } else if (*s->at == '"' || *s->at == '\'') {
        const char inner = *s->at;
        pass(s, 1);
        value = quoted_length(s->at, inner);
    } else {
        value =
            (sign == '=' && at_line) || sign == ':' ? lines_length(s, sign) : word_length(s->at);
    }
    if (strcmp(name, "name") == 0)
        snprintf(s->listed, sizeof s->listed, "%.*s", (int)value, s->at);
    if (sign == ' ' && *s->at == '-') /* an option without one */
        return;
    add_value(s, strcmp(name, "name") == 0 ? "" : whose, value);
    if (listed)
        s->listed[0] = '\0';
}

/* Whoever knows it may post there: "hooks.slack.com/services/T0/B0/x", ".../webhooks/7/x". Up to
 * what is hidden; 0: none. */
static size_t hook_length(const char *at, size_t all)
{
    size_t host = strcspn(at, "/");
    AUTO(free) char *whole = strndup(at, all);
    if (!whole || host + 1 >= all)
        return 0;
    return text_starts_with(at, "hooks.") || strcasestr(whole, "webhook") ? host + 1 : 0;
}

/* At "://": who logs in there, "USER:PASSWORD@" or "TOKEN@". A password may hold a slash that
 * should have been escaped; "host:8000/a@b" has none. */
static void scan_url(struct scanner *s)
{
    enum { SHORT = 8 }; /* "git@", "anna@" */
    pass(s, 3);
    size_t all = strcspn(s->at, " \t\n\"'"), hook = hook_length(s->at, all);
    if (hook) {
        pass(s, hook);
        add_value(s, "PASSWORD", all - hook);
        return;
    }
    size_t end = strcspn(s->at, "/?#"), colon = 0, at = 0;
    end = end < all ? end : all;
    colon = strcspn(s->at, ":");
    if (colon < end && strspn(s->at + colon + 1, "0123456789") < end - colon - 1)
        end = all;
    for (size_t i = 0; i < end; i++)
        at = s->at[i] == '@' ? i : at;
    if (at == 0 || (colon >= at && at < SHORT))
        return;
    if (colon < at)
        pass(s, colon + 1);
    at -= colon < at ? colon + 1 : 0;
    AUTO(free) char *value = strndup(s->at, at);
    if (at && value && hidden_length(s->at) == at)
        buf_add(s->buf, value);
    else if (at && value)
        add_hidden(s, value);
    s->at += at;
}

static void scan(struct scanner *s, const char *text)
{
    s->at = s->line = text;
    while (*s->at) {
        if (is_name_char(*s->at)) {
            scan_name(s);
            continue;
        }
        if (text_starts_with(s->at, "://")) {
            scan_url(s);
            continue;
        }
        if (*s->at == '\n')
            s->line = s->at + 1;
        pass(s, 1);
    }
}

void promote_hide_secrets(const char *text, const char *const *marked_names, struct buf *buf)
{
    struct scanner s = {.marked = marked_names, .buf = buf};
    scan(&s, text);
}

static void scan_word(struct scanner *s, const char *before, const char *word)
{
    const size_t dashes = before ? strspn(before, "-") : 0, own = strspn(word, "-");
    const size_t link = strcspn(word, "=");
    AUTO(free) char *name = strndup(word + own, link > own ? link - own : 0);
    if (dashes && !own &&
        (promote_is_secret(before + dashes, word) || is_marked(s, before + dashes))) {
        add_hidden(s, word);
    } else if (dashes && !own && user_length(before + dashes, word)) {
        const size_t user = user_length(before + dashes, word);
        if (!buf_append(s->buf, word, user))
            s->buf->over = true;
        add_hidden(s, word + user);
    } else if (name && word[link] && word[link + 1] &&
               (promote_is_secret(name, word + link + 1) || is_marked(s, name))) {
        /* One word, whatever blanks and quotes are in it. */
        if (!buf_append(s->buf, word, link + 1))
            s->buf->over = true;
        add_hidden(s, word + link + 1);
    } else {
        scan(s, word);
    }
}

void promote_hide_word(const char *before, const char *word, const char *const *marked_names,
                       struct buf *buf)
{
    struct scanner s = {.marked = marked_names, .buf = buf};
    scan_word(&s, before, word);
}

void promote_secrets_each(const char *text, const char *const *marked_names,
                          void (*found)(void *context, const char *value), void *context)
{
    AUTO(buf_done) struct buf nobody = BUF_INIT(0);
    struct scanner s = {.marked = marked_names, .buf = &nobody, .found = found, .context = context};
    scan(&s, text);
}

void promote_secrets_each_word(const char *const *words, const char *const *marked_names,
                               void (*found)(void *context, const char *value), void *context)
{
    AUTO(buf_done) struct buf nobody = BUF_INIT(0);
    for (size_t i = 0; words && words[i]; i++) {
        struct scanner s = {
            .marked = marked_names, .buf = &nobody, .found = found, .context = context};
        scan_word(&s, i ? words[i - 1] : NULL, words[i]);
    }
}
