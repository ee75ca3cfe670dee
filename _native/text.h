/* JSON strings in bytes: finds their end and unescapes them, 64 bytes at a time. */
#ifndef GETNET_TEXT_H
#define GETNET_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#define GETNET_SSE2 1
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define GETNET_NEON 1
#include <arm_neon.h>
#endif

#if defined(GETNET_SSE2) && (defined(__x86_64__) || defined(_M_X64))
#define GETNET_SSSE3 1
#include <tmmintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#endif
#if defined(__GNUC__) || defined(__clang__)
#define GETNET_WITH_SSSE3 __attribute__((target("ssse3,popcnt")))
#else
#define GETNET_WITH_SSSE3
#endif
#endif

#if defined(GETNET_SSSE3) && !defined(_MSC_VER) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 9))
#define GETNET_AVX512 1
#define GETNET_WITH_AVX512 __attribute__((target("avx512f,avx512bw,avx512vbmi2,popcnt")))
#include <immintrin.h>
#endif

#define GETNET_STEP 64

/* Every text that is read here has this many readable bytes after it. */
#define GETNET_SLACK 64

static inline unsigned getnet_first(uint64_t bits)
{
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long place;
#if defined(_M_X64) || defined(_M_ARM64)
    _BitScanForward64(&place, bits);
#else
    if ((uint32_t)bits != 0)
        _BitScanForward(&place, (uint32_t)bits);
    else
        _BitScanForward(&place, (uint32_t)(bits >> 32)), place += 32;
#endif
    return place;
#else
    return (unsigned)__builtin_ctzll(bits);
#endif
}

/* One bit for each of 64 bytes: whether it is a quote, a backslash, or below 0x20. */
typedef struct {
    uint64_t quote, backslash, control;
} getnet_masks;

static inline getnet_masks getnet_look(const uint8_t *at)
{
    getnet_masks masks = {0, 0, 0};
#if defined(GETNET_SSE2)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), highest = _mm_set1_epi8(0x1f);
    for (int i = 0; i < 4; i++) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(at + 16 * i));
        const int shift = 16 * i;
        masks.quote |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << shift;
        masks.backslash |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, backslash)) << shift;
        masks.control |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, highest), bytes))
                         << shift;
    }
#elif defined(GETNET_NEON)
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t weight = vld1q_u8(weights);
#define GETNET_BITS(m)                                                                                                 \
    ((uint64_t)vaddv_u8(vget_low_u8(vandq_u8(m, weight))) |                                                            \
     (uint64_t)vaddv_u8(vget_high_u8(vandq_u8(m, weight))) << 8)
    for (int i = 0; i < 4; i++) {
        const uint8x16_t bytes = vld1q_u8(at + 16 * i);
        masks.quote |= GETNET_BITS(vceqq_u8(bytes, vdupq_n_u8('"'))) << 16 * i;
        masks.backslash |= GETNET_BITS(vceqq_u8(bytes, vdupq_n_u8('\\'))) << 16 * i;
        masks.control |= GETNET_BITS(vcltq_u8(bytes, vdupq_n_u8(0x20))) << 16 * i;
    }
#undef GETNET_BITS
#else
    for (int i = 0; i < 64; i++) {
        masks.quote |= (uint64_t)(at[i] == '"') << i;
        masks.backslash |= (uint64_t)(at[i] == '\\') << i;
        masks.control |= (uint64_t)(at[i] < 0x20) << i;
    }
#endif
    return masks;
}

/* Whether the first `size` bytes are equal; for sizes that are not known at compile time. */
static inline int getnet_same(const uint8_t *one, const uint8_t *other, size_t size)
{
    uint64_t a, b, c, d;
    uint32_t e, f, g, h;

    if (size > 16)
        return memcmp(one, other, size) == 0;
    if (size >= 8) {
        memcpy(&a, one, 8), memcpy(&b, other, 8);
        memcpy(&c, one + size - 8, 8), memcpy(&d, other + size - 8, 8);
        return ((a ^ b) | (c ^ d)) == 0;
    }
    if (size >= 4) {
        memcpy(&e, one, 4), memcpy(&f, other, 4);
        memcpy(&g, one + size - 4, 4), memcpy(&h, other + size - 4, 4);
        return ((e ^ f) | (g ^ h)) == 0;
    }
    for (size_t i = 0; i < size; i++)
        if (one[i] != other[i])
            return 0;
    return 1;
}

