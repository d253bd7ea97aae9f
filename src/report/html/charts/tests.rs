use super::*;
use serde_json::{Value, json};

const NOON: f64 = 1_772_452_800.0;

/// Two hours with a processor at 100 W and a GPU at 300 W, which is unknown in the second half hour; PUE 1.5.
fn report() -> Value {
    let halves = |n: f64| NOON + n * 1800.0;
    json!({
        "run": {"epochs_planned": 4, "epochs_done": 4},
        "usage": {"energy_j": 2.34e6, "duration_s": 7200.0, "co2eq_g": 240.0},
        "pue": 1.5,
        "intensity": {
            "g_per_kwh": 250.0,
            "hours": {"from": [halves(0.0), halves(2.0)], "to": [halves(2.0), halves(4.0)], "g_per_kwh": [100.0, 400.0]},
        },
        "power": {
            "from": [halves(0.0), halves(1.0), halves(2.0)],
            "to": [halves(1.0), halves(2.0), halves(4.0)],
            "cpu_w": [100.0, 100.0, 100.0],
            "gpu_w": [300.0, null, 300.0],
            "dram_w": null,
            "node_w": null,
        },
        "epochs": [
            {"index": 0, "count": 2, "duration_s": 60.0, "energy_j": 20_000.0, "cpu_j": 6_000.0, "gpu_j": 14_000.0},
            {"index": 2, "count": 1, "duration_s": 40.0, "energy_j": 12_000.0, "cpu_j": 4_000.0, "gpu_j": 8_000.0},
            {"index": 3, "count": 1, "duration_s": 40.0, "energy_j": null, "cpu_j": null, "gpu_j": null},
        ],
        "forecasts": [
            {"after_epochs": 1, "energy_j": {"value": 2e6, "low": 1e6, "high": 5e6}, "duration_s": null},
            {"after_epochs": 4, "energy_j": {"value": 2.34e6, "low": 2.34e6, "high": 2.34e6}, "duration_s": null},
        ],
    })
}

fn areas(drawn: &Drawn) -> Vec<&Vec<(f64, f64)>> {
    let areas = drawn.chart.shapes.iter().filter_map(|shape| match shape {
        Shape::Area(_, _, points) => Some(points),
        _ => None,
    });
    areas.collect()
}

#[test]
fn power_is_stacked_with_gaps_where_it_is_unknown() {
    let report = report();
    let drawn = power(&JsonView::new(&report)).unwrap();
    assert_eq!((drawn.unit, drawn.kinds.as_slice(), drawn.chart.y), ("W", &[1, 3][..], (0.0, 400.0)));
    let areas = areas(&drawn);
    assert_eq!(areas.len(), 3, "the processor's, and two of the GPU");
    let first_of_gpu = [(NOON, 400.0), (NOON + 1800.0, 400.0), (NOON + 1800.0, 100.0), (NOON, 100.0)];
    assert_eq!(areas[1], &first_of_gpu);
}

#[test]
fn groups_of_epochs_are_drawn_as_their_mean() {
    let report = report();
    let (is_energy, drawn) = epochs(&JsonView::new(&report)).unwrap();
    assert!(is_energy);
    assert_eq!(drawn.unit, "Wh");
    assert!((drawn.chart.y.1 * 3.6 - 12.0).abs() < 1e-9);
    let areas = areas(&drawn);
    assert_eq!(areas.len(), 4, "the third is unknown");
    let is_at =
        |at: (f64, f64), expected: (f64, f64)| (at.0 - expected.0).abs() + (at.1 * 3.6 - expected.1).abs() < 1e-9;
    assert!(is_at(areas[0][0], (0.6, 3.0)) && is_at(areas[0][1], (2.4, 3.0)), "{:?}", areas[0]);
    assert!(is_at(areas[3][0], (2.6, 12.0)) && is_at(areas[3][1], (3.4, 12.0)), "{:?}", areas[3]);
    let hints: Vec<&str> = drawn.chart.hints.iter().map(|(.., text)| text.as_str()).collect();
    assert_eq!(hints, ["epochs 1 to 2, each: 2.78 Wh", "epoch 3: 3.33 Wh"]);
}

#[test]
fn epochs_without_energy_are_drawn_by_time() {
    let mut report = report();
    for epoch in report["epochs"].as_array_mut().unwrap() {
        for field in ["energy_j", "cpu_j", "gpu_j"] {
            epoch[field] = Value::Null;
        }
    }
    let (is_energy, drawn) = epochs(&JsonView::new(&report)).unwrap();
    assert_eq!((is_energy, drawn.unit, drawn.chart.y, drawn.kinds.len()), (false, "s", (0.0, 40.0), 0));
}

#[test]
fn emissions_use_the_intensity_of_their_hour() {
    let report = report();
    let drawn = emitted(&JsonView::new(&report)).unwrap();
    let Some(Shape::Line(_, line)) = drawn.chart.shapes.last() else { panic!("no line") };
    // 0.2 and 0.05 kWh in the first hour, 0.4 in the second.
    let expected = [0.0, 0.2 * 1.5 * 100.0, 0.25 * 1.5 * 100.0, 0.25 * 1.5 * 100.0 + 0.4 * 1.5 * 400.0];
    assert_eq!((drawn.unit, line.len()), ("g", 4));
    assert!(line.iter().zip(expected).all(|((_, g), expected)| (g - expected).abs() < 1e-9), "{line:?}");
    let drawn = intensity(&JsonView::new(&report)).unwrap();
    assert_eq!((drawn.chart.y, drawn.chart.x), ((0.0, 400.0), (Scale::Clock, NOON, NOON + 7200.0)));
}

#[test]
fn the_outcome_is_drawn_only_if_the_planned_epochs_ended() {
    let mut report = report();
    let outcome = |report: &Value| {
        let drawn = forecasts(&JsonView::new(report)).unwrap();
        drawn.chart.shapes.iter().find_map(|shape| match shape {
            Shape::Dashed(_, points) => Some(points.clone()),
            _ => None,
        })
    };
    assert_eq!(outcome(&report), Some(vec![(1.0, 0.65), (4.0, 0.65)]));
    let drawn = forecasts(&JsonView::new(&report)).unwrap();
    assert_eq!(drawn.unit, "kWh");
    let (low, high) = drawn.chart.y;
    assert!(low < 1e6 / 3.6e6 && high == 5e6 / 3.6e6);
    for other in [3, 5] {
        report["run"]["epochs_done"] = json!(other);
        assert_eq!(outcome(&report), None, "{other} epochs ended, and 4 were planned");
    }
}
