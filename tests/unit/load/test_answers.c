/* Answers that are no text: vectors, tensors, sound; and transcripts that come in pieces. */
#include "load/protocol.h"

#include "answer_row.h"

#include "load/protocols/audio.h"

#include <math.h>

static struct corpus_prompt three[] = {{.prompt = "a"}, {.prompt = "b"}, {.prompt = "c"}};
static const struct corpus texts = {.prompts = three, .prompt_count = 3};

struct whole_row {
    const char *name;
    struct spec_setting set[2];
    const char *body;
    enum load_error error;
    const char *text;
    int prompt_tokens;
};

static void check_whole(const char *protocol, const struct whole_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct load_plan plan = plan_of(protocol, &texts, "http://127.0.0.1:1/");
        plan.streams[0].settings = rows[i].set;
        plan.streams[0].setting_count = !!rows[i].set[0].name + !!rows[i].set[1].name;
        struct load_answer answer = {
            .http_status = 200, .body = rows[i].body, .len = strlen(rows[i].body)};
        struct load_record record = {.tokens = -1, .prompt_tokens = -1};
        struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(64);
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &record, &text, &gaps);
        CHECK_ROW_TEXT(i, rows[i].name, load_error_name(record.error),
                       load_error_name(rows[i].error));
        CHECK_ROW_TEXT(i, rows[i].name, buf_text(&text), rows[i].text);
        CHECK_ROW(i, rows[i].name, record.prompt_tokens == rows[i].prompt_tokens);
        buf_done(&text);
        buf_done(&gaps);
    }
}

#define VECTOR(i, v) "{\"object\":\"embedding\",\"index\":" #i ",\"embedding\":[" v "]}"
#define DATA(v) "{\"object\":\"list\",\"data\":[" v "]}"
#define TWO                                                                                        \
    {                                                                                              \
        {                                                                                          \
            "batch", "2"                                                                           \
        }                                                                                          \
    }

static const struct whole_row embeddings[] = {
    {"one",
     {{0}},
     "{\"data\":[" VECTOR(0, "0.1,-2,3e-9") "],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":4}}",
     LOAD_OK,
     "",
     4},
    {"two in any order", TWO, DATA(VECTOR(1, "1,2") "," VECTOR(0, "3,4")), LOAD_OK, "", -1},
    {"without numbers", TWO, DATA("{\"embedding\":[1]},{\"embedding\":[2]}"), LOAD_OK, "", -1},
    {"one for two", TWO, DATA(VECTOR(0, "1,2")), LOAD_MALFORMED, "1 vectors for 2 texts", -1},
    {"the same twice", TWO, DATA(VECTOR(0, "1,2") "," VECTOR(0, "1,2")), LOAD_MALFORMED,
     "the vectors are not numbered 0 to 1", -1},
    {"numbered from 1",
     {{0}},
     DATA(VECTOR(1, "1,2")),
     LOAD_MALFORMED,
     "the vectors are not numbered 0 to 0",
     -1},
    {"numbered below 0",
     {{0}},
     DATA(VECTOR(-9223372036854775808, "1")),
     LOAD_MALFORMED,
     "the vectors are not numbered 0 to 0",
     -1},
    {"of different lengths", TWO, DATA(VECTOR(0, "1,2") "," VECTOR(1, "1,2,3")), LOAD_MALFORMED,
     "a vector has 3 numbers instead of 2", -1},
    {"none", {{0}}, DATA(VECTOR(0, "")), LOAD_MALFORMED, "a vector has no numbers", -1},
    {"zeros",
     {{0}},
     DATA(VECTOR(0, "0,0.0,-0.0")),
     LOAD_MALFORMED,
     "a vector has 3 zeros and nothing else",
     -1},
    {"NaN as null",
     {{0}},
     DATA(VECTOR(0, "1,null")),
     LOAD_MALFORMED,
     "number 2 of a vector is none",
     -1},
    {"a text", {{0}}, DATA(VECTOR(0, "\"1\"")), LOAD_MALFORMED, "number 1 of a vector is none", -1},
    {"NaN", {{0}}, DATA(VECTOR(0, "NaN")), LOAD_MALFORMED, DATA(VECTOR(0, "NaN")), -1},
    {"beyond a double",
     {{0}},
     DATA(VECTOR(0, "1e999")),
     LOAD_MALFORMED,
     DATA(VECTOR(0, "1e999")),
     -1},
    {"base64, not asked for",
     {{0}},
     DATA("{\"index\":0,\"embedding\":\"AACAPw==\"}"),
     LOAD_MALFORMED,
     "a vector has no numbers",
     -1},
    {"as long as asked", {{"dimensions", "2"}}, DATA(VECTOR(0, "1,2")), LOAD_OK, "", -1},
    {"longer than asked",
     {{"dimensions", "1"}},
     DATA(VECTOR(0, "1,2")),
     LOAD_MALFORMED,
     "a vector has 2 numbers instead of 1",
     -1},
    {"an error", {{0}}, "{\"error\":{\"message\":\"m\"}}", LOAD_SERVER_ERROR, "m", -1},
    {"no data", {{0}}, "{\"data\":5}", LOAD_MALFORMED, "{\"data\":5}", -1},
    {"nothing", {{0}}, "", LOAD_MALFORMED, "", -1},
};