/* The first byte from `at` on that does not belong to a plain run of a string; `end` if there is none. */
static inline const uint8_t *getnet_skip_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= GETNET_STEP) {
        const getnet_masks masks = getnet_look(at);
        const uint64_t stop = masks.quote | masks.backslash | masks.control;
        if (stop)
            return at + getnet_first(stop);
        at += GETNET_STEP;
    }
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20)
        at++;
    return at;
}

/* ---------------------------------------------------------------------------------------------- unescaped text */

/* A growing text, with at least GETNET_SLACK bytes after it. */
typedef struct {
    uint8_t *bytes;
    size_t size, room;
} getnet_text;

static inline int getnet_text_reserve(getnet_text *text, size_t more)
{
    size_t room = text->room ? text->room : 1024;
    uint8_t *bytes;

    if (text->room >= text->size + more + GETNET_SLACK)
        return 1;
    while (room < text->size + more + GETNET_SLACK)
        room *= 2;
    bytes = (uint8_t *)realloc(text->bytes, room);
    if (bytes == NULL)
        return 0;
    text->bytes = bytes;
    text->room = room;
    return 1;
}

static inline void getnet_text_free(getnet_text *text)
{
    free(text->bytes);
    text->bytes = NULL;
    text->size = text->room = 0;
}

/* The value of four hex digits, or -1. */
static inline int getnet_hex4(const uint8_t *at)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        const int byte = at[i], digit = byte >= '0' && byte <= '9'   ? byte - '0'
                                        : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                                        : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                                     : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Read the escape whose backslash is at `*at`, with six bytes available; 0 if it is invalid or a lone surrogate. */
static inline int getnet_escape(const uint8_t **at, uint8_t **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *in = *at + 1;
    const char *found;
    int code;

    if (*in == '"') {
        *(*out)++ = '"';
        *at += 2;
        return 1;
    }
    if (*in != 'u') {
        found = *in ? strchr(from, *in) : NULL;
        if (found == NULL)
            return 0;
        *(*out)++ = (uint8_t)to[found - from];
        *at += 2;
        return 1;
    }
    code = getnet_hex4(in + 1);
    if (code < 0 || (code >= 0xd800 && code < 0xe000))
        return 0;
    if (code < 0x80) {
        *(*out)++ = (uint8_t)code;
    } else if (code < 0x800) {
        *(*out)++ = (uint8_t)(0xc0 | code >> 6);
        *(*out)++ = (uint8_t)(0x80 | (code & 63));
    } else {
        *(*out)++ = (uint8_t)(0xe0 | code >> 12);
        *(*out)++ = (uint8_t)(0x80 | (code >> 6 & 63));
        *(*out)++ = (uint8_t)(0x80 | (code & 63));
    }
    *at += 6;
    return 1;
}

/* Of the first `size` of 64 bytes, copy those whose bit in `keep` is set; it may write up to 64. */
static inline uint8_t *getnet_squeeze_plain(uint8_t *out, const uint8_t *in, uint64_t keep, unsigned size)
{
    uint64_t drop = ~keep & (size == 64 ? ~(uint64_t)0 : ((uint64_t)1 << size) - 1);
    unsigned from = 0;

    while (drop) {
        const unsigned to = getnet_first(drop);
        if (to - from <= 8 && from <= 56)
            memcpy(out, in + from, 8); /* a constant size: one instruction */
        else
            memcpy(out, in + from, to - from);
        out += to - from;
        from = to + 1;
        drop &= drop - 1;
    }
    if (from < size) {
        memcpy(out, in + from, size - from);
        out += size - from;
    }
    return out;
}

#if defined(GETNET_SSSE3)
/* For each selection of eight bytes, the shuffle that moves the selected ones to the front; filled at import. */
static uint8_t getnet_orders[256][8];

static int getnet_has_ssse3(void)
{
#if defined(_MSC_VER)
    int words[4];
    __cpuid(words, 1);
    return (words[2] >> 9 & 1) && (words[2] >> 23 & 1); /* SSSE3, POPCNT */
#else
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt");
#endif
}

static void getnet_fill_orders(void)
{
    for (int choice = 0; choice < 256; choice++)
        for (int bit = 0, place = 0; bit < 8; bit++)
            if (choice >> bit & 1)
                getnet_orders[choice][place++] = (uint8_t)bit;
}

GETNET_WITH_SSSE3 static inline uint8_t *getnet_squeeze_ssse3(uint8_t *out, const uint8_t *in, uint64_t keep)
{
    for (int i = 0; i < 8; i++) {
        const unsigned choice = (unsigned)(keep >> 8 * i) & 255;
        const __m128i bytes = _mm_loadl_epi64((const __m128i *)(in + 8 * i));
        const __m128i order = _mm_loadl_epi64((const __m128i *)getnet_orders[choice]);
        _mm_storel_epi64((__m128i *)out, _mm_shuffle_epi8(bytes, order));
#if defined(_MSC_VER) && !defined(__clang__)
        out += __popcnt(choice);
#else
        out += __builtin_popcount(choice);
#endif
    }
    return out;
}
#else
static void getnet_fill_orders(void)
{
}
#endif

