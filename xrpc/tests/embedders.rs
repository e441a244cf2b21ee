//! Embedders that are asked over the network: what is said to them, what is believed of what they answer, and what becomes of memories
//! while they do not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use murmuration_platform::{
    EmbedError, EmbedFuture, Embedder, Outbound, OutboundError, OutboundFuture, OutboundRequest,
    OutboundResponse, Store,
};
use murmuration_xrpc::agent::memory;
use murmuration_xrpc::embedder::{
    EmbedderConfig, OpenAi, OpenAiConfig, Ready, workers_ai_answer, workers_ai_id, workers_ai_refuses,
    workers_ai_request,
};
use serde_json::{Value, json};

use crate::world::{self, World, block_on};

type Answers = Box<dyn Fn(&Value) -> Result<(u16, Value), OutboundError>>;

/// The other side of the guarded client.
struct Endpoint {
    asked: RefCell<Vec<OutboundRequest>>,
    answer: RefCell<Answers>,
}

impl Endpoint {
    fn new(answer: impl Fn(&Value) -> Result<(u16, Value), OutboundError> + 'static) -> Rc<Self> {
        Rc::new(Self { asked: RefCell::default(), answer: RefCell::new(Box::new(answer)) })
    }
}

impl Outbound for Endpoint {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let body = serde_json::from_slice(&request.body).unwrap();
        let answer = (self.answer.borrow())(&body).map(|(status, body)| OutboundResponse {
            status,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        });
        self.asked.borrow_mut().push(request);
        Box::pin(std::future::ready(answer))
    }
}

fn openai(endpoint: &Rc<Endpoint>) -> OpenAi {
    let config = OpenAiConfig {
        url: "https://models.example/v1".into(),
        model: "small".into(),
        key: Some("secret".into()),
        dimensions: Some(2),
    };
    assert!(!format!("{config:?}").contains("secret"));
    OpenAi::new(config, Rc::clone(endpoint) as Rc<dyn Outbound>, 1_234)
}

/// The length of each text as its vector.
fn lengths(body: &Value) -> Result<(u16, Value), OutboundError> {
    let texts = body["input"].as_array().unwrap().iter().enumerate().rev();
    let item = |(index, text): (usize, &Value)| {
        let length = text.as_str().unwrap().len();
        json!({ "index": index, "embedding": [length, 1] })
    };
    Ok((200, json!({ "data": texts.map(item).collect::<Vec<_>>() })))
}

#[test]
fn an_endpoint_is_asked_in_batches_and_each_text_gets_its_own_vector() {
    let endpoint = Endpoint::new(lengths);
    let embedder = openai(&endpoint);
    assert_eq!(embedder.id(), "openai small 2");
    let texts: Vec<String> = (1..=70).map(|n| "x".repeat(n)).chain([String::new(), " \n".into()]).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = block_on(embedder.embed(&texts)).unwrap();
    for (text, vector) in texts.iter().zip(&vectors) {
        let expected = if text.trim().is_empty() { vec![] } else { vec![text.len() as f32, 1.0] };
        assert_eq!(*vector, expected);
    }
    let asked = endpoint.asked.borrow();
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0].url, "https://models.example/v1/embeddings");
    assert!(asked[0].headers.contains(&("authorization".into(), "Bearer secret".into())));
    assert_eq!((asked[0].timeout_ms, asked[0].max_bytes), (1_234, 4 << 20));
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!((&body["model"], &body["dimensions"]), (&json!("small"), &json!(2)));
    drop(asked);
    // A text that is longer than any model takes is cut, between characters.
    let long = "é".repeat(5_000);
    assert_eq!(block_on(embedder.embed(&[&long])).unwrap()[0][0], 8_000.0);
}

