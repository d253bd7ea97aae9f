//! The library's allocator: the system's, with a reserve for when the system has no memory left.
//!
//! A failed allocation would end the application. So a call first checks that there is enough memory for it
//! ([`check`]). If the system runs out after that, the reserve serves.

mod reserve;

pub use reserve::Allocator;

use crate::error::{Error, Result, Status};
use crate::units::digits;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

/// Fails with CT_EIO if the system has less than `bytes` left. `what` names the purpose in the message.
pub fn check(bytes: usize, what: &str) -> Result<()> {
    if has_system(bytes) { Ok(()) } else { Err(none_left(bytes, what)) }
}

/// Whether the system has `bytes` left: allocates them in pieces and frees them. One large block would change how glibc
/// serves later requests of the application.
fn has_system(bytes: usize) -> bool {
    const PIECES: usize = 16;
    const MIN_PIECE_BYTES: usize = 8 << 10;
    let piece = bytes.div_ceil(PIECES).max(MIN_PIECE_BYTES);
    let Ok(layout) = Layout::from_size_align(piece, 1) else { return false };
    let mut pieces = [null_mut(); PIECES];
    let wanted = bytes.div_ceil(piece);
    for block in pieces.iter_mut().take(wanted) {
        // SAFETY: the size is not 0. `black_box` keeps the compiler from leaving the call out.
        *block = std::hint::black_box(unsafe { System.alloc(layout) });
    }
    let mut taken = 0;
    for block in pieces.into_iter().filter(|block| !block.is_null()) {
        // SAFETY: each block is freed once, with the layout of its allocation.
        unsafe { System.dealloc(block, layout) };
        taken += 1;
    }
    taken == wanted
}

/// Whether this thread can use the library's thread-local variables. In a program that loaded the library by dlopen,
/// glibc allocates them at a thread's first use. If that fails, glibc ends the program.
pub fn has_thread_locals() -> bool {
    const THREAD_LOCAL_BYTES: usize = 8 << 10;
    has_system(THREAD_LOCAL_BYTES) || {
        let mut found = false;
        // SAFETY: the callback is called with the address of `found`, and only before this call returns.
        unsafe { libc::dl_iterate_phdr(Some(note_thread_locals), (&raw mut found).cast()) };
        found
    }
}

/// Sets `found` if the shared object with this code already has the thread-local variables of this thread.
unsafe extern "C" fn note_thread_locals(object: *mut libc::dl_phdr_info, _: usize, found: *mut c_void) -> c_int {
    // SAFETY: the loader passes an object with its headers, and `found` points to a bool of the caller.
    unsafe {
        let object = &*object;
        let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
        let offset = (note_thread_locals as *const () as usize).wrapping_sub(object.dlpi_addr as usize);
        let is_ours = headers.iter().any(|header| {
            header.p_type == libc::PT_LOAD && offset.wrapping_sub(header.p_vaddr as usize) < header.p_memsz as usize
        });
        if is_ours {
            found.cast::<bool>().write(!object.dlpi_tls_data.is_null());
        }
        is_ours.into()
    }
}

/// Whether the reserve has `bytes` free.
pub fn has_reserve(bytes: usize) -> bool {
    bytes <= reserve::free()
}

fn none_left(bytes: usize, what: &str) -> Error {
    let megabytes = digits(bytes as f64 / f64::from(1 << 20));
    let fix = "free some, or raise the limit (ulimit -v)";
    Error::new(Status::CT_EIO, format!("memory is used up: {what} takes {megabytes} MB; {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_a_request_is_refused_with_a_message() {
        assert_eq!(check(1 << 20, "a test"), Ok(()));
        let refused = check(usize::MAX / 4, "a test").unwrap_err();
        assert_eq!(refused.status, Status::CT_EIO);
        assert!(refused.message.starts_with("memory is used up: a test takes "), "{}", refused.message);
        assert!(check(usize::MAX, "a test").is_err());
    }
}
