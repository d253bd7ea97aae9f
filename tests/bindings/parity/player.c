/* Makes the calls that it reads, line by line: begin, end, cancel, progress (7 of 9), value, text, report, rest (the
 * epochs up to 10), quit. It answers each with a line, so that the test knows when it is done. This folder has the same program in every language. */
#include <carbontracker.h>
#include <stdio.h>
#include <string.h>

static char text[1 << 16];

int main(int argc, char **argv)
{
    ct_tracker *tracker = NULL;
    char line[64];
    if (argc < 2 || ct_create(argv[1], &tracker) < 0) {
        fprintf(stderr, "%s\n", ct_last_error());
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "quit\n") != 0) {
        double value = 0;
        if (strcmp(line, "begin\n") == 0)
            ct_epoch_begin(tracker);
        else if (strcmp(line, "end\n") == 0)
            ct_epoch_end(tracker);
        else if (strcmp(line, "cancel\n") == 0)
            ct_epoch_cancel(tracker);
        else if (strcmp(line, "progress\n") == 0)
            ct_progress(tracker, 7, 9);
        else if (strcmp(line, "value\n") == 0 && ct_value(tracker, "/usage/energy_j", &value) == CT_OK)
            printf("%.17g ", value);
        else if (strcmp(line, "text\n") == 0 && ct_text(tracker, "/components", text, sizeof text, NULL) == CT_OK)
            printf("%s", text);
        else if (strcmp(line, "rest\n") == 0 && ct_value(tracker, "/run/epochs_done", &value) == CT_OK)
            for (; value < 10; value++) {
                ct_epoch_begin(tracker);
                printf("%d ", (int)value + 1);
                ct_epoch_end(tracker);
            }
        else if (strcmp(line, "report\n") == 0 && ct_report(tracker, "json", text, sizeof text, NULL) == CT_OK)
            printf("%.*s", (int)strcspn(text, "\n"), text);
        printf("\n");
        fflush(stdout);
    }
    ct_destroy(tracker);
    return 0;
}
