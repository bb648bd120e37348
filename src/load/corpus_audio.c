/* Clips and what is said in them. A manifest (NeMo's JSON lines) says which files belong to it; a
 * folder without one is taken file by file, each with its text beside it.
 *
 * A 16 bit PCM WAV file is kept byte for byte: it is what servers get in practice. Everything else
 * that libsndfile reads is converted once to that form at its own rate and channels; resampling
 * would change what is measured and is left to the server. A manifest that states another duration
 * than its file has is refused: cut or exchanged files are the usual reason. */
#include "load/corpus_file.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <string.h>
#include <strings.h>

enum { TRANSCRIPT_MAX_BYTES = 64 << 10 };

struct reading {
    struct arena *arena;
    const char *folder;
    struct corpus_clip *clips; /* owned while reading */
    size_t count, cap, bytes;
};

/* A file in memory, for libsndfile to read or write. */
struct memory {
    struct buf *buf;
    size_t at;
};

static sf_count_t memory_len(void *ctx)
{
    return (sf_count_t)((struct memory *)ctx)->buf->len;
}

static sf_count_t memory_seek(sf_count_t offset, int whence, void *ctx)
{
    struct memory *m = ctx;
    sf_count_t from = whence == SEEK_CUR   ? (sf_count_t)m->at
                      : whence == SEEK_END ? (sf_count_t)m->buf->len
                                           : 0;
    if (from + offset < 0)
        return -1;
    m->at = (size_t)(from + offset);
    return from + offset;
}

static sf_count_t memory_read(void *into, sf_count_t count, void *ctx)
{
    struct memory *m = ctx;
    size_t left = m->at < m->buf->len ? m->buf->len - m->at : 0;
    size_t n = (size_t)count < left ? (size_t)count : left;
    if (n)
        memcpy(into, m->buf->data + m->at, n);
    m->at += n;
    return (sf_count_t)n;
}

/* A WAV header is written again at the end, over its first version. */
static sf_count_t memory_write(const void *from, sf_count_t count, void *ctx)
{
    struct memory *m = ctx;
    size_t len = (size_t)count, over = m->at < m->buf->len ? m->buf->len - m->at : 0;
    if (over > len)
        over = len;
    if (over)
        memcpy(m->buf->data + m->at, from, over);
    if (!buf_append(m->buf, (const char *)from + over, len - over))
        return 0;
    m->at += len;
    return count;
}

static sf_count_t memory_tell(void *ctx)
{
    return (sf_count_t)((struct memory *)ctx)->at;
}

static SNDFILE *open_memory(struct memory *memory, int mode, SF_INFO *info)
{
    static SF_VIRTUAL_IO io = {.get_filelen = memory_len,
                               .seek = memory_seek,
                               .read = memory_read,
                               .write = memory_write,
                               .tell = memory_tell};
    return sf_open_virtual(&io, mode, info, memory);
}

/* Reads all of `in` as 16 bit samples and writes them as WAV. */
static bool convert(SNDFILE *in, const SF_INFO *info, struct buf *ret_wav, struct err *err)
{
    enum { SAMPLES = 32768 }; /* at 8 channels: 4096 of each */
    short samples[SAMPLES];
    const sf_count_t frames = SAMPLES / info->channels;
    struct memory memory = {.buf = ret_wav};
    SF_INFO wanted = {.samplerate = info->samplerate,
                      .channels = info->channels,
                      .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};
    SNDFILE *out = open_memory(&memory, SFM_WRITE, &wanted);
    if (!out)
        return err_set(err, ERR_INPUT, "cannot be written as WAV: %s", sf_strerror(NULL));
    /* Float files may exceed full scale: clip instead of wrapping around. */
    sf_command(in, SFC_SET_SCALE_FLOAT_INT_READ, NULL, SF_TRUE);
    sf_command(in, SFC_SET_CLIPPING, NULL, SF_TRUE);
    sf_count_t done = 0, n = sf_readf_short(in, samples, frames);
    while (n > 0 && !ret_wav->over && sf_writef_short(out, samples, n) == n) {
        done += n;
        n = sf_readf_short(in, samples, frames);
    }
    sf_close(out);
    if (ret_wav->over)
        return err_set(err, ERR_INPUT, "converted, the corpus is too large");
    return done == info->frames || err_set(err, ERR_INPUT, "ends after %lld of %lld samples",
                                           (long long)done, (long long)info->frames);
}

