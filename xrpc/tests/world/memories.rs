//! Calls of `agent.memory`, each answer checked by its lexicon.

use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, output};
use serde_json::Value;

use super::World;
use super::agents::Agent;

/// What a method answers: the status, and the body.
pub fn ask(
    world: &World,
    agent: &Agent,
    method: &str,
    query: &[(&str, &str)],
    input: &Value,
) -> (u16, Value) {
    let nsid = format!("agent.memory.{method}");
    let (code, answer) = world.ask(&nsid, Some(&format!("Bearer {}", agent.token)), query, input);
    if code == 200 {
        output(Catalog::builtin(), &nsid, &data::from_value(&answer).unwrap()).unwrap();
    }
    (code, answer)
}

/// What a procedure answers that succeeds.
pub fn call(world: &World, agent: &Agent, method: &str, input: &Value) -> Value {
    let (code, answer) = ask(world, agent, method, &[], input);
    assert_eq!(code, 200, "{method} {input}: {answer}");
    answer
}

/// The same, a minute later.
pub fn call_later(world: &World, agent: &Agent, method: &str, input: &Value) -> Value {
    world.pass_minutes(1);
    call(world, agent, method, input)
}

/// What a procedure is refused with, by 400.
pub fn refused(world: &World, agent: &Agent, method: &str, input: &Value) -> String {
    let (code, answer) = ask(world, agent, method, &[], input);
    assert_eq!(code, 400, "{method} {input}: {answer}");
    answer["error"].as_str().unwrap().to_owned()
}
