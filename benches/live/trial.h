/* The recorder of a trial in C or C++: marks the epochs, and writes a row of CSV after each one.
 *
 * TRIAL_CSV is the file of the rows, TRIAL_LABEL the columns `budget,run` of them. The library takes its options from
 * the variables CARBONTRACKER_... . Messages go to the standard output. */
#ifndef LIVE_TRIAL_H
#define LIVE_TRIAL_H

#include <carbontracker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    ct_tracker *tracker;
    FILE *rows;
    const char *program;
    int has_marks, epochs, ended, is_over, messages, warnings;
} trial;

static inline const char *trial_setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* Writes a number of the report as a field. The field is empty if the number is unknown. */
static inline void trial_field(const trial *t, const char *pointer)
{
    double value;
    if (ct_value(t->tracker, pointer, &value) == CT_OK)
        fprintf(t->rows, ",%.6g", value);
    else
        fputc(',', t->rows);
}

static inline void trial_row(const trial *t)
{
    static const char *const pointers[] = {
        "/usage/duration_s", "/usage/energy_j",
        "/forecast/duration_s/value", "/forecast/duration_s/low", "/forecast/duration_s/high",
        "/forecast/energy_j/value", "/forecast/energy_j/low", "/forecast/energy_j/high",
    };
    double load = 0;
    if (getloadavg(&load, 1) != 1)
        load = 0;
    fprintf(t->rows, "%s,%s,%s,%d,%d,%d,%d,%d,%.2f", t->program, t->has_marks ? "marks" : "plain",
            trial_setting("TRIAL_LABEL", "none,1"), t->epochs, t->ended, t->is_over, t->messages, t->warnings, load);
    for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
        trial_field(t, pointers[i]);
    fprintf(t->rows, ",%s,%s\n", trial_setting("CARBONTRACKER_BUDGET_H", ""),
            trial_setting("CARBONTRACKER_BUDGET_KWH", ""));
    fflush(t->rows);
}

/* Prints the messages. A warning is one that names a budget. */
static inline void trial_messages(trial *t)
{
    char text[4096];
    while (ct_message(t->tracker, text, sizeof text, NULL) == CT_OK) {
        t->messages++;
        t->warnings += strstr(text, "budget_") != NULL;
        printf("%s, %s, after %d: %s\n", t->program, t->has_marks ? "marks" : "plain", t->ended, text);
    }
}

/* Makes the tracker. The argument of the program is `marks` or `plain`: with or without marks of progress. */
static inline trial trial_create(const char *program, int argc, char **argv)
{
    trial t;
    memset(&t, 0, sizeof t);
    if (argc < 2 || (strcmp(argv[1], "marks") && strcmp(argv[1], "plain"))) {
        fprintf(stderr, "usage: %s marks|plain\n", program);
        exit(2);
    }
    t.program = program;
    t.has_marks = !strcmp(argv[1], "marks");
    t.epochs = atoi(trial_setting("CARBONTRACKER_EPOCHS", "0"));
    t.rows = fopen(trial_setting("TRIAL_CSV", "/dev/stdout"), "a");
    if (!t.rows || ct_create(NULL, &t.tracker) != CT_OK) {
        fprintf(stderr, "%s: %s\n", program, t.rows ? ct_last_error() : "TRIAL_CSV cannot be opened");
        exit(1);
    }
    return t;
}

/* Records the forecast before the first epoch, then begins each epoch. */
static inline void trial_begin(trial *t)
{
    if (t->ended == 0) {
        trial_messages(t);
        trial_row(t);
    }
    ct_epoch_begin(t->tracker);
}

static inline void trial_mark(trial *t, int done, int total)
{
    if (t->has_marks)
        ct_progress(t->tracker, (uint64_t)done, (uint64_t)total);
}

/* Takes the messages first, as the loop of the README does. The numbers of the row wait for the epoch's reading. */
static inline void trial_end(trial *t)
{
    t->is_over = ct_epoch_end(t->tracker) == CT_OVER_BUDGET;
    t->ended++;
    trial_messages(t);
    trial_row(t);
}

static inline void trial_destroy(trial *t)
{
    ct_destroy(t->tracker);
    fclose(t->rows);
}

#endif
