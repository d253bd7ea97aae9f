//! Texts from and to the application's memory.

use carbontracker::error::{Error, Result, Status};
use carbontracker::tracker::Tracker;
use std::ffi::{CStr, c_char};

/// The text that the caller passed; None for NULL.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and outlives the result.
pub unsafe fn text_from<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller keeps this function's contract.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Error::invalid(format!("{what} is not valid UTF-8; pass UTF-8 text")))
}

/// Writes an empty text, which stays if the call fails or the tracker is NULL.
///
/// # Safety
/// `buf` holds `cap` bytes, or is NULL; `needed` is NULL or points to a size_t.
pub unsafe fn write_empty(tracker: *const Tracker, buf: *mut c_char, cap: usize, needed: *mut usize) {
    let needed = if tracker.is_null() { needed } else { std::ptr::null_mut() };
    // SAFETY: the caller keeps this function's contract.
    let _ = unsafe { write_text("", buf, cap, needed) };
}

/// Writes text as snprintf does: as much as fits, a NUL if cap > 0, and the size of the whole text into `needed`.
///
/// # Safety
/// `buf` holds `cap` bytes, or is NULL; `needed` is NULL or points to a size_t.
pub unsafe fn write_text(text: &str, buf: *mut c_char, cap: usize, needed: *mut usize) -> Result<()> {
    if !needed.is_null() {
        // SAFETY: not NULL, so it points to a size_t of the caller.
        unsafe { needed.write(text.len() + 1) };
    }
    if !buf.is_null() && cap > 0 {
        let mut fits = text.len().min(cap - 1);
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        // SAFETY: fits < cap bytes and the NUL lie inside `buf`; `text` holds `fits` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr() as *const c_char, buf, fits);
            buf.add(fits).write(0);
        }
    }
    if buf.is_null() || text.len() >= cap {
        let message = format!(
            "the text takes {} bytes, but the buffer holds {cap}; call again with a larger buffer",
            text.len() + 1
        );
        return Err(Error::new(Status::CT_ERANGE, message));
    }
    Ok(())
}
