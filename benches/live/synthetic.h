/* A table of random numbers, and a target that trees can learn. It is the same in each run. */
#ifndef LIVE_SYNTHETIC_H
#define LIVE_SYNTHETIC_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 50 };

/* A random number of 0 to 1 (xorshift64*). */
static inline float uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (float)((*state * 0x2545F4914F6CDD1DULL) >> 40) / 16777216.0f;
}

static inline void synthetic(int rows, float **table, float **target)
{
    uint64_t state = 17;
    float *x = malloc(sizeof(float) * COLUMNS * (size_t)rows), *y = malloc(sizeof(float) * (size_t)rows);
    if (!x || !y) {
        fputs("too little memory for the table\n", stderr);
        exit(1);
    }
    for (int i = 0; i < rows; i++) {
        float *row = x + (size_t)i * COLUMNS;
        for (int j = 0; j < COLUMNS; j++)
            row[j] = uniform(&state);
        y[i] = sinf(6 * row[0]) * row[1] + row[2] * row[3] * row[4] + (row[5] > 0.5f ? row[6] : -row[7])
               + 0.3f * uniform(&state);
    }
    *table = x;
    *target = y;
}

#endif