static bool check_info(const SF_INFO *info, struct err *err)
{
    if (info->channels < 1 || info->channels > 8 || info->samplerate < 1000)
        return err_set(err, ERR_INPUT, "%d channels at %d Hz", info->channels, info->samplerate);
    return info->frames > 0 || err_set(err, ERR_INPUT, "holds no sound");
}

static bool read_sound(struct buf *file, struct buf *ret_wav, double *ret_duration_s,
                       struct err *err)
{
    struct memory memory = {.buf = file};
    SF_INFO info = {0};
    SNDFILE *in = open_memory(&memory, SFM_READ, &info);
    if (!in)
        return err_set(err, ERR_INPUT, "not audio that can be read: %s", sf_strerror(NULL));
    bool good = check_info(&info, err);
    bool as_is = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_WAV &&
                 (info.format & SF_FORMAT_SUBMASK) == SF_FORMAT_PCM_16;
    if (good && !as_is)
        good = convert(in, &info, ret_wav, err);
    if (good)
        *ret_duration_s = (double)info.frames / (double)info.samplerate;
    sf_close(in);
    return good;
}

bool corpus_read_clip(struct arena *arena, const char *path, size_t max,
                      struct corpus_clip *ret_clip, struct err *err)
{
    struct buf file = BUF_INIT(max), wav = BUF_INIT(max);
    struct corpus_clip clip = {0};
    bool read = buf_read_file(&file, path, err);
    if (!read && err && err->code == ERR_LIMIT)
        err->code = ERR_INPUT;
    bool good =
        read && (read_sound(&file, &wav, &clip.duration_s, err) || err_wrap(err, "%s", path));
    if (good) {
        const struct buf *from = wav.len > 0 ? &wav : &file;
        void *data = arena_alloc(arena, from->len);
        memcpy(data, from->data, from->len);
        const char *slash = strrchr(path, '/');
        clip.data = data;
        clip.len = from->len;
        clip.name = arena_strdup(arena, slash ? slash + 1 : path);
        *ret_clip = clip;
    }
    buf_done(&file);
    buf_done(&wav);
    return good;
}

static bool add_clip(struct reading *r, const char *path, struct corpus_clip **ret_clip,
                     struct err *err)
{
    if (r->count == CORPUS_MAX_ITEMS)
        return err_set(err, ERR_INPUT, "more than %d clips", CORPUS_MAX_ITEMS);
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        struct corpus_clip *grown = realloc(r->clips, r->cap * sizeof *grown);
        if (!grown)
            abort();
        r->clips = grown;
    }
    struct corpus_clip *clip = &r->clips[r->count];
    if (!corpus_read_clip(r->arena, path, CORPUS_MAX_BYTES - r->bytes, clip, err))
        return false;
    r->bytes += clip->len;
    r->count++;
    *ret_clip = clip;
    return true;
}

static bool check_entry(const json_t *root, struct err *err)
{
    const json_t *text = json_object_get(root, "text");
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, "not a JSON object");
    if (!json_get_text(root, "audio_filepath"))
        return err_set(err, ERR_INPUT, "lacks \"audio_filepath\"");
    if (text && !json_is_string(text) && !json_is_null(text))
        return err_set(err, ERR_INPUT, "\"text\" is not a text");
    if (json_get_real(root, "offset") > 0)
        return err_set(err, ERR_INPUT, "\"offset\" is not supported: cut the clip out");
    return true;
}

