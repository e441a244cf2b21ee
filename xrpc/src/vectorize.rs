//! Vectorize (<https://developers.cloudflare.com/vectorize/reference/client-api/>): what its binding is asked, and what it answers. Both are
//! JSON; what is asked is the list of a method's arguments.

use murmuration_platform::{VectorEntry, VectorError, VectorQuery};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// The arguments of `upsert`.
#[must_use]
pub fn upsert(entries: &[VectorEntry]) -> String {
    let entry = |entry: &VectorEntry| {
        let metadata: Map<String, Json> =
            entry.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        json!({ "id": entry.id, "values": entry.values, "metadata": metadata })
    };
    json!([entries.iter().map(entry).collect::<Vec<_>>()]).to_string()
}

/// The arguments of `deleteByIds`.
#[must_use]
pub fn delete(ids: &[String]) -> String {
    json!([ids]).to_string()
}

/// The arguments of `query`. Neither values nor metadata come back: with them it would answer a fifth as many.
#[must_use]
pub fn query(query: &VectorQuery<'_>) -> String {
    let filter: Map<String, Json> =
        query.filter.iter().map(|(name, values)| ((*name).to_owned(), json!({ "$in": values }))).collect();
    let options =
        json!({ "topK": query.top, "returnValues": false, "returnMetadata": "none", "filter": filter });
    json!([query.values, options]).to_string()
}

/// The name of a change, of an answer to `upsert` or `deleteByIds`.
///
/// # Errors
/// For what is none.
pub fn mutation(answer: &str) -> Result<String, VectorError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        mutation_id: String,
    }
    read(answer).map(|Answer { mutation_id }| mutation_id)
}

/// The ids and cosines of an answer to `query`.
///
/// # Errors
/// For what is none.
pub fn matches(answer: &str) -> Result<Vec<(String, f32)>, VectorError> {
    #[derive(Deserialize)]
    struct Answer {
        matches: Vec<Match>,
    }
    #[derive(Deserialize)]
    struct Match {
        id: String,
        score: f32,
    }
    let Answer { matches } = read(answer)?;
    Ok(matches.into_iter().map(|found| (found.id, found.score)).collect())
}

/// The last change that is done, of an answer to `describe`.
///
/// # Errors
/// For what is none.
pub fn processed(answer: &str) -> Result<Option<String>, VectorError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        processed_up_to_mutation: Option<Json>,
    }
    let Answer { processed_up_to_mutation: last } = read(answer)?;
    Ok(last.and_then(|last| last.as_str().map(str::to_owned)))
}

fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, VectorError> {
    serde_json::from_str(answer)
        .map_err(|_| VectorError("an answer that is not as its documentation says".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_answered_is_as_the_binding_has_it() {
        let entry =
            VectorEntry { id: "a".into(), values: vec![1.0, -2.0], metadata: vec![("agent", "x".into())] };
        assert_eq!(upsert(&[entry]), r#"[[{"id":"a","metadata":{"agent":"x"},"values":[1.0,-2.0]}]]"#);
        assert_eq!(delete(&["a".into()]), r#"[["a"]]"#);
        let asked = VectorQuery { values: &[1.0], top: 100, filter: vec![("agent", vec!["x".into()])] };
        let expected = r#"[[1.0],{"filter":{"agent":{"$in":["x"]}},"returnMetadata":"none","returnValues":false,"topK":100}]"#;
        assert_eq!(query(&asked), expected);
        assert_eq!(mutation(r#"{"mutationId":"m"}"#), Ok("m".to_owned()));
        assert_eq!(
            matches(r#"{"count":1,"matches":[{"id":"a","score":0.5}]}"#),
            Ok(vec![("a".to_owned(), 0.5)])
        );
        assert_eq!(processed(r#"{"vectorCount":0,"processedUpToMutation":"m"}"#), Ok(Some("m".to_owned())));
        for nothing in [r#"{"processedUpToMutation":null}"#, "{}", r#"{"processedUpToMutation":0}"#] {
            assert_eq!(processed(nothing), Ok(None), "{nothing}");
        }
        assert!(mutation("{}").is_err() && matches("null").is_err() && processed("[").is_err());
    }
}
