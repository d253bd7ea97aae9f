/*
 * A program without carbontracker. Its argument selects how it ends, with status 7 where it can. C99 and C++11.
 * It prints "worked" to stdout and "complained" to stderr.
 */
#define _GNU_SOURCE 1

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap(long ms)
{
    struct timespec left;
    left.tv_sec = ms / 1000;
    left.tv_nsec = ms % 1000 * 1000000L;
    while (nanosleep(&left, &left) != 0) {
    }
}

static void leave(void)
{
    exit(7);
}

static void *leave_from_a_thread(void *unused)
{
    (void)unused;
    leave();
    return NULL;
}

static void close_everything(void)
{
    int file;
    fclose(stdout);
    for (file = 0; file < 1024; file++)
        close(file);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    pthread_t thread;
    pid_t child;
    printf("worked\n");
    fflush(stdout);
    if (strcmp(how, "quiet") != 0)
        fprintf(stderr, "complained\n");
    nap(argc > 2 ? atol(argv[2]) : 100);
    if (strcmp(how, "return") == 0 || strcmp(how, "quiet") == 0)
        return 7;
    if (strcmp(how, "exit") == 0)
        leave();
    if (strcmp(how, "thread") == 0) {
        pthread_create(&thread, NULL, leave_from_a_thread, NULL);
        pthread_join(thread, NULL);
    }
    if (strcmp(how, "last-thread") == 0) { /* the main thread ends; another thread continues and exits */
        pthread_create(&thread, NULL, leave_from_a_thread, NULL);
        pthread_exit(NULL);
    }
    if (strcmp(how, "_exit") == 0)
        _exit(7);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "fork") == 0) { /* the child exits as a program does */
        child = fork();
        if (child != 0)
            waitpid(child, NULL, 0);
        return 7;
    }
    if (strcmp(how, "exec") == 0) {
        child = fork();
        if (child == 0) {
            execl(argv[0], argv[0], "return", (char *)NULL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
        return 7;
    }
    if (strcmp(how, "moved") == 0) /* the program changes its folder and environment */
        return chdir("/") == 0 && clearenv() == 0 ? 7 : 1;
    if (strcmp(how, "reused") == 0) { /* at the end, another file has the number of standard error */
        close(2);
        if (open(argv[3], O_WRONLY | O_CREAT, 0600) != 2)
            return 1;
        return 7;
    }
    if (strcmp(how, "closed") == 0) { /* as GNU programs do: standard error is closed at exit */
        close(2);
        return 7;
    }
    if (strcmp(how, "all-closed") == 0) {
        atexit(close_everything);
        return 7;
    }
    return 1;
}
