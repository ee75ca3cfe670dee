/* SHA-256 (FIPS 180-4) in three implementations: plain C, x86-64 SHA instructions, ARMv8 SHA instructions. */
#include "sha256.h"

#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define H0 0x6a09e667
#define H1 0xbb67ae85
#define H2 0x3c6ef372
#define H3 0xa54ff53a
#define H4 0x510e527f
#define H5 0x9b05688c
#define H6 0x1f83d9ab
#define H7 0x5be0cd19

static void put_word(uint8_t *to, uint32_t word)
{
    to[0] = (uint8_t)(word >> 24);
    to[1] = (uint8_t)(word >> 16);
    to[2] = (uint8_t)(word >> 8);
    to[3] = (uint8_t)word;
}

static void digest_plain(const uint32_t state[8], uint8_t digest[32])
{
    for (int i = 0; i < 8; i++)
        put_word(digest + 4 * i, state[i]);
}

/* ---------------------------------------------------------------------------------------------------- plain C */

#define ROTR(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
#define CH(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define MAJ(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define SUM0(x) (ROTR(x, 2) ^ ROTR(x, 13) ^ ROTR(x, 22))
#define SUM1(x) (ROTR(x, 6) ^ ROTR(x, 11) ^ ROTR(x, 25))
#define SIGMA0(x) (ROTR(x, 7) ^ ROTR(x, 18) ^ ((x) >> 3))
#define SIGMA1(x) (ROTR(x, 17) ^ ROTR(x, 19) ^ ((x) >> 10))

/* One round; the caller rotates the names of the variables instead of moving their values. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                                                               \
    do {                                                                                                               \
        uint32_t t = (h) + SUM1(e) + CH(e, f, g) + K[i] + w[(i) & 15];                                                 \
        (d) += t;                                                                                                      \
        (h) = t + SUM0(a) + MAJ(a, b, c);                                                                              \
    } while (0)

#define SCHEDULE(i) (w[(i) & 15] += SIGMA1(w[((i) + 14) & 15]) + w[((i) + 9) & 15] + SIGMA0(w[((i) + 1) & 15]))

static void blocks_plain(uint32_t state[8], const uint8_t *data, size_t count)
{
    uint32_t w[16];

    for (; count; count--, data += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)data[4 * i] << 24 | (uint32_t)data[4 * i + 1] << 16 | (uint32_t)data[4 * i + 2] << 8 |
                   data[4 * i + 3];
        for (int i = 0; i < 64; i += 8) {
            if (i >= 16)
                for (int j = 0; j < 8; j++)
                    SCHEDULE(i + j);
            ROUND(a, b, c, d, e, f, g, h, i);
            ROUND(h, a, b, c, d, e, f, g, i + 1);
            ROUND(g, h, a, b, c, d, e, f, i + 2);
            ROUND(f, g, h, a, b, c, d, e, i + 3);
            ROUND(e, f, g, h, a, b, c, d, i + 4);
            ROUND(d, e, f, g, h, a, b, c, i + 5);
            ROUND(c, d, e, f, g, h, a, b, i + 6);
            ROUND(b, c, d, e, f, g, h, a, i + 7);
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

/* An implementation without halves does the whole block in the second one. */
#define HALF_OF_ALL(name, blocks)                                                                                      \
    static void name(getnet_sha256_run *run)                                                                           \
    {                                                                                                                  \
        if (run->half) {                                                                                               \
            blocks(run->state, run->at, 1);                                                                            \
            run->at += 64;                                                                                             \
        }                                                                                                              \
        run->half = !run->half;                                                                                        \
    }

HALF_OF_ALL(half_plain, blocks_plain)

static const getnet_sha256 plain = {"portable", {H0, H1, H2, H3, H4, H5, H6, H7}, blocks_plain, half_plain,
                                    digest_plain};

/* ----------------------------------------------------------------------------------------------------- x86-64 */

#if defined(__x86_64__) || defined(_M_X64)
#define GETNET_SHA256_X86 1

#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#include <immintrin.h>

#if defined(__GNUC__) || defined(__clang__)
#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#else
#define WITH_SHA
#endif

