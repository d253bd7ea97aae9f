//! Offsets from UTC by their names. An ambiguous name, such as CST, is not accepted. Pure.

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

/// True if a text names local time whose offset changes within the year: "Europe/Paris", "heure de Paris", "Eastern",
/// "PT", "CET/CEST".
pub fn is_local(text: &str) -> bool {
    const REGIONS: [&str; 13] = [
        "europe",
        "america",
        "asia",
        "australia",
        "africa",
        "pacific",
        "atlantic",
        "indian",
        "us",
        "canada",
        "mexico",
        "brazil",
        "chile",
    ];
    const SHORT: [&str; 10] = ["dk", "et", "ct", "mt", "pt", "ept", "cpt", "mpt", "ppt", "aet"];
    #[rustfmt::skip]
    const WORDS: [&str; 36] = [
        "lokal", "lokale", "lokaltid", "ortszeit", "peninsular", "eastern", "central", "mountain", "pacific", "atlantic", "prevailing",
        "daylight", "summer", "paris", "berlin", "madrid", "rome", "roma", "london", "lisbon", "amsterdam", "brussels", "copenhagen",
        "stockholm", "oslo", "helsinki", "warsaw", "vienna", "wien", "zurich", "dublin", "athens", "sydney", "melbourne", "york",
        "toronto",
    ];
    let text = text.trim().to_lowercase();
    let is_place = || text.split_once('/').is_some_and(|(region, _)| REGIONS.contains(&region));
    // Standard and summer time together, such as EST/EDT.
    let is_pair = || text.split_once('/').is_some_and(|(a, b)| offset(a).zip(offset(b)).is_some_and(|(a, b)| a != b));
    let is_word = |word: &str| WORDS.contains(&word);
    let is_worded = || text.split(|c: char| !c.is_alphanumeric()).any(is_word);
    text.contains("local") || SHORT.contains(&text.as_str()) || is_place() || is_pair() || is_worded()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_from_names_and_numbers() {
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
