//! Base64 (RFC 4648): with padding for keys and signatures (section 4), and for URLs and headers without (section 5), as receipts
//! and the payloads of JWTs have it.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `bytes` in base64, with padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = with_digits(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// `bytes` in base64url, without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    with_digits(bytes, URL)
}

fn with_digits(bytes: &[u8], digits: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let three = group.iter().chain(&[0, 0]).take(3);
        let bits = three.fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..=group.len() {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(digits.get(digit).copied().unwrap_or_default().into());
        }
    }
    text
}

/// Decodes base64 with or without padding; `None` if it is malformed, or if leftover bits are not 0.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (digits, padding) = without_padding(text);
    if padding > 2
        || (padding > 0 && !text.len().is_multiple_of(4))
        || digits.iter().any(|byte| matches!(byte, b'-' | b'_'))
    {
        return None;
    }
    let (bytes, leftover) = read(digits).ok()?;
    (leftover == 0).then_some(bytes)
}

/// Decodes base64url, or base64, with or without padding, whatever the leftover bits.
///
/// # Errors
/// The offset of the first byte that is no digit, or of the end if the last digit is a lone one.
pub fn decode_url(text: &[u8]) -> Result<Vec<u8>, usize> {
    read(without_padding(text).0).map(|(bytes, _)| bytes)
}

/// The digits before the padding, and the length of the padding.
fn without_padding(text: &[u8]) -> (&[u8], usize) {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding).unwrap_or_default();
    (digits, padding)
}

/// The bytes of digits of either alphabet, and the bits that are left over.
fn read(digits: &[u8]) -> Result<(Vec<u8>, u32), usize> {
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
            bits &= (1 << count) - 1;
        }
    }
    match digits.len() % 4 {
        1 => Err(digits.len()),
        _ => Ok((bytes, bits)),
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
            assert_eq!(encode_url(bytes), text);
            assert_eq!(decode_url(text.as_bytes()), Ok(bytes.to_vec()));
        }
        assert_eq!(decode_url(b"Zg=="), Ok(b"f".to_vec()));
        assert_eq!(decode_url(b"+/+/"), Ok(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn what_is_no_digit_is_named_by_its_place() {
        assert_eq!(decode_url(b"Zm9v YmFy"), Err(4));
        assert_eq!(decode_url("Zm9vé".as_bytes()), Err(4));
        assert_eq!(decode_url(b"Zm9vY"), Err(5));
        assert_eq!(decode_url(b"=Zm9"), Err(0));
    }

    #[test]
    fn every_length_reads_as_it_was_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let some = bytes.get(..length).unwrap();
            assert_eq!(decode_url(encode_url(some).as_bytes()).unwrap(), some);
        }
    }

    #[test]
    fn keys_are_read_strictly_and_written_with_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()), Some(bytes.into()));
            let bare = text.trim_end_matches('=');
            assert_eq!(decode(bare.as_bytes()), Some(bytes.into()));
        }
        for text in ["Z", "Zg=", "Zh==", "Zm9v=", "====", "Z g=", "Zm9vZ"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
