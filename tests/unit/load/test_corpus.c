/* Corpora good and bad: every problem names the file, and the line if it has one. */
#include "load/corpus.h"

#include "check.h"

#include <sndfile.h>
#include <sys/stat.h>

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void write_sound(const char *folder, const char *name, int format, int frames)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = format};
    SNDFILE *file = sf_open(path, SFM_WRITE, &info);
    assert_non_null(file);
    for (int i = 0; i < frames; i++) {
        /* One over full scale, where the format can hold it. */
        float sample = i == 10 && format == (SF_FORMAT_WAV | SF_FORMAT_FLOAT) ? 1.5f : 0.25f;
        sf_write_float(file, &sample, 1);
    }
    sf_close(file);
}

enum { WAV16 = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };

static void test_folder(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct arena *arena = arena_new();
    struct corpus corpus = {0};
    struct err err = ERR_INIT;
    write_sound(folder, "a.wav", WAV16, 16000);
    write_sound(folder, "b.FLAC", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 8000);
    write_sound(folder, "c.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 4000);
    write_text(folder, "a.txt", "  hello\nthere \n");
    write_text(folder, "b.txt", "");
    write_text(folder, "notes.md", "x");
    assert_true(corpus_load_audio(arena, folder, &corpus, &err));
    assert_int_equal(corpus.clip_count, 3);
    assert_false(corpus.all_transcribed);
    assert_string_equal(corpus.clips[0].name, "a.wav");
    assert_string_equal(corpus.clips[0].transcript, "hello there");
    assert_int_equal(corpus.clips[0].len, 44 + 32000);
    assert_float_equal(corpus.clips[0].duration_s, 1.0, 1e-9);
    assert_string_equal(corpus.clips[1].transcript, "");
    assert_null(corpus.clips[2].transcript);
    /* Converted ones are 16 bit WAV, clipped instead of wrapped. */
    for (size_t i = 1; i < 3; i++) {
        assert_memory_equal(corpus.clips[i].data, "RIFF", 4);
        assert_int_equal(corpus.clips[i].len, 44 + (i == 1 ? 16000 : 8000));
    }
    int16_t sample;
    memcpy(&sample, (const char *)corpus.clips[2].data + 44 + 20, sizeof sample);
    assert_true(sample > 32000);
    arena_free(arena);
    check_remove_folder(folder);
}

static void test_manifest(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct arena *arena = arena_new();
    struct corpus corpus = {0};
    struct err err = ERR_INIT;
    write_sound(folder, "a.wav", WAV16, 16000);
    write_sound(folder, "unlisted.wav", WAV16, 16000);
    write_text(folder, "manifest.jsonl",
               "{\"audio_filepath\": \"a.wav\", \"duration\": 1.0, \"text\": \"one two\"}\r\n\n"
               "{\"audio_filepath\": \"./a.wav\", \"text\": \"\", \"speaker\": 3}\n");
    assert_true(corpus_load_audio(arena, folder, &corpus, &err));
    assert_int_equal(corpus.clip_count, 2);
    assert_true(corpus.all_transcribed);
    assert_string_equal(corpus.clips[0].transcript, "one two");
    arena_free(arena);
    check_remove_folder(folder);
}

static const struct {
    const char *name, *manifest; /* manifest NULL: none is written */
    const char *says;
} bad_audio[] = {
    {"not JSON", "{\n", "manifest.jsonl:1: not JSON"},
    {"not an object", "3\n", "manifest.jsonl:1: not a JSON object"},
    {"no path", "\n{\"text\": \"x\"}\n", "manifest.jsonl:2: lacks \"audio_filepath\""},
    {"no such file", "{\"audio_filepath\": \"none.wav\"}", "none.wav: no such file"},
    {"not audio", "{\"audio_filepath\": \"manifest.jsonl\"}", "manifest.jsonl:1: "},
    {"text of another type", "{\"audio_filepath\": \"a.wav\", \"text\": 5}", "\"text\""},
    {"a part of a file", "{\"audio_filepath\": \"a.wav\", \"offset\": 1.5}", "\"offset\""},
    {"another duration", "{\"audio_filepath\": \"a.wav\", \"duration\": 2.0}", "states 2.00 s"},
    {"no sound", "{\"audio_filepath\": \"empty.wav\"}", "holds no sound"},
    {"nothing listed", "\n \n", "holds no .wav"},
    {"broken UTF-8", "{\"audio_filepath\": \"\xff.wav\"}", "manifest.jsonl:1: not JSON"},
};

static void test_bad_audio(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_audio); i++) {
        char *folder = check_make_folder();
        struct arena *arena = arena_new();
        struct corpus corpus = {0};
        struct err err = ERR_INIT;
        write_sound(folder, "a.wav", WAV16, 16000);
        write_sound(folder, "empty.wav", WAV16, 0);
        write_text(folder, "manifest.jsonl", bad_audio[i].manifest);
        CHECK_ROW(i, bad_audio[i].name, !corpus_load_audio(arena, folder, &corpus, &err));
        if (!strstr(err.text, bad_audio[i].says))
            fail_msg("row %zu (%s): says \"%s\"", i, bad_audio[i].name, err.text);
        CHECK_ROW(i, bad_audio[i].name, err.code == ERR_INPUT || err.code == ERR_MISSING);
        CHECK_ROW(i, bad_audio[i].name, corpus.clip_count == 0);
        arena_free(arena);
        check_remove_folder(folder);
    }
}

