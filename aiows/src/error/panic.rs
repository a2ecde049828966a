//! What a panic of the application carries.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) type Panic = Box<dyn Any + Send>;

/// The message of a panic.
pub(crate) fn panic_text(panic: &Panic) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

/// Drops what a panic carried, or anything else of the application; a panic of that stays here.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // It may panic as well, and so may what that panic carries.
        let _leaked = ManuallyDrop::new(panic);
    }
}
