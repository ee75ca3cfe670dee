/* Preloaded: a disk whose syncs take longer by GETNET_BENCH_SYNC_US microseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *extra = getenv("GETNET_BENCH_SYNC_US");
    int done = next(fd);
    if (extra != NULL)
        usleep((useconds_t)atoi(extra));
    return done;
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
