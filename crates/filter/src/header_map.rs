//! The host's serialised form of a header map: the number of pairs, the sizes of each, then each name and value with a NUL.

/// One header: name and value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Reads a header map. The list ends at bytes that do not fit the form; no bytes panic.
pub fn decode(bytes: &[u8]) -> Vec<Pair<'_>> {
    let Some((count, rest)) = take_u32(bytes) else {
        return Vec::new();
    };
    let Some((mut sizes, mut data)) = count
        .checked_mul(8)
        .and_then(|size| rest.split_at_checked(size))
    else {
        return Vec::new();
    };
    let mut pairs = Vec::with_capacity(count);
    while let Some((name_size, after)) = take_u32(sizes) {
        let Some((value_size, after)) = take_u32(after) else {
            break;
        };
        let Some((name, after_name)) = take_text(data, name_size) else {
            break;
        };
        let Some((value, after_value)) = take_text(after_name, value_size) else {
            break;
        };
        pairs.push((name, value));
        (sizes, data) = (after, after_value);
    }
    pairs
}

/// Writes a header map.
pub fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn take_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

/// `size` bytes; the NUL after them is dropped.
fn take_text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.get(1..)?))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pairs = [(":method", "POST"), ("empty", ""), ("x", "caf\u{e9}")];
        let bytes = encode(&pairs);
        let expected: Vec<Pair<'_>> = pairs
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        assert_eq!(decode(&bytes), expected);
    }

    #[test]
    fn no_bytes_panic() {
        let bytes = encode(&[("name", "value"), ("other", "thing")]);
        for end in 0..bytes.len() {
            decode(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] = 0xff;
            decode(&broken);
        }
        assert_eq!(decode(&[0xff; 64]), Vec::<Pair<'_>>::new());
    }
}
