/* Made-up prompts are plain words in sentences: a server's tokenizer, cache and speculative
 * decoding then do about what they do with people's text. Rejected: random bytes or token numbers,
 * which cost several tokens a letter with one vocabulary and are refused by the next.
 *
 * How many tokens come of a word depends on the vocabulary; see WORDS_TOKENS. The server's own
 * count of each prompt is stored with its request, and is the one to believe. */
#include "load/words.h"

#include <ctype.h>
#include <string.h>

/* Tokens of a word, its share of the full stops included: 1.10 with a BPE vocabulary of 49,152
 * (SmolLM2), counted by llama-server over 4,700 words. */
static const double WORDS_TOKENS = 1.1;
enum { SENTENCE_MIN = 6, SENTENCE_SPREAD = 10 }; /* words: from 6 to 15 */

static const char *const words[] = {
    "a",           "ability",    "about",       "above",       "action",    "activity",
    "adult",       "affect",     "age",         "agency",      "air",       "all",
    "amount",      "an",         "analysis",    "and",         "animal",    "answer",
    "apply",       "approach",   "are",         "area",        "arm",       "art",
    "article",     "artist",     "as",          "at",          "attention", "author",
    "authority",   "avoid",      "baby",        "back",        "ball",      "bank",
    "be",          "bed",        "been",        "behavior",    "benefit",   "bill",
    "bit",         "board",      "body",        "book",        "box",       "boy",
    "brother",     "building",   "business",    "but",         "by",        "call",
    "camera",      "campaign",   "can",         "candidate",   "car",       "card",
    "care",        "career",     "case",        "cell",        "center",    "chair",
    "challenge",   "chance",     "change",      "character",   "charge",    "child",
    "choice",      "city",       "claim",       "class",       "close",     "cold",
    "college",     "color",      "come",        "community",   "company",   "computer",
    "concern",     "condition",  "conference",  "contain",     "control",   "cost",
    "could",       "country",    "couple",      "course",      "court",     "cultural",
    "culture",     "cup",        "dark",        "data",        "daughter",  "day",
    "deal",        "decade",     "decision",    "deep",        "degree",    "design",
    "development", "did",        "difference",  "direction",   "director",  "discover",
    "disease",     "do",         "doctor",      "dog",         "door",      "down",
    "each",        "east",       "economy",     "edge",        "education", "effect",
    "effort",      "election",   "employee",    "end",         "energy",    "enjoy",
    "enough",      "entire",     "environment", "establish",   "evening",   "event",
    "example",     "executive",  "experience",  "expert",      "eye",       "face",
    "fact",        "factor",     "family",      "father",      "fear",      "feeling",
    "field",       "figure",     "film",        "final",       "find",      "finish",
    "fire",        "firm",       "first",       "fish",        "floor",     "fly",
    "foot",        "for",        "force",       "forget",      "form",      "friend",
    "from",        "fund",       "future",      "game",        "get",       "girl",
    "glass",       "go",         "goal",        "government",  "green",     "ground",
    "group",       "growth",     "guess",       "guy",         "had",       "hair",
    "hand",        "hang",       "has",         "have",        "head",      "health",
    "heart",       "help",       "her",         "him",         "his",       "history",
    "home",        "hospital",   "hour",        "house",       "how",       "huge",
    "husband",     "idea",       "if",          "image",       "imagine",   "impact",
    "in",          "individual", "industry",    "information", "inside",    "institution",
    "interest",    "interview",  "into",        "is",          "issue",     "it",
    "its",         "job",        "kind",        "knowledge",   "land",      "language",
    "laugh",       "law",        "lawyer",      "leader",      "leg",       "legal",
    "letter",      "level",      "life",        "light",       "like",      "line",
    "list",        "long",       "look",        "loss",        "lot",       "love",
    "made",        "main",       "maintain",    "make",        "man",       "manage",
    "management",  "manager",    "many",        "market",      "material",  "matter",
    "may",         "measure",    "media",       "meeting",     "member",    "memory",
    "mention",     "message",    "middle",      "mind",        "minute",    "moment",
    "money",       "month",      "more",        "morning",     "mother",    "movement",
    "movie",       "music",      "my",          "name",        "nation",    "nature",
    "necessary",   "need",       "network",     "news",        "nice",      "night",
    "no",          "north",      "not",         "now",         "number",    "of",
    "office",      "officer",    "official",    "oil",         "on",        "one",
    "onto",        "operation",  "opportunity", "or",          "order",     "organization",
    "other",       "others",     "out",         "page",        "pain",      "paper",
    "parent",      "part",       "particular",  "party",       "patient",   "peace",
    "people",      "perform",    "performance", "period",      "person",    "phone",
    "picture",     "piece",      "place",       "plan",        "plant",     "player",
    "point",       "police",     "policy",      "politics",    "popular",   "population",
    "position",    "power",      "practice",    "pressure",    "price",     "problem",
    "process",     "product",    "production",  "professor",   "program",   "project",
    "prove",       "quality",    "question",    "race",        "radio",     "range",
    "rate",        "rather",     "reason",      "record",      "region",    "relationship",
    "remove",      "report",     "research",    "resource",    "respond",   "response",
    "rest",        "result",     "reveal",      "right",       "risk",      "road",
    "rock",        "role",       "room",        "rule",        "said",      "scene",
    "school",      "science",    "season",      "seat",        "second",    "section",
    "see",         "sense",      "series",      "service",     "shake",     "she",
    "shoulder",    "show",       "side",        "sign",        "sister",    "site",
    "situation",   "size",       "skill",       "so",          "society",   "some",
    "son",         "song",       "sort",        "sound",       "source",    "south",
    "space",       "specific",   "sport",       "spring",      "staff",     "stage",
    "standard",    "star",       "state",       "statement",   "station",   "step",
    "stock",       "store",      "story",       "strategy",    "street",    "structure",
    "student",     "study",      "style",       "subject",     "success",   "suddenly",
    "summer",      "support",    "system",      "table",       "talk",      "tax",
    "teacher",     "team",       "technology",  "television",  "term",      "test",
    "than",        "that",       "the",         "their",       "them",      "then",
    "theory",      "there",      "these",       "they",        "thing",     "this",
    "thought",     "throughout", "time",        "to",          "tonight",   "top",
    "town",        "trade",      "traditional", "training",    "treat",     "treatment",
    "tree",        "trial",      "trip",        "trouble",     "truth",     "two",
    "type",        "unit",       "up",          "use",         "value",     "various",
    "view",        "visit",      "voice",       "wall",        "was",       "water",
    "way",         "we",         "week",        "weight",      "were",      "west",
    "what",        "when",       "which",       "who",         "wide",      "wife",
    "will",        "window",     "with",        "woman",       "word",      "work",
    "worker",      "world",      "worry",       "would",       "write",     "writer",
    "year",        "your",
};

void load_words_add(struct buf *ret_text, struct rng *rng, int tokens)
{
    double wanted = (double)tokens / WORDS_TOKENS;
    uint64_t count = wanted < 1 ? 1 : (uint64_t)(wanted + 0.5), left = 0;
    for (uint64_t i = 0; i < count; i++) {
        const char *word = words[rng_below(rng, ARRAY_LEN(words))];
        bool first = left == 0;
        if (first)
            left = SENTENCE_MIN + rng_below(rng, SENTENCE_SPREAD);
        if (i > 0)
            buf_addc(ret_text, ' ');
        buf_addc(ret_text, first ? (char)toupper((unsigned char)word[0]) : word[0]);
        buf_add(ret_text, word + 1);
        left--;
        if (left == 0 || i + 1 == count)
            buf_addc(ret_text, '.');
    }
}