/* Four rounds; then the four words that are used sixteen rounds later, computed from the four just used. */
#define QUAD(i)                                                                                                        \
    do {                                                                                                               \
        __m128i wk = _mm_add_epi32(w[(i) & 3], _mm_loadu_si128((const __m128i *)(K + 4 * (i))));                       \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                                                                  \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));                                         \
        if ((i) < 12) {                                                                                                \
            __m128i next = _mm_sha256msg1_epu32(w[(i) & 3], w[((i) + 1) & 3]);                                         \
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[((i) + 3) & 3], w[((i) + 2) & 3], 4));                        \
            w[(i) & 3] = _mm_sha256msg2_epu32(next, w[((i) + 3) & 3]);                                                 \
        }                                                                                                              \
    } while (0)

WITH_SHA static void blocks_x86(uint32_t state[8], const uint8_t *data, size_t count)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef = _mm_loadu_si128((const __m128i *)state), cdgh = _mm_loadu_si128((const __m128i *)(state + 4));

    for (; count; count--, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];

        w[0] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data), swap);
        w[1] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16)), swap);
        w[2] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 32)), swap);
        w[3] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 48)), swap);
        QUAD(0);
        QUAD(1);
        QUAD(2);
        QUAD(3);
        QUAD(4);
        QUAD(5);
        QUAD(6);
        QUAD(7);
        QUAD(8);
        QUAD(9);
        QUAD(10);
        QUAD(11);
        QUAD(12);
        QUAD(13);
        QUAD(14);
        QUAD(15);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    _mm_storeu_si128((__m128i *)state, abef);
    _mm_storeu_si128((__m128i *)(state + 4), cdgh);
}

WITH_SHA static void half_x86(getnet_sha256_run *run)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i *state = (__m128i *)run->state, *before = (__m128i *)run->before, *words = (__m128i *)run->words;
    __m128i abef = _mm_loadu_si128(state), cdgh = _mm_loadu_si128(state + 1), w[4];

    if (!run->half) {
        _mm_storeu_si128(before, abef);
        _mm_storeu_si128(before + 1, cdgh);
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)run->at + i), swap);
        QUAD(0);
        QUAD(1);
        QUAD(2);
        QUAD(3);
        QUAD(4);
        QUAD(5);
        QUAD(6);
        QUAD(7);
        for (int i = 0; i < 4; i++)
            _mm_storeu_si128(words + i, w[i]);
    } else {
        for (int i = 0; i < 4; i++)
            w[i] = _mm_loadu_si128(words + i);
        QUAD(8);
        QUAD(9);
        QUAD(10);
        QUAD(11);
        QUAD(12);
        QUAD(13);
        QUAD(14);
        QUAD(15);
        abef = _mm_add_epi32(abef, _mm_loadu_si128(before));
        cdgh = _mm_add_epi32(cdgh, _mm_loadu_si128(before + 1));
        run->at += 64;
    }
    run->half = !run->half;
    _mm_storeu_si128(state, abef);
    _mm_storeu_si128(state + 1, cdgh);
}

static void digest_x86(const uint32_t state[8], uint8_t digest[32])
{
    static const int place[8] = {3, 2, 7, 6, 1, 0, 5, 4};

    for (int i = 0; i < 8; i++)
        put_word(digest + 4 * i, state[place[i]]);
}

static const getnet_sha256 x86 = {"sha-ni", {H5, H4, H1, H0, H7, H6, H3, H2}, blocks_x86, half_x86,
                                  digest_x86};

static int ask_x86(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;
    unsigned first = 0, seventh = 0;
#if defined(_MSC_VER)
    int words[4];
    __cpuid(words, 0);
    if (words[0] < 7)
        return 0;
    __cpuid(words, 1);
    first = (unsigned)words[2];
    __cpuidex(words, 7, 0);
    seventh = (unsigned)words[1];
    (void)a, (void)b, (void)c, (void)d;
#else
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        seventh = b;
    if (__get_cpuid(1, &a, &b, &c, &d))
        first = c;
#endif
    return (first >> 9 & 1) && (first >> 19 & 1) && (seventh >> 29 & 1); /* SSSE3, SSE4.1, SHA */
}

static int has_x86(void)
{
    static int known = -1; /* CPUID takes microseconds on a virtual machine, and its answer never changes */

    if (known < 0)
        known = ask_x86();
    return known;
}
#endif

/* ------------------------------------------------------------------------------------------------------ ARMv8 */

#if defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO) || defined(_M_ARM64) ||                               \
    (defined(__aarch64__) && ((defined(__GNUC__) && !defined(__clang__)) || (defined(__clang__) && __clang_major__ >= 16)))
