//! Numbers as text, and text as numbers. The standard formatting of floats would add more code to the module than this file.

use smol_str::SmolStr;

/// `value` with at most `decimals` decimals (up to 12), without trailing zeros. A value past 2⁶⁴ after scaling is cut off there; NaN
/// becomes 0.
#[inline(never)]
pub fn fixed(value: f64, decimals: u32) -> SmolStr {
    let decimals = decimals.min(12);
    let scale = 10u64.pow(decimals);
    let scaled = (value.abs() * scale as f64 + 0.5) as u64;
    let (whole, rest) = (scaled / scale, scaled % scale);
    let mut text = String::with_capacity(24);
    let mut buffer = itoa::Buffer::new();
    if value < 0.0 && scaled > 0 {
        text.push('-');
    }
    text.push_str(buffer.format(whole));
    if rest > 0 {
        // A digit in front keeps the zeros that the decimals begin with.
        let digits = buffer.format(scale + rest).get(1..).unwrap_or_default();
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.into()
}

/// The whole number in a header value; `None` if there is none, or if it is past 2⁶⁴.
pub fn parse_whole(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Writes an integer.
pub fn push_integer(out: &mut String, value: u64) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// `value` as decimal digits.
#[inline(never)]
pub fn decimal(value: u64) -> SmolStr {
    SmolStr::new(itoa::Buffer::new().format(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(fixed(0.0, 3), "0");
        assert_eq!(fixed(-0.0004, 3), "0");
        assert_eq!(fixed(-0.53, 2), "-0.53");
        assert_eq!(fixed(1.2996, 3), "1.3");
        assert_eq!(fixed(0.000_000_05, 9), "0.00000005");
        assert_eq!(fixed(f64::NAN, 3), "0");
        assert_eq!(fixed(f64::INFINITY, 0), u64::MAX.to_string());
        assert_eq!(fixed(f64::MIN, 12), "-18446744.073709551615");
        assert_eq!(fixed(1_048_576.0, 0), "1048576");
        let mut out = String::new();
        push_integer(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string());
    }
}
