/* KServe's binary tensors: what is sent, byte for byte, and what is believed of an answer. */
#include "load/protocols/kserve_binary.h"

#include "load/protocol.h"

#include "plan_of.h"

#include "check.h"

#define BYTES(text) text, sizeof(text) - 1

/* ---- out ---- */

static const struct {
    const char *tensor; /* datatype and data */
    const char *bytes;
    size_t len;
} packed[] = {
    {"\"BOOL\",\"data\":[true,false]", BYTES("\1\0")},
    {"\"INT8\",\"data\":[-128,127]", BYTES("\x80\x7f")},
    {"\"UINT16\",\"data\":[[1],[65535]]", BYTES("\1\0\xff\xff")},
    {"\"INT32\",\"data\":[-2]", BYTES("\xfe\xff\xff\xff")},
    {"\"INT64\",\"data\":[-2]", BYTES("\xfe\xff\xff\xff\xff\xff\xff\xff")},
    {"\"FP32\",\"data\":[1,-0.1]", BYTES("\0\0\x80\x3f\xcd\xcc\xcc\xbd")},
    {"\"FP64\",\"data\":[0.1]", BYTES("\x9a\x99\x99\x99\x99\x99\xb9\x3f")},
    /* 1, the largest, the smallest, half of that (to even: 0), one and a half of it, -0 */
    {"\"FP16\",\"data\":[1,65504,5.960464477539063e-8,2.9802322387695312e-8,8.940696716308594e-8,-"
     "0.0]",
     BYTES("\0\x3c\xff\x7b\1\0\0\0\2\0\0\x80")},
    {"\"FP16\",\"data\":[2049,2051]", BYTES("\0\x68\2\x68")}, /* ties, to even */
    {"\"BF16\",\"data\":[1,3.14159265]", BYTES("\x80\x3f\x49\x40")},
    {"\"BYTES\",\"data\":[\"hi\",\"\"]", BYTES("\2\0\0\0hi\0\0\0\0")},
    {"\"FP32\",\"data\":[]", "", 0},
    /* What a datatype can't hold is refused, not cut. */
    {"\"INT8\",\"data\":[128]", NULL, 0},
    {"\"UINT8\",\"data\":[-1]", NULL, 0},
    {"\"INT8\",\"data\":[1.5]", NULL, 0},
    {"\"FP16\",\"data\":[65520]", NULL, 0},
    {"\"FP32\",\"data\":[1e39]", NULL, 0},
    {"\"BOOL\",\"data\":[1]", NULL, 0},
    {"\"FP32\",\"data\":[null]", NULL, 0},
    {"\"FP32\",\"data\":\"AAAA\"", NULL, 0},
    {"\"FP8\",\"data\":[1]", NULL, 0},
};

static void test_packs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(packed); i++) {
        struct buf json = BUF_INIT(1024), bytes = BUF_INIT(1024), why = BUF_INIT(256);
        buf_addf(&json, "[{\"name\":\"x\",\"parameters\":{\"a\":1},\"datatype\":%s}]",
                 packed[i].tensor);
        json_t *tensors = json_loads(buf_text(&json), 0, NULL);
        assert_non_null(tensors);
        bool good = load_kserve_pack(tensors, &bytes, &why);
        CHECK_ROW(i, packed[i].tensor, good == (packed[i].bytes != NULL));
        CHECK_ROW(i, packed[i].tensor, good == (why.len == 0));
        if (good) {
            const json_t *tensor = json_array_get(tensors, 0);
            const json_t *parameters = json_object_get(tensor, "parameters");
            CHECK_ROW(i, packed[i].tensor, bytes.len == packed[i].len);
            CHECK_ROW(i, packed[i].tensor,
                      packed[i].len == 0 || memcmp(bytes.data, packed[i].bytes, bytes.len) == 0);
            CHECK_ROW(i, packed[i].tensor, !json_object_get(tensor, "data"));
            CHECK_ROW(i, packed[i].tensor,
                      json_integer_value(json_object_get(parameters, "binary_data_size")) ==
                          (json_int_t)packed[i].len);
            CHECK_ROW(i, packed[i].tensor, json_object_size(parameters) == 2);
        }
        json_decref(tensors);
        buf_done(&json);
        buf_done(&bytes);
        buf_done(&why);
    }
}

static void test_request(void **state)
{
    (void)state;
    const struct corpus prompts =
        PROMPTS({.prompt = "hi"},
                {.inputs = "[{\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP8\",\"data\":[1]}]"});
    static const char head[] =
        "{\"inputs\":[{\"name\":\"text_input\",\"shape\":[1,1],\"datatype\":\"BYTES\","
        "\"parameters\":{\"binary_data_size\":6}}],\"parameters\":{\"binary_data_output\":true}}";
    const struct spec_setting set = {"binary", "true"};
    struct load_plan plan = plan_of("kserve", &prompts, "http://127.0.0.1:1/");
    struct load_stream *stream = &plan.streams[0];
    struct load_request request = {0};
    struct err err = ERR_INIT;
    stream->settings = &set;
    stream->setting_count = 1;
    stream->model = "m";
    struct load_input input = load_input_of(stream, 0);
    assert_true(stream->protocol->build(stream, &input, &request, &err));
    assert_string_equal(request.size_header, "Inference-Header-Content-Length");
    assert_int_equal(request.size_value, strlen(head));
    assert_string_equal(buf_text(&request.content_type), "application/octet-stream");
    assert_int_equal(request.body.len, strlen(head) + 6);
    assert_memory_equal(request.body.data, head, strlen(head));
    assert_memory_equal(request.body.data + strlen(head), "\2\0\0\0hi", 6);
    buf_done(&request.body);
    buf_done(&request.content_type);
    input = load_input_of(stream, 1);
    assert_false(stream->protocol->build(stream, &input, &request, &err));
    assert_string_equal(err.text,
                        "prompt 2: kserve, binary: input 1 has no datatype that has a binary form");
}

