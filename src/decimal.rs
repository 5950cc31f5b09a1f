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

/// `value` as `{value}` writes it: the shortest text that reads as the same float, without an exponent. For messages.
pub fn shortest(value: f64) -> String {
    let text = serde_json::to_string(&value).unwrap_or_default();
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text.as_str()),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = decimals.trim_end_matches('0');
    // Where the point goes, in digits. Zeros on either side, so that it is among them.
    let point = whole.len() as i32 + exponent.parse().unwrap_or(0);
    let zeros = |count: i32| "0".repeat(count.max(0) as usize);
    let missing = point - (whole.len() + decimals.len()) as i32;
    let digits = [&zeros(1 - point), whole, decimals, &zeros(missing)].concat();
    match digits.split_at_checked(point.max(1) as usize) {
        Some((whole, decimals)) if !decimals.is_empty() => [sign, whole, ".", decimals].concat(),
        _ => [sign, &digits].concat(),
    }
}

/// `value` as `{value:.decimals$}` writes it, for up to 6 decimals: exactly rounded, a half to the even digit. A value past 2²⁸ is cut off
/// there, without decimals past 2⁴⁸. For messages.
pub fn rounded(value: f64, decimals: u32) -> String {
    // Bits behind the point. Those of a float that go further belong to a number that is 0 when it is rounded.
    const BITS: u32 = 80;
    let decimals = decimals.min(6) as usize;
    let scale = 10u128.pow(decimals as u32);
    let fixed = (value.abs() * (1_u128 << BITS) as f64) as u128;
    let scaled = fixed.min(u128::MAX / scale) * scale;
    let (whole, rest, half) = (scaled >> BITS, scaled % (1 << BITS), 1 << (BITS - 1));
    let is_up = rest > half || rest == half && whole % 2 == 1;
    let (whole, scale) = (whole as u64 + u64::from(is_up), scale as u64);
    let sign = if value < 0.0 { "-" } else { "" };
    match decimals {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{}.{:0decimals$}", whole / scale, whole % scale),
    }
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

    #[test]
    fn texts_for_messages_are_those_of_the_standard_formatting() {
        for value in [0.0, 0.1, 1.0 / 3.0, 1.5, 150.0, 1234.5678, 1e15, 123e20] {
            for value in [value, -value, value / 1e7, value * 1e7] {
                assert_eq!(shortest(value), format!("{value}"));
            }
        }
        for value in [f64::MIN_POSITIVE, f64::MAX, 5e-324, 0.1 + 0.2, 99_999.999] {
            assert_eq!(shortest(value), format!("{value}"));
        }
        let ties = (0..4000).map(|count| f64::from(count) / 1600.0);
        let small = (0..400).map(|count| f64::from(count) / 8e6);
        let others = [0.7, -0.25, 2.0 / 3.0, 123_456_789.25, 1e-30];
        assert_eq!(rounded(1e14, 0), "100000000000000");
        for value in ties.chain(small).chain(others) {
            assert_eq!(rounded(value, 0), format!("{value:.0}"));
            assert_eq!(rounded(value, 3), format!("{value:.3}"));
            assert_eq!(rounded(value, 6), format!("{value:.6}"));
        }
    }
}
