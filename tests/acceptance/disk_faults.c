/* Makes the disk look full or slow to a process that loads this library with LD_PRELOAD.

   While `full-PID` is in the folder $GWBATCH_TEST_DISK, the process's writes to files fail with ENOSPC, and it cannot
   make, rename or link anything.  While `slow-PID` is there, each of its syncs is delayed.  `hit-PID` appears as soon as
   a call has failed or was delayed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOW_BY 300000 /* us for each sync */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *marker(char *path, size_t size, const char *kind)
{
    const char *folder = getenv("GWBATCH_TEST_DISK");
    snprintf(path, size, "%s/%s-%d", folder ? folder : "/nonexistent", kind, (int)getpid());
    return path;
}

static int is(const char *kind)
{
    char path[4096];
    int before = errno, found = access(marker(path, sizeof path, kind), F_OK) == 0;
    if (found) {
        int hit = open(marker(path, sizeof path, "hit"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (hit >= 0)
            close(hit);
    }
    errno = before;
    return found;
}

static int is_full(void)
{
    if (!is("full"))
        return 0;
    errno = ENOSPC;
    return 1;
}

/* Not a socket, pipe or terminal. */
static int is_full_for(int file)
{
    struct stat is;
    return fstat(file, &is) == 0 && S_ISREG(is.st_mode) && is_full();
}

static void slow_down(void)
{
    if (is("slow"))
        usleep(SLOW_BY);
}

ssize_t write(int file, const void *data, size_t size)
{
    return is_full_for(file) ? -1 : REAL(write)(file, data, size);
}

ssize_t writev(int file, const struct iovec *data, int count)
{
    return is_full_for(file) ? -1 : REAL(writev)(file, data, count);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    return is_full_for(file) ? -1 : REAL(pwrite)(file, data, size, offset);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset)
{
    return is_full_for(file) ? -1 : REAL(pwrite64)(file, data, size, offset);
}

int mkdir(const char *path, mode_t mode)
{
    return is_full() ? -1 : REAL(mkdir)(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    return is_full() ? -1 : REAL(mkdirat)(folder, path, mode);
}

int rename(const char *from, const char *to)
{
    return is_full() ? -1 : REAL(rename)(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return is_full() ? -1 : REAL(renameat)(from_folder, from, to_folder, to);
}

int link(const char *from, const char *to)
{
    return is_full() ? -1 : REAL(link)(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return is_full() ? -1 : REAL(linkat)(from_folder, from, to_folder, to, flags);
}

int fsync(int file)
{
    slow_down();
    return REAL(fsync)(file);
}

int fdatasync(int file)
{
    slow_down();
    return REAL(fdatasync)(file);
}
