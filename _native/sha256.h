/* SHA-256 (FIPS 180-4), with the processor's own instructions if it has them. */
#ifndef GETNET_SHA256_H
#define GETNET_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* A text that is hashed in small steps between other work. The rounds depend on each other and leave most of the
   processor idle, so the other work costs almost nothing. */
typedef struct {
    uint32_t state[8];
    uint32_t before[8], words[16]; /* of the current block */
    const uint8_t *at;             /* the current block */
    int half;                      /* whether its first half is done */
} getnet_sha256_run;

/* One implementation. Each has its own order of the words in a state. */
typedef struct {
    const char *name;
    uint32_t start[8];
    void (*blocks)(uint32_t state[8], const uint8_t *data, size_t count);
    void (*half)(getnet_sha256_run *run); /* the next half of a block, which must be complete */
    void (*digest)(const uint32_t state[8], uint8_t digest[32]);
} getnet_sha256;

/* The fastest implementation on this processor; or the one of that name, NULL if this processor cannot run it. */
const getnet_sha256 *getnet_sha256_best(void);
const getnet_sha256 *getnet_sha256_named(const char *name);

/* Begin with a text at `at`; hash the rest of it, up to `end`, and write the digest. */
void getnet_sha256_begin(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *at);
void getnet_sha256_end(const getnet_sha256 *sha, getnet_sha256_run *run, const uint8_t *start, const uint8_t *end,
                       uint8_t digest[32]);

/* Write the digest of a text of `total` bytes; `size` are left, and the complete blocks before them are done. */
void getnet_sha256_finish(const getnet_sha256 *sha, uint32_t state[8], const uint8_t *rest, size_t size,
                          uint64_t total, uint8_t digest[32]);

void getnet_sha256_whole(const getnet_sha256 *sha, const uint8_t *data, size_t size, uint8_t digest[32]);

/* 64 upper-case hex digits. */
void getnet_hex(const uint8_t digest[32], char hex[64]);

#endif
