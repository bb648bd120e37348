/* What a secret is, by the name or by the looks of its value.
 *
 * No list of names is whole, so words are looked for in a name's parts, also several of them and
 * run together. Where that is wrong a harmless value is hidden and its change still shows, by the
 * digest; the other way round a password would be in the log of a pipeline. What must stay readable
 * is what people approve by: sizes, paths, switches. A number is never a secret by its name alone
 * (MAX_TOKEN=512), nor is a file's path under ..._FILE. */
#include "promote/secret.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_one_of(const char *const *words, size_t count, const char *part, size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], part, len) == 0)
            return true;
    return false;
}

/* Several of it, or run together with what is before it: "KEYS", "OPENAIKEY", "HFTOKEN". Where it
 * is wrong ("WHISKEY") a harmless value is hidden. */
static bool is_word(const char *part, size_t len)
{
    static const char *const wholes[] = {"PRIVATE", "AUTHORIZATION", "BEARER"};
    static const char *const ends[] = {"KEY", "TOKEN", "SECRET", "CREDENTIAL", "CRED",
                                       "JWT", "AUTH",  "COOKIE", "WEBHOOK",    "PW"};
    static const char *const others[] = {"MONKEY", "TURKEY", "DONKEY", "HOTKEY"};
    if (len > 1 && toupper((unsigned char)part[len - 1]) == 'S')
        len--;
    if (is_one_of(others, ARRAY_LEN(others), part, len))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const size_t end = strlen(ends[i]);
        if (len >= end && strncasecmp(part + len - end, ends[i], end) == 0)
            return true;
    }
    return is_one_of(wholes, ARRAY_LEN(wholes), part, len);
}

/* "MAX_TOKENS", "max-num-batched-tokens": how many of them. */
static bool is_count(const char *name)
{
    static const char *const counts[] = {"MAX", "MIN", "NUM", "COUNT", "LIMIT"};
    static const char *const many[] = {"TOKENS", "KEYS"};
    bool counted = false, several = false;
    for (size_t len = 0; *name; name += len + strspn(name + len, "_-.")) {
        len = strcspn(name, "_-.");
        counted = counted || is_one_of(counts, ARRAY_LEN(counts), name, len);
        several = several || is_one_of(many, ARRAY_LEN(many), name, len);
        if (is_word(name, len) && !is_one_of(many, ARRAY_LEN(many), name, len))
            return false;
    }
    return counted && several;
}

/* Anywhere in it, as people run it together: PGPASSWORD, DBPASS, "mysqlpwd". The shell's own names
 * of folders are none, nor are words that begin so: "passed", "passthrough". */
static bool names_password(const char *name)
{
    static const char *const folders[] = {"PWD", "OLDPWD"};
    static const char *const others[] = {"ED", "ES", "ING", "IVE", "THR"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (strcasecmp(name, folders[i]) == 0)
            return false;
    for (const char *at = strcasestr(name, "PASS"); at; at = strcasestr(at + 4, "PASS")) {
        bool other = false;
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            other = other || strncasecmp(at + 4, others[i], strlen(others[i])) == 0;
        if (!other)
            return true;
    }
    return strcasestr(name, "PWD");
}

/* "HF_TOKEN", "--api-key", "API_KEYS"; not "TOKENIZERS_PARALLELISM", not "KEY_FILE". */
static bool name_says_so(const char *name)
{
    static const char *const harmless[] = {"FILE", "PATH", "DIR", "ENV", "NAME", "ID"};
    bool says = names_password(name);
    size_t len = 0;
    const char *part = name;
    for (; *part; part += len + strspn(part + len, "_-.")) {
        len = strcspn(part, "_-.");
        says = says || (len && is_word(part, len) && !is_count(name));
        if (part[len] == '\0')
            break;
    }
    return says && !is_one_of(harmless, ARRAY_LEN(harmless), part, len);
}

/* At least 20 letters and digits on end, of all three kinds, as no word or version has. */
static bool looks_random(const char *value)
{
    enum { RUN = 20 };
    size_t run = 0;
    unsigned kinds = 0;
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (!isalnum(c)) {
            run = 0;
            kinds = 0;
            continue;
        }
        kinds |= isupper(c) ? 1u : islower(c) ? 2u : 4u;
        if (++run >= RUN && kinds == 7)
            return true;
    }
    return false;
}

static bool looks_so(const char *value)
{
    static const char *const beginnings[] = {"sk-",   "hf_",   "ghp_",   "gho_", "github_pat_",
                                             "xoxb-", "xoxp-", "glpat-", "AKIA", "eyJ"};
    enum { LEAST = 12 };
    if (strlen(value) < LEAST)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++)
        if (text_starts_with(value, beginnings[i]))
            return true;
    return looks_random(value);
}

static bool is_switch(const char *value)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

bool promote_is_secret(const char *name, const char *value)
{
    size_t digits = strspn(value, "0123456789");
    bool number = digits <= 9 && value[digits] == '\0';
    if (!*value || (number && !(name && names_password(name))))
        return false;
    return (name && name_says_so(name) && !is_switch(value)) || looks_so(value);
}