enum { GETNET_READ, GETNET_NOT_PLAIN, GETNET_NO_MEMORY };

/* Unescape the string that begins at `*at`, after its quote; sets `*at` to the closing quote. It is not plain if it does not end 64 bytes before `end`, has a byte that a string must not have, or a surrogate. */
#define GETNET_UNESCAPE(LOOK, SQUEEZE)                                                                                 \
    const uint8_t *in = *at;                                                                                           \
    text->size = 0;                                                                                                    \
    for (;;) {                                                                                                         \
        getnet_masks masks;                                                                                            \
        uint64_t stop, keep, upto;                                                                                     \
        unsigned size;                                                                                                 \
        uint8_t *out;                                                                                                  \
        if (end - in < GETNET_STEP)                                                                                    \
            return GETNET_NOT_PLAIN;                                                                                   \
        if (!getnet_text_reserve(text, 2 * GETNET_STEP))                                                               \
            return GETNET_NO_MEMORY;                                                                                   \
        masks = LOOK(in);                                                                                              \
        /* Anything but plain bytes and escaped quotes is read on its own below. */                                    \
        stop = masks.control | (masks.quote & ~(masks.backslash << 1)) | (masks.backslash & ~(masks.quote >> 1));      \
        size = stop ? getnet_first(stop) : GETNET_STEP;                                                                \
        upto = size == GETNET_STEP ? ~(uint64_t)0 : ((uint64_t)1 << size) - 1;                                         \
        keep = upto & ~masks.backslash;                                                                                \
        out = SQUEEZE;                                                                                                 \
        in += size;                                                                                                    \
        if (size < GETNET_STEP) {                                                                                      \
            if (*in == '"') {                                                                                          \
                text->size = (size_t)(out - text->bytes);                                                              \
                *at = in;                                                                                              \
                return GETNET_READ;                                                                                    \
            }                                                                                                          \
            if (*in != '\\' || end - in < 6 || !getnet_escape(&in, &out))                                              \
                return GETNET_NOT_PLAIN;                                                                               \
        }                                                                                                              \
        text->size = (size_t)(out - text->bytes);                                                                      \
    }

static int getnet_unescape_plain(const uint8_t **at, const uint8_t *end, getnet_text *text)
{
    GETNET_UNESCAPE(getnet_look, getnet_squeeze_plain(text->bytes + text->size, in, keep, size))
}

#if defined(GETNET_SSSE3)
GETNET_WITH_SSSE3 static int getnet_unescape_ssse3(const uint8_t **at, const uint8_t *end, getnet_text *text)
{
    GETNET_UNESCAPE(getnet_look, getnet_squeeze_ssse3(text->bytes + text->size, in, keep))
}
#endif

#if defined(GETNET_AVX512)
GETNET_WITH_AVX512 static inline getnet_masks getnet_look_avx512(const uint8_t *at)
{
    const __m512i bytes = _mm512_loadu_si512((const void *)at);
    getnet_masks masks;

    masks.quote = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
    masks.backslash = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\'));
    masks.control = _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20));
    return masks;
}

GETNET_WITH_AVX512 static inline uint8_t *getnet_squeeze_avx512(uint8_t *out, const uint8_t *in, uint64_t keep)
{
    _mm512_storeu_si512((void *)out, _mm512_maskz_compress_epi8(keep, _mm512_loadu_si512((const void *)in)));
    return out + __builtin_popcountll(keep);
}

GETNET_WITH_AVX512 static int getnet_unescape_avx512(const uint8_t **at, const uint8_t *end, getnet_text *text)
{
    GETNET_UNESCAPE(getnet_look_avx512, getnet_squeeze_avx512(text->bytes + text->size, in, keep))
}
#endif

typedef int (*getnet_unescape)(const uint8_t **, const uint8_t *, getnet_text *);

static getnet_unescape getnet_unescape_named(const char *name)
{
    if (strcmp(name, "portable") == 0)
        return getnet_unescape_plain;
#if defined(GETNET_SSSE3)
    if (strcmp(name, "ssse3") == 0 && getnet_has_ssse3())
        return getnet_unescape_ssse3;
#endif
#if defined(GETNET_AVX512)
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"))
        return getnet_unescape_avx512;
#endif
    return NULL;
}

#endif