#define OUT(name, type, shape, data)                                                               \
    "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":[" shape "],\"data\":[" data "]}"
#define OUTS(o) "{\"model_name\":\"m\",\"outputs\":[" o "]}"

static const struct whole_row tensors[] = {
    {"numbers", {{0}}, OUTS(OUT("y", "FP32", "1,2", "0.5,-1")), LOAD_OK, "", -1},
    {"nested", {{0}}, OUTS(OUT("y", "INT64", "2,2", "[1,2],[3,4]")), LOAD_OK, "", -1},
    {"text", {{0}}, OUTS(OUT("y", "BYTES", "2", "\"a \",\"b\"")), LOAD_OK, "a b", -1},
    {"truth", {{0}}, OUTS(OUT("y", "BOOL", "1", "true")), LOAD_OK, "", -1},
    {"a scalar", {{0}}, OUTS(OUT("y", "FP64", "", "1")), LOAD_OK, "", -1},
    {"too few",
     {{0}},
     OUTS(OUT("y", "FP32", "3", "1,2")),
     LOAD_MALFORMED,
     "y: 2 values in a shape of 3",
     -1},
    {"too many",
     {{0}},
     OUTS(OUT("y", "FP32", "1", "1,2")),
     LOAD_MALFORMED,
     "y: 2 values in a shape of 1",
     -1},
    {"NaN as null",
     {{0}},
     OUTS(OUT("y", "FP32", "2", "1,null")),
     LOAD_MALFORMED,
     "y: a value that is none of its datatype",
     -1},
    {"half an integer",
     {{0}},
     OUTS(OUT("y", "INT8", "1", "1.5")),
     LOAD_MALFORMED,
     "y: a value that is none of its datatype",
     -1},
    {"no datatype that there is",
     {{0}},
     OUTS(OUT("y", "DECIMAL", "1", "1")),
     LOAD_MALFORMED,
     "an output without name, shape, datatype or data",
     -1},
    {"a negative side",
     {{0}},
     OUTS(OUT("y", "FP32", "-1", "1")),
     LOAD_MALFORMED,
     "an output without name, shape, datatype or data",
     -1},
    {"a shape beyond all",
     {{0}},
     OUTS(OUT("y", "FP32", "4000000,4000000,4000000", "1")),
     LOAD_MALFORMED,
     "an output without name, shape, datatype or data",
     -1},
    {"nothing in it", {{0}}, OUTS(OUT("y", "FP32", "0", "")), LOAD_EMPTY, "", -1},
    {"no outputs", {{0}}, OUTS(""), LOAD_EMPTY, "", -1},
    {"the wanted one",
     {{"output", "y"}},
     OUTS(OUT("x", "BOOL", "1", "true") "," OUT("y", "FP32", "1", "1")),
     LOAD_OK,
     "",
     -1},
    {"not the wanted one",
     {{"output", "z"}},
     OUTS(OUT("y", "FP32", "1", "1")),
     LOAD_MALFORMED,
     "no output \"z\"",
     -1},
    {"an error",
     {{0}},
     "{\"error\":\"request for unknown model\"}",
     LOAD_SERVER_ERROR,
     "request for unknown model",
     -1},
    {"another answer", {{0}}, "{\"predictions\":[1]}", LOAD_MALFORMED, "{\"predictions\":[1]}", -1},
};

