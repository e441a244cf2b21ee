//! Embedders that are asked over the network, and what of them is at hand in a turn.
//!
//! ```text
//!   a call ─► its texts ─► the embedder, for [`CALL_MS`] at most ─► Ready ─► the turn, which waits for nobody
//!                                                 │ no answer
//!                                                 └─► the memory is written without a vector, and the alarm embeds it
//! ```
//!
//! Whoever operates the embedder reads the texts. That is the operator's choice; where none is made, the model among the Worker's assets does it.

mod openai;
mod ready;
mod workers_ai;

use murmuration_embedding::{MAX_DIMS, Vector};
use murmuration_platform::{EmbedError, Embedder};

pub use openai::OpenAi;
pub use ready::Ready;
pub use workers_ai::{workers_ai_answer, workers_ai_id, workers_ai_refuses, workers_ai_request};

/// What makes vectors of texts, as the operator has decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EmbedderConfig {
    /// The model among the Worker's assets.
    Embedded,
    /// A model of Workers AI, by the binding `AI`.
    WorkersAi {
        /// Its name, such as `@cf/baai/bge-m3`.
        model: String,
    },
    /// An endpoint that speaks OpenAI's protocol of embeddings.
    OpenAi(OpenAiConfig),
}

/// An endpoint that speaks OpenAI's protocol of embeddings.
#[derive(Clone, Eq, PartialEq)]
pub struct OpenAiConfig {
    /// Its base, such as `https://api.openai.com/v1`; no slash at the end.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// The token that it wants, if any.
    pub key: Option<String>,
    /// How many dimensions are asked for, if not as many as the model has.
    pub dimensions: Option<u32>,
}

impl std::fmt::Debug for OpenAiConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "OpenAiConfig({}, {}, {:?})", self.url, self.model, self.dimensions)
    }
}

/// The beginning of a text, as far as it is embedded.
fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// Vectors as an embedder has given them, if they are such: as many as texts, all of the same dimensions, all finite.
fn checked(vectors: Vec<Vec<f32>>, texts: usize) -> Result<Vec<Vec<f32>>, EmbedError> {
    let dims = vectors.first().map_or(0, Vec::len);
    let fits = |vector: &Vec<f32>| vector.len() == dims && vector.iter().all(|number| number.is_finite());
    if vectors.len() != texts || !vectors.iter().all(fits) {
        return Err(EmbedError::Away("an answer that is not a vector for each text".into()));
    }
    if !(1..=MAX_DIMS).contains(&dims) && texts > 0 {
        return Err(EmbedError::Away(format!(
            "vectors of {dims} dimensions, of which {MAX_DIMS} are the most"
        )));
    }
    Ok(vectors)
}

/// The vectors of texts, as far as they have any; one that the embedder does not take has none.
///
/// # Errors
/// [`EmbedError::Away`].
pub async fn each(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Option<Vector>>, EmbedError> {
    // Of what says nothing nobody is asked: some embedders refuse it.
    let said: Vec<&str> = texts.iter().copied().filter(|text| !text.is_empty()).collect();
    let mut made = if said.is_empty() { Vec::new() } else { each_said(embedder, &said).await? }.into_iter();
    Ok(texts.iter().map(|text| if text.is_empty() { None } else { made.next().flatten() }).collect())
}

async fn each_said(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Option<Vector>>, EmbedError> {
    let vector = |coordinates: &Vec<f32>| Vector::from_f32(coordinates).ok();
    match embedder.embed(texts).await {
        Ok(vectors) => Ok(vectors.iter().map(vector).collect()),
        Err(EmbedError::Refused(_)) => {
            // One of them is not taken: which, shows one by one.
            let mut vectors = Vec::new();
            for text in texts {
                vectors.push(match embedder.embed(&[text]).await {
                    Ok(vectors) => vectors.first().and_then(vector),
                    Err(EmbedError::Refused(_)) => None,
                    Err(error) => return Err(error),
                });
            }
            Ok(vectors)
        }
        Err(error) => Err(error),
    }
}

/// Milliseconds that a call waits for vectors. Ours: a search without its vector is better than one that takes longer.
pub const CALL_MS: u32 = 3_000;

/// Milliseconds that the alarm waits for them.
pub const ALARM_MS: u32 = 20_000;

/// Milliseconds after an embedder did not answer in which calls do not wait for it.
pub const QUIET_MS: u64 = 30_000;

/// Texts that are embedded in one request: what the smallest takes (text-embeddings-inference, `max_client_batch_size`).
pub const TEXTS_AT_ONCE: usize = 32;
