//! The payloads of panics in code of the application.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) type Panic = Box<dyn Any + Send>;

/// Returns the message of a panic.
pub(crate) fn panic_text(panic: &Panic) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
}

/// Drops the payload of a panic, or another value of the application. A panic of that drop is
/// caught.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // Its payload may panic on drop as well, and so on.
        let _leaked = ManuallyDrop::new(panic);
    }
}