static void test_vectors(void **state)
{
    (void)state;
    check_whole("openai-embeddings", embeddings, ARRAY_LEN(embeddings));
    check_whole("kserve", tensors, ARRAY_LEN(tensors));
}

#define DELTA(t) "data: {\"type\":\"transcript.text.delta\",\"delta\":\"" t "\"}\n\n"
#define DONE(t)                                                                                    \
    "data: {\"type\":\"transcript.text.done\",\"text\":\"" t                                       \
    "\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":7,\"output_tokens\":5}}\n\n"
#define CHUNK(t)                                                                                   \
    "data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"" t          \
    "\"}}]}\n\n"

static const struct answer_row pieces[] = {
    {"OpenAI's", DELTA("Hello") "~" DELTA(" you") "~" DONE("Hello you."), LOAD_OK, "Hello you.", 5,
     true, 100, 100, 200, 300, 1},
    {"more tokens than the text has bytes",
     DELTA("a") "data: {\"type\":\"transcript.text.done\",\"text\":\"a\",\"usage\":{"
                "\"output_tokens\":90}}\n\n",
     LOAD_OK, "a", 1, false, 100, 100, 100, 100, 0},
    {"typed by the event",
     "event: transcript.text.delta\ndata: {\"delta\":\"a\"}\n\n~event: transcript.text.done\n"
     "data: {\"text\":\"a\"}\n\n",
     LOAD_OK, "a", 1, false, 100, 100, 100, 200, 0},
    {"no pieces before the end", ": ping\n\n~" DONE(" all "), LOAD_OK, "all", 5, true, 200, 200,
     200, 200, 0},
    {"vLLM's",
     CHUNK("a") "~" CHUNK(" b") "~data: {\"choices\":[{\"delta\":{\"content\":\"\"},"
                                "\"finish_reason\":\"stop\"}]}\n\n~data: [DONE]\n\n",
     LOAD_OK, "a b", 2, false, 100, 100, 200, 300, 1},
    {"types that are no text",
     "data: {\"type\":\"transcript.text.segment\",\"text\":\"x\"}\n\n~" DELTA("a") DONE("a"),
     LOAD_OK, "a", 5, true, 200, 200, 200, 200, 0},
    {"cut", DELTA("a") "~" DELTA("b"), LOAD_TRUNCATED, "ab", 2, false, 100, 100, 200, -1, 1},
    {"half an event", DELTA("a") "~data: {\"type\":\"transcr", LOAD_TRUNCATED, "a", 1, false, 100,
     100, 100, -1, 0},
    {"broken in the middle", DELTA("a") "data: {x}\n\n" DONE("a"), LOAD_MALFORMED, "a", 5, true,
     100, 100, 100, 100, 0},
    {"an error, then the end", "error: {\"message\":\"no\"}\n\ndata: [DONE]\n\n", LOAD_SERVER_ERROR,
     "{\"message\":\"no\"}", 0, false, -1, -1, -1, -1, 0},
    {"an error event",
     DELTA("a") "data: {\"type\":\"error\",\"error\":{\"message\":\"m\"}}\n\n" DONE("a"),
     LOAD_SERVER_ERROR, "m", 1, false, 100, 100, 100, -1, 0},
    {"no words", DONE(""), LOAD_EMPTY, "", 5, true, -1, -1, -1, 100, 0},
    {"blanks", DELTA(" ") DONE("  "), LOAD_EMPTY, "", 5, true, 100, 100, 100, 100, 0},
    {"a server that does not stream", "{\"text\":\"Hello\"}", LOAD_MALFORMED,
     "{\"text\":\"Hello\"}", -1, false, -1, -1, -1, -1, 0},
    {"its error", "{\"error\":\"no\"}", LOAD_SERVER_ERROR, "no", -1, false, -1, -1, -1, -1, 0},
    {"HTML", "<html>It works</html>", LOAD_MALFORMED, "<html>It works</html>", 0, false, -1, -1, -1,
     -1, 0},
    {"nothing", "", LOAD_TRUNCATED, "", 0, false, -1, -1, -1, -1, 0},
};