#define GETNET_SHA256_ARM 1

#if defined(_M_ARM64)
#include <arm64_neon.h>
#include <windows.h>
#else
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#if defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO) || defined(_M_ARM64)
#define WITH_SHA
#elif defined(__clang__)
#define WITH_SHA __attribute__((target("sha2")))
#else
#define WITH_SHA __attribute__((target("+crypto")))
#endif

WITH_SHA static void blocks_arm(uint32_t state[8], const uint8_t *data, size_t count)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);

    for (; count; count--, data += 64) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t w[4];

        for (int i = 0; i < 4; i++)
            w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
        for (int i = 0; i < 16; i++) {
            const uint32x4_t wk = vaddq_u32(w[i & 3], vld1q_u32(K + 4 * i)), abcd_old = abcd;
            abcd = vsha256hq_u32(abcd, efgh, wk);
            efgh = vsha256h2q_u32(efgh, abcd_old, wk);
            if (i < 12)
                w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

HALF_OF_ALL(half_arm, blocks_arm)

static const getnet_sha256 arm = {"armv8", {H0, H1, H2, H3, H4, H5, H6, H7}, blocks_arm, half_arm,
                                  digest_plain};

static int has_arm(void)
{
#if defined(_M_ARM64)
    return IsProcessorFeaturePresent(PF_ARM_V8_CRYPTO_INSTRUCTIONS_AVAILABLE) != 0;
#elif defined(__ARM_FEATURE_SHA2) || defined(__ARM_FEATURE_CRYPTO)
    return 1; /* the compiler's target always has it, as on macOS */
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) >> 6 & 1) != 0; /* HWCAP_SHA2 */
#else
    return 0;
#endif
}
#endif

/* ------------------------------------------------------------------------------------------------------ choice */

const getnet_sha256 *getnet_sha256_named(const char *name)
{
    if (strcmp(name, plain.name) == 0)
        return &plain;
#ifdef GETNET_SHA256_X86
    if (strcmp(name, x86.name) == 0 && has_x86())
        return &x86;
#endif
#ifdef GETNET_SHA256_ARM
    if (strcmp(name, arm.name) == 0 && has_arm())
        return &arm;
#endif
    return NULL;
}

const getnet_sha256 *getnet_sha256_best(void)
{
    const getnet_sha256 *best = getnet_sha256_named("sha-ni");

    if (best == NULL)
        best = getnet_sha256_named("armv8");
    return best == NULL ? &plain : best;
}

void getnet_sha256_finish(const getnet_sha256 *sha, uint32_t state[8], const uint8_t *rest, size_t size,
                          uint64_t total, uint8_t digest[32])
{
    uint8_t last[128];
    const size_t whole = size / 64 * 64, left = size - whole, padded = left < 56 ? 64 : 128;

    sha->blocks(state, rest, whole / 64);
    memset(last, 0, sizeof last);
    memcpy(last, rest + whole, left);
    last[left] = 0x80;
    put_word(last + padded - 8, (uint32_t)(total >> 29));
    put_word(last + padded - 4, (uint32_t)(total << 3));
    sha->blocks(state, last, padded / 64);
    sha->digest(state, digest);
}

void getnet_sha256_begin(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *at)
{
    memcpy(run->state, sha->start, sizeof run->state);
    run->at = at;
    run->half = 0;
}

void getnet_sha256_end(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *start, const uint8_t *end,
                       uint8_t digest[32])
{
    if (run->half)
        sha->half(run);
    getnet_sha256_finish(sha, run->state, run->at, (size_t)(end - run->at), (uint64_t)(end - start), digest);
}

void getnet_sha256_whole(const getnet_sha256 *sha, const uint8_t *data, size_t size, uint8_t digest[32])
{
    uint32_t state[8];

    memcpy(state, sha->start, sizeof state);
    getnet_sha256_finish(sha, state, data, size, size, digest);
}

void getnet_hex(const uint8_t digest[32], char hex[64])
{
    for (int i = 0; i < 32; i++) {
        const unsigned high = digest[i] >> 4, low = digest[i] & 15;
        /* Without a table, so that the compiler can vectorize it. */
        hex[2 * i] = (char)('0' + high + (high > 9 ? 7 : 0));
        hex[2 * i + 1] = (char)('0' + low + (low > 9 ? 7 : 0));
    }
}
