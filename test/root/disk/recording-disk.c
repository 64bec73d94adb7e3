/*
 * A disk that remembers, for the tests that cut its power or break its blocks. A FUSE file system
 * of three files:
 *
 *   disk   the disk; a loop device stands on it. Nothing is cached: what arrives here is what the
 *          kernel's block layer sent, in that order.
 *   mark   a text written here goes to the log, between the writes before it and those after it.
 *   fail   says what goes wrong from now on: "nothing", "flushes", "writes", or "writes-of TEXT":
 *          writes with a block that begins with TEXT.
 *
 * The log is a sequence of entries: a header of four little-endian 64-bit numbers (kind, offset,
 * length, 0 or an errno), and for writes and marks that many bytes.
 *
 * recording-disk IMAGE LOG MOUNTPOINT
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { KIND_WRITE = 1, KIND_FLUSH = 2, KIND_MARK = 3 };
enum file { FILE_DISK, FILE_MARK, FILE_FAIL, FILE_COUNT };

static const char *const names[FILE_COUNT] = {"/disk", "/mark", "/fail"};
static const size_t block_bytes = 4096;

static int image;
static const char *mount_point;
static int log_file;
static char failing[256] = "nothing";

static int find_file(const char *path)
{
    for (int file = 0; file < FILE_COUNT; file++)
        if (strcmp(path, names[file]) == 0)
            return file;
    return -1;
}

/* A log with a hole would make the tests prove nothing. */
static void require(int is_true, const char *what)
{
    if (is_true)
        return;
    perror(what);
    _exit(1);
}

static void record(enum kind kind, uint64_t offset, const char *data, uint64_t length, int error)
{
    uint64_t header[4] = {kind, offset, length, (uint64_t)error};
    struct iovec parts[2] = {{header, sizeof header}, {(void *)data, length}};
    ssize_t written = writev(log_file, parts, data == NULL ? 1 : 2);
    require(written == (ssize_t)(sizeof header + (data == NULL ? 0 : length)), "log");
}

static int holds_marker(const char *data, size_t size, const char *marker)
{
    size_t length = strlen(marker);
    for (size_t at = 0; at + length <= size; at += block_bytes)
        if (memcmp(data + at, marker, length) == 0)
            return 1;
    return 0;
}

static int is_failing_write(const char *data, size_t size)
{
    static const char holding[] = "writes-of ";
    if (strcmp(failing, "writes") == 0)
        return 1;
    if (strncmp(failing, holding, sizeof holding - 1) == 0)
        return holds_marker(data, size, failing + sizeof holding - 1);
    return 0;
}

static int get_attributes(const char *path, struct stat *stat, struct fuse_file_info *info)
{
    (void)info;
    memset(stat, 0, sizeof *stat);
    if (strcmp(path, "/") == 0) {
        stat->st_mode = S_IFDIR | 0700;
        stat->st_nlink = 2;
        return 0;
    }
    int file = find_file(path);
    if (file < 0)
        return -ENOENT;
    if (file == FILE_DISK)
        require(fstat(image, stat) == 0, "image");
    stat->st_mode = S_IFREG | 0600;
    stat->st_nlink = 1;
    return 0;
}

static int open_file(const char *path, struct fuse_file_info *info)
{
    info->direct_io = 1;
    return find_file(path) < 0 ? -ENOENT : 0;
}

static int truncate_file(const char *path, off_t size, struct fuse_file_info *info)
{
    (void)size;
    (void)info;
    return find_file(path) == FILE_DISK ? -EPERM : 0;
}

static int read_file(const char *path, char *data, size_t size, off_t offset,
                     struct fuse_file_info *info)
{
    (void)info;
    if (find_file(path) != FILE_DISK)
        return 0;
    ssize_t count = pread(image, data, size, offset);
    return count < 0 ? -errno : (int)count;
}

static int write_disk(const char *data, size_t size, off_t offset)
{
    if (is_failing_write(data, size)) {
        record(KIND_WRITE, (uint64_t)offset, NULL, 0, EIO);
        return -EIO;
    }
    ssize_t count = pwrite(image, data, size, offset);
    require(count == (ssize_t)size, "image");
    record(KIND_WRITE, (uint64_t)offset, data, size, 0);
    return (int)size;
}

static int write_file(const char *path, const char *data, size_t size, off_t offset,
                      struct fuse_file_info *info)
{
    (void)info;
    switch (find_file(path)) {
    case FILE_DISK:
        return write_disk(data, size, offset);
    case FILE_FAIL:
        if (size >= sizeof failing)
            return -EINVAL;
        memcpy(failing, data, size);
        failing[size] = '\0';
        return (int)size;
    default:
        record(KIND_MARK, 0, data, size, 0);
        return (int)size;
    }
}

static int sync_file(const char *path, int is_data_only, struct fuse_file_info *info)
{
    (void)is_data_only;
    (void)info;
    if (find_file(path) != FILE_DISK)
        return 0;
    int error = strcmp(failing, "flushes") == 0 ? EIO : 0;
    record(KIND_FLUSH, 0, NULL, 0, error);
    return -error;
}

/*
 * Leaves the namespace that the disk is used in. Were this the last process there, its own end would
 * take down the file system on the disk, and wait for a disk that is ending: for ever.
 */
static void *leave_namespace(struct fuse_conn_info *connection, struct fuse_config *config)
{
    (void)connection;
    (void)config;
    require(unshare(CLONE_NEWNS) == 0, "unshare");
    require(umount2(mount_point, MNT_DETACH) == 0, mount_point);
    return NULL;
}

static const struct fuse_operations operations = {
    .init = leave_namespace,
    .getattr = get_attributes,
    .open = open_file,
    .truncate = truncate_file,
    .read = read_file,
    .write = write_file,
    .fsync = sync_file,
};

int main(int count, char **arguments)
{
    require(count == 4, "usage: recording-disk IMAGE LOG MOUNTPOINT");
    image = open(arguments[1], O_RDWR | O_CLOEXEC);
    require(image >= 0, arguments[1]);
    log_file = open(arguments[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    require(log_file >= 0, arguments[2]);
    mount_point = arguments[3];
    /* One thread: the order of the log is the order in which the disk worked. */
    char *fuse_arguments[] = {arguments[0], "-f", "-s", arguments[3], NULL};
    return fuse_main(4, fuse_arguments, &operations, NULL);
}