/* ---- in ---- */

#define OUT(name, type, shape, size)                                                               \
    "{\"name\":\"" name "\",\"datatype\":\"" type "\",\"shape\":[" shape                           \
    "],\"parameters\":{\"binary_data_size\":" size "}}"
#define OUTS(o) "{\"outputs\":[" o "]}"

static const struct {
    const char *name, *body;
    size_t len;
    enum load_error error;
    const char *text;
} answers[] = {
    {"numbers", BYTES(OUTS(OUT("y", "FP32", "1,2", "8")) "\0\0\0\x3f\0\0\x80\xbf"), LOAD_OK, ""},
    {"bytes that look like JSON", BYTES(OUTS(OUT("y", "INT8", "4", "4")) "\"{]\\"), LOAD_OK, ""},
    {"texts", BYTES(OUTS(OUT("y", "BYTES", "2", "11")) "\1\0\0\0a\2\0\0\0bc"), LOAD_OK, "abc"},
    {"a picture", BYTES(OUTS(OUT("y", "BYTES", "1", "6")) "\2\0\0\0\xff\xd8"), LOAD_OK, ""},
    {"two, and one in JSON",
     BYTES("{\"outputs\":[" OUT("a", "UINT8", "1", "1") ",{\"name\":\"b\",\"datatype\":\"INT8\","
                                                        "\"shape\":[1],\"data\":[5]}," OUT(
                                                            "c", "BOOL", "2", "2") "]} \n\7\1\0"),
     LOAD_OK, ""},
    {"JSON, though asked for bytes",
     BYTES("{\"outputs\":[{\"name\":\"b\",\"datatype\":\"INT8\",\"shape\":[1],\"data\":[5]}]}\n"),
     LOAD_OK, ""},
    {"nothing in it", BYTES(OUTS(OUT("y", "FP32", "0", "0"))), LOAD_EMPTY, ""},
    {"cut", BYTES(OUTS(OUT("y", "FP32", "2", "8")) "\0\0\0\0"), LOAD_MALFORMED,
     "y: 8 bytes announced, 4 there"},
    {"too many", BYTES(OUTS(OUT("y", "FP32", "1", "4")) "\0\0\0\0\0\0"), LOAD_MALFORMED,
     "2 bytes behind the last output"},
    {"too few for the shape", BYTES(OUTS(OUT("y", "FP32", "2", "4")) "\0\0\0\0"), LOAD_MALFORMED,
     "y: 4 bytes for 2 values of FP32"},
    {"no whole value", BYTES(OUTS(OUT("y", "FP32", "1", "3")) "\0\0\0"), LOAD_MALFORMED,
     "y: 3 bytes for 1 values of FP32"},
    {"NaN", BYTES(OUTS(OUT("y", "FP32", "1", "4")) "\0\0\xc0\x7f"), LOAD_MALFORMED,
     "y: a value that is none of its datatype"},
    {"infinite, half", BYTES(OUTS(OUT("y", "FP16", "1", "2")) "\0\xfc"), LOAD_MALFORMED,
     "y: a value that is none of its datatype"},
    {"neither true nor false", BYTES(OUTS(OUT("y", "BOOL", "1", "1")) "\2"), LOAD_MALFORMED,
     "y: a value that is none of its datatype"},
    {"a text beyond the end",
     BYTES(OUTS(OUT("y", "BYTES", "1", "5")) "\xff\xff\xff\xff"
                                             "a"),
     LOAD_MALFORMED, "y: 5 bytes for 1 values of BYTES"},
    {"a length that is cut", BYTES(OUTS(OUT("y", "BYTES", "1", "2")) "\0\0"), LOAD_MALFORMED,
     "y: 2 bytes for 1 values of BYTES"},
    {"a huge size", BYTES(OUTS(OUT("y", "INT8", "1", "9223372036854775807")) "\0"), LOAD_MALFORMED,
     "y: 8388608 bytes announced, 1 there"},
    {"no shape",
     BYTES("{\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT8\",\"parameters\":"
           "{\"binary_data_size\":1}}]}\0"),
     LOAD_MALFORMED, "an output without name or shape"},
    {"no datatype that there is", BYTES(OUTS(OUT("y", "FP8", "1", "1")) "\0"), LOAD_MALFORMED,
     "y: FP8 has no binary form"},
};

static void test_answers(void **state)
{
    (void)state;
    const struct corpus prompts = PROMPTS({.prompt = "hi"});
    const struct spec_setting set = {"binary", "true"};
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct load_plan plan = plan_of("kserve", &prompts, "http://127.0.0.1:1/");
        plan.streams[0].settings = &set;
        plan.streams[0].setting_count = 1;
        /* A copy of exactly this length: an overrun shows. */
        char *body = malloc(answers[i].len);
        assert_non_null(body);
        memcpy(body, answers[i].body, answers[i].len);
        struct load_answer answer = {.http_status = 200, .body = body, .len = answers[i].len};
        struct load_record record = {.tokens = -1};
        struct buf text = BUF_INIT(LOAD_TEXT_MAX), gaps = BUF_INIT(64);
        plan.streams[0].protocol->read(&plan.streams[0], &answer, &record, &text, &gaps);
        CHECK_ROW_TEXT(i, answers[i].name, load_error_name(record.error),
                       load_error_name(answers[i].error));
        CHECK_ROW_TEXT(i, answers[i].name, buf_text(&text), answers[i].text);
        buf_done(&text);
        buf_done(&gaps);
        free(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packs),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
