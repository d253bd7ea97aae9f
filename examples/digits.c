/* Trains a softmax regression on handwritten digits and tracks it. This folder has the same program in every language.
 *   cc -O2 digits.c $(pkg-config --cflags --libs carbontracker) -lm -o digits && ./digits digits.csv */

#include <carbontracker.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EPOCHS = 10, BATCH = 32, PIXELS = 64, CLASSES = 10, MOST = 2000 };
static const double RATE = 0.5;

static double images[MOST][PIXELS + 1]; /* the last value is 1, for the bias */
static int digits[MOST];
static double weights[CLASSES][PIXELS + 1], gradient[CLASSES][PIXELS + 1];

/* A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment. */
static int read_images(const char *path)
{
    char line[256];
    int count = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (count < MOST && fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        for (int i = 0; i < PIXELS; i++)
            images[count][i] = (line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16.0;
        images[count][PIXELS] = 1;
        digits[count++] = line[PIXELS + 1] - '0';
    }
    fclose(file);
    return count;
}

/* Computes the probability of each class; returns the most probable class. */
static int predict(const double *image, double *probability)
{
    double sum = 0;
    int best = 0;
    for (int c = 0; c < CLASSES; c++) {
        double score = 0;
        for (int i = 0; i <= PIXELS; i++)
            score += weights[c][i] * image[i];
        probability[c] = exp(score);
        sum += probability[c];
        if (probability[c] > probability[best])
            best = c;
    }
    for (int c = 0; c < CLASSES; c++)
        probability[c] /= sum;
    return best;
}

/* Makes one step of gradient descent on the images first to last - 1; returns the sum of their losses. */
static double step(int first, int last)
{
    double loss = 0, probability[CLASSES];
    memset(gradient, 0, sizeof gradient);
    for (int n = first; n < last; n++) {
        predict(images[n], probability);
        loss -= log(probability[digits[n]]);
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i <= PIXELS; i++)
                gradient[c][i] += (probability[c] - (c == digits[n])) * images[n][i];
    }
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i <= PIXELS; i++)
            weights[c][i] -= RATE * gradient[c][i] / (last - first);
    return loss;
}

static double accuracy(int first, int last)
{
    double probability[CLASSES];
    int right = 0;
    for (int n = first; n < last; n++)
        right += predict(images[n], probability) == digits[n];
    return 100.0 * right / (last - first);
}

static void print_value(ct_tracker *tracker, const char *label, const char *pointer, const char *unit)
{
    double value;
    if (ct_value(tracker, pointer, &value) == CT_OK)
        printf("%s %.3f %s", label, value, unit);
    else
        printf("%s unknown", label);
}

int main(int argc, char **argv)
{
    const int count = argc > 1 ? read_images(argv[1]) : 0, tests = count / 5; /* the first fifth is the test set */
    ct_tracker *tracker = NULL; /* it stays NULL, a disabled tracker, if ct_create fails */
    char text[8192];
    if (count == 0) {
        fprintf(stderr, "usage: %s digits.csv [OPTIONS]\n", argv[0]);
        return 1;
    }
    if (ct_create(argc > 2 ? argv[2] : "epochs=10 name=digits", &tracker) < 0)
        fprintf(stderr, "not tracked: %s\n", ct_last_error());

    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        double loss = 0;
        ct_epoch_begin(tracker);
        for (int first = tests; first < count; first += BATCH) {
            const int last = first + BATCH < count ? first + BATCH : count;
            loss += step(first, last);
            ct_progress(tracker, last - tests, count - tests);
        }
        ct_epoch_end(tracker);
        printf("epoch %2d  loss %.4f  accuracy %.1f %%\n", epoch, loss / (count - tests), accuracy(0, tests));
        if (epoch == 3) {
            print_value(tracker, "forecast: energy", "/forecast/energy_j/value", "J");
            print_value(tracker, ", time", "/forecast/duration_s/value", "s");
            printf("\n");
        }
    }
    while (ct_message(tracker, text, sizeof text, NULL) == CT_OK)
        printf("carbontracker: %s\n", text);
    if (ct_report(tracker, "text", text, sizeof text, NULL) == CT_OK)
        printf("%s", text);
    ct_destroy(tracker);
    return 0;
}
