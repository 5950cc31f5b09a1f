//! Base64 for URLs and headers (RFC 4648, section 5), as receipts and the payloads of JWTs have it.

/// The alphabet, in the order of its digits.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `bytes` in base64url, without padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let three = group.iter().chain(&[0, 0]).take(3);
        let bits = three.fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..=group.len() {
            let digit = bits >> (18 - 6 * place) & 63;
            text.push(
                DIGITS
                    .get(digit as usize)
                    .copied()
                    .unwrap_or_default()
                    .into(),
            );
        }
    }
    text
}

/// Decodes base64url, or base64, with or without padding.
///
/// # Errors
/// The offset of the first byte that is no digit, or of the end if the last digit is a lone one.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding).unwrap_or_default();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for (at, byte) in digits.iter().enumerate() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return Err(at),
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    match digits.len() % 4 {
        1 => Err(digits.len()),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_that_of_the_rfc() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xbf], "-_-_"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text.as_bytes()), Ok(bytes.to_vec()));
        }
        assert_eq!(decode(b"Zg=="), Ok(b"f".to_vec()));
        assert_eq!(decode(b"+/+/"), Ok(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn what_is_no_digit_is_named_by_its_place() {
        assert_eq!(decode(b"Zm9v YmFy"), Err(4));
        assert_eq!(decode("Zm9vé".as_bytes()), Err(4));
        assert_eq!(decode(b"Zm9vY"), Err(5));
        assert_eq!(decode(b"=Zm9"), Err(0));
    }

    #[test]
    fn every_length_reads_as_it_was_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let some = bytes.get(..length).unwrap();
            assert_eq!(decode(encode(some).as_bytes()).unwrap(), some);
        }
    }
}
