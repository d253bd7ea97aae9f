//! The parts of a forecast while the first epoch is open. Pure.

use super::weigh::Template;
use crate::forecast::mixture::{Part, log_density};

/// Difference of the pace where the configuration differs, as a logarithm: a factor of e.
const OTHER_LEVEL: f64 = 1.0;
/// Prior of another configuration.
const OTHER: f64 = 0.3;

/// The parts of the remaining cost of a run of `planned` epochs. `alone` is the part by the marks: `share` of the first
/// epoch is done, and an epoch costs `steady`. If the pace is unlike an earlier run's, that run counts less.
pub fn inside(templates: &[Template], alone: Part, steady: f64, share: f64, planned: f64) -> Vec<Part> {
    if templates.is_empty() || steady <= 0.0 {
        return vec![alone];
    }
    let runs = templates.len() as f64;
    let like = |template: &Template| {
        let off = steady.ln() - template.profile.typical();
        // The marks may show the pace of a warm-up. Then the pace to come is below.
        let unsure = if off > 0.0 { alone.down } else { alone.up };
        let scale = template.scatter().hypot(unsure);
        let rest = template.profile.before(planned, planned) - share * template.profile.first;
        let whole = template.at_start(planned);
        let log_weight = ((1.0 - OTHER) / runs).ln() + log_density(off, scale);
        Part { log_weight, earlier: Some(template.run), ..Part::new(rest, whole, whole) }
    };
    let expected = templates.iter().map(|one| one.profile.typical()).sum::<f64>() / runs;
    let log_weight = OTHER.ln() + log_density(steady.ln() - expected, OTHER_LEVEL);
    let all = templates.iter().map(like).chain([Part { log_weight, ..alone }]);
    all.filter(|part| part.cost > 0.0 && part.cost.is_finite()).collect()
}
