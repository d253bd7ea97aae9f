/* LightGBM by its C API. An epoch is a number of boosting rounds. The first epoch also sorts the table into bins: like
 * LightGBM's package for Python, this program makes the data set only when the training needs it. */
#include "synthetic.h"
#include "trial.h"

enum { ROWS = 200000, ROUNDS = 5 };

/* Of LightGBM/c_api.h, which the wheel for Python does not have. */
typedef void *DatasetHandle, *BoosterHandle;
enum { C_API_DTYPE_FLOAT32 = 0 };
extern const char *LGBM_GetLastError(void);
extern int LGBM_DatasetCreateFromMat(const void *data, int type, int32_t rows, int32_t columns, int is_row_major,
                                     const char *parameters, const DatasetHandle reference, DatasetHandle *out);
extern int LGBM_DatasetSetField(DatasetHandle set, const char *field, const void *data, int length, int type);
extern int LGBM_DatasetFree(DatasetHandle set);
extern int LGBM_BoosterCreate(const DatasetHandle train, const char *parameters, BoosterHandle *out);
extern int LGBM_BoosterUpdateOneIter(BoosterHandle booster, int *is_finished);
extern int LGBM_BoosterFree(BoosterHandle booster);

static const char *const PARAMETERS = "objective=regression num_leaves=63 num_threads=1 force_col_wise=true verbose=-1";

static void check(int status)
{
    if (status) {
        fprintf(stderr, "lightgbm: %s\n", LGBM_GetLastError());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    trial t = trial_create("lightgbm", argc, argv);
    float *table, *target;
    synthetic(ROWS, &table, &target);
    DatasetHandle train = NULL;
    BoosterHandle booster = NULL;

    for (int epoch = 0; epoch < t.epochs; epoch++) {
        trial_begin(&t);
        if (!booster) {
            check(LGBM_DatasetCreateFromMat(table, C_API_DTYPE_FLOAT32, ROWS, COLUMNS, 1, PARAMETERS, NULL, &train));
            check(LGBM_DatasetSetField(train, "label", target, ROWS, C_API_DTYPE_FLOAT32));
            check(LGBM_BoosterCreate(train, PARAMETERS, &booster));
        }
        for (int round = 0; round < ROUNDS; round++) {
            int is_finished;
            check(LGBM_BoosterUpdateOneIter(booster, &is_finished));
            trial_mark(&t, round + 1, ROUNDS);
        }
        trial_end(&t);
    }
    trial_destroy(&t);
    LGBM_BoosterFree(booster);
    LGBM_DatasetFree(train);
    free(table);
    free(target);
    return 0;
}
