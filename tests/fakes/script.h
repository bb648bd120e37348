/* What happens to which request: rules "--at 3:ACTION", and their effect on request n. */
#ifndef FAKES_SCRIPT_H
#define FAKES_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum script_when {
    SCRIPT_AT,    /* only request n */
    SCRIPT_EVERY, /* every n-th request */
    SCRIPT_FROM,  /* request n and all later ones */
    SCRIPT_SOME,  /* that share of the requests, drawn by the seed */
};

/* What the answer says. */
enum script_words {
    WORDS_RIGHT,    /* the transcript, or a plausible text */
    WORDS_SAY,      /* effect.text */
    WORDS_NONSENSE, /* well-formed, but not words of any language */
    WORDS_EMPTY,
    WORDS_BANG,   /* !!!!!! */
    WORDS_REPEAT, /* "Thank you." effect.count times */
};

/* How the answer reaches the client, or does not. */
enum script_ending {
    ENDING_NORMAL,
    ENDING_STALL,         /* never a byte; the slot stays taken until the client leaves */
    ENDING_STALL_HEADERS, /* status line and headers, then silence */
    ENDING_STALL_MID,     /* half the body, then silence */
    ENDING_CLOSE,         /* closed without a byte */
    ENDING_RESET,         /* the same by RST */
    ENDING_CLOSE_MID,     /* closed after half the body */
    ENDING_GARBAGE,       /* HTTP 200 with a body that is not of the protocol */
    ENDING_EMPTY_BODY,    /* HTTP 200, no body at all */
    ENDING_BODY,          /* HTTP 200 with the bytes of the file `body` */
    ENDING_ENDLESS,       /* HTTP 200 with the text `body` again and again */
    ENDING_NOT_HTTP,      /* bytes that are not HTTP */
};

/* What the whole process does when the request has arrived, before it is served. */
enum script_deed {
    DEED_PRINT,      /* text to stderr */
    DEED_GROW,       /* bytes leaked */
    DEED_DIE,        /* exit with number */
    DEED_SIGNAL,     /* signal number to itself */
    DEED_HANG,       /* from now on no work is answered; /health answers number */
    DEED_FREEZE,     /* answers nothing for ns */
    DEED_KILL_CHILD, /* signal number to its children */
    DEED_TOUCH,      /* an empty file, for others to see */
    DEED_MUTE,       /* from now on nothing at all is answered, /health neither */
};

struct script_effect {
    enum script_words words;
    enum script_ending ending;
    int64_t slow_ns;  /* added to the latency */
    int64_t load_ns;  /* of it, what Ollama says that loading took; 0 when none */
    int status;       /* HTTP status other than 200; 0 when none */
    const char *text; /* for status or words; borrowed from the rule; may be NULL */
    const char *body; /* for ENDING_BODY, ENDING_ENDLESS; borrowed from the rule */
    long count;       /* for WORDS_REPEAT */
    bool echo_key;    /* the words, or the error's message, quote the request's Authorization */
    uint32_t sse;     /* set of SSE_BIT() added for this request */
};

struct script_rule;

struct script {
    struct script_rule *rules; /* owned */
    size_t count;
    uint64_t seed;
};

/* Parses "N:ACTION[:ARGUMENT]" and appends it; on failure fills `why`. `text` is borrowed for good.
 */
bool script_add(struct script *script, enum script_when when, const char *text, char *why,
                size_t why_size);
/* Does the deeds of all rules that match request n (1 is the first), in order, by `deed`, and
 * returns the sum of the effects of the others. */
typedef void (*script_deed_fn)(void *ctx, enum script_deed deed, int64_t number, const char *text);
struct script_effect script_apply(const struct script *script, long n, script_deed_fn deed,
                                  void *ctx);
void script_help(FILE *out);
void script_done(struct script *script);

/* A reproducible hash of two numbers, spread over 64 bits. */
uint64_t script_hash(uint64_t a, uint64_t b);

#endif
