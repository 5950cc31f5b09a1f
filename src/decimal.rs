//! Numbers as text, and text as numbers. Written digit by digit: the standard formatting of floats would add more code to the
//! module than this file.

/// Writes `value` with at most `decimals` decimals (up to 12), without trailing zeros. A value past 2⁶⁴ after scaling is cut
/// off there; NaN becomes 0.
pub fn push_fixed(out: &mut String, value: f64, decimals: u32) {
    let decimals = decimals.min(12);
    let scale = 10u64.pow(decimals);
    let scaled = (value.abs() * scale as f64 + 0.5) as u64;
    if value < 0.0 && scaled > 0 {
        out.push('-');
    }
    push_integer(out, scaled / scale);
    let mut rest = scaled % scale;
    if rest == 0 {
        return;
    }
    out.push('.');
    let mut unit = scale / 10;
    while rest > 0 && unit > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

/// The whole number in a header value; `None` if there is none, or if it is past 2⁶⁴.
pub fn parse_whole(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Writes an integer.
pub fn push_integer(out: &mut String, value: u64) {
    let mut unit = 1u64;
    while value / unit >= 10 {
        unit *= 10;
    }
    let mut rest = value;
    while unit > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

fn digit(value: u64) -> char {
    char::from(b'0' + (value % 10) as u8)
}

/// `value` as decimal digits.
pub fn decimal(value: u64) -> String {
    let mut text = String::new();
    push_integer(&mut text, value);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(value: f64, decimals: u32) -> String {
        let mut out = String::new();
        push_fixed(&mut out, value, decimals);
        out
    }

    #[test]
    fn numbers() {
        assert_eq!(fixed(0.0, 3), "0");
        assert_eq!(fixed(-0.0004, 3), "0");
        assert_eq!(fixed(-0.53, 2), "-0.53");
        assert_eq!(fixed(1.2996, 3), "1.3");
        assert_eq!(fixed(0.000_000_05, 9), "0.00000005");
        assert_eq!(fixed(f64::NAN, 3), "0");
        assert_eq!(fixed(f64::INFINITY, 0), u64::MAX.to_string());
        assert_eq!(fixed(1_048_576.0, 0), "1048576");
        let mut out = String::new();
        push_integer(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string());
    }
}