#[test]
fn what_is_no_vector_for_each_text_is_not_believed() {
    let away = |answer: Value| {
        let endpoint = Endpoint::new(move |_| Ok((200, answer.clone())));
        matches!(block_on(openai(&endpoint).embed(&["a", "b"])), Err(EmbedError::Away(_)))
    };
    let item = |index: u32, vector: Value| json!({ "index": index, "embedding": vector });
    assert!(!away(json!({ "data": [item(0, json!([1, 2])), item(1, json!([1, 2]))] })));
    assert!(away(json!({ "data": [item(0, json!([1, 2]))] })), "too few");
    assert!(away(json!({ "data": [item(0, json!([1, 2])), item(1, json!([1]))] })), "of two kinds");
    assert!(away(json!({ "data": [item(0, json!([])), item(1, json!([]))] })), "of no dimensions");
    assert!(away(json!({ "data": [item(0, json!([1e39])), item(1, json!([1]))] })), "not finite");
    let many = json!(vec![0.5; 1_537]);
    assert!(away(json!({ "data": [item(0, many.clone()), item(1, many)] })), "of too many dimensions");
    for odd in [json!({}), json!([]), json!({ "data": [{ "index": 0 }] }), json!("x")] {
        assert!(away(odd));
    }
}

#[test]
fn only_what_is_wrong_with_the_texts_is_never_tried_again() {
    for status in [301, 401, 403, 404, 408, 429, 500, 503] {
        let endpoint = Endpoint::new(move |_| Ok((status, json!({}))));
        assert!(matches!(block_on(openai(&endpoint).embed(&["a"])), Err(EmbedError::Away(_))), "{status}");
    }
    for status in [400, 413, 422] {
        let endpoint = Endpoint::new(move |_| Ok((status, json!({}))));
        assert!(matches!(block_on(openai(&endpoint).embed(&["a"])), Err(EmbedError::Refused(_))), "{status}");
    }
    let endpoint = Endpoint::new(|_| Err(OutboundError::TimedOut(5)));
    assert!(matches!(block_on(openai(&endpoint).embed(&["a"])), Err(EmbedError::Away(_))));
    assert!(workers_ai_refuses("5006: Error: required properties") && workers_ai_refuses("AiError: 5006: x"));
    assert!(!workers_ai_refuses("3040: Capacity temporarily exceeded"));
}

