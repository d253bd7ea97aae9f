/*
 * Counters whose energy is known at every instant, and is the same for all processes. A file that holds "served WATTS"
 * is read as a counter of this power since the machine's start. A program includes this file, and the library then
 * calls the program's pread64.
 */
#ifndef SERVED_H
#define SERVED_H

#define _GNU_SOURCE 1

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

ssize_t pread64(int file, void *buffer, size_t size, off_t offset);

ssize_t pread64(int file, void *buffer, size_t size, off_t offset)
{
    const ssize_t got = syscall(SYS_pread64, file, buffer, size, offset);
    const uint64_t range_uj = 262143328850u;
    struct timespec now;
    unsigned watts;
    char text[32] = "";
    if (got <= 0 || (size_t)got >= sizeof text)
        return got;
    memcpy(text, buffer, (size_t)got);
    if (sscanf(text, "served %u", &watts) != 1)
        return got;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%llu\n",
             (unsigned long long)(watts * ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000) % range_uj));
    memcpy(buffer, text, strlen(text) < size ? strlen(text) : size);
    return (ssize_t)(strlen(text) < size ? strlen(text) : size);
}

static void nap(int ms)
{
    struct timespec left;
    left.tv_sec = ms / 1000;
    left.tv_nsec = ms % 1000 * 1000000L;
    while (nanosleep(&left, &left) != 0) {
    }
}

#endif
