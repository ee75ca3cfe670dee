/* SHA-256 (FIPS 180-4) with the processor's own instructions where it has them. Knows no message. */
#ifndef GETNET_SHA256_H
#define GETNET_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* A text that is hashed a little at a time, between other work: the rounds wait for each other and leave most of the
   processor idle, so that the other work costs next to nothing. */
typedef struct {
    uint32_t state[8];
    uint32_t before[8], words[16]; /* of the block that has begun */
    const uint8_t *at;             /* the block */
    int half;                      /* whether the first half of it is done */
} getnet_sha256_run;

/* One way to compute it. The order of the words of a state is the implementation's own. */
typedef struct {
    const char *name;
    uint32_t start[8];
    void (*blocks)(uint32_t state[8], const uint8_t *data, size_t count);
    void (*half)(getnet_sha256_run *run); /* the next half of a block, which must be there whole */
    void (*digest)(const uint32_t state[8], uint8_t digest[32]);
} getnet_sha256;

/* The fastest that this processor runs; or the one of that name, NULL where it is not to be had here. */
const getnet_sha256 *getnet_sha256_best(void);
const getnet_sha256 *getnet_sha256_named(const char *name);

/* Begin with a text that stands at `at`; take up what is left of it, to `end`, and write the digest. */
void getnet_sha256_begin(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *at);
void getnet_sha256_end(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *start, const uint8_t *end,
                       uint8_t digest[32]);

/* `size` bytes of a text of `total` are left, the whole blocks before them were taken; write the digest. */
void getnet_sha256_finish(const getnet_sha256 *sha, uint32_t state[8], const uint8_t *rest, size_t size,
                          uint64_t total, uint8_t digest[32]);

void getnet_sha256_whole(const getnet_sha256 *sha, const uint8_t *data, size_t size, uint8_t digest[32]);

/* 64 upper-case hex digits. */
void getnet_hex(const uint8_t digest[32], char hex[64]);

#endif
