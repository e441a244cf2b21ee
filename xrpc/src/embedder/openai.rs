//! Embeddings over HTTP, as OpenAI has them and many others took them on: `POST {base}/embeddings`
//! (<https://platform.openai.com/docs/api-reference/embeddings>).

use std::rc::Rc;

use murmuration_platform::{EmbedError, EmbedFuture, Embedder, Outbound, OutboundRequest, Verb};
use serde::Deserialize;
use serde_json::json;

use super::{OpenAiConfig, TEXTS_AT_ONCE, beginning, checked};

/// An endpoint, behind the guarded client.
pub struct OpenAi {
    config: OpenAiConfig,
    id: String,
    outbound: Rc<dyn Outbound>,
    timeout_ms: u32,
}

impl OpenAi {
    /// The endpoint of a configuration, which is given so many milliseconds.
    #[must_use]
    pub fn new(config: OpenAiConfig, outbound: Rc<dyn Outbound>, timeout_ms: u32) -> Self {
        // The same model of another endpoint is the same model; another number of dimensions is another.
        let dimensions = config.dimensions.map(|dimensions| format!(" {dimensions}")).unwrap_or_default();
        let id = format!("openai {}{dimensions}", config.model);
        Self { config, id, outbound, timeout_ms }
    }

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let input: Vec<&str> = texts.iter().map(|text| beginning(text, MAX_TEXT_BYTES)).collect();
        let mut body = json!({ "model": self.config.model, "input": input, "encoding_format": "float" });
        if let (Some(fields), Some(dimensions)) = (body.as_object_mut(), self.config.dimensions) {
            fields.insert("dimensions".into(), dimensions.into());
        }
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(self.config.key.iter().map(|key| ("authorization".into(), format!("Bearer {key}"))));
        let request = OutboundRequest {
            verb: Verb::Post,
            url: format!("{}/embeddings", self.config.url),
            headers,
            body: body.to_string().into_bytes(),
            max_bytes: MAX_ANSWER_BYTES,
            timeout_ms: self.timeout_ms,
        };
        let answer = self.outbound.send(request).await;
        let answer = answer.map_err(|error| EmbedError::Away(error.to_string()))?;
        match answer.status {
            200 => {}
            // Of all that is wrong with a request only this is wrong with its texts.
            400 | 413 | 422 => return Err(EmbedError::Refused(format!("it answered {}", answer.status))),
            status => return Err(EmbedError::Away(format!("it answered {status}"))),
        }
        let answer: Answer = serde_json::from_slice(&answer.body)
            .map_err(|_| EmbedError::Away("an answer that is no list of embeddings".into()))?;
        let mut data = answer.data;
        data.sort_by_key(|item| item.index);
        checked(data.into_iter().map(|item| item.embedding).collect(), texts.len())
    }
}

impl Embedder for OpenAi {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a> {
        Box::pin(async move {
            // There is nothing in an empty text, and many refuse it.
            let said: Vec<&str> = texts.iter().copied().filter(|text| !text.trim().is_empty()).collect();
            let mut vectors = Vec::new();
            for batch in said.chunks(TEXTS_AT_ONCE) {
                vectors.extend(self.ask(batch).await?);
            }
            let mut vectors = vectors.into_iter();
            let of = |text: &&str| match text.trim().is_empty() {
                true => Vec::new(),
                false => vectors.next().unwrap_or_default(),
            };
            Ok(texts.iter().map(of).collect())
        })
    }
}

/// An answer.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

/// A vector, and of which text.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    index: usize,
    embedding: Vec<f32>,
}

/// Bytes of a text that are embedded: 8,191 tokens are what OpenAI's models take, and a token is a byte at the least.
const MAX_TEXT_BYTES: usize = 8_000;

/// Bytes of an answer: 32 vectors of 1,536 numbers of 25 digits, and three times as much for what stands around them.
const MAX_ANSWER_BYTES: usize = 4 << 20;
