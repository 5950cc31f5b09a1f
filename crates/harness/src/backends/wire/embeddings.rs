//! OpenAI's Embeddings: vectors drawn from the text alone, of length one, and no nearer to each other for what they mean.

use pointsman::base64;
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
                Value::from(base64::encode(&bytes))
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
