//! A model that is at hand.

use std::rc::Rc;

use murmuration_embedding::{Model, ModelTable};
use murmuration_platform::Embedder;

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
