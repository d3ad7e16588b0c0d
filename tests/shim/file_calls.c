/* Fails, or kills the process, at the k-th call that changes something in the file system. Loaded in front of the C
 * library: FILE_CALL=k, and FILE_CALL_ENDS=fail or kill. Past the last call nothing happens, and FILE_CALL_LOG=path
 * gets a byte if the k-th was reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;

/* Whether this call is the one. */
static int is_it(void)
{
    const char *wanted = getenv("FILE_CALL");
    if (!wanted || atomic_fetch_add(&calls, 1) + 1 != atol(wanted))
        return 0;
    const char *log = getenv("FILE_CALL_LOG");
    if (log) {
        int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        close(real_open(log, O_CREAT | O_WRONLY, 0600));
    }
    const char *ends = getenv("FILE_CALL_ENDS");
    if (ends && strcmp(ends, "kill") == 0)
        kill(getpid(), SIGKILL);
    errno = EIO;
    return 1;
}

/* Writes to pipes and to the terminal are no business of ours. */
static int is_file(int fd)
{
    struct stat meta;
    return fstat(fd, &meta) == 0 && S_ISREG(meta.st_mode);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OPEN(name, declaration, arguments)                      \
    int name declaration                                        \
    {                                                           \
        mode_t mode = 0;                                        \
        if (flags & (O_CREAT | O_TMPFILE)) {                    \
            va_list rest;                                       \
            va_start(rest, flags);                              \
            mode = (mode_t)va_arg(rest, int);                   \
            va_end(rest);                                       \
        }                                                       \
        REAL(name);                                             \
        if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && is_it()) \
            return -1;                                          \
        return real arguments;                                  \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

#define CALL(result, name, declaration, arguments, counts) \
    result name declaration                                \
    {                                                      \
        REAL(name);                                        \
        if ((counts) && is_it())                           \
            return -1;                                     \
        return real arguments;                             \
    }

CALL(ssize_t, write, (int fd, const void *from, size_t count), (fd, from, count), is_file(fd))
CALL(ssize_t, pwrite, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at), 1)
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t count, off64_t at), (fd, from, count, at), 1)
CALL(int, ftruncate, (int fd, off_t length), (fd, length), 1)
CALL(int, ftruncate64, (int fd, off64_t length), (fd, length), 1)
CALL(int, fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length), 1)
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length), 1)
CALL(int, fsync, (int fd), (fd), 1)
CALL(int, fdatasync, (int fd), (fd), 1)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), 1)
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), 1)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), 1)
CALL(int, rename, (const char *from, const char *to), (from, to), 1)
CALL(int, link, (const char *from, const char *to), (from, to), 1)
CALL(int, linkat, (int at, const char *from, int there, const char *to, int flags), (at, from, there, to, flags), 1)
CALL(int, unlink, (const char *path), (path), 1)
CALL(int, unlinkat, (int at, const char *path, int flags), (at, path, flags), 1)
CALL(int, rmdir, (const char *path), (path), 1)
