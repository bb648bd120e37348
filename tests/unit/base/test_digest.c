/* Vectors of FIPS 180-4, from memory and from a file. */
#include "base/digest.h"

#include "base/file.h"

#include "check.h"

static const struct {
    const char *text, *hex;
} rows[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char hex[DIGEST_HEX_SIZE];
        digest_bytes(rows[i].text, strlen(rows[i].text), hex);
        CHECK_ROW_TEXT(i, rows[i].text, hex, rows[i].hex);
    }
}

static void test_file(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = file_join(folder, "data");
    char hex[DIGEST_HEX_SIZE] = "untouched", whole[DIGEST_HEX_SIZE];
    struct err err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(file_write_atomic(path, rows[i].text, strlen(rows[i].text), &err));
        assert_true(digest_file(path, hex, &err));
        CHECK_ROW_TEXT(i, rows[i].text, hex, rows[i].hex);
    }
    /* Longer than one reading. */
    const size_t size = 300001;
    AUTO(free) char *big = malloc(size);
    memset(big, 'a', size);
    digest_bytes(big, size, whole);
    assert_true(file_write_atomic(path, big, size, &err));
    assert_true(digest_file(path, hex, &err));
    assert_string_equal(hex, whole);
    check_remove_folder(folder);
}

static void test_no_file(void **state)
{
    (void)state;
    char hex[DIGEST_HEX_SIZE] = "untouched";
    struct err missing = ERR_INIT, folder = ERR_INIT;
    assert_false(digest_file("/nonexistent/file", hex, &missing));
    assert_int_equal(missing.code, ERR_MISSING);
    assert_false(digest_file("/", hex, &folder));
    assert_int_equal(folder.code, ERR_INTERNAL);
    assert_string_equal(hex, "untouched");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