static void test_transcripts(void **state)
{
    (void)state;
    static struct corpus_clip clip = {.name = "a.wav", .transcript = "hello you"};
    struct corpus corpus = {.clips = &clip, .clip_count = 1};
    struct load_plan plan = plan_of("openai-transcriptions", &corpus, "http://127.0.0.1:1/");
    struct spec_setting set = {.name = "stream", .text = "true"};
    plan.streams[0].settings = &set;
    plan.streams[0].setting_count = 1;
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        answer_row_check(&plan.streams[0], i, &pieces[i]);
    static const struct answer_row silent = {"silence", DONE(" "), LOAD_OK, "",  5, true,
                                             100,       100,       100,     100, 0};
    clip.transcript = "";
    answer_row_check(&plan.streams[0], 0, &silent);
}

/* A WAV header of 16 bit mono at 8000 Hz: RIFF, then fmt, then data with that length. */
#define WAV(length)                                                                                \
    "RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0"       \
    "data" length
#define SOUND "\x01\x02\x03\x04\x05\x06\x07\x08"
#define LIST "LIST\x04\0\0\0abcd"
#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *name, *format, *bytes;
    size_t len;
    enum load_error error;
    int64_t first_ns, last_ns; /* the header and a byte come at 100, the rest at 200 */
    double audio_s;
} sounds[] = {
    {"wav", "wav", BYTES(WAV("\x08\0\0\0") SOUND), LOAD_OK, 200, 200, 0.0005},
    {"wav of unknown length", "wav", BYTES(WAV("\xff\xff\xff\xff") SOUND), LOAD_OK, 200, 200,
     0.0005},
    {"wav of no stated length", "wav", BYTES(WAV("\0\0\0\0") SOUND), LOAD_OK, 200, 200, 0.0005},
    {"wav with a tail", "wav", BYTES(WAV("\x04\0\0\0") SOUND), LOAD_OK, 200, 200, 0.00025},
    {"wav that was cut", "wav", BYTES(WAV("\x80\0\0\0") SOUND), LOAD_TRUNCATED, 200, 200, 0.0005},
    {"wav header alone", "wav", BYTES(WAV("\x08\0\0\0")), LOAD_EMPTY, -1, -1, NAN},
    {"wav header cut", "wav", BYTES("RIFF\x10\0\0\0WAVEfmt \x10"), LOAD_EMPTY, -1, -1, NAN},
    {"wav of silence", "wav", BYTES(WAV("\x04\0\0\0") "\0\0\0\0"), LOAD_EMPTY, -1, -1, NAN},
    {"wav with other chunks", "wav",
     BYTES("RIFF\xff\xff\xff\xffWAVE" LIST
           "fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0" LIST
           "data\x08\0\0\0" SOUND),
     LOAD_OK, 200, 200, 0.0005},
    {"wav whose rate is 0", "wav",
     BYTES("RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x02\0\x10\0"
           "data\x08\0\0\0" SOUND),
     LOAD_EMPTY, -1, -1, NAN},
    {"wav with a huge chunk", "wav", BYTES("RIFF\xff\xff\xff\xffWAVELIST\xff\xff\xff\xff" SOUND),
     LOAD_EMPTY, -1, -1, NAN},
    {"mp3 instead of wav", "wav", BYTES("ID3\x04\0\0\0\0\0\0\0\0\0\0"), LOAD_MALFORMED, -1, -1,
     NAN},
    {"nothing", "wav", BYTES(""), LOAD_EMPTY, -1, -1, NAN},
    {"pcm", "pcm", BYTES(SOUND SOUND), LOAD_OK, 100, 200, 8 / 24000.0},
    {"pcm of half a sample", "pcm", BYTES(SOUND "x"), LOAD_TRUNCATED, 100, 200, 4 / 24000.0},
    {"pcm of silence", "pcm", BYTES("\0\0\0\0"), LOAD_EMPTY, -1, -1, NAN},
    {"mp3 with a tag", "mp3", BYTES("ID3\x04\0\0\0"), LOAD_OK, 100, 200, NAN},
    {"mp3", "mp3", BYTES("\xff\xfb\x90\0\0\0"), LOAD_OK, 100, 200, NAN},
    {"aac", "aac", BYTES("\xff\xf1\x50\0\0\0"), LOAD_OK, 100, 200, NAN},
    {"aac instead of mp3", "mp3", BYTES("\xff\xf1\x50\0\0\0"), LOAD_MALFORMED, -1, -1, NAN},
    {"opus", "opus", BYTES("OggS\0\0\0"), LOAD_OK, 100, 200, NAN},
    {"flac", "flac", BYTES("fLaC\0\0\0"), LOAD_OK, 100, 200, NAN},
    {"an error", "mp3", BYTES("{\"error\":{\"message\":\"m\"}}"), LOAD_SERVER_ERROR, -1, -1, NAN},
    {"an error as pcm", "pcm", BYTES(" {\"error\":\"m\"}"), LOAD_SERVER_ERROR, -1, -1, NAN},
    {"JSON", "pcm", BYTES("{\"detail\":\"no voice\"}"), LOAD_MALFORMED, -1, -1, NAN},
    {"a page", "pcm", BYTES("<!DOCTYPE html><html></html>"), LOAD_MALFORMED, -1, -1, NAN},
};

