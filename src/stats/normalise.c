/* Whisper's English normaliser (Radford et al. 2022, appendix C) as a row of passes over the text.
 *
 * The original is a list of regular expressions applied one after the other, so that the result of
 * one is the input of the next, and odd results ("five o'clock" -> "50 clock") come from their
 * order. They are kept in that order and with those results: a word error rate is only comparable
 * when everybody normalises alike. A regular expression library was rejected: every pattern is a
 * literal with word boundaries, and a hand-written pass has a running time that hostile text cannot
 * raise.
 *
 * Known differences from whisper-normalizer 0.1.15: white space at the ends is dropped; those
 * listed in unicode.c, spelling.c and number_words.c.
 *
 * Invariant: every pass is linear in its input, and input is at most STATS_TEXT_MAX bytes. */
#include "stats/normalise.h"

#include <string.h>

#include "stats/number_words.h"
#include "stats/spelling.h"
#include "stats/unicode.h"
#include "stats/wer.h"

/* No pass makes a text more than some 8 times longer ("ald " -> "alderman  "). */
enum { PASS_MAX = 64 * STATS_TEXT_MAX };

struct replacement {
    const char *pattern;
    const char *by;
    bool starts; /* the pattern begins at a word boundary (\b); all end at one */
};

static const struct replacement fillers[] = {
    {"hmm", "", true}, {"mm", "", true}, {"mhm", "", true},
    {"mmm", "", true}, {"uh", "", true}, {"um", "", true},
};

static const struct replacement contractions[] = {
    {"won't", "will not", true},
    {"can't", "can not", true},
    {"let's", "let us", true},
    {"ain't", "aint", true},
    {"y'all", "you all", true},
    {"wanna", "want to", true},
    {"kinda", "kind of", true},
    {"sorta", "sort of", true},
    {"dunno", "do not know", true},
    {"gotta", "got to", true},
    {"gonna", "going to", true},
    {"i'ma", "i am going to", true},
    {"imma", "i am going to", true},
    {"woulda", "would have", true},
    {"coulda", "could have", true},
    {"shoulda", "should have", true},
    {"cause", "because", true},
    {"ma'am", "madam", true},
    /* titles */
    {"mr", "mister ", true},
    {"mrs", "missus ", true},
    {"st", "saint ", true},
    {"dr", "doctor ", true},
    {"prof", "professor ", true},
    {"capt", "captain ", true},
    {"gov", "governor ", true},
    {"ald", "alderman ", true},
    {"gen", "general ", true},
    {"sen", "senator ", true},
    {"rep", "representative ", true},
    {"pres", "president ", true},
    {"rev", "reverend ", true},
    {"hon", "honorable ", true},
    {"asst", "assistant ", true},
    {"assoc", "associate ", true},
    {"lt", "lieutenant ", true},
    {"col", "colonel ", true},
    {"jr", "junior ", true},
    {"sr", "senior ", true},
    {"esq", "esquire ", true},
    /* perfect tenses */
    {"'d been", " had been", false},
    {"'s been", " has been", false},
    {"'d gone", " had gone", false},
    {"'s gone", " has gone", false},
    {"'d done", " had done", false},
    {"'s got", " has got", false},
    /* general */
    {"n't", " not", false},
    {"'re", " are", false},
    {"'s", " is", false},
    {"'d", " would", false},
    {"'ll", " will", false},
    {"'t", " not", false},
    {"'ve", " have", false},
    {"'m", " am", false},
};

/* Two buffers that take turns: what one pass wrote, the next one reads. */
struct passes {
    struct buf in, out;
};

static void pass_done(struct passes *passes)
{
    struct buf held = passes->in;
    passes->in = passes->out;
    passes->out = held;
    buf_clear(&passes->out);
}

/* A sigma that ends a word has a small letter of its own. Python looks past apostrophes and points
 * there, we do not. */
static bool sigma_ends_word(const char *text, size_t len, size_t at)
{
    return pass_has(text, len, at, "\u03a3") && !stats_unicode_is_boundary(text, len, at) &&
           stats_unicode_is_boundary(text, len, at + 2);
}

/* Only what the patterns to come look at: the letters A to Z, and the two others whose small letter
 * is one of a to z; and what depends on the neighbours. The rest gets small in the folding. */
