//! Writing the pages of a whole tree as a walk passes through it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_platform::{Store, StoreError};
use murmuration_repo::Node;
use murmuration_syntax::Rev;

use crate::export::Shadow;
use crate::{page, tree};

/// The pages of a new tree, in place of all that are there. A page is written when its last node has been passed.
pub(crate) struct Rebuild<'a> {
    store: &'a dyn Store,
    rev: Rev,
    /// Pages whose subtrees the walk is in, the topmost first.
    open: Vec<Page>,
    /// The pages that were there and are not written yet.
    stale: BTreeSet<Cid>,
}

struct Page {
    root: Cid,
    layer: u32,
    body: Vec<u8>,
}

impl<'a> Rebuild<'a> {
    /// Begins with a tree that `rev` makes. The pages that are there are put into the shadows of exports first.
    pub(crate) fn begin(
        store: &'a dyn Store,
        rev: Rev,
        exports: &[Rc<RefCell<Shadow>>],
    ) -> Result<Self, StoreError> {
        let stale: BTreeSet<Cid> = tree::pages(store)?.into_iter().collect();
        if !exports.is_empty() {
            for root in &stale {
                let Some(body) = tree::body_of(store, root)? else { continue };
                let body: Rc<[u8]> = body.into();
                exports.iter().for_each(|shadow| shadow.borrow_mut().keep_page(*root, Rc::clone(&body)));
            }
        }
        Ok(Self { store, rev, open: Vec::new(), stale })
    }

    /// Takes the next node of the walk: each comes before what hangs on it, in the order of the keys.
    pub(crate) fn enter(&mut self, cid: Cid, node: &Node) -> Result<(), StoreError> {
        let layer = node.layer();
        // What hangs on a page's topmost node lies below it.
        while let Some(page) = self.open.pop_if(|page| page.layer <= layer) {
            self.write(page)?;
        }
        if self.open.is_empty() || page::tops_a_page(layer) {
            self.open.push(Page { root: cid, layer, body: page::begin(layer) });
        }
        if let Some(page) = self.open.last_mut() {
            page::push(&mut page.body, self.rev, &node.encode());
        }
        Ok(())
    }

    /// Ends the walk: writes what is open, and drops the pages that the new tree has not.
    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        while let Some(page) = self.open.pop() {
            self.write(page)?;
        }
        self.stale.iter().try_for_each(|root| tree::delete_page(self.store, root))
    }

    fn write(&mut self, page: Page) -> Result<(), StoreError> {
        self.stale.remove(&page.root);
        tree::put_page(self.store, &page.root, &page.body)
    }
}