static void test_speech(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sounds); i++) {
        struct load_plan plan = plan_of("openai-speech", &texts, "http://127.0.0.1:1/");
        struct spec_setting set = {.name = "response_format", .text = sounds[i].format};
        plan.streams[0].settings = &set;
        plan.streams[0].setting_count = 1;
        size_t head = sounds[i].len > 44 ? 44 : sounds[i].len ? 1 : 0;
        struct load_chunk chunks[] = {{head, 100}, {sounds[i].len, 200}};
        struct load_answer answer = {.http_status = 200,
                                     .body = sounds[i].bytes,
                                     .len = sounds[i].len,
                                     .chunks = chunks,
                                     .chunk_count = sounds[i].len ? 2 : 0};
        struct load_record r = {
            .first_token_ns = -1, .last_token_ns = -1, .tokens = -1, .audio_s = NAN};
        struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(64);
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &r, &text, &gaps);
        CHECK_ROW_TEXT(i, sounds[i].name, load_error_name(r.error),
                       load_error_name(sounds[i].error));
        CHECK_ROW(i, sounds[i].name, r.first_token_ns == sounds[i].first_ns);
        CHECK_ROW(i, sounds[i].name, r.last_token_ns == sounds[i].last_ns);
        CHECK_ROW(i, sounds[i].name,
                  isnan(sounds[i].audio_s) ? isnan(r.audio_s)
                                           : fabs(r.audio_s - sounds[i].audio_s) < 1e-12);
        CHECK_ROW(i, sounds[i].name, memchr(buf_text(&text), '\0', text.len) == NULL);
        buf_done(&text);
        buf_done(&gaps);
    }
    /* However it is cut, no byte behind the end is looked at (sanitizers see it). */
    static const char whole[] = WAV("\x08\0\0\0") SOUND;
    for (size_t len = 0; len < sizeof whole; len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, whole, len);
        struct load_audio audio;
        load_audio_read("wav", 24000, copy, len, &audio);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_transcripts),
        cmocka_unit_test(test_speech),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