static void pass_lower(struct passes *passes, const char *text, size_t len)
{
    static const char *const others[][2] = {{"\u0130", "i\u0307"}, {"\u212a", "k"}};
    for (size_t i = 0; i < len; i++) {
        size_t o = 0;
        while (o < ARRAY_LEN(others) && !pass_has(text, len, i, others[o][0]))
            o++;
        if (o < ARRAY_LEN(others)) {
            buf_add(&passes->out, others[o][1]);
            i += strlen(others[o][0]) - 1;
        } else if (sigma_ends_word(text, len, i)) {
            buf_add(&passes->out, "\u03c2");
            i++;
        } else {
            char small = (char)(text[i] | 0x20);
            buf_addc(&passes->out, text[i] >= 'A' && text[i] <= 'Z' ? small : text[i]);
        }
    }
    pass_done(passes);
}

/* [<\[][^>\]]*[>\]] -> "" */
static void pass_brackets(struct passes *passes)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    bool closes = true; /* is there a closing bracket further on? Once not, never again */
    for (size_t i = 0; i < len; i++) {
        if (closes && (text[i] == '<' || text[i] == '[')) {
            size_t end = i + 1 + strcspn(text + i + 1, ">]");
            closes = end < len;
            if (closes) {
                i = end;
                continue;
            }
        }
        buf_addc(&passes->out, text[i]);
    }
    pass_done(passes);
}

/* \(([^)]+?)\) -> "" */
static void pass_parentheses(struct passes *passes)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    bool closes = true;
    for (size_t i = 0; i < len; i++) {
        if (closes && text[i] == '(') {
            size_t end = i + 1 + strcspn(text + i + 1, ")");
            closes = end < len;
            if (closes && end > i + 1) {
                i = end;
                continue;
            }
        }
        buf_addc(&passes->out, text[i]);
    }
    pass_done(passes);
}

static void pass_replace(struct passes *passes, const struct replacement *replacement)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len, size = strlen(replacement->pattern), copied = 0;
    const char *at = memmem(text, len, replacement->pattern, size);
    if (!at)
        return;
    while (at) {
        size_t start = (size_t)(at - text), end = start + size, next = start + 1;
        if ((!replacement->starts || stats_unicode_is_boundary(text, len, start)) &&
            stats_unicode_is_boundary(text, len, end)) {
            pass_copy(&passes->out, text + copied, start - copied);
            buf_add(&passes->out, replacement->by);
            copied = next = end;
        }
        at = memmem(text + next, len - next, replacement->pattern, size);
    }
    pass_copy(&passes->out, text + copied, len - copied);
    pass_done(passes);
}

static size_t space_at(const char *text, size_t len, size_t at)
{
    uint32_t code;
    size_t size = stats_unicode_decode(text + at, len - at, &code);
    return stats_unicode_is_space(code) ? size : 0;
}

/* \s+' -> ' */
static void pass_apostrophes(struct passes *passes)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    for (size_t i = 0; i < len;) {
        size_t end = i, size = space_at(text, len, i);
        while (size > 0) {
            end += size;
            size = end < len ? space_at(text, len, end) : 0;
        }
        if (end == i)
            end = i + 1;
        else if (end < len && text[end] == '\'')
            i = end;
        pass_copy(&passes->out, text + i, end - i);
        i = end;
    }
    pass_done(passes);
}

/* (\d),(\d) -> \1\2, without a second look at the digit after the comma: "1,2,3" -> "12,3". */
static void pass_commas(struct passes *passes)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    for (size_t i = 0; i < len; i++) {
        buf_addc(&passes->out, text[i]);
        if (i + 2 < len && pass_is_digit(text[i]) && text[i + 1] == ',' &&
            pass_is_digit(text[i + 2])) {
            buf_addc(&passes->out, text[i + 2]);
            i += 2;
        }
    }
    pass_done(passes);
}

/* `signs`([^0-9]) -> " \1"; with `at_end` also at the end of the text. The character after the sign
 * is consumed: of "..a" only the first point goes. */
static void pass_signs(struct passes *passes, const char *const *signs, bool at_end)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    for (size_t i = 0; i < len;) {
        size_t size = 0;
        for (size_t s = 0; signs[s] && size == 0; s++)
            size = pass_has(text, len, i, signs[s]) ? strlen(signs[s]) : 0;
        size_t next = i + size;
        bool alone = next == len ? at_end : !pass_is_digit(text[next]);
        if (size == 0 || !alone) {
            buf_addc(&passes->out, text[i++]);
            continue;
        }
        buf_addc(&passes->out, ' ');
        uint32_t code;
        size_t after = next < len ? stats_unicode_decode(text + next, len - next, &code) : 0;
        pass_copy(&passes->out, text + next, after);
        i = next + after;
    }
    pass_done(passes);
}