static void test_bad_folder(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct arena *arena = arena_new();
    struct corpus corpus = {0};
    struct err err = ERR_INIT;
    assert_false(corpus_load_audio(arena, folder, &corpus, &err));
    assert_non_null(strstr(err.text, "holds no .wav"));
    err = ERR_INIT;
    assert_false(corpus_load_audio(arena, "/no/such/folder", &corpus, &err));
    assert_non_null(strstr(err.text, "/no/such/folder"));
    write_sound(folder, "a.wav", WAV16, 16000);
    write_text(folder, "a.txt", "caf\xe9");
    err = ERR_INIT;
    assert_false(corpus_load_audio(arena, folder, &corpus, &err));
    assert_non_null(strstr(err.text, "a.txt: not UTF-8 at byte 4"));
    arena_free(arena);
    check_remove_folder(folder);
}

static const struct {
    const char *name, *text, *says; /* says NULL: good */
    size_t count;
} prompt_rows[] = {
    {"p.jsonl", "{\"prompt\": \"a\", \"max_tokens\": 5}\n\n{\"prompt\": \"b\", \"x\": 1}", NULL, 2},
    {"p.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", NULL, 1},
    {"p.txt", "one\r\n\n  two  \n", NULL, 2},
    {"p.jsonl", "", "holds no prompt", 0},
    {"p.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": 5}\n", "p.jsonl:2: \"prompt\"", 0},
    {"p.jsonl", "{\"prompt\": \"\"}\n", "p.jsonl:1: \"prompt\"", 0},
    {"p.jsonl", "{}\n", "has neither", 0},
    {"p.jsonl", "{\"prompt\": \"a\", \"messages\": []}\n", "has both", 0},
    {"p.jsonl", "{\"messages\": []}\n", "not a list of messages", 0},
    {"p.jsonl",
     "{\"inputs\": [{\"name\": \"x\", \"shape\": [1], \"datatype\": \"FP32\", \"data\": [1]}]}\n",
     NULL, 1},
    {"p.jsonl", "{\"inputs\": []}\n", "not a list of tensors", 0},
    {"p.jsonl", "{\"inputs\": [{\"name\": \"x\", \"shape\": [1], \"data\": [1]}]}\n",
     "input 1 lacks", 0},
    {"p.jsonl", "{\"messages\": [{\"role\": \"user\"}]}\n", "message 1 lacks", 0},
    {"p.jsonl", "{\"prompt\": \"a\", \"max_tokens\": 0}\n", "\"max_tokens\"", 0},
    {"p.jsonl", "[1]\n", "p.jsonl:1: not a JSON object", 0},
    {"p.jsonl", "nonsense\n", "p.jsonl:1: not JSON", 0},
    {"p.txt", "a\n\xff\n", "p.txt:2: not UTF-8 at byte 1", 0},
};

static void test_prompts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(prompt_rows); i++) {
        char *folder = check_make_folder(), path[512];
        struct arena *arena = arena_new();
        struct corpus corpus = {0};
        struct err err = ERR_INIT;
        write_text(folder, prompt_rows[i].name, prompt_rows[i].text);
        snprintf(path, sizeof path, "%s/%s", folder, prompt_rows[i].name);
        bool good = corpus_load_prompts(arena, path, &corpus, &err);
        CHECK_ROW(i, prompt_rows[i].text, good == !prompt_rows[i].says);
        CHECK_ROW(i, prompt_rows[i].text, corpus.prompt_count == prompt_rows[i].count);
        if (!good && !strstr(err.text, prompt_rows[i].says))
            fail_msg("row %zu: says \"%s\"", i, err.text);
        arena_free(arena);
        check_remove_folder(folder);
    }
    struct arena *arena = arena_new();
    struct corpus corpus = {0};
    struct err err = ERR_INIT;
    assert_false(corpus_load_prompts(arena, "/no/such/file.jsonl", &corpus, &err));
    assert_int_equal(err.code, ERR_MISSING);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),    cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_bad_audio), cmocka_unit_test(test_bad_folder),
        cmocka_unit_test(test_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
