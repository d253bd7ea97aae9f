/* Tracks a time loop: heat spreads over a plate. An epoch is 500 Jacobi sweeps.
 *   cc -std=c99 -O2 loop.c $(pkg-config --cflags --libs carbontracker) -o loop */

#include <carbontracker.h>
#include <stdio.h>

#define EPOCHS 20
#define N 512

static float plate[2][N][N];

static void sweep(float from[N][N], float to[N][N])
{
    for (int i = 1; i < N - 1; i++)
        for (int j = 1; j < N - 1; j++)
            to[i][j] = 0.25f * (from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]);
}

int main(void)
{
    for (int j = 0; j < N; j++)
        plate[0][0][j] = plate[1][0][j] = 100; /* one hot edge */

    ct_tracker *t = NULL; /* a NULL tracker is disabled: all calls below still work */
    char text[8192];
    if (ct_create("epochs=20 name=heat location=DK", &t) < 0)
        fprintf(stderr, "not tracked: %s\n", ct_last_error());

    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        ct_epoch_begin(t);
        for (int k = 0; k < 500; k++)
            sweep(plate[k % 2], plate[(k + 1) % 2]);
        ct_epoch_end(t);
        while (ct_message(t, text, sizeof text, NULL) == CT_OK)
            printf("%s\n", text);
    }
    printf("Temperature near the hot edge: %.2f\n\n", plate[0][N / 16][N / 2]);

    if (ct_report(t, "text", text, sizeof text, NULL) == CT_OK)
        printf("%s", text);
    ct_destroy(t);
    return 0;
}