#[test]
fn workers_ai_is_asked_as_each_model_wants_it() {
    let long = "x".repeat(10_000);
    for (model, pooling, bytes) in
        [("@cf/baai/bge-m3", None, 8_000), ("@cf/baai/bge-base-en-v1.5", Some("cls"), 1_500)]
    {
        let asked: Value = serde_json::from_str(&workers_ai_request(model, &["a", &long])).unwrap();
        assert_eq!(asked["text"][1].as_str().unwrap().len(), bytes);
        assert_eq!(asked.get("pooling").and_then(Value::as_str), pooling);
        assert_eq!(workers_ai_id(model).ends_with(" cls"), pooling.is_some());
    }
    assert_eq!(workers_ai_answer(r#"{"shape":[1,2],"data":[[1,2]]}"#, 1).unwrap(), [[1.0, 2.0]]);
    for odd in ["", "{}", r#"{"data":[[1,2]]}"#] {
        assert!(workers_ai_answer(odd, 2).is_err());
    }
}

#[test]
fn the_operator_chooses_the_embedder_and_one_that_is_none_is_refused() {
    let read = |variables: &[(&str, &str)]| world::config(variables).map(|config| config.embedder);
    assert_eq!(read(&[]).unwrap(), EmbedderConfig::Embedded);
    assert_eq!(
        read(&[("EMBEDDER", "workers-ai")]).unwrap(),
        EmbedderConfig::WorkersAi { model: "@cf/baai/bge-m3".into() }
    );
    let url = ("EMBEDDER_URL", "https://models.example/v1/");
    let Ok(EmbedderConfig::OpenAi(config)) = read(&[("EMBEDDER", "openai"), url]) else { panic!() };
    assert_eq!(
        (config.url.as_str(), config.key, config.dimensions),
        ("https://models.example/v1", None, None)
    );
    let long = "m".repeat(101);
    for wrong in [
        &[("EMBEDDER", "openai")][..],
        &[("EMBEDDER", "local")],
        &[("EMBEDDER", "openai"), url, ("EMBEDDER_DIMENSIONS", "many")],
        &[("EMBEDDER", "workers-ai"), ("EMBEDDER_MODEL", &long)],
    ] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}

/// An embedder in another house: it answers, or not, or does not take a text.
#[derive(Default)]
struct Far {
    away: Cell<bool>,
    asked: RefCell<Vec<Vec<String>>>,
}

impl Embedder for Far {
    fn id(&self) -> &str {
        "far"
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a> {
        self.asked.borrow_mut().push(texts.iter().map(|text| (*text).to_owned()).collect());
        let side = |text: &&str| {
            if text.contains("cat") || text.contains("feline") { [1.0, 0.1] } else { [0.1, 1.0] }
        };
        Box::pin(std::future::ready(match (self.away.get(), texts.iter().any(|text| text.contains("odd"))) {
            (true, _) => Err(EmbedError::Away("gone".into())),
            (_, true) => Err(EmbedError::Refused("odd".into())),
            _ => Ok(texts.iter().map(|text| side(text).to_vec()).collect()),
        }))
    }
}

struct Alice {
    world: World,
    did: murmuration_syntax::Did,
    header: String,
    far: Rc<Far>,
    /// What is at hand in a turn.
    ready: Rc<RefCell<Rc<dyn Embedder>>>,
}

impl Alice {
    fn new() -> Self {
        Self::with(&json!({}))
    }

    fn with(more: &Value) -> Self {
        let mut world = World::new();
        let ready: Rc<RefCell<Rc<dyn Embedder>>> = Rc::new(RefCell::new(Rc::new(Ready::new("far", None))));
        let at_hand = Rc::clone(&ready);
        world.objects.embedder = Box::new(move || Some(Rc::clone(&*at_hand.borrow())));
        let (code, answer) = world.make_agent("alice", more);
        assert_eq!(code, 200, "{answer}");
        let header = format!("Bearer {}", answer["accessJwt"].as_str().unwrap());
        Self { did: world::did(&answer["did"]), world, header, far: Rc::default(), ready }
    }

    /// A call, as the object makes it: the embedder is asked before the turn for what the call will want.
    fn ask(&self, method: &str, query: &[(&str, &str)], input: &Value) -> Value {
        let nsid = format!("agent.memory.{method}");
        let texts = self.texts(&nsid, Some(&self.header), query, input);
        let asked: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = if asked.is_empty() { Ok(Vec::new()) } else { block_on(self.far.embed(&asked)) };
        *self.ready.borrow_mut() =
            Rc::new(Ready::new("far", texts.into_iter().zip(vectors.unwrap_or_default())));
        let (code, answer) = self.world.ask(&nsid, Some(&self.header), query, input);
        assert_eq!(code, 200, "{answer}");
        answer
    }

    fn texts(&self, nsid: &str, header: Option<&str>, query: &[(&str, &str)], input: &Value) -> Vec<String> {
        let method = murmuration_xrpc::table::find(nsid).unwrap();
        let request = world::request(nsid, header, query, input);
        self.world.inside(&self.did, |context| memory::texts(context, method, &request)).unwrap_or_default()
    }

    fn remember(&self, text: &str) {
        let record = json!({ "$type": "agent.memory.note", "summary": text });
        let _ = self.ask("createMemory", &[], &json!({ "record": record }));
    }

    /// What is found by its vector, and what could not be asked.
    fn find(&self, text: &str) -> (Vec<String>, Value) {
        let answer = self.ask("searchMemories", &[("q", text), ("minScore", "300")], &Value::Null);
        let by_vector = |hit: &&Value| hit["channels"].to_string().contains("vector");
        let hits = answer["hits"].as_array().unwrap().iter().filter(by_vector);
        let texts = hits.map(|hit| hit["memory"]["record"]["summary"].as_str().unwrap().to_owned());
        (texts.collect(), answer["degraded"].clone())
    }

    fn pending(&self) -> Value {
        self.ask("getStats", &[], &Value::Null)["embeddingPending"].clone()
    }

    /// The alarm, so many minutes later.
    fn alarm(&self, minutes: u64) {
        self.world.pass_minutes(minutes);
        self.world.inside(&self.did, |context| {
            let run = memory::embed_due(context.account, &*self.far, context.entropy, context.clock);
            block_on(run).unwrap();
        });
    }
}

#[test]
fn memories_are_written_while_the_embedder_is_away_and_embedded_when_it_is_back() {
    let alice = Alice::new();
    alice.remember("felines doze");
    assert_eq!(alice.find("cat"), (vec!["felines doze".to_owned()], json!([])));
    assert_eq!(*alice.far.asked.borrow(), [["felines doze"], ["cat"]]);

    alice.far.away.set(true);
    alice.remember("a cat purrs");
    let (found, degraded) = alice.find("purrs");
    assert_eq!((found, degraded, alice.pending()), (vec![], json!(["vector"]), json!(true)));
    alice.alarm(1);
    assert_eq!(alice.pending(), json!(true), "it is still away");
    alice.far.away.set(false);
    alice.far.asked.borrow_mut().clear();
    alice.alarm(0);
    assert!(alice.far.asked.borrow().is_empty(), "it is not asked before its time");
    assert_eq!(alice.find("cat").1, json!(["vector"]), "one of them is found by its words alone");
    alice.alarm(2);
    assert_eq!(alice.pending(), json!(false));
    let (mut found, degraded) = alice.find("cat");
    found.sort();
    assert_eq!((found, degraded), (vec!["a cat purrs".to_owned(), "felines doze".to_owned()], json!([])));

    // One text that it does not take keeps no others from it.
    alice.far.away.set(true);
    for text in ["cat one", "an odd cat", "cat two"] {
        alice.remember(text);
    }
    alice.far.away.set(false);
    alice.alarm(1);
    assert_eq!(alice.pending(), json!(false));
    assert_eq!(alice.find("cat").0.len(), 4);
}

#[test]
fn what_the_host_cannot_open_any_more_is_not_always_due() {
    let alice = Alice::new();
    alice.far.away.set(true);
    alice.remember("a cat purrs");
    alice.far.away.set(false);
    alice.far.asked.borrow_mut().clear();
    alice.world.objects.store(&alice.did).query("DELETE FROM key_epoch", &[]).unwrap();
    alice.world.objects.crash(&alice.did);
    alice.alarm(1);
    assert!(alice.far.asked.borrow().is_empty());
    let due = alice.world.inside(&alice.did, |context| {
        (context.account.embedding_due().unwrap().unwrap(), context.clock.now_micros())
    });
    assert!(due.0 > due.1, "the alarm would fire again and again");
}

#[test]
fn nothing_is_embedded_for_who_may_not_call() {
    let alice = Alice::new();
    let record = json!({ "record": { "$type": "agent.memory.note", "summary": "x" } });
    let search = ("agent.memory.searchMemories", vec![("q", "x")], Value::Null);
    let create = ("agent.memory.createMemory", vec![], record);
    for (nsid, query, input) in [&search, &create] {
        assert_eq!(alice.texts(nsid, Some(&alice.header), query, input), ["x"]);
        for header in [None, Some("Bearer x"), Some("Basic YWRtaW46YWRtaW4=")] {
            assert!(alice.texts(nsid, header, query, input).is_empty(), "{nsid} {header:?}");
        }
    }
    let query = [("q", "x"), ("limit", "many")];
    assert!(alice.texts("agent.memory.searchMemories", Some(&alice.header), &query, &Value::Null).is_empty());
    assert!(alice.texts("agent.memory.getStats", Some(&alice.header), &[], &Value::Null).is_empty());
    // Nor for one that keeps its keys to itself, whatever it says in the open.
    let client = Alice::with(&json!({ "custody": "client" }));
    for (nsid, query, input) in [&search, &create] {
        assert!(client.texts(nsid, Some(&client.header), query, input).is_empty());
    }
}
