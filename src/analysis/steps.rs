//! Counts the steps of a scan, so that a test can bound its time per byte without a clock.
//!
//! A step is a byte that is visited or a table entry that is looked at. Requests are scanned with [`Uncounted`], which
//! compiles to nothing.

/// Takes note of steps.
pub trait Steps {
    /// That many more were made.
    fn add(&mut self, steps: usize);
}

/// Takes no note.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uncounted;

impl Steps for Uncounted {
    #[inline(always)]
    fn add(&mut self, _: usize) {}
}

/// The number of steps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted(pub u64);

impl Steps for Counted {
    fn add(&mut self, steps: usize) {
        self.0 += steps as u64;
    }
}
