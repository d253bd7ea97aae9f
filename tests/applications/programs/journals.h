/* The journals in a folder, as another program reads them. Include it after check.h. */
#ifndef JOURNALS_H
#define JOURNALS_H

/* A buffer for texts of the program. */
static char big[1 << 20];

/* Opens, reads and closes each journal of a folder. */
static void read_journals(char *folder) {
    struct dirent *entry;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        char path[512];
        FILE *file;
        if (strstr(entry->d_name, ".jsonl") == NULL) continue;
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        file = fopen(path, "r");
        CHECK(file != NULL && fread(big, 1, sizeof big, file) > 0);
        fclose(file);
    }
    closedir(dir);
}

/* How many epochs a folder's journals have lines of. */
static long epochs_in(const char *folder) {
    static const char label[] = "{\"index\":", count[] = "\"count\":";
    struct dirent *entry;
    long epochs = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) return 0;
    while ((entry = readdir(dir)) != NULL) {
        char path[512], *line;
        if (strstr(entry->d_name, ".jsonl") == NULL) continue;
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!read_text(path, big, sizeof big)) continue;
        for (line = strstr(big, label); line != NULL; line = strstr(line + 1, label)) {
            const char *number = strstr(line, count);
            if (number != NULL) epochs += atol(number + sizeof count - 1);
        }
    }
    closedir(dir);
    return epochs;
}

#endif
