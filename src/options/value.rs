//! Values that several options share: numbers and texts. None: the value is not allowed.

/// Stores a value that is allowed.
pub fn put<T>(slot: &mut T, value: Option<T>) -> Option<()> {
    *slot = value?;
    Some(())
}

/// Stores a value that is allowed, for an option that may be unset.
pub fn put_some<T>(slot: &mut Option<T>, value: Option<T>) -> Option<()> {
    put(slot, value.map(Some))
}

/// A text that is not empty.
pub fn some_text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// A whole number from 0.
pub fn whole(value: &str) -> Option<u64> {
    value.parse().ok()
}

/// A whole number from 1.
pub fn positive(value: &str) -> Option<u64> {
    whole(value).filter(|&n| n > 0)
}

/// A number from `low` to `high`.
pub fn number(value: &str, low: f64, high: f64) -> Option<f64> {
    value.parse().ok().filter(|x| (low..=high).contains(x))
}

/// A number above 0.
pub fn above_zero(value: &str) -> Option<f64> {
    number(value, f64::MIN_POSITIVE, f64::MAX)
}
