#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use super::*;
