//! What the public index is asked, and what it answers: the Worker's methods on one side, the index's object on the other.

use data_encoding::BASE64;
use murmuration_embedding::Vector;
use murmuration_index::{Change, Found, Kind, PublicIndex, Search, Wanted};
use murmuration_memory::Meaning;
use murmuration_platform::{EmbedError, Embedder, Store, VectorQuery};
use murmuration_syntax::{Did, Nsid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::XrpcError;
use crate::embedder::each;

/// A call of the Worker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IndexCall {
    /// Find documents.
    Search(Asked),
    /// Hide a record that the operator has taken down, or show it again.
    Hide {
        /// Its address.
        uri: String,
        /// Whether it is hidden.
        hidden: bool,
    },
}

/// What is searched for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Whether agents are searched, and not memories.
    pub agents: bool,
    /// In words.
    pub text: String,
    /// Of which collections; of all if there are none.
    pub collections: Vec<Nsid>,
    /// With which tags, all of them.
    pub tags: Vec<String>,
    /// Whose; anybody's if it does not say.
    pub author: Option<Did>,
    /// Made when, in microseconds since the Unix epoch: not before, and before.
    pub made: (Option<u64>, Option<u64>),
    /// What held at this time, instead of now.
    pub as_of: Option<u64>,
    /// Whether what does not hold any more is found, too.
    pub superseded: bool,
    /// The least score, permille.
    pub least: u16,
    /// How many, at most.
    pub limit: usize,
    /// Whether the vector of the text is wanted, too.
    pub gives_vector: bool,
}

/// What was found.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The best first.
    pub hits: Vec<PublicHit>,
    /// Whether all of it was compared by its meaning.
    pub whole: bool,
    /// The vector of the text and its embedder, where it was wanted.
    pub vector: Option<GivenVector>,
}

/// A vector of a text, on its way.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GivenVector {
    /// The embedder's id.
    pub model: String,
    /// The coordinates, four bytes each, in base 64.
    coordinates: String,
}

impl GivenVector {
    /// That of an embedder.
    #[must_use]
    pub fn new(model: &str, coordinates: &[f32]) -> Self {
        let bytes: Vec<u8> = coordinates.iter().flat_map(|coordinate| coordinate.to_le_bytes()).collect();
        Self { model: model.to_owned(), coordinates: BASE64.encode(&bytes) }
    }

    /// The coordinates.
    #[must_use]
    pub fn coordinates(&self) -> Vec<f32> {
        let bytes = BASE64.decode(self.coordinates.as_bytes()).unwrap_or_default();
        bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }
}

/// A document that was found.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicHit {
    /// Whose.
    pub did: Did,
    /// The handle, of an account of another host.
    pub handle: Option<String>,
    /// Collection and record key.
    pub path: String,
    /// Its CID.
    pub cid: String,
    /// The revision of its repository with which it came.
    pub rev: String,
    /// When it was made, in microseconds since the Unix epoch.
    pub made: u64,
    /// The record.
    pub record: Box<RawValue>,
    /// How well it fits, permille, and by what.
    pub score: u16,
    /// Of the cosine.
    pub vector: Option<u16>,
    /// Of the words' score.
    pub keyword: Option<u16>,
    /// Of a document of now.
    pub recency: u16,
}

/// What is known of a text that is searched for.
#[derive(Clone, Debug)]
pub struct Known<'a> {
    /// The embedder's id.
    pub model: &'a str,
    /// What it has made of the text, if it has said.
    pub vector: Option<Vec<f32>>,
    /// What an outer index has found for that: ids and cosines.
    pub outside: &'a [(String, f32)],
}

/// Finds documents, by the embedder's vector of the text, if it has said, and by what an outer index has found for that.
///
/// # Errors
/// When the storage fails.
pub fn answer(
    index: &PublicIndex,
    store: &dyn Store,
    asked: &Asked,
    known: Known<'_>,
    now: u64,
) -> Result<Answered, XrpcError> {
    let Known { model, vector, outside } = known;
    let known = vector.as_deref().and_then(|coordinates| Vector::from_f32(coordinates).ok());
    let meaning = known.map(|vector| Meaning { model: model.to_owned(), vector });
    let tags: Vec<&str> = asked.tags.iter().map(String::as_str).collect();
    let wanted = wanted(asked, &tags);
    let search = Search {
        text: &asked.text,
        meaning: meaning.as_ref(),
        outside,
        wanted,
        least: f32::from(asked.least) / 1_000.0,
        limit: asked.limit,
        now,
    };
    let found = index.search(store, &search).map_err(XrpcError::internal)?;
    let hits = found.into_iter().map(hit).collect::<Result<Vec<_>, _>>()?;
    let whole = meaning.is_some() && index.is_embedded(model);
    let vector = vector.filter(|_| asked.gives_vector);
    let vector = vector.map(|coordinates| GivenVector::new(model, &coordinates));
    Ok(Answered { hits, whole, vector })
}

/// What an outer index is asked for a search.
#[must_use]
pub fn outer_query<'a>(asked: &Asked, values: &'a [f32]) -> VectorQuery<'a> {
    murmuration_index::outer_query(values, &wanted(asked, &[]))
}

fn wanted<'a>(asked: &'a Asked, tags: &'a [&'a str]) -> Wanted<'a> {
    Wanted {
        collections: &asked.collections,
        tags,
        author: asked.author.as_ref(),
        made: asked.made.0.unwrap_or(0)..asked.made.1.unwrap_or(u64::MAX),
        as_of: asked.as_of,
        superseded: asked.superseded,
        ..Wanted::all(if asked.agents { Kind::Agents } else { Kind::Memories })
    }
}

/// Has the texts of documents embedded.
///
/// # Errors
/// [`EmbedError::Away`].
pub async fn embed(embedder: &dyn Embedder, changes: &mut [Change]) -> Result<(), EmbedError> {
    let mut documents = Vec::new();
    for change in changes {
        match change {
            Change::Put(document) => documents.push(&mut **document),
            Change::Another { documents: all, .. } => documents.extend(all),
            _ => {}
        }
    }
    for batch in documents.chunks_mut(murmuration_index::limits::EMBED_BATCH) {
        let texts: Vec<&str> = batch.iter().map(|document| document.essence.text.as_str()).collect();
        let made = each(embedder, &texts).await?;
        for (document, made) in batch.iter_mut().zip(made) {
            document.embedding = made.into();
        }
    }
    Ok(())
}

fn hit(found: Found) -> Result<PublicHit, XrpcError> {
    let hit = found.hit;
    Ok(PublicHit {
        did: found.did,
        handle: found.handle,
        path: found.path.to_string(),
        cid: found.cid.to_string(),
        rev: found.rev.to_string(),
        made: found.made,
        record: RawValue::from_string(found.record).map_err(XrpcError::internal)?,
        score: permille(hit.score),
        vector: hit.vector.map(permille),
        keyword: hit.words.map(permille),
        recency: permille(hit.recency),
    })
}

#[expect(clippy::as_conversions, reason = "the invariant beside it")]
pub(crate) fn permille(score: f32) -> u16 {
    // INVARIANT: a whole number from 0 to 1,000, which is what `clamp` is for.
    (score * 1_000.0).round().clamp(0.0, 1_000.0) as u16
}
