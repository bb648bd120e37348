/* Forms, byte by byte as they must be, and boundaries that are not in the data. */
#include "load/multipart.h"

#include "check.h"

static const struct load_part_of_form parts[] = {
    {.name = "file", .file_name = "a \"b\"\r\n.wav", .type = "audio/wav", .data = "R\0F", .len = 3},
    {.name = "model", .data = "tiny", .len = 4},
    {.name = "empty", .data = "", .len = 0},
};

static void test_bytes(void **state)
{
    (void)state;
    static const char expected[] =
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a %22b%22%0D%0A.wav\"\r\n"
        "Content-Type: audio/wav\r\n\r\nR\0F\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ntiny\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--B--\r\n";
    struct buf body = BUF_INIT(4096);
    assert_true(load_multipart_write_with(parts, 3, "B", &body, NULL));
    assert_int_equal(body.len, sizeof expected - 1);
    assert_memory_equal(body.data, expected, body.len);
    buf_done(&body);
}

static void test_boundary(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf body = BUF_INIT(4096), type = BUF_INIT(256), again = BUF_INIT(256);
    assert_false(load_multipart_write_with(parts, 3, "iny", &body, &err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_true(load_multipart_write(parts, 3, &body, &type, NULL));
    const char *boundary = strstr(buf_text(&type), "boundary=") + 9;
    assert_true(strlen(boundary) >= 32);
    assert_non_null(memmem(body.data, body.len, boundary, strlen(boundary)));
    buf_clear(&body);
    assert_true(load_multipart_write(parts, 3, &body, &again, NULL));
    assert_string_not_equal(buf_text(&type), buf_text(&again));
    buf_done(&body);
    buf_done(&type);
    buf_done(&again);
}

static void test_too_long(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf body = BUF_INIT(100);
    assert_false(load_multipart_write_with(parts, 3, "B", &body, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    buf_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_boundary),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
