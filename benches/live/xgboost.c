/* XGBoost by its C API. An epoch is a number of boosting rounds. The first round sorts the table into bins. */
#include "synthetic.h"
#include "trial.h"

enum { ROWS = 200000, ROUNDS = 4 };

/* Of xgboost/c_api.h, which the wheel for Python does not have. */
typedef void *DMatrixHandle, *BoosterHandle;
typedef uint64_t bst_ulong;
extern const char *XGBGetLastError(void);
extern void XGBoostVersion(int *major, int *minor, int *patch);
extern int XGDMatrixCreateFromMat(const float *data, bst_ulong rows, bst_ulong columns, float missing,
                                  DMatrixHandle *out);
extern int XGDMatrixSetFloatInfo(DMatrixHandle matrix, const char *field, const float *array, bst_ulong length);
extern int XGDMatrixFree(DMatrixHandle matrix);
extern int XGBoosterCreate(const DMatrixHandle matrices[], bst_ulong count, BoosterHandle *out);
extern int XGBoosterSetParam(BoosterHandle booster, const char *name, const char *value);
extern int XGBoosterUpdateOneIter(BoosterHandle booster, int round, DMatrixHandle train);
extern int XGBoosterFree(BoosterHandle booster);

static void check(int status)
{
    if (status) {
        fprintf(stderr, "xgboost: %s\n", XGBGetLastError());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int major, minor, patch;
    XGBoostVersion(&major, &minor, &patch);
    fprintf(stderr, "XGBoost %d.%d.%d\n", major, minor, patch);

    trial t = trial_create("xgboost", argc, argv);
    float *table, *target;
    synthetic(ROWS, &table, &target);
    DMatrixHandle train;
    check(XGDMatrixCreateFromMat(table, ROWS, COLUMNS, NAN, &train));
    check(XGDMatrixSetFloatInfo(train, "label", target, ROWS));
    BoosterHandle booster;
    check(XGBoosterCreate(&train, 1, &booster));
    check(XGBoosterSetParam(booster, "tree_method", "hist"));
    check(XGBoosterSetParam(booster, "max_depth", "6"));
    check(XGBoosterSetParam(booster, "nthread", "1"));

    for (int epoch = 0; epoch < t.epochs; epoch++) {
        trial_begin(&t);
        for (int round = 0; round < ROUNDS; round++) {
            check(XGBoosterUpdateOneIter(booster, epoch * ROUNDS + round, train));
            trial_mark(&t, round + 1, ROUNDS);
        }
        trial_end(&t);
    }
    trial_destroy(&t);
    XGBoosterFree(booster);
    XGDMatrixFree(train);
    free(table);
    free(target);
    return 0;
}