/* ([^0-9])% -> "\1 " */
static void pass_percents(struct passes *passes)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len;
    for (size_t i = 0; i < len; i++) {
        buf_addc(&passes->out, text[i]);
        if (i + 1 < len && !pass_is_digit(text[i]) && text[i + 1] == '%') {
            buf_addc(&passes->out, ' ');
            i++;
        }
    }
    pass_done(passes);
}

static void pass_fold(struct passes *passes, enum unicode_fold fold)
{
    const char *text = buf_text(&passes->in);
    size_t len = passes->in.len, size;
    for (size_t i = 0; i < len; i += size) {
        uint32_t code;
        size = stats_unicode_decode(text + i, len - i, &code);
        const char *by = code == UNICODE_BROKEN ? " " : stats_unicode_fold(code, fold);
        if (by)
            buf_add(&passes->out, by);
        else
            pass_copy(&passes->out, text + i, size);
    }
    pass_done(passes);
}

/* The end of the word that begins at `at`. */
static size_t word_end(const char *text, size_t len, size_t at)
{
    while (at < len && space_at(text, len, at) == 0) {
        uint32_t code;
        at += stats_unicode_decode(text + at, len - at, &code);
    }
    return at;
}

enum word_change { WORDS_AS_THEY_ARE, WORDS_AMERICAN };

/* Words with single spaces between them. */
static void join_words(const char *text, size_t len, enum word_change change, struct buf *out)
{
    bool first = true;
    for (size_t i = 0; i < len;) {
        size_t space = space_at(text, len, i);
        if (space > 0) {
            i += space;
            continue;
        }
        size_t end = word_end(text, len, i), skip = 0;
        if (!first)
            buf_addc(out, ' ');
        first = false;
        const struct spelling *spelling =
            change == WORDS_AMERICAN ? stats_spelling_find(text + i, end - i) : NULL;
        if (spelling) {
            buf_add(out, spelling->american);
            skip = strlen(spelling->british);
        }
        pass_copy(out, text + i + skip, end - i - skip);
        i = end;
    }
}

static void normalise_english(struct passes *passes)
{
    static const char *const point[] = {".", NULL};
    static const char *const signs[] = {".", "$", "\u00a2", "\u00a3", "\u20ac", NULL};
    pass_brackets(passes);
    pass_parentheses(passes);
    for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
        pass_replace(passes, &fillers[i]);
    pass_apostrophes(passes);
    for (size_t i = 0; i < ARRAY_LEN(contractions); i++)
        pass_replace(passes, &contractions[i]);
    pass_commas(passes);
    pass_signs(passes, point, true);
    pass_fold(passes, FOLD_ENGLISH);
    join_words(buf_text(&passes->in), passes->in.len, WORDS_AS_THEY_ARE, &passes->out);
    pass_done(passes);
    stats_number_prepare(buf_text(&passes->in), passes->in.len, &passes->out);
    pass_done(passes);
    stats_number_words(buf_text(&passes->in), passes->in.len, &passes->out);
    pass_done(passes);
    stats_number_finish(buf_text(&passes->in), passes->in.len, &passes->out);
    pass_done(passes);
    join_words(buf_text(&passes->in), passes->in.len, WORDS_AMERICAN, &passes->out);
    pass_done(passes);
    pass_signs(passes, signs, false);
    pass_percents(passes);
}

void stats_normalise(enum stats_normaliser normaliser, const char *text, struct buf *buf)
{
    size_t len = strnlen(text, STATS_TEXT_MAX);
    struct passes passes = {BUF_INIT(PASS_MAX), BUF_INIT(PASS_MAX)};
    if (normaliser == NORMALISER_NONE) {
        join_words(text, len, WORDS_AS_THEY_ARE, buf);
        return;
    }
    pass_lower(&passes, text, len);
    if (normaliser == NORMALISER_ENGLISH) {
        normalise_english(&passes);
    } else {
        pass_brackets(&passes);
        pass_parentheses(&passes);
        pass_fold(&passes, FOLD_PLAIN);
    }
    join_words(buf_text(&passes.in), passes.in.len, WORDS_AS_THEY_ARE, buf);
    buf_done(&passes.in);
    buf_done(&passes.out);
}
