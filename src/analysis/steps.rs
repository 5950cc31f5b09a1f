//! Counts the steps of a scan, so that tests can bound its time per byte without a clock.
//!
//! A step is a visited byte or table entry. Requests are scanned with [`Uncounted`], which compiles to nothing.

/// A counter of steps.
pub trait Steps {
    /// Adds `steps`.
    fn add(&mut self, steps: usize);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uncounted;

impl Steps for Uncounted {
    #[inline(always)]
    fn add(&mut self, _: usize) {}
}

/// Counts all steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted(pub u64);

impl Steps for Counted {
    fn add(&mut self, steps: usize) {
        self.0 += steps as u64;
    }
}
