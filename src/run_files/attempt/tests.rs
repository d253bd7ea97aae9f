use super::*;
use serde_json::json;

fn process(host: &str, job: Option<&str>, restarts: Option<u64>) -> Process {
    Process { host: host.into(), job: job.map(str::to_owned), restarts, ..Process::default() }
}

#[test]
fn verdict_is_free_only_if_the_process_cannot_be_alive() {
    let slurm = Some("SLURM job 7");
    let here = process("a", slurm, Some(1));
    let silent = |silent_s: f64| AttemptEvidence {
        lock: AttemptLock::Unknown,
        page: StatusPage::Missing,
        is_ended: false,
        last: process("b", slurm, Some(1)),
        silent_s,
        worked_s: 100.0,
    };
    let of = |last: Process| AttemptEvidence { last, ..silent(1.0) };
    let cases = [
        (AttemptEvidence { lock: AttemptLock::Held(9), ..silent(1e6) }, ContinueDecision::Held(9)),
        (
            AttemptEvidence { page: StatusPage::Living(8), lock: AttemptLock::Free, ..silent(1e6) },
            ContinueDecision::Held(8),
        ),
        (AttemptEvidence { lock: AttemptLock::Free, ..silent(0.0) }, ContinueDecision::Free),
        (silent(1.0), ContinueDecision::Unsure(9.0)),
        (silent(10.1), ContinueDecision::Free),
        (silent(f64::NAN), ContinueDecision::Unsure(f64::NAN)),
        (AttemptEvidence { worked_s: 512.0 * 40.0, ..silent(100.0) }, ContinueDecision::Unsure(5.0)),
        (AttemptEvidence { worked_s: 1e9, ..silent(155.1) }, ContinueDecision::Free),
        (AttemptEvidence { worked_s: f64::NAN, ..silent(150.0) }, ContinueDecision::Unsure(5.0)),
        (AttemptEvidence { is_ended: true, ..silent(0.0) }, ContinueDecision::Free),
        // A page without its process proves the end, on the process's own machine only.
        (AttemptEvidence { page: StatusPage::Dead, ..of(process("a", None, None)) }, ContinueDecision::Free),
        (AttemptEvidence { page: StatusPage::Dead, ..of(process("b", None, None)) }, ContinueDecision::Unsure(9.0)),
        // After a requeue the batch system has ended the earlier process.
        (of(process("b", slurm, Some(0))), ContinueDecision::Free),
        (of(process("b", slurm, None)), ContinueDecision::Free),
        (of(process("b", slurm, Some(2))), ContinueDecision::Unsure(9.0)),
        (of(process("b", Some("SLURM job 8"), None)), ContinueDecision::Unsure(9.0)),
        (of(process("b", None, None)), ContinueDecision::Unsure(9.0)),
    ];
    for (evidence, expected) in cases {
        let decision = evidence.decide(&here);
        let is_same = match (decision, expected) {
            (ContinueDecision::Unsure(a), ContinueDecision::Unsure(b)) => {
                (a - b).abs() < 1e-6 || a.is_nan() && b.is_nan()
            }
            (a, b) => a == b,
        };
        assert!(is_same, "{evidence:?}: {decision:?}, and not {expected:?}");
    }
}

#[test]
fn restarts_are_read_for_slurm_jobs_only() {
    let environment = |name: &str| (name == "SLURM_RESTART_COUNT").then(|| "3".into());
    let of = |job: Option<&str>| Process::new("a".into(), job.map(str::to_owned), Rank::default(), &environment);
    assert_eq!(of(Some("SLURM job 7")).restarts, Some(3));
    assert_eq!((of(Some("job sweep")).restarts, of(None).restarts), (None, None));
}

#[test]
fn opening_line_identifies_its_process() {
    let line = json!({"job": "SLURM job 7", "rank": 2, "ranks": 4, "restarts": 1, "run": {"host": "a"}});
    let rank = Rank { number: Some(2), of: Some(4), local: None };
    assert_eq!(Process::of_opening(&line), Process { rank, ..process("a", Some("SLURM job 7"), Some(1)) });
    assert_eq!(Process::of_opening(&json!({})), Process::default());
}
