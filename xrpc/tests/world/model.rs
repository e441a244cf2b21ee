//! Models: one that makes vectors and is at hand, and those of the platform, which write.

use std::cell::RefCell;
use std::future::ready;
use std::rc::Rc;

use murmuration_embedding::{Model, ModelTable};
use murmuration_platform::Embedder;
use murmuration_xrpc::host::{LanguageModels, Task};
use serde_json::Value;

use super::World;

impl World {
    /// Gives the host a model that knows that cats are felines.
    pub fn with_model(mut self) -> Self {
        let rows =
            [("[UNK]", [0.0, 0.0]), ("cat", [1.0, 0.1]), ("feline", [0.9, 0.2]), ("train", [0.0, 1.0])];
        let pieces = rows.iter().map(|(piece, row)| ((*piece).to_owned(), row.to_vec())).collect();
        let table = ModelTable { name: "small".into(), dims: 2, pieces };
        let model: Rc<dyn Embedder> = Rc::new(Model::read(table.to_bytes().unwrap()).unwrap());
        self.objects.embedder = Box::new(move || Some(Rc::clone(&model)));
        self
    }
}

/// The language models of the platform: what they were asked, by their names, and what they say from now on, if they answer.
#[derive(Default)]
pub struct Models {
    pub asked: RefCell<Vec<(String, Value)>>,
    pub say: RefCell<Option<Value>>,
}

impl LanguageModels for Models {
    fn run<'a>(&'a self, model: &'a str, input: &'a str, _: u32) -> Task<'a, Result<String, String>> {
        self.asked.borrow_mut().push((model.to_owned(), serde_json::from_str(input).unwrap()));
        let said = self.say.borrow().as_ref().map(Value::to_string);
        Box::pin(ready(said.ok_or_else(|| "3040: capacity temporarily exceeded".to_owned())))
    }
}
