//! OpenAI's Embeddings: vectors drawn from the text alone, of length one, and no nearer to each other for what they mean.

use serde_json::{Value, json};

use crate::backends::answer::Answer;
use crate::backends::timing::Draws;

pub(super) fn whole(answer: &Answer) -> Value {
    let embed = &answer.embed;
    let data: Vec<Value> = embed
        .seeds
        .iter()
        .enumerate()
        .map(|(index, seed)| {
            let vector = vector(*seed, embed.dimensions);
            let embedding = if embed.base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                Value::from(base64(&bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    json!({
        "object": "list", "data": data, "model": answer.model,
        "usage": {"prompt_tokens": answer.prompt_tokens, "total_tokens": answer.prompt_tokens},
    })
}

fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
    let mut draws = Draws::new(seed);
    let drawn: Vec<f64> = (0..dimensions).map(|_| draws.uniform() - 0.5).collect();
    let length = drawn.iter().map(|x| x * x).sum::<f64>().sqrt();
    drawn.iter().map(|x| (x / length) as f32).collect()
}

/// RFC 4648, section 4: how the official clients ask for vectors.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| {
            word << 8 | u32::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = (word >> (18 - 6 * at) & 63) as usize;
            text.push(match DIGITS.get(digit) {
                Some(digit) if at <= group.len() => char::from(*digit),
                _ => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let reported =
            ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|s| base64(s.as_bytes()));
        let wanted = [
            "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy",
        ];
        assert_eq!(reported, wanted);
    }
}
