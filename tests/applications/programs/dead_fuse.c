/*
 * dead_fuse FOLDER PROGRAM ARGUMENTS...: runs a program with a FUSE file system on the folder whose server never
 * answers. After the program, or after 40 s, the connection is closed, so that no process stays blocked.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments) {
    char options[100];
    int server, status = 1, n;
    pid_t child;
    if (count < 3 || unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return perror("unshare"), 1;
    server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d", server, (int)getuid(), (int)getgid());
    if (server < 0 || mount("dead", arguments[1], "fuse", 0, options) != 0) return perror("fuse"), 1;
    child = fork();
    if (child == 0) {
        execvp(arguments[2], arguments + 2);
        _exit(127);
    }
    for (n = 0; n < 4000 && waitpid(child, &status, WNOHANG) == 0; n++) usleep(10000);
    if (n == 4000) fprintf(stderr, "hangs\n");
    close(server);
    if (n == 4000) waitpid(child, &status, 0);
    return n == 4000 || !WIFEXITED(status) ? 1 : WEXITSTATUS(status);
}