static bool take_entry(void *ctx, const char *line, size_t len, struct err *err)
{
    struct reading *r = ctx;
    json_error_t problem;
    AUTO_JSON json_t *root = json_loadb(line, len, JSON_DECODE_ANY, &problem);
    if (!root)
        return err_set(err, ERR_INPUT, "not JSON: %s", problem.text);
    if (!check_entry(root, err))
        return false;
    AUTO(free) char *path = file_join(r->folder, json_get_text(root, "audio_filepath"));
    struct corpus_clip *clip = NULL;
    if (!add_clip(r, path, &clip, err))
        return false;
    const char *text = json_get_text(root, "text");
    clip->transcript = text ? corpus_text_keep(r->arena, text, strlen(text)) : NULL;
    double stated_s = json_get_real(root, "duration");
    if (fabs(stated_s - clip->duration_s) > 0.1 + 0.02 * clip->duration_s)
        return err_set(err, ERR_INPUT, "states %.2f s, but %s has %.2f s", stated_s, path,
                       clip->duration_s);
    return true;
}

static bool is_audio(const char *name)
{
    static const char *const ends[] = {".wav", ".flac", ".ogg"};
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        size_t end_len = strlen(ends[i]);
        if (len > end_len && strcasecmp(name + len - end_len, ends[i]) == 0)
            return true;
    }
    return false;
}

static int audio_only(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && is_audio(entry->d_name);
}

/* The text file beside a clip; none is no error here. */
static bool read_transcript(struct reading *r, const char *path, struct corpus_clip *clip,
                            struct err *err)
{
    struct buf text = BUF_INIT(TRANSCRIPT_MAX_BYTES);
    struct buf name = BUF_INIT(4096);
    size_t stem = (size_t)(strrchr(path, '.') - path);
    buf_addf(&name, "%.*s.txt", (int)stem, path);
    bool good = true;
    if (file_exists(buf_text(&name)))
        good = buf_read_file(&text, buf_text(&name), err) &&
               (corpus_text_check(buf_text(&text), text.len, err) ||
                err_wrap(err, "%s", buf_text(&name)));
    if (good && file_exists(buf_text(&name)))
        clip->transcript = corpus_text_keep(r->arena, buf_text(&text), text.len);
    buf_done(&text);
    buf_done(&name);
    return good;
}

static bool read_folder(struct reading *r, struct err *err)
{
    struct dirent **entries = NULL;
    int count = scandir(r->folder, &entries, audio_only, alphasort);
    if (count < 0)
        return err_set(err, ERR_INPUT, "corpus %s: %s", r->folder, strerror(errno));
    bool good = true;
    for (int i = 0; i < count; i++) {
        AUTO(free) char *path = file_join(r->folder, entries[i]->d_name);
        struct corpus_clip *clip = NULL;
        good = good && add_clip(r, path, &clip, err) && read_transcript(r, path, clip, err);
        free(entries[i]);
    }
    free(entries);
    return good;
}

static void keep(const struct reading *r, struct corpus *ret_corpus)
{
    ret_corpus->clips = arena_array(r->arena, r->count, sizeof *r->clips);
    if (r->clips)
        memcpy(ret_corpus->clips, r->clips, r->count * sizeof *r->clips);
    ret_corpus->clip_count = r->count;
    ret_corpus->all_transcribed = true;
    for (size_t i = 0; i < r->count; i++)
        ret_corpus->all_transcribed &= ret_corpus->clips[i].transcript != NULL;
}

bool corpus_load_audio(struct arena *arena, const char *folder, struct corpus *ret_corpus,
                       struct err *err)
{
    struct reading r = {.arena = arena, .folder = folder};
    AUTO(free) char *manifest = file_join(folder, "manifest.jsonl");
    bool good =
        file_exists(manifest) ? corpus_lines(manifest, take_entry, &r, err) : read_folder(&r, err);
    if (good && r.count == 0)
        good = err_set(err, ERR_INPUT,
                       "corpus %s: holds no .wav, .flac or .ogg file, nor a "
                       "manifest.jsonl that names some",
                       folder);
    if (good)
        keep(&r, ret_corpus);
    free(r.clips);
    return good;
}
