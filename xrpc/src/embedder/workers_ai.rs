//! Embeddings of Workers AI (<https://developers.cloudflare.com/workers-ai/models/>): what is asked of the binding, and what it answers.

use murmuration_platform::EmbedError;
use serde::Deserialize;
use serde_json::json;

use super::{beginning, checked};

/// The id of a model's vectors: how they are pooled makes others of them.
#[must_use]
pub fn workers_ai_id(model: &str) -> String {
    match pooling(model) {
        Some(pooling) => format!("workers-ai {model} {pooling}"),
        None => format!("workers-ai {model}"),
    }
}

/// What is asked for the vectors of texts, as JSON: at most [`TEXTS_AT_ONCE`](super::TEXTS_AT_ONCE) of them.
#[must_use]
pub fn workers_ai_request(model: &str, texts: &[&str]) -> String {
    let most = if is_short(model) { SHORT_TEXT_BYTES } else { MAX_TEXT_BYTES };
    let texts: Vec<&str> = texts.iter().map(|text| beginning(text, most)).collect();
    let mut asked = json!({ "text": texts });
    if let (Some(fields), Some(pooling)) = (asked.as_object_mut(), pooling(model)) {
        fields.insert("pooling".into(), pooling.into());
    }
    asked.to_string()
}

/// The vectors in an answer, which is JSON.
///
/// # Errors
/// [`EmbedError::Away`] for what is none.
pub fn workers_ai_answer(answer: &str, texts: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Vec<f32>>,
    }
    let answer: Answer = serde_json::from_str(answer)
        .map_err(|_| EmbedError::Away("an answer that is no list of embeddings".into()))?;
    checked(answer.data, texts)
}

/// Whether an error of the binding says that a text is not taken: 5006 is an input that is not as the model's schema has it
/// (<https://developers.cloudflare.com/workers-ai/platform/errors/>).
#[must_use]
pub fn workers_ai_refuses(error: &str) -> bool {
    error.trim_start_matches("AiError: ").starts_with("5006")
}

/// How the vectors of pieces become one: the English models do better with the first than with the mean, which is what they do
/// unasked.
fn pooling(model: &str) -> Option<&'static str> {
    is_short(model).then_some("cls")
}

/// Whether a model takes 512 tokens, and no more.
fn is_short(model: &str) -> bool {
    model.starts_with("@cf/baai/bge-") && model.contains("-en-")
}

/// Bytes of a text that models of 512 tokens embed. Ours: at the worst a token is three bytes of an ideograph.
const SHORT_TEXT_BYTES: usize = 1_500;

/// Bytes of a text that the others embed; `bge-m3` takes 60,000 tokens.
const MAX_TEXT_BYTES: usize = 8_000;
