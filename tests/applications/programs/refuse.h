/*
 * With CT_REFUSE=1 in the environment the program installs a seccomp filter: unshare(2) and close_range(2) fail with
 * EPERM, as in some sandboxes. Then the library's threads cannot have a separate descriptor table.
 */
#ifndef REFUSE_H
#define REFUSE_H

#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static inline int is_refusing(void) {
    return getenv("CT_REFUSE") != NULL;
}

static inline void refuse_if_asked(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (!is_refusing()) return;
    CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_INT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    CHECK(syscall(SYS_unshare, 0x400 /* CLONE_FILES */) == -1 && errno == EPERM);
}

#endif
