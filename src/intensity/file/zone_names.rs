//! Offsets from UTC by their names. A name that means several offsets in the world, such as CST, is none. Pure.

const HOUR_S: f64 = 3600.0;

const NAMES: [(&[&str], f64); 12] = [
    (&["z", "utc", "gmt", "wet"], 0.0),
    (&["bst", "west"], 1.0),
    (&["cet", "mez", "hnec"], 1.0),
    (&["cest", "mesz", "eet", "oez"], 2.0),
    (&["eest", "oesz", "msk"], 3.0),
    (&["est"], -5.0),
    (&["edt"], -4.0),
    (&["mst", "pdt"], -7.0),
    (&["mdt"], -6.0),
    (&["pst"], -8.0),
    (&["jst"], 9.0),
    (&["aest"], 10.0),
];

/// The offset that a text names, s: "Z", "CET", "+01:00", "UTC+1", "GMT+01:00".
pub fn offset(text: &str) -> Option<f64> {
    let text = text.trim().to_lowercase();
    if let Some((_, hours)) = NAMES.iter().find(|(names, _)| names.contains(&text.as_str())) {
        return Some(hours * HOUR_S);
    }
    let signed = text.strip_prefix("utc").or_else(|| text.strip_prefix("gmt"));
    let is_named = signed.is_some();
    let signed = signed.unwrap_or(&text).trim();
    let digits = signed.strip_prefix(['+', '-', '−'])?;
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), _) if hours.len() <= 2 && minutes.len() == 2 => (hours, minutes),
        (None, 4) => digits.split_at_checked(2)?,
        (None, 2) => (digits, "0"),
        (None, 1) if is_named => (digits, "0"),
        _ => return None,
    };
    let whole = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (hours, minutes) = (whole(hours)?, whole(minutes)?);
    let seconds = f64::from(hours * 3600 + minutes * 60);
    let is_sound = hours <= 15 && minutes < 60;
    is_sound.then_some(if signed.starts_with('+') { seconds } else { -seconds })
}

/// Whether a text names local time whose offset changes within the year.
pub fn is_local(text: &str) -> bool {
    const NAMES: [&str; 5] = ["lokal", "cet/cest", "mez/mesz", "gmt/bst", "dk"];
    let text = text.trim().to_lowercase();
    let is_place = text.split_once('/').is_some_and(|(region, _)| {
        ["europe", "america", "asia", "australia", "africa", "pacific", "atlantic"].contains(&region)
    });
    NAMES.contains(&text.as_str()) || text.contains("local") || is_place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_offsets() {
        for (text, hours) in [
            ("Z", 0.0),
            ("UTC", 0.0),
            ("GMT+1", 1.0),
            ("GMT+01:00", 1.0),
            ("UTC−5", -5.0),
            ("+0530", 5.5),
            ("-05", -5.0),
            ("MESZ", 2.0),
        ] {
            assert_eq!(offset(text), Some(hours * HOUR_S), "{text}");
        }
        for text in ["", "CST", "+1", "+1:0", "+99:00", "+é", "UTC+", "yyyy-mm-dd", "local"] {
            assert_eq!(offset(text), None, "{text}");
        }
        assert!(is_local("CET/CEST") && is_local("Europe/Berlin") && !is_local("UTC") && !is_local("g/kWh"));
    }
}
