//! `pointsman calibrate`
pub mod fit;
