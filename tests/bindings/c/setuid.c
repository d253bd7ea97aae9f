/* In a program with more rights than its user, the library ignores all of its variables, known or unknown. */
#include "check.h"

#include <sys/auxv.h>

enum { NOT_PRIVILEGED = 3, NOT_LOADED = 127, NOBODY = 65534 };

static int as_nobody(void) {
    ct_tracker *tracker = NULL;
    char message[4096];
    if (getauxval(AT_SECURE) == 0) return NOT_PRIVILEGED; /* a file system without setuid */
    CHECK(getenv("CARBONTRACKER_EPOCH") != NULL);
    CHECK_STATUS(ct_create("sim_cpu=x:10", &tracker), CT_OK);
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) CHECK(strstr(message, "CARBONTRACKER_") == NULL);
    ct_destroy(tracker);
    return 0;
}

static void copy_of_itself(const char *path) {
    char bytes[1 << 16];
    size_t length;
    FILE *in = fopen("/proc/self/exe", "rb"), *out = fopen(path, "wb");
    CHECK(in != NULL && out != NULL);
    while ((length = fread(bytes, 1, sizeof bytes, in)) > 0) CHECK(fwrite(bytes, 1, length, out) == length);
    CHECK(fclose(out) == 0);
    fclose(in);
    CHECK(chown(path, NOBODY, NOBODY) == 0);
    CHECK(chmod(path, 04755) == 0);
}

int main(int count, char **arguments) {
    const char *temp = getenv("TMPDIR");
    char path[256];
    pid_t child;
    int status = 0;
    if (count > 1) return as_nobody();
    (void)arguments;
    if (geteuid() != 0) {
        printf("skipped: only root gives a program to another user\n");
        return 0;
    }
    print_to(path, sizeof path, "%s/ct-setuid-%d", temp == NULL ? "/tmp" : temp, (int)getpid());
    copy_of_itself(path);
    CHECK(setenv("CARBONTRACKER_DISABLE", "1", 1) == 0);
    CHECK(setenv("CARBONTRACKER_PUE", "half", 1) == 0);
    CHECK(setenv("CARBONTRACKER_EPOCH", "1", 1) == 0);
    child = fork();
    if (child == 0) {
        execl(path, path, "as nobody", (char *)NULL);
        _exit(NOT_LOADED);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(remove(path) == 0);
    CHECK(WIFEXITED(status));
    /* The loader ignores LD_LIBRARY_PATH for such a program: only a static one runs. */
    if (WEXITSTATUS(status) == NOT_LOADED || WEXITSTATUS(status) == NOT_PRIVILEGED) {
        printf("skipped: such a program does not find the library, or has no more rights\n");
        return 0;
    }
    CHECK_INT(WEXITSTATUS(status), 0);
    return 0;
}
